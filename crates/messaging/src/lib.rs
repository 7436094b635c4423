//! messaging
pub mod frame;
