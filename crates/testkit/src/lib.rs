#![doc = include_str!("../README.md")]

mod account;
mod clock;
pub mod contract;
mod job;
mod memory;
mod policy;
mod recorded;

pub use account::{AccountBuilder, an_account};
pub use clock::{ManualClock, noon};
pub use job::{JobBuilder, a_job};
pub use memory::{HeldWrites, MemoryStore};
pub use policy::{PolicyCase, PolicyTest, Requeued};
pub use recorded::Recorded;

/// A random source that gives the same numbers every time. Print the seed when a test fails.
#[must_use]
pub fn seeded(seed: u64) -> rand::rngs::StdRng {
    <rand::rngs::StdRng as rand::SeedableRng>::seed_from_u64(seed)
}
