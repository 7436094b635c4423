//! What the service manager is told, where one started us and wants to know: `NOTIFY_SOCKET`, `WATCHDOG_USEC`.

use std::time::Duration;

use reclaimer_domain::time::spoken;
use reclaimer_health::Beat;
use reclaimer_server::Address;
use sd_notify::NotifyState;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tracing::{error, info, warn};

/// So many signs of life are given within the time in which one is wanted.
const SIGNS: u32 = 3;

/// The server listens, and its database is open or known to be away.
pub(crate) fn ready(addresses: &[Address]) {
    tell(&[NotifyState::Ready, NotifyState::Status(&serving(addresses))]);
}

/// The server ends in order.
pub(crate) fn stopping() {
    tell(&[NotifyState::Stopping, NotifyState::Status("ending: what runs is finished")]);
}

/// Gives signs of life for as long as all loops turn, where they are wanted. One that hangs is not mended by anything but a
/// restart, which the service manager sees to when it hears nothing any more.
pub(crate) async fn watchdog(beats: Vec<Beat>, addresses: Vec<Address>) {
    let Some(within) = sd_notify::watchdog_enabled() else { return };
    let mut turns = interval((within / SIGNS).max(Duration::from_millis(1)));
    turns.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut watch = Watch { beats, serving: serving(&addresses), hanging: None };
    loop {
        turns.tick().await;
        tell(&watch.look(Instant::now().into_std()).states());
    }
}

fn serving(addresses: &[Address]) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    format!("serving on {}", addresses.join(" "))
}

fn tell(states: &[NotifyState<'_>]) {
    if states.is_empty() {
        return;
    }
    if let Err(error) = sd_notify::notify(states) {
        warn!(area = "JOB-MANAGER", %error, "the service manager cannot be told how the server is doing");
    }
}

/// Looks whether all loops turn.
#[derive(Debug)]
struct Watch {
    beats: Vec<Beat>,
    serving: String,
    /// The loop that did not turn when it was last looked.
    hanging: Option<&'static str>,
}

/// What is to be told after a look.
#[derive(Debug, PartialEq, Eq)]
enum Sign {
    /// All is well, as before.
    Alive,
    /// All is well again; this is the status.
    AliveAgain(String),
    /// Something began to hang; this is the status.
    Hangs(String),
    /// It still hangs.
    Nothing,
}

impl Watch {
    fn look(&mut self, now: std::time::Instant) -> Sign {
        let pulses = self.beats.iter().map(|beat| beat.look(now));
        let hangs = pulses.filter(|pulse| pulse.overdue_by.is_some()).max_by_key(|pulse| pulse.silent_for);
        let before = std::mem::replace(&mut self.hanging, hangs.map(|pulse| pulse.name));
        match (hangs, before) {
            (None, None) => Sign::Alive,
            (None, Some(name)) => {
                info!(area = "JOB-MANAGER", "the loop `{name}` turns again");
                Sign::AliveAgain(self.serving.clone())
            }
            (Some(pulse), before) if before != Some(pulse.name) => {
                let what =
                    format!("the loop `{}` has not turned for {}", pulse.name, spoken(pulse.silent_for));
                error!(
                    area = "JOB-MANAGER",
                    "{what}; the service manager gets no sign of life until it does"
                );
                Sign::Hangs(what)
            }
            (Some(_), _) => Sign::Nothing,
        }
    }
}

impl Sign {
    fn states(&self) -> Vec<NotifyState<'_>> {
        match self {
            Self::Alive => vec![NotifyState::Watchdog],
            Self::AliveAgain(status) => vec![NotifyState::Watchdog, NotifyState::Status(status)],
            Self::Hangs(status) => vec![NotifyState::Status(status)],
            Self::Nothing => Vec::new(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_hangs_gives_no_sign_until_it_turns_again() {
        let begun = Instant::now().into_std();
        let at = |second| begun + Duration::from_secs(second);
        let (engine, links) = (Beat::new("engine", begun), Beat::new("links", begun));
        engine.turned(begun, Duration::from_secs(10));
        let mut watch = Watch {
            beats: vec![links.clone(), engine.clone()],
            serving: "serving on x".to_owned(),
            hanging: None,
        };
        assert_eq!(watch.look(at(10)), Sign::Alive);
        assert_eq!(watch.look(at(11)), Sign::Hangs("the loop `engine` has not turned for 11 s".to_owned()));
        assert_eq!(watch.look(at(12)), Sign::Nothing);
        // Another one that hangs less long is no news.
        links.turned(at(12), Duration::from_secs(1));
        assert_eq!(watch.look(at(14)), Sign::Nothing);
        engine.turned(at(15), Duration::from_secs(10));
        assert_eq!(watch.look(at(15)), Sign::Hangs("the loop `links` has not turned for 3 s".to_owned()));
        links.rests(at(16));
        assert_eq!(watch.look(at(16)), Sign::AliveAgain("serving on x".to_owned()));
        assert_eq!(watch.look(at(17)), Sign::Alive);
    }
}
