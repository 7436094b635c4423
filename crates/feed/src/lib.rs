#![doc = include_str!("../README.md")]

mod event;
mod feed;
mod filter;
mod place;
mod pump;
mod reader;
mod ring;
mod told;

pub use event::{BreakerChange, Event, Flow, Run, RunCounts, RunState, Stats, WorkerChange, WorkerOf};
pub use feed::{Config, Feed, Live};
pub use filter::{Filter, Topic, UnknownTopic};
pub use place::{InvalidPlace, Place};
pub use pump::{Breaker, Fleet, Pump, Sight, WorkerKey};
