//! Settings of the engine.

use std::time::Duration;

use reclaimer_policy::StuckLimits;

use crate::budget::Budget;

/// When recovery runs, and how much it does at once.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// Whether recovery runs by itself: at startup, periodically, and when a lease expires. Runs that a person asks
    /// for, and the drain that follows a full one, happen either way.
    pub enabled: bool,
    /// From the start of the engine to the startup run.
    pub startup_delay: Duration,
    /// Between periodic runs, the first of which comes so long after the start.
    pub interval: Duration,
    /// Between two looks for expired leases.
    pub lease_check: Duration,
    /// At most so many jobs change their status in one cycle; at least 1.
    pub batch_size: u32,
    /// Between a cycle that left work and the next.
    pub drain_pause: Duration,
    /// The jobs of a full batch that are queued again become due spread over this time.
    pub spread: Duration,
    /// How long a running job may stay silent.
    pub stuck: StuckLimits,
    /// How long leases are held on after our own absence.
    pub reclaim_grace: Duration,
    /// How many jobs may be queued again within a minute.
    pub budget: Budget,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            enabled: true,
            startup_delay: Duration::from_secs(3),
            interval: Duration::from_secs(1_800),
            lease_check: Duration::from_secs(5),
            batch_size: 50,
            drain_pause: Duration::from_secs(1),
            spread: Duration::from_secs(10),
            stuck: StuckLimits::default(),
            reclaim_grace: Duration::from_secs(30),
            budget: Budget::default(),
        }
    }
}

/// The shortest time between two things that the engine does again and again: whatever the settings say, it never
/// spins.
const SHORTEST: Duration = Duration::from_millis(10);

impl Config {
    /// The same settings, with those that would make the engine spin or stand still brought into range.
    pub(crate) fn in_range(mut self) -> Self {
        for time in [&mut self.interval, &mut self.lease_check, &mut self.drain_pause] {
            *time = (*time).max(SHORTEST);
        }
        self.batch_size = self.batch_size.max(1);
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_that_would_spin_are_brought_into_range() {
        let zero = Duration::ZERO;
        let config = Config {
            interval: zero,
            lease_check: zero,
            drain_pause: zero,
            batch_size: 0,
            ..Config::default()
        };
        let config = config.in_range();
        assert_eq!((config.interval, config.lease_check, config.drain_pause), (SHORTEST, SHORTEST, SHORTEST));
        assert_eq!(config.batch_size, 1);
        assert_eq!(Config::default().in_range(), Config::default());
    }
}
