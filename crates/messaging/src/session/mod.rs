//! One connection with one peer: what is said, what is owed, and what happens to its jobs when it ends.
//!
//! [`core::Core`] is the protocol itself: pure, it takes what was heard and the time, and answers with effects. `run`
//! gives it what is heard on a real connection, and carries the effects out.

mod carry;
mod core;
mod effect;
mod end;
mod outbox;
mod run;
mod said;

pub(crate) use self::core::{Peer, Settings};
pub(crate) use effect::Command;
pub(crate) use run::{AREA, Context, Ended, Watched, run};
