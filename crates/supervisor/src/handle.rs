//! What the rest of the program asks of the supervisor, and tells it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use rustix::process::Pid;
use tokio::time::Instant;

use crate::evidence::Ended;
use crate::instance::Instance;
use crate::proc;
use crate::seat::Seat;

/// A process is looked for among so many ancestors of another.
const MOST_ANCESTORS: usize = 32;

/// Shows the workers, restarts and stops them, and passes on their signs of life. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) seats: Arc<[Arc<Seat>]>,
}

/// How a process of a worker is doing.
#[derive(Debug, Clone)]
pub struct View {
    /// Which process.
    pub instance: Instance,
    /// What it does.
    pub state: State,
    /// Its process id, while there is one.
    pub pid: Option<u32>,
    /// How often it was started again, by itself or by somebody.
    pub restarts: u64,
    /// Whether a person should look, whatever it does now: it used up its restarts, or said that a restart cannot help, and
    /// has neither recovered since nor been restarted by hand.
    pub given_up: bool,
    /// Its last end.
    pub last_end: Option<Arc<Ended>>,
}

/// What a process of a worker does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It was started, or is about to be, and is not ready.
    Starting,
    /// It is ready.
    Ready,
    /// It was asked to end.
    Stopping,
    /// It ended and is started again.
    Waiting {
        /// At this moment.
        until: Instant,
    },
    /// It used up its restarts, ended, and is tried again.
    GivenUp {
        /// At this moment.
        until: Instant,
    },
    /// It used up its restarts, or said that a restart cannot help. It stays away until it is restarted by hand.
    Held,
    /// It ended and is not meant to run again.
    Done,
    /// Somebody stopped it.
    Stopped,
}

impl State {
    /// A stable word for it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Starting => "starting",
            Self::Ready => "ready",
            Self::Stopping => "stopping",
            Self::Waiting { .. } => "waiting",
            Self::GivenUp { .. } => "given_up",
            Self::Held => "held",
            Self::Done => "done",
            Self::Stopped => "stopped",
        }
    }

    /// How long it is until the process is started again, if that is known.
    #[must_use]
    pub fn starts_in(self) -> Option<Duration> {
        match self {
            Self::Waiting { until } | Self::GivenUp { until } => {
                Some(until.saturating_duration_since(Instant::now()))
            }
            Self::Starting | Self::Ready | Self::Stopping | Self::Held | Self::Done | Self::Stopped => None,
        }
    }
}

/// There is no worker, and no process of one, of this name.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("there is no worker `{name}`; there are: {known}")]
pub struct UnknownWorker {
    name: String,
    known: String,
}

impl Handle {
    /// Every process of every worker, in the order of the configuration.
    #[must_use]
    pub fn workers(&self) -> Vec<View> {
        self.seats.iter().map(|seat| seat.view()).collect()
    }

    /// Starts a worker, or one process of it, afresh: what runs is asked to end first, what was given up, held, done or
    /// stopped runs again, and earlier ends are forgotten. Returns when that is ordered.
    ///
    /// # Errors
    /// When there is no worker and no process of this name.
    pub fn restart(&self, name: &str) -> Result<(), UnknownWorker> {
        self.named(name)?.for_each(|seat| seat.wish(true));
        Ok(())
    }

    /// Stops a worker, or one process of it, until it is restarted. Returns when that is ordered.
    ///
    /// # Errors
    /// When there is no worker and no process of this name.
    pub fn stop(&self, name: &str) -> Result<(), UnknownWorker> {
        self.named(name)?.for_each(|seat| seat.wish(false));
        Ok(())
    }

    /// Says that a process is ready, by the name of its instance. Only for one that runs: said of a process that has ended,
    /// it would be believed of the one that follows. Answers whether there is an instance of that name.
    pub fn ready(&self, instance: &str) -> bool {
        self.seat(instance).inspect(|seat| seat.signs.set_ready()).is_some()
    }

    /// Says that a sign of life came from a process, by the name of its instance. Cheap enough for every message. Answers
    /// whether there is an instance of that name.
    pub fn heard(&self, instance: &str) -> bool {
        self.seat(instance).inspect(|seat| seat.signs.hear(Instant::now())).is_some()
    }

    /// The process of a worker that a process belongs to: that itself, one of its group, or one that it, or one of those,
    /// started.
    #[must_use]
    pub fn instance_of(&self, pid: i32) -> Option<(u32, Instance)> {
        let mut workers = HashMap::new();
        for seat in self.seats.iter() {
            if let Some(pid) = seat.view().pid {
                workers.insert(pid, &seat.instance);
            }
        }
        let mut at = Pid::from_raw(pid)?;
        for _ in 0..MOST_ANCESTORS {
            let stat = proc::stat(at).ok()?;
            let group = u32::try_from(stat.group).ok()?;
            if let Some(instance) = workers.get(&group) {
                return Some((group, (*instance).clone()));
            }
            at = Pid::from_raw(stat.parent)?;
        }
        None
    }

    /// How long a process is given to end when it is asked to, by the name of its instance.
    #[must_use]
    pub fn stop_grace(&self, instance: &str) -> Option<Duration> {
        self.seat(instance).map(|seat| seat.spec.stop_grace)
    }

    fn seat(&self, instance: &str) -> Option<&Arc<Seat>> {
        self.seats.iter().find(|seat| seat.instance.as_str() == instance)
    }

    fn named(&self, name: &str) -> Result<impl Iterator<Item = &Arc<Seat>>, UnknownWorker> {
        let meant = move |seat: &&Arc<Seat>| seat.instance.worker() == name || seat.instance.as_str() == name;
        if self.seats.iter().any(|seat| meant(&seat)) {
            return Ok(self.seats.iter().filter(meant));
        }
        let known: Vec<&str> = self.seats.iter().map(|seat| seat.instance.as_str()).collect();
        let known = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
        Err(UnknownWorker { name: name.to_owned(), known })
    }
}
