#![doc = include_str!("../README.md")]

mod config;
mod disk;
mod enqueue;
mod error;
mod history;
pub mod maintenance;
pub mod migrate;
mod sqlite;

pub use config::{Durability, SqliteConfig};
pub use enqueue::{EnqueueError, enqueue};
pub use history::HistoryFile;
pub use sqlite::SqliteStore;
