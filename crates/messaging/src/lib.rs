//! messaging
pub mod dialect;
pub mod frame;
pub mod message;
mod roster;
mod session;
pub use roster::{Roster, SessionView};
