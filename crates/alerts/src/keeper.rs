//! Keeps the state over a restart.

use std::sync::Arc;
use std::time::Duration;

use reclaimer_domain::ports::AlertStore;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::AREA;
use crate::handle::Shared;

/// A store that does not answer within this time is away …
const KEEP_WITHIN: Duration = Duration::from_secs(5);

/// … and is asked again after this.
const AGAIN_AFTER: Duration = Duration::from_secs(10);

/// Keeps what changed.
#[derive(Debug)]
pub(crate) struct Keeper {
    owner: String,
    store: Arc<dyn AlertStore>,
    shared: Arc<Shared>,
}

impl Keeper {
    pub(crate) fn new(owner: String, store: Arc<dyn AlertStore>, shared: Arc<Shared>) -> Self {
        Self { owner, store, shared }
    }

    /// Takes up what an earlier life kept, once. Where that cannot be read, alerting begins without it and tries again: a
    /// message too many is better than none.
    pub(crate) async fn recall(&self) {
        if self.shared.state().recalled {
            return;
        }
        match timeout(KEEP_WITHIN, self.store.alerts(&self.owner)).await {
            Ok(Ok(kept)) => {
                let mut state = self.shared.state();
                state.watch.take_up(kept.incidents);
                state.outbox.take_up(kept.messages);
                state.recalled = true;
                // What was found before can be kept now, and what waited be sent.
                self.shared.wake();
            }
            Ok(Err(error)) => self.complain(error.code()),
            Err(_) => self.complain("timeout"),
        }
    }

    /// Keeps whatever changes, until `stop` is cancelled.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        loop {
            let pause = if self.shared.state().forgetful { AGAIN_AFTER } else { Duration::MAX };
            tokio::select! {
                () = stop.cancelled() => return,
                () = self.shared.to_keep.notified() => {}
                () = sleep(pause) => {}
            }
            self.keep().await;
        }
    }

    /// Keeps what changed. What cannot be kept now stays in memory.
    pub(crate) async fn keep(&self) {
        let kept = {
            let mut state = self.shared.state();
            // What was not read yet must not be written over.
            if !state.recalled || !std::mem::take(&mut state.changed) {
                return;
            }
            state.kept()
        };
        let trouble = match timeout(KEEP_WITHIN, self.store.keep_alerts(&self.owner, kept)).await {
            Ok(Ok(())) => {
                self.shared.state().forgetful = false;
                return;
            }
            Ok(Err(error)) => error.code(),
            Err(_) => "timeout",
        };
        self.shared.state().changed = true;
        self.complain(trouble);
    }

    /// Said once, until it goes well again.
    fn complain(&self, code: &str) {
        if !std::mem::replace(&mut self.shared.state().forgetful, true) {
            warn!(
                area = AREA,
                code,
                "the state of alerts cannot be kept; messages go out all the same, a restart may repeat some"
            );
        }
    }
}
