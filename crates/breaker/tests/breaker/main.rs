//! The breaker, its handle and its layer, in time that moves when told.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a test may give up; in helpers outside of test functions too"
)]

mod concurrent;
mod handle;
mod layer;
mod model;
mod opening;
mod reference;
mod rig;
mod table;
