//! The contract that every store keeps, as tests.
//!
//! The ports of the domain number what they promise (J1–J12, R1–R7, A1–A3, T1–T4, W1–W3). Here each promise, or each side of it, is
//! one function, named after what it proves; its documentation begins with the number. A backend brings a [`Rig`] and
//! instantiates them all with [`store_contract!`](crate::store_contract). Nothing in here knows how a store stores.

#![expect(
    clippy::unwrap_used,
    clippy::panic,
    reason = "these are tests, though of a library: whatever is not as promised ends them"
)]

mod ask;
mod rig;
mod suite;

pub mod accounts;
pub mod admin;
pub mod alerts;
pub mod areas;
pub mod arrivals;
pub mod broken_rows;
pub mod candidates;
pub mod claims;
pub mod create;
pub mod cycles;
pub mod decisions;
pub mod discovery;
pub mod holders;
pub mod late_results;
pub mod leases;
pub mod lists;
pub mod next_jobs;
pub mod replaying;
pub mod reports;
pub mod retention;
pub mod undoing;

pub use rig::{Rig, Store};
