//! Sweeps: step by step through what has been kept for long enough.

use std::sync::Arc;
use std::time::Duration;

use reclaimer_domain::ports::{Clock, Prune, Pruned, RetentionStore, StoreError};
use reclaimer_domain::time::before;
use reclaimer_health::Beat;
use tokio::time::{Instant, sleep};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use crate::config::Config;

const AREA: &str = "JOB-MANAGER";

/// A pause is so many times as long as the step before it took …
const PAUSE_PER_STEP: u32 = 4;

/// … and at least this long.
const SHORTEST_PAUSE: Duration = Duration::from_millis(10);

/// A step may take so long before it counts as hanging.
const HELD_UP: Duration = Duration::from_secs(60);

/// Removes what has been kept for long enough, sweep after sweep.
#[derive(Debug)]
pub struct Retention {
    config: Config,
    store: Arc<dyn RetentionStore>,
    clock: Arc<dyn Clock>,
    beat: Beat,
}

impl Retention {
    /// Retention that has not begun.
    #[must_use]
    pub fn new(config: Config, store: Arc<dyn RetentionStore>, clock: Arc<dyn Clock>) -> Self {
        let beat = Beat::new("retention", Instant::now().into_std());
        Self { config, store, clock, beat }
    }

    /// Proves that it turns, if it has anything to remove.
    #[must_use]
    pub fn beat(&self) -> Beat {
        self.beat.clone()
    }

    /// It turned, and does so after this time again.
    fn turned(&self, again_in: Duration) {
        self.beat.turned(Instant::now().into_std(), again_in.saturating_add(HELD_UP));
    }

    /// Sweeps until `stop` is cancelled; the step in hand is finished. A sweep that fails is tried again with the next.
    pub async fn run(self, stop: CancellationToken) {
        if self.config.keeps_all() {
            return;
        }
        loop {
            self.turned(self.config.interval);
            // Not at once: a server that comes up has more urgent things to do.
            tokio::select! {
                () = stop.cancelled() => return self.beat.rests(Instant::now().into_std()),
                () = sleep(self.config.interval) => {}
            }
            match self.sweep(&stop).await {
                Ok(Pruned { jobs: 0, events: 0, .. }) => {
                    debug!(area = AREA, "nothing has been kept for long enough")
                }
                Ok(Pruned { jobs, events, .. }) => {
                    info!(area = AREA, jobs, events, "removed what was kept for long enough")
                }
                Err(error) => {
                    warn!(area = AREA, code = error.code(), %error, "a sweep broke off; the next goes on");
                }
            }
        }
    }

    /// One sweep; answers what it removed.
    async fn sweep(&self, stop: &CancellationToken) -> Result<Pruned, StoreError> {
        let now = self.clock.now();
        let until = |kept: Duration| (!kept.is_zero()).then(|| before(now, kept));
        let mut order = Prune {
            finished: until(self.config.finished),
            cancelled: until(self.config.cancelled),
            events: until(self.config.events),
            from: None,
            limit: self.config.batch,
            now,
        };
        let mut all = Pruned::default();
        loop {
            self.turned(Duration::ZERO);
            let begun = Instant::now();
            let step = self.store.prune(order.clone()).await?;
            all.jobs = all.jobs.saturating_add(step.jobs);
            all.events = all.events.saturating_add(step.events);
            if !step.more_jobs {
                (order.finished, order.cancelled) = (None, None);
            }
            match step.next {
                Some(next) => order.from = Some(next),
                None => order.events = None,
            }
            if order.finished.is_none() && order.cancelled.is_none() && order.events.is_none() {
                return Ok(all);
            }
            let pause = (begun.elapsed() * PAUSE_PER_STEP).max(SHORTEST_PAUSE);
            self.turned(pause);
            tokio::select! {
                () = stop.cancelled() => return Ok(all),
                () = sleep(pause) => {}
            }
        }
    }
}
