//! messaging
pub mod dialect;
pub mod frame;
pub mod message;
