//! One connection with one peer: what is said, what is owed, and what happens to its jobs when it ends.
//!
//! [`core::Core`] is the protocol itself: pure, it takes what was heard and the time, and answers with effects. `run`
//! carries the effects out.

mod core;
mod effect;
mod outbox;
mod refreshes;
mod run;

pub(crate) use self::core::{Peer, Settings};
pub(crate) use effect::Command;
pub(crate) use run::{AREA, Context, Ended, Watched, run};
