#![doc = include_str!("../README.md")]

mod beat;
mod health;
mod judge;
mod limits;
mod observed;
mod source;
mod successes;

pub use beat::{Beat, Pulse};
pub use health::{Figures, Health, Indicator, Status};
pub use judge::judge;
pub use limits::Limits;
pub use observed::{
    Breaker, BreakerState, Database, Link, LinkMode, Loop, Observations, Process, ProcessState, Queue,
    Queues, Recovery, Worker,
};
pub use source::HealthSource;
pub use successes::{Success, Successes};
