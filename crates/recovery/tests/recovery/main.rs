//! The recovery engine on a fake store, in paused time.

#![expect(clippy::unwrap_used, reason = "a test may give up; in helpers outside of test functions too")]

mod absence;
mod beats;
mod cycles;
mod failures;
mod listening;
mod log;
mod planning;
mod races;
mod schedule;
mod store;
mod world;
