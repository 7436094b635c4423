#![doc = include_str!("../README.md")]

mod account;
mod chance;
mod clock;
pub mod contract;
mod job;
mod memory;
mod policy;
mod recorded;

pub use account::{AccountBuilder, an_account};
pub use chance::seeded;
pub use clock::{ManualClock, noon};
pub use job::{JobBuilder, a_job};
pub use memory::{HeldWrites, MemoryStore};
pub use policy::{PolicyCase, PolicyTest, Requeued};
pub use recorded::Recorded;
