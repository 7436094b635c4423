//! One durable insert per transaction.

use std::path::Path;

use diesel::{RunQueryDsl, SqliteConnection};

use crate::BareError;
use crate::bare::connect;
use crate::statement;

/// One connection that inserts one row per transaction, each durable: "REF" in the tables.
#[allow(missing_debug_implementations, clippy::allow_attributes, reason = "a connection has none")]
pub struct Reference {
    conn: SqliteConnection,
}

impl Reference {
    /// Opens a file.
    ///
    /// # Errors
    /// When it cannot be opened or set up.
    pub fn open(path: &Path) -> Result<Self, BareError> {
        Ok(Self { conn: connect(path)? })
    }

    /// Writes one row; it is durable when this returns.
    ///
    /// # Errors
    /// When it could not be written.
    pub fn insert(&mut self, payload: &str) -> Result<(), BareError> {
        statement::insert(payload).execute(&mut self.conn)?;
        Ok(())
    }
}
