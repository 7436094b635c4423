#![doc = include_str!("../README.md")]

mod config;
mod evidence;
mod guarded;
mod handle;
mod instance;
mod keeper;
pub mod launcher;
mod life;
mod listener;
mod output;
mod patience;
mod policy;
mod proc;
mod report;
mod seat;
mod spawner;
mod spec;
mod state_file;
mod supervisor;
mod sweep;

pub use config::{Config, Launcher};
pub use evidence::{Cause, Ended, KEPT_LINES, Line, MAX_KEPT, Stream};
pub use handle::{Handle, State, UnknownWorker, View};
pub use instance::Instance;
pub use listener::{AskToFinish, Asked, GivenUp, Listener, Why};
pub use spec::{OnExhausted, Restart, Spec, SpecError};
pub use supervisor::{Deps, RunError, Supervisor};

/// The area of every line that is logged here.
const AREA: &str = "SUPERVISOR";
