//! What happened to all jobs, read from a database file, beside a running server or without one.

use std::path::Path;

use chrono::{DateTime, Utc};
use diesel::SqliteConnection;
use reclaimer_domain::ports::{HistoryPage, StoreError};

use crate::error::store_error;
use crate::migrate;
use crate::sqlite::connection;
use crate::sqlite::event_table;

/// A database file, open for reading its history.
pub struct HistoryFile(SqliteConnection);

impl HistoryFile {
    /// Opens the file.
    ///
    /// # Errors
    /// When it cannot be read, or has not the tables of this version.
    pub fn open(path: &Path) -> Result<Self, StoreError> {
        let pending = migrate::pending(path)?;
        if !pending.is_empty() {
            let reason =
                format!("it lacks {}; run `reclaimer migrate`, or start the server once", pending.join(", "));
            return Err(StoreError::MigrationNeeded { reason });
        }
        connection::reader(path).map(Self)
    }

    /// The next part of what happened, as [`RecoveryStore::replay`](reclaimer_domain::ports::RecoveryStore::replay).
    ///
    /// # Errors
    /// When the file cannot be read.
    pub fn page(
        &mut self,
        since: DateTime<Utc>,
        cursor: Option<i64>,
        limit: u32,
    ) -> Result<HistoryPage, StoreError> {
        event_table::history(&mut self.0, since, cursor, limit)
            .map_err(|error| store_error("read the history of all jobs", error))
    }
}

impl std::fmt::Debug for HistoryFile {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HistoryFile").finish_non_exhaustive()
    }
}
