#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod backoff;
mod builtin;
mod policy;
mod rule;
mod stuck;

pub use backoff::{Backoff, Jitter, Kind};
pub use policy::{Policy, Subject};
pub use rule::{Effect, Match, Rule};
pub use stuck::{StuckLimits, StuckOverride};
