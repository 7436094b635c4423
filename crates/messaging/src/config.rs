//! What a link is.

use std::path::PathBuf;
use std::time::Duration;

use reclaimer_breaker::Settings as BreakerSettings;
use reclaimer_domain::name::QueueName;
use tokio::net::UnixListener;

use crate::dialect::Dialect;

/// One link to one kind of worker.
#[derive(Debug)]
pub struct Link {
    /// Its name, in logs and for admins.
    pub name: String,
    /// Who connects.
    pub transport: Transport,
    /// How is spoken.
    pub dialect: Dialect,
    /// Only jobs of this queue go over it.
    pub queue: Option<QueueName>,
    /// Jobs of one answer, where the request does not say.
    pub jobs_at_once: u32,
    /// Between two of our heartbeats.
    pub heartbeat_interval: Duration,
    /// Nothing heard for so long ends a session.
    pub heartbeat_timeout: Duration,
    /// Nothing valid heard for so long after the beginning ends a session.
    pub first_frame_within: Duration,
    /// How reconnecting is spread in time.
    pub reconnect: Reconnect,
    /// What guards the dialling.
    pub breaker: BreakerSettings,
    /// Users whose processes may connect to a listening link.
    pub uids: Vec<u32>,
    /// Whether refresh tokens go out with fresh credentials.
    pub send_refresh_token: bool,
}

/// Who connects.
#[derive(Debug)]
pub enum Transport {
    /// We do, to the socket at this path.
    Dial(PathBuf),
    /// Workers do, to this socket.
    Listen(UnixListener),
}

impl Transport {
    pub(crate) fn word(&self) -> &'static str {
        match self {
            Self::Dial(_) => "dial",
            Self::Listen(_) => "listen",
        }
    }
}

/// Delays between attempts to connect: `base × factorⁿ`, held to `cap`, spread by `jitter` to both sides.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reconnect {
    /// The first delay.
    pub base: Duration,
    /// The growth per attempt.
    pub factor: f64,
    /// The longest delay, before it is spread.
    pub cap: Duration,
    /// The share by which a delay is spread, 0 to 1.
    pub jitter: f64,
}

impl Default for Reconnect {
    /// 5 s × 1.5ⁿ ± 20 %, at most 30 s: the original system's.
    fn default() -> Self {
        Self { base: Duration::from_secs(5), factor: 1.5, cap: Duration::from_secs(30), jitter: 0.2 }
    }
}

impl Reconnect {
    /// The delay before attempt number `nth`, counted from 0. Never beyond the cap.
    pub fn delay<R: rand::Rng + ?Sized>(&self, nth: u32, rng: &mut R) -> Duration {
        use rand::RngExt;
        let cap = self.cap.as_secs_f64();
        let raw = (self.base.as_secs_f64() * self.factor.max(1.0).powf(f64::from(nth))).min(cap);
        let jitter = self.jitter.clamp(0.0, 1.0);
        let spread = raw * rng.random_range(1.0 - jitter..=1.0 + jitter);
        Duration::try_from_secs_f64(spread.min(cap)).unwrap_or(self.cap)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use reclaimer_testkit::seeded;

    #[test]
    fn delays_are_the_original_ones_and_never_stop() {
        let reconnect = Reconnect { jitter: 0.0, ..Reconnect::default() };
        let seconds = [0, 1, 2, 5, u32::MAX].map(|nth| reconnect.delay(nth, &mut seeded(1)).as_secs_f64());
        assert_eq!(seconds, [5.0, 7.5, 11.25, 30.0, 30.0]);
    }

    proptest! {
        #[test]
        fn a_delay_is_within_its_spread_and_cap(nth: u32, seed: u64) {
            let reconnect = Reconnect::default();
            let plain = Reconnect { jitter: 0.0, ..reconnect }.delay(nth, &mut seeded(seed));
            let delay = reconnect.delay(nth, &mut seeded(seed));
            prop_assert!(delay >= plain.mul_f64(0.799) && delay <= plain.mul_f64(1.201) && delay <= reconnect.cap);
        }
    }
}
