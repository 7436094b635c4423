//! Our own absence is nobody's fault.
//!
//! While this process is stopped, or its machine sleeps, no worker can renew its lease. The engine looks at both clocks
//! every few seconds; from what passed on each since the last look it tells what happened:
//!
//! | monotonic clock | wall clock | what happened | what is owed to the leases |
//! |---|---|---|---|
//! | as expected | the same | nothing | nothing |
//! | far too much | the same | the process was stopped, or starved | a grace |
//! | as expected | more | the machine slept, or its clock was set forward | a shift by the difference |
//! | as expected | less | its clock was set back | a shift back by the difference |
//!
//! The store being away is the other kind of absence; there the engine knows by the errors it gets.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use tokio::time::Instant;

/// How much later than expected a look may come before the process counts as having been stopped.
const LATE: Duration = Duration::from_secs(10);

/// How far the clocks may part between two looks before the wall clock counts as having jumped.
const JUMP: TimeDelta = TimeDelta::seconds(2);

/// What is owed to the leases for an absence of ours.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Absence {
    /// They move by as much as the wall clock jumped.
    pub(crate) shift: Option<TimeDelta>,
    /// They get a grace.
    pub(crate) grace: bool,
}

/// Tells what happened between two looks at the clocks: how much passed on each, and how much was expected to.
pub(crate) fn judge(monotonic: Duration, wall: TimeDelta, expected: Duration) -> Absence {
    let grace = monotonic > expected.saturating_add(LATE);
    let apart = TimeDelta::from_std(monotonic).ok().and_then(|monotonic| wall.checked_sub(&monotonic));
    let shift = apart.filter(|apart| apart.abs() > JUMP);
    Absence { shift, grace }
}

/// The last look at the clocks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Presence {
    monotonic: Instant,
    wall: DateTime<Utc>,
    every: Duration,
}

impl Presence {
    /// Looks every so often, for the first time now.
    pub(crate) fn new(every: Duration, monotonic: Instant, wall: DateTime<Utc>) -> Self {
        Self { monotonic, wall, every }
    }

    /// When the next look is due.
    pub(crate) fn next(&self) -> Instant {
        self.monotonic + self.every
    }

    /// Looks again.
    pub(crate) fn look(&mut self, monotonic: Instant, wall: DateTime<Utc>) -> Absence {
        let passed = monotonic.saturating_duration_since(self.monotonic);
        let absence = judge(passed, wall - self.wall, self.every);
        *self = Self { monotonic, wall, ..*self };
        absence
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TICK: Duration = Duration::from_secs(5);

    fn after(monotonic: f64, wall: f64) -> Absence {
        let millis = TimeDelta::milliseconds((wall * 1_000.0) as i64);
        judge(Duration::from_secs_f64(monotonic), millis, TICK)
    }

    #[test]
    fn a_look_in_time_finds_nothing() {
        for (monotonic, wall) in [(0.0, 0.0), (5.0, 5.0), (5.0, 6.9), (5.0, 3.1), (15.0, 15.0)] {
            assert_eq!(after(monotonic, wall), Absence::default(), "{monotonic} s, {wall} s");
        }
    }

    #[test]
    fn a_stopped_process_owes_a_grace() {
        assert_eq!(after(15.1, 15.1), Absence { shift: None, grace: true });
        assert_eq!(after(3_600.0, 3_600.0), Absence { shift: None, grace: true });
    }

    #[test]
    fn a_clock_that_jumped_owes_a_shift() {
        let shift = |seconds| Absence { shift: Some(TimeDelta::seconds(seconds)), grace: false };
        assert_eq!(after(5.0, 3_605.0), shift(3_600));
        assert_eq!(after(5.0, -3_595.0), shift(-3_600));
        let both = Absence { grace: true, ..shift(-60) };
        assert_eq!(after(60.0, 0.0), both, "stopped, and the clock set back meanwhile");
    }

    proptest! {
        #[test]
        fn a_shift_makes_up_for_the_difference(monotonic in 0_u32..1_000_000, wall in -1_000_000_i64..1_000_000) {
            let monotonic = Duration::from_millis(monotonic.into());
            let wall = TimeDelta::milliseconds(wall);
            let by = judge(monotonic, wall, TICK).shift.unwrap_or_default();
            // A lease that had so long to go has as long to go minus what really passed, give or take the tolerance.
            let off = wall - by - TimeDelta::from_std(monotonic).unwrap();
            prop_assert!(off.abs() <= JUMP);
        }
    }
}
