#![doc = include_str!("../README.md")]

mod config;
mod disk;
mod enqueue;
mod error;
pub mod maintenance;
pub mod migrate;
mod sqlite;

pub use config::{Durability, SqliteConfig};
pub use enqueue::{EnqueueError, enqueue};
pub use sqlite::SqliteStore;
