//! Links over real sockets, in the runtime's paused time.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod credentials;
mod dialling;
mod rig;
