//! What the engine's errors mean to callers.

use diesel::result::{ConnectionError, DatabaseErrorKind, Error};
use reclaimer_domain::ports::StoreError;

/// What kind of trouble an engine error is. Diesel does not pass SQLite's result codes on, so they are told by the
/// fixed texts of `sqlite3_errstr`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// `SQLITE_FULL`: the disk is full.
    Full,
    /// `SQLITE_READONLY`, `SQLITE_CANTOPEN`, `SQLITE_PERM`: the file cannot be used as it is.
    Unusable,
    /// `SQLITE_IOERR`: the disk failed.
    Io,
    /// `SQLITE_CORRUPT`, `SQLITE_NOTADB`: the file is no sound database.
    Corrupt,
    /// `SQLITE_BUSY`, `SQLITE_LOCKED`: another process writes.
    Busy,
    /// A table or column is missing.
    Schema,
    /// Anything else: a mistake of ours, or a constraint.
    Other,
}

impl Trouble {
    pub(crate) fn of(error: &Error) -> Self {
        let Error::DatabaseError(DatabaseErrorKind::Unknown, info) = error else { return Self::Other };
        Self::of_text(info.message())
    }

    fn of_text(text: &str) -> Self {
        let starts = |start: &str| text.starts_with(start);
        if starts("database or disk is full") {
            Self::Full
        } else if starts("attempt to write a readonly database")
            || starts("unable to open database file")
            || starts("access permission denied")
        {
            Self::Unusable
        } else if starts("disk I/O error") || starts("locking protocol") {
            Self::Io
        } else if starts("database disk image is malformed") || starts("file is not a database") {
            Self::Corrupt
        } else if starts("database is locked") || starts("database table is locked") {
            Self::Busy
        } else if starts("no such table") || starts("no such column") || text.contains("has no column named")
        {
            Self::Schema
        } else {
            Self::Other
        }
    }

    /// Whether the connection should be given up, so that the next operation begins with a fresh look at the file.
    pub(crate) fn spoils_connection(self) -> bool {
        matches!(self, Self::Unusable | Self::Io | Self::Corrupt)
    }
}

/// The store error for an engine error met in `operation`.
pub(crate) fn store_error(operation: &'static str, error: Error) -> StoreError {
    let reason = match Trouble::of(&error) {
        Trouble::Full => return disk_full(error),
        Trouble::Unusable => {
            "database is not writable: the file cannot be written; check its owner and permissions"
        }
        Trouble::Io => "the disk reported an input/output error; check the disk and the kernel log",
        Trouble::Corrupt => "the file is not a sound database; restore a backup",
        Trouble::Busy => {
            return StoreError::Busy { reason: "another process holds the database locked".to_owned() };
        }
        Trouble::Schema => {
            return StoreError::MigrationNeeded { reason: error.to_string() };
        }
        Trouble::Other => return StoreError::Failed { operation, source: Box::new(error) },
    };
    StoreError::Unavailable { reason: reason.to_owned(), source: Some(Box::new(error)) }
}

/// The store error for a disk without room.
pub(crate) fn disk_full(error: Error) -> StoreError {
    let reason = "database is not writable: disk full".to_owned();
    StoreError::Unavailable { reason, source: Some(Box::new(error)) }
}

/// The store error for a connection that could not be made.
pub(crate) fn connection_error(error: ConnectionError) -> StoreError {
    let reason = match Trouble::of_text(&match &error {
        ConnectionError::BadConnection(text) => text.clone(),
        other => other.to_string(),
    }) {
        Trouble::Unusable => "the database file cannot be opened; check that it exists and who may use it",
        _ => "the database cannot be opened",
    };
    StoreError::Unavailable { reason: reason.to_owned(), source: Some(Box::new(error)) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(text: &str) -> Error {
        Error::DatabaseError(DatabaseErrorKind::Unknown, Box::new(text.to_owned()))
    }

    #[test]
    fn texts_of_the_engine_are_told_apart() {
        let code = |text: &str| store_error("test", said(text)).code();
        assert_eq!(code("database or disk is full"), "storage_unavailable");
        assert_eq!(code("attempt to write a readonly database"), "storage_unavailable");
        assert_eq!(code("disk I/O error"), "storage_unavailable");
        assert_eq!(code("database is locked"), "storage_busy");
        assert_eq!(code("no such table: job"), "migration_needed");
        assert_eq!(code("something else"), "storage_failed");
    }
}
