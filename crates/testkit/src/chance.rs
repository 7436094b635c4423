//! Chance that falls as a test wants it.

use std::convert::Infallible;

use rand::TryRng;

/// A random source that gives the same numbers every time. Print the seed when a test fails.
#[must_use]
pub fn seeded(seed: u64) -> rand::rngs::StdRng {
    <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed)
}

/// Draws one number alone: a delay drawn with it is the shortest or the longest that there can be, since what a range
/// gives grows with what was drawn.
#[derive(Debug)]
pub(crate) struct Extreme(u8);

impl Extreme {
    pub(crate) const LOWEST: Self = Self(0);
    pub(crate) const HIGHEST: Self = Self(u8::MAX);
}

impl TryRng for Extreme {
    type Error = Infallible;

    fn try_next_u32(&mut self) -> Result<u32, Infallible> {
        Ok(u32::from_ne_bytes([self.0; 4]))
    }

    fn try_next_u64(&mut self) -> Result<u64, Infallible> {
        Ok(u64::from_ne_bytes([self.0; 8]))
    }

    fn try_fill_bytes(&mut self, bytes: &mut [u8]) -> Result<(), Infallible> {
        bytes.fill(self.0);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use reclaimer_policy::{Backoff, Jitter, Kind};

    use super::*;

    #[test]
    fn no_seed_draws_a_delay_beyond_the_extremes() {
        let (base, cap) = (Duration::from_secs(30), Duration::from_secs(3_600));
        for jitter in Jitter::ALL {
            let backoff = Backoff { kind: Kind::Exponential { base, factor: 2.0 }, cap, jitter };
            for nth in [0, 1, 5, 40] {
                let [lowest, highest] =
                    [Extreme::LOWEST, Extreme::HIGHEST].map(|mut chance| backoff.delay(nth, &mut chance));
                for seed in 0..200 {
                    let delay = backoff.delay(nth, &mut seeded(seed));
                    assert!((lowest..=highest).contains(&delay), "{jitter:?} {nth} {seed}: {delay:?}");
                }
            }
        }
    }
}
