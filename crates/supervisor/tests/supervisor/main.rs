//! The supervisor with real processes.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

mod ends;
mod kills;
mod means;
mod restarts;
mod rig;
mod stops;
