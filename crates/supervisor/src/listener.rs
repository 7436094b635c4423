//! What the rest of the program is told, and what it is asked for.

use std::fmt;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use crate::evidence::Ended;
use crate::instance::Instance;

/// Is told what happens to the workers' processes. Called from the tasks that keep them: what takes time is to be handed
/// on. A method that is not needed can be left as it is.
pub trait Listener: fmt::Debug + Send + Sync {
    /// A process runs, and is not ready yet.
    fn started(&self, instance: &Instance, pid: u32) {
        let _ = (instance, pid);
    }

    /// A process is ready.
    fn ready(&self, instance: &Instance) {
        let _ = instance;
    }

    /// A process ended, with everything that belonged to it.
    fn ended(&self, ended: &Arc<Ended>) {
        let _ = ended;
    }

    /// A process will not be restarted as usual: a person should look. Told once until it recovers or is restarted by
    /// hand.
    fn given_up(&self, given_up: &GivenUp) {
        let _ = given_up;
    }

    /// A process that was given up has been ready for the whole window of its limit: it counts as any other again.
    fn recovered(&self, instance: &Instance) {
        let _ = instance;
    }
}

/// Nobody listens.
impl Listener for () {}

/// A process that is given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GivenUp {
    /// Which.
    pub instance: Instance,
    /// Why.
    pub why: Why,
    /// When it is tried again; `None` = not before somebody restarts it.
    pub retry_after: Option<Duration>,
}

/// Why a process is given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Why {
    /// It was restarted as often as its limit allows.
    Exhausted {
        /// So many restarts …
        restarts: u32,
        /// … within this time.
        within: Duration,
    },
    /// It exited with a code that says that a restart cannot help.
    Hopeless {
        /// The code: 64 or 78.
        code: i32,
    },
}

impl fmt::Display for Why {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exhausted { restarts, within } => {
                write!(f, "it was restarted {restarts} times within {within:?} and still ends")
            }
            Self::Hopeless { code } => write!(
                f,
                "it exited with code {code}, which says that it is not used or configured as it must be"
            ),
        }
    }
}

/// What [`AskToFinish::ask`] answers with: done when the process was asked, and has finished what it wanted to.
pub type Asked = Pin<Box<dyn Future<Output = ()> + Send>>;

/// Asks a process to finish before it gets `SIGTERM`, e.g. over its link.
pub trait AskToFinish: fmt::Debug + Send + Sync {
    /// Asks. `SIGTERM` follows when the future is done, after the worker's `stop_grace` at the latest.
    fn ask(&self, instance: &Instance) -> Asked;
}

/// Asks nothing: `SIGTERM` comes at once.
impl AskToFinish for () {
    fn ask(&self, _: &Instance) -> Asked {
        Box::pin(std::future::ready(()))
    }
}
