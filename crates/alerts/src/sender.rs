//! Sends messages, one after the other.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use reclaimer_domain::alert::AlertMessage;
use reclaimer_domain::time::between;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::AREA;
use crate::handle::Shared;
use crate::webhook::{Courier, Undelivered};

/// When the server ends, a message on its way gets so long to arrive: the next server would send it again.
const FINISH_WITHIN: Duration = Duration::from_secs(3);

/// Sends what waits.
#[derive(Debug)]
pub(crate) struct Sender {
    shared: Arc<Shared>,
    rng: StdRng,
}

impl Sender {
    pub(crate) fn new(shared: Arc<Shared>, rng: StdRng) -> Self {
        Self { shared, rng }
    }

    /// Sends until `stop` is cancelled.
    pub(crate) async fn run(mut self, stop: &CancellationToken) {
        let Some(courier) = self.shared.courier.clone() else { return };
        loop {
            let (message, due) = self.next().unzip();
            tokio::select! {
                () = stop.cancelled() => return,
                // There may be another one to be sent before.
                () = self.shared.to_send.notified() => continue,
                () = sleep(due.unwrap_or(Duration::MAX)) => {}
            }
            let Some(message) = message else { continue };
            let Some(outcome) = sent(&*courier, &message, stop).await else { return };
            self.ended(&message, outcome);
        }
    }

    /// The message to be sent next, and in how long.
    fn next(&self) -> Option<(AlertMessage, Duration)> {
        let mut state = self.shared.state();
        let now = self.shared.clock.now();
        if state.outbox.give_up_old(now) {
            self.shared.changed(&mut state);
        }
        let next = state.outbox.next()?;
        Some((next.clone(), between(now, next.next_attempt_at)))
    }

    fn ended(&mut self, message: &AlertMessage, outcome: Result<(), Undelivered>) {
        let mut state = self.shared.state();
        match outcome {
            Ok(()) => state.outbox.delivered(&message.id),
            Err(Undelivered { why, retry_after }) => {
                if message.attempts == 0 {
                    warn!(
                        area = AREA,
                        message = message.id,
                        "an alert was not delivered, and is sent again: {why}"
                    );
                }
                let now = self.shared.clock.now();
                state.outbox.failed(&message.id, why, retry_after, now, &mut self.rng);
            }
        }
        self.shared.changed(&mut state);
    }
}

/// How sending ended; `None` = the server ends, and nobody knows.
async fn sent(
    courier: &dyn Courier,
    message: &AlertMessage,
    stop: &CancellationToken,
) -> Option<Result<(), Undelivered>> {
    let mut sending = courier.deliver(message);
    tokio::select! {
        outcome = &mut sending => Some(outcome),
        () = stop.cancelled() => timeout(FINISH_WITHIN, sending).await.ok(),
    }
}
