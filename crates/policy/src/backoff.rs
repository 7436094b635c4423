//! Delays before a recovered job runs: growing, capped, jittered.

use std::time::Duration;

use rand::RngExt;
use serde::Serialize;

use crate::words;

/// How long to wait before the nth recovery runs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Backoff {
    /// How the delay grows.
    #[serde(flatten)]
    pub kind: Kind,
    /// The delay never grows beyond this, jitter included.
    #[serde(with = "words::time")]
    pub cap: Duration,
    /// How the delay is spread.
    pub jitter: Jitter,
}

/// How a delay grows with n, which counts from 0.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case", tag = "kind")]
pub enum Kind {
    /// Always the same.
    Fixed {
        /// The delay.
        #[serde(with = "words::time")]
        delay: Duration,
    },
    /// `base × (n + 1)`.
    Linear {
        /// The first delay and each step.
        #[serde(with = "words::time")]
        base: Duration,
    },
    /// `base × factorⁿ`.
    Exponential {
        /// The first delay.
        #[serde(with = "words::time")]
        base: Duration,
        /// The growth per recovery, at least 1.
        factor: f64,
    },
}

/// How a delay is spread, drawn over the capped delay d so that the cap is spread too. The formulas are those of
/// Marc Brooker, "Exponential Backoff And Jitter" (AWS Architecture Blog, 2015).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Jitter {
    /// d itself.
    None,
    /// Uniform in [0, d].
    Full,
    /// d/2 plus uniform in [0, d/2].
    Equal,
    /// Uniform in [first delay, 3 × previous delay], capped; the previous delay is taken without its jitter.
    Decorrelated,
}

impl Jitter {
    /// Every jitter.
    pub const ALL: [Self; 4] = [Self::None, Self::Full, Self::Equal, Self::Decorrelated];

    /// The word in policy files.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Full => "full",
            Self::Equal => "equal",
            Self::Decorrelated => "decorrelated",
        }
    }
}

impl Backoff {
    /// No delay at all.
    pub const NONE: Self =
        Self { kind: Kind::Fixed { delay: Duration::ZERO }, cap: Duration::ZERO, jitter: Jitter::None };

    /// The delay before recovery number `nth`, counted from 0. Never beyond the cap, for any number.
    pub fn delay<R: rand::Rng + ?Sized>(&self, nth: u32, rng: &mut R) -> Duration {
        let cap = self.cap.as_secs_f64();
        let capped = self.raw(nth).min(cap);
        let seconds = match self.jitter {
            Jitter::None => capped,
            Jitter::Full => rng.random_range(0.0..=capped),
            Jitter::Equal => capped / 2.0 + rng.random_range(0.0..=capped / 2.0),
            Jitter::Decorrelated => {
                let low = self.raw(0).min(cap);
                let previous = if nth == 0 { low } else { self.raw(nth - 1).min(cap) };
                rng.random_range(low..=(previous * 3.0).clamp(low, cap.max(low)))
            }
        };
        Duration::try_from_secs_f64(seconds).unwrap_or(self.cap).min(self.cap)
    }

    /// The delay in seconds before cap and jitter; may be infinite.
    fn raw(&self, nth: u32) -> f64 {
        match self.kind {
            Kind::Fixed { delay } => delay.as_secs_f64(),
            Kind::Linear { base } => base.as_secs_f64() * (f64::from(nth) + 1.0),
            Kind::Exponential { base, factor } => {
                let growth = factor.max(1.0).powf(f64::from(nth));
                // Nothing grows to nothing, also where the growth is infinite.
                if base.is_zero() { 0.0 } else { base.as_secs_f64() * growth }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use rand::{SeedableRng, rngs::StdRng};

    fn any_backoff() -> impl Strategy<Value = Backoff> {
        let base = (0_u64..=u64::MAX).prop_map(Duration::from_millis);
        let kind = prop_oneof![
            base.clone().prop_map(|delay| Kind::Fixed { delay }),
            base.clone().prop_map(|base| Kind::Linear { base }),
            (base.clone(), 0.0_f64..100.0).prop_map(|(base, factor)| Kind::Exponential { base, factor }),
        ];
        let jitter = prop_oneof![
            Just(Jitter::None),
            Just(Jitter::Full),
            Just(Jitter::Equal),
            Just(Jitter::Decorrelated)
        ];
        (kind, base, jitter).prop_map(|(kind, cap, jitter)| Backoff { kind, cap, jitter })
    }

    proptest! {
        #[test]
        fn a_delay_stays_within_its_cap(backoff in any_backoff(), nth: u32, seed: u64) {
            let delay = backoff.delay(nth, &mut StdRng::seed_from_u64(seed));
            prop_assert!(delay <= backoff.cap);
        }

        #[test]
        fn a_seed_gives_one_delay(backoff in any_backoff(), nth in 0_u32..50, seed: u64) {
            let delay = || backoff.delay(nth, &mut StdRng::seed_from_u64(seed));
            prop_assert_eq!(delay(), delay());
        }
    }

    #[test]
    fn delays_grow_as_their_kind_says() {
        let rng = &mut StdRng::seed_from_u64(1);
        let second = Duration::from_secs(1);
        let cap = Duration::from_secs(10);
        let mut delays =
            |kind| [0, 1, 2, 9].map(|nth| Backoff { kind, cap, jitter: Jitter::None }.delay(nth, rng));
        assert_eq!(delays(Kind::Fixed { delay: second }), [second; 4]);
        assert_eq!(delays(Kind::Linear { base: second }), [second, second * 2, second * 3, cap]);
        let doubling = Kind::Exponential { base: second, factor: 2.0 };
        assert_eq!(delays(doubling), [second, second * 2, second * 4, cap]);
    }

    #[test]
    fn jitter_reaches_across_its_range() {
        let rng = &mut StdRng::seed_from_u64(1);
        let ten = Duration::from_secs(10);
        let mut range = |jitter, nth| {
            let kind = Kind::Exponential { base: Duration::from_secs(1), factor: 2.0 };
            let delays: Vec<f64> =
                std::iter::repeat_with(|| Backoff { kind, cap: ten, jitter }.delay(nth, rng))
                    .take(2_000)
                    .map(|delay| delay.as_secs_f64())
                    .collect();
            (delays.iter().copied().fold(f64::MAX, f64::min), delays.iter().copied().fold(0.0, f64::max))
        };
        let (low, high) = range(Jitter::Full, 20);
        assert!(low < 0.5 && high > 9.5, "the cap itself is spread: {low} to {high}");
        let (low, high) = range(Jitter::Equal, 20);
        assert!((5.0..5.5).contains(&low) && high > 9.5, "{low} to {high}");
        let (low, high) = range(Jitter::Decorrelated, 2);
        assert!((1.0..1.5).contains(&low) && (5.5..=6.0).contains(&high), "{low} to {high}");
    }
}
