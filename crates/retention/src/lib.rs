#![doc = include_str!("../README.md")]

mod config;
mod sweep;

pub use config::Config;
pub use sweep::Retention;
