//! How long a circuit stays open.

use std::time::Duration;

use rand::{Rng, RngExt};

use super::Settings;

/// `open_for × open_factor^openings`, up to the cap, and then jittered: drawn over the capped value, so that breakers
/// which have been open for long do not probe in step either.
pub(super) fn draw<R: Rng + ?Sized>(settings: &Settings, openings: u32, rng: &mut R) -> Duration {
    let grown = settings.open_for.as_secs_f64() * settings.open_factor.powf(f64::from(openings));
    let capped = grown.min(settings.max_open_for.as_secs_f64());
    let spread = rng.random_range(1.0 - settings.jitter..=1.0 + settings.jitter);
    Duration::try_from_secs_f64(capped * spread).unwrap_or(Duration::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn open_times_grow_to_the_cap() {
        let settings = Settings { jitter: 0.0, ..Settings::default() };
        let rng = &mut StdRng::seed_from_u64(1);
        let times = [0, 1, 2, 5, 6, u32::MAX].map(|openings| draw(&settings, openings, rng).as_secs_f64());
        assert_eq!(times, [30.0, 45.0, 67.5, 227.8125, 300.0, 300.0]);
    }

    #[test]
    fn jitter_reaches_across_its_range_at_the_cap_too() {
        let settings = Settings::default();
        let rng = &mut StdRng::seed_from_u64(1);
        for (openings, low, high) in [(0, 24.0, 36.0), (99, 240.0, 360.0)] {
            let times: Vec<f64> = (0..2_000).map(|_| draw(&settings, openings, rng).as_secs_f64()).collect();
            let least = times.iter().copied().fold(f64::MAX, f64::min);
            let most = times.iter().copied().fold(0.0, f64::max);
            assert!((low..low * 1.01).contains(&least), "{least}");
            assert!((high * 0.99..=high).contains(&most), "{most}");
        }
    }

    proptest! {
        #[test]
        fn an_open_time_stays_within_its_bounds(
            open_for in 1_u64..,
            cap in 1_u64..,
            factor in 1.0_f64..100.0,
            jitter in 0.0_f64..1.0,
            openings: u32,
            seed: u64,
        ) {
            let (open_for, cap) = (Duration::from_millis(open_for.min(cap)), Duration::from_millis(cap));
            let settings = Settings {
                open_for, open_factor: factor, max_open_for: cap, jitter, ..Settings::default()
            };
            settings.check().unwrap();
            let time = draw(&settings, openings, &mut StdRng::seed_from_u64(seed)).as_secs_f64();
            let slack = 1e-9 * (1.0 + time);
            prop_assert!(time >= open_for.as_secs_f64() * (1.0 - jitter) - slack);
            prop_assert!(time <= cap.as_secs_f64() * (1.0 + jitter) + slack);
        }
    }
}
