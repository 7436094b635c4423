//! What only the real system has: its clock, its randomness, its signals.

use chrono::{DateTime, Utc};
use rand::rngs::{StdRng, SysRng};
use rand::{SeedableRng, TryRng};
use reclaimer_domain::ports::Clock;
use sha2::{Digest, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The system's clock.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one system clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// What every generator of this process is derived from.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seed([u8; 32]);

impl Seed {
    /// A seed nobody can guess.
    pub(crate) fn fresh() -> anyhow::Result<Self> {
        random_bytes().map(Self)
    }

    /// A generator of its own for each consumer: a draw more in one changes nothing in another.
    pub(crate) fn generator(&self, label: &str) -> StdRng {
        let digest = Sha256::new().chain_update(self.0).chain_update(label.as_bytes()).finalize();
        StdRng::from_seed(digest.into())
    }
}

impl From<u64> for Seed {
    /// A seed that can be repeated.
    fn from(number: u64) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&number.to_le_bytes());
        Self(bytes)
    }
}

/// Random bytes from the system, e.g. for a token.
pub(crate) fn random_bytes() -> anyhow::Result<[u8; 32]> {
    let mut bytes = [0; 32];
    SysRng.try_fill_bytes(&mut bytes)?;
    Ok(bytes)
}

/// The signals that ask for the end.
#[derive(Debug)]
pub(crate) struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
}

impl EndSignals {
    /// Listens from now on.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// The next of them.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rand::RngExt;

    #[test]
    fn generators_of_a_seed_differ_by_label_and_repeat() {
        let draw = |label: &str| Seed::from(7).generator(label).random::<u64>();
        assert_eq!(draw("a"), draw("a"));
        assert_ne!(draw("a"), draw("b"));
    }
}
