//! The service on a real store, with a provider and account reads that a test can disturb.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

mod credentials;
mod failing;
mod handing_out;
mod rig;
