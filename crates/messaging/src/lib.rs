#![doc = include_str!("../README.md")]

mod config;
mod connection;
mod dial;
pub mod dialect;
pub mod frame;
mod links;
mod listen;
pub mod message;
mod offers;
mod roster;
mod session;
mod watch;

pub use config::{Link, Reconnect, Transport};
pub use links::{BreakerOrder, BreakerView, Deps, Handle, LinkView, Links, OrderError};
pub use roster::{Roster, SessionView};
pub use watch::{NoWatch, PeerWatch};
