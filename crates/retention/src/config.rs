//! For how long things are kept.

use std::time::Duration;

/// For how long things are kept, and how they are removed. Zero = for ever.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Finished jobs.
    pub finished: Duration,
    /// Cancelled jobs.
    pub cancelled: Duration,
    /// Events, and records of recovery runs. Events of jobs that are not over stay.
    pub events: Duration,
    /// From the end of one sweep to the next.
    pub interval: Duration,
    /// At most so many rows of each kind are looked at in one step.
    pub batch: u32,
}

impl Default for Config {
    fn default() -> Self {
        let days = |days: u64| Duration::from_secs(days * 86_400);
        Self {
            finished: days(7),
            cancelled: days(7),
            events: days(30),
            interval: Duration::from_secs(600),
            batch: 250,
        }
    }
}

impl Config {
    /// Whether everything is kept for ever.
    pub(crate) fn keeps_all(&self) -> bool {
        [self.finished, self.cancelled, self.events].iter().all(Duration::is_zero)
    }
}
