//! A reader that stays.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};

use crate::BareError;

/// A long transaction that reads: while it lasts, the write-ahead log cannot be begun anew.
#[allow(missing_debug_implementations, clippy::allow_attributes, reason = "a connection has none")]
pub struct Snapshot {
    _conn: SqliteConnection,
}

impl Snapshot {
    /// Begins to read a file that others write to; it ends with this value.
    ///
    /// # Errors
    /// When it cannot be opened or read.
    pub fn hold(path: &Path) -> Result<Self, BareError> {
        let mut conn = SqliteConnection::establish(&path.to_string_lossy())?;
        conn.batch_execute("PRAGMA busy_timeout = 5000; BEGIN; SELECT count(*) FROM sqlite_schema;")?;
        Ok(Self { _conn: conn })
    }
}
