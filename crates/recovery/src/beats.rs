//! How the engine proves that it turns, and that it looks for expired leases when it does.

use std::time::Duration;

use reclaimer_health::Beat;
use tokio::time::Instant;

/// A turn may take so much longer than was said: a cycle begins no page after ten seconds, and the store may be slow.
const HELD_UP: Duration = Duration::from_secs(60);

#[derive(Debug, Clone)]
pub(crate) struct Beats {
    engine: Beat,
    lease_watch: Beat,
}

impl Beats {
    pub(crate) fn new(now: Instant) -> Self {
        let now = now.into_std();
        Self { engine: Beat::new("recovery", now), lease_watch: Beat::new("lease_watch", now) }
    }

    /// The engine turned, and wakes after this time at the latest.
    pub(crate) fn engine_turned(&self, now: Instant, wakes_in: Duration) {
        self.engine.turned(now.into_std(), wakes_in.saturating_add(HELD_UP));
    }

    /// It looked for expired leases, or began to wait for the first look, and looks after this time again.
    pub(crate) fn looked_for_leases(&self, now: Instant, again_in: Duration) {
        self.lease_watch.turned(now.into_std(), again_in.saturating_add(HELD_UP));
    }

    /// It ended as it was asked to.
    pub(crate) fn stopped(&self, now: Instant) {
        self.engine.rests(now.into_std());
        self.lease_watch.rests(now.into_std());
    }

    pub(crate) fn all(&self) -> [Beat; 2] {
        [self.engine.clone(), self.lease_watch.clone()]
    }
}
