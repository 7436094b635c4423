//! How a SQLite store is set up.

use std::path::PathBuf;

/// What a commit survives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Durability {
    /// A loss of power, where the disk honours a flush (`synchronous=FULL`).
    #[default]
    Full,
    /// A crash of the process, not a loss of power (`synchronous=NORMAL`).
    Normal,
}

/// How a SQLite store is set up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteConfig {
    /// The database file; made when it does not exist at the start. Its folder must exist.
    pub path: PathBuf,
    /// What a commit survives.
    pub durability: Durability,
    /// Below so many free bytes on the file's disk no new jobs are taken, while everything else goes on.
    pub min_free: u64,
    /// At most so many operations wait for the writer; more are refused as busy.
    pub queue: usize,
    /// At most so many reads run at once.
    pub readers: usize,
}

impl SqliteConfig {
    /// The default set-up for a file: full durability, 64 MiB kept free, 8,192 waiting writes, 4 reads at once.
    #[must_use]
    pub fn at(path: impl Into<PathBuf>) -> Self {
        Self {
            path: path.into(),
            durability: Durability::Full,
            min_free: 64 * 1_024 * 1_024,
            queue: 8_192,
            readers: 4,
        }
    }
}
