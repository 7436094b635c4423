//! What only the real system has: its clock, its randomness, its signals.

use std::os::fd::AsFd;

use chrono::{DateTime, Utc};
use rand::rngs::{StdRng, SysRng};
use rand::{SeedableRng, TryRng};
use reclaimer_domain::ports::Clock;
use sha2::{Digest, Sha256};
use tokio::net::unix::pipe::Receiver;
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

/// What asks for the end.
#[derive(Debug)]
pub(crate) struct EndSignals {
    terminate: Signal,
    interrupt: Signal,
    hangup: Option<Signal>,
    leash: Option<Receiver>,
}

impl EndSignals {
    /// Listens from now on. `leashed` says that standard input is a pipe which nobody writes to: it closes when the
    /// process ends that started this one, however that ends.
    pub(crate) fn listen(leashed: bool) -> std::io::Result<Self> {
        let leash = leashed.then(|| std::io::stdin().as_fd().try_clone_to_owned()).transpose()?;
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hangup: None,
            leash: leash.map(Receiver::from_owned_fd).transpose()?,
        })
    }

    /// Listens to the end of its terminal as well.
    pub(crate) fn and_hangup(self) -> std::io::Result<Self> {
        Ok(Self { hangup: Some(signal(SignalKind::hangup())?), ..self })
    }

    /// The next of them.
    pub(crate) async fn next(&mut self) -> &'static str {
        tokio::select! {
            _ = self.terminate.recv() => "SIGTERM",
            _ = self.interrupt.recv() => "SIGINT",
            () = hung_up(&mut self.hangup) => "SIGHUP",
            () = let_go(&self.leash) => "the end of standard input",
        }
    }
}

/// What asks for reading anew what may change while the server runs.
#[derive(Debug)]
pub(crate) struct ReloadSignals(Signal);

impl ReloadSignals {
    /// Listens from now on.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self(signal(SignalKind::hangup())?))
    }

    /// The next of them.
    pub(crate) async fn next(&mut self) {
        if self.0.recv().await.is_none() {
            std::future::pending().await
        }
    }
}

async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => drop(hangup.recv().await),
        None => std::future::pending().await,
    }
}

async fn let_go(leash: &Option<Receiver>) {
    let Some(leash) = leash else { return std::future::pending().await };
    let mut ignored = [0; 64];
    while leash.readable().await.is_ok() {
        match leash.try_read(&mut ignored) {
            Ok(1..) => {}
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Ok(0) | Err(_) => return,
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
