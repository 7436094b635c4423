#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod backoff;
mod budget;
mod builtin;
mod condition;
mod explain;
pub mod file;
pub mod limits;
mod patterns;
mod policy;
mod reason;
pub mod replay;
mod rule;
mod stuck;
mod swallow;
mod trace;
mod words;

pub use backoff::{Backoff, Jitter, Kind};
pub use budget::{Budget, BudgetKind};
pub use builtin::{before_builtin, builtin_rules};
pub use explain::{Explanation, NextLook, OnRecord, Question, Rhythm, explain};
pub use policy::{Defaults, InvalidRule, Policy, Subject};
pub use rule::{Effect, Match, Origin, Rule};
pub use stuck::{StuckLimits, StuckOverride};
pub use trace::{Tested, TestedRequirement, Trace, TriedRule};
