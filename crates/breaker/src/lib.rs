#![doc = include_str!("../README.md")]
#![cfg_attr(not(test), deny(clippy::wildcard_enum_match_arm))]

mod breaker;
mod clock;
mod listener;
pub mod machine;
pub mod middleware;
mod permit;

pub use breaker::{Breaker, Deps};
pub use clock::{Clock, TokioClock};
pub use listener::Listener;
pub use machine::{
    CircuitOpen, Command, Event, InvalidSettings, Measured, Rate, Reason, Settings, SlowCalls, Snapshot,
    State, Window,
};
pub use middleware::{BreakerError, CircuitBreaker, CircuitBreakerLayer, Classify, ErrIsFailure};
pub use permit::Permit;
