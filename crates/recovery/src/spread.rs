//! Spreading the jobs of a batch, so that what heals together does not hit the workers together.

use std::time::Duration;

use rand::RngExt;

/// How the recovered jobs of one batch become due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Spread {
    /// Over how long a full batch is spread.
    pub over: Duration,
    /// How many jobs make a full batch.
    pub batch: u32,
}

impl Spread {
    /// The time over which `n` jobs are spread: nothing for one, everything for a full batch, in between in
    /// proportion. A lost job alone is not held up.
    #[must_use]
    pub fn window(&self, n: u32) -> Duration {
        if n <= 1 || self.batch <= 1 {
            return Duration::ZERO;
        }
        let share = f64::from(n - 1) / f64::from(self.batch - 1);
        self.over.mul_f64(share.min(1.0)).min(self.over)
    }

    /// How much later than on its own each of `n` jobs becomes due: one moment in each nth of the window, at random
    /// within it, in order.
    pub fn delays<R: rand::Rng + ?Sized>(&self, n: u32, rng: &mut R) -> Vec<Duration> {
        let window = self.window(n);
        (0..n)
            .map(|index| {
                let place = (f64::from(index) + rng.random_range(0.0..1.0)) / f64::from(n);
                window.mul_f64(place).min(window)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reclaimer_testkit::seeded;

    const DEFAULT: Spread = Spread { over: Duration::from_secs(10), batch: 50 };

    proptest! {
        #[test]
        fn delays_stay_within_the_window_in_order_and_apart(
            n in 0_u32..200,
            batch in 0_u32..200,
            millis in 0_u64..100_000,
            seed: u64,
        ) {
            let spread = Spread { over: Duration::from_millis(millis), batch };
            let delays = spread.delays(n, &mut seeded(seed));
            let window = spread.window(n);
            prop_assert_eq!(delays.len(), n as usize);
            prop_assert!(window <= spread.over);
            prop_assert!(delays.iter().all(|delay| *delay <= window));
            prop_assert!(delays.is_sorted());
            // No nth of the window takes two jobs; a nanosecond for rounding.
            for (index, pair) in delays.chunks_exact(2).enumerate() {
                let border = window.mul_f64((index as f64 * 2.0 + 1.0) / f64::from(n));
                let slack = Duration::from_nanos(2);
                prop_assert!(pair[0] <= border + slack && pair[1] + slack >= border);
            }
        }

        #[test]
        fn one_job_is_not_held_up(batch in 0_u32..200, seed: u64) {
            let spread = Spread { batch, ..DEFAULT };
            prop_assert_eq!(spread.delays(1, &mut seeded(seed)), [Duration::ZERO]);
        }
    }

    #[test]
    fn a_full_batch_takes_the_whole_time_and_part_of_one_its_part() {
        assert_eq!(DEFAULT.window(50), Duration::from_secs(10));
        assert_eq!(DEFAULT.window(500), Duration::from_secs(10));
        assert_eq!(Spread { batch: 11, ..DEFAULT }.window(2), Duration::from_secs(1));
        let last = DEFAULT.delays(50, &mut seeded(1)).pop().unwrap();
        assert!(last >= Duration::from_millis(9_800), "{last:?}");
    }
}
