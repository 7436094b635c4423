//! Where the time comes from.

use std::time::Duration;

use tokio::time::Instant;

/// A clock that only goes forward. A closure `Fn() -> Duration` is one.
pub trait Clock: Send + Sync {
    /// The time since an origin of the clock's choice, always the same one.
    fn now(&self) -> Duration;
}

impl<F: Fn() -> Duration + Send + Sync> Clock for F {
    fn now(&self) -> Duration {
        self()
    }
}

/// Tokio's clock, which is the system's monotonic one unless a test pauses it. Needs no runtime.
#[derive(Debug, Clone, Copy)]
pub struct TokioClock {
    origin: Instant,
}

impl TokioClock {
    /// A clock whose origin is now.
    #[must_use]
    pub fn new() -> Self {
        Self { origin: Instant::now() }
    }
}

impl Default for TokioClock {
    fn default() -> Self {
        Self::new()
    }
}

impl Clock for TokioClock {
    fn now(&self) -> Duration {
        self.origin.elapsed()
    }
}
