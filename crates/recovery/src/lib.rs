#![doc = include_str!("../README.md")]

mod absence;
mod agenda;
mod apply;
mod beats;
mod budget;
mod config;
mod cycle;
mod engine;
mod handle;
mod journal;
mod plan;
mod report;
mod spread;

pub use budget::Budget;
pub use config::Config;
pub use engine::{Deps, Engine};
pub use handle::{Explained, Failure, Handle, RecoverError, Schedule};
pub use plan::{Plan, Terms, plan};
pub use spread::Spread;
