//! Opening connections, and telling whether the file is still the one that was opened.

use std::os::unix::fs::MetadataExt;
use std::path::Path;

use diesel::connection::{InstrumentationEvent, SimpleConnection};
use diesel::result::Error;
use diesel::sql_types::Text;
use diesel::{Connection, ConnectionError, QueryResult, SqliteConnection};
use reclaimer_domain::ports::StoreError;
use rustix::fs::{Access, CWD, FileType, Mode as FileMode, access, mknodat};
use tracing::{Level, enabled, trace};

use super::statement::prepared;
use crate::disk;
use crate::error::{Trouble, connection_error, disk_full, store_error};

/// Versions 3.7.0 to 3.51.2 can lose committed pages in WAL mode.
const OLDEST: (u32, u32, u32) = (3, 51, 3);

/// So many others may make a file's log before we find it made.
const MOST_SWITCHES: usize = 10;

/// The index of a log has 32 KiB; a log begins with a page or two.
const ROOM_TO_OPEN: u64 = 64 * 1_024;

/// Whether a missing file is made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Mode {
    /// It is made.
    Create,
    /// It must exist: once a database was open, an empty one in its place would hide the loss.
    Existing,
}

/// Which file a path leads to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
}

impl Identity {
    /// Looks by path alone: opening the file would, on closing it, drop the locks that SQLite holds on it.
    pub(crate) fn of(path: &Path) -> Result<Self, StoreError> {
        match std::fs::metadata(path) {
            Ok(found) => Ok(Self { device: found.dev(), inode: found.ino() }),
            Err(error) => Err(StoreError::Unavailable {
                reason: if error.kind() == std::io::ErrorKind::NotFound {
                    "the database file is gone; put it back, or restart to begin with an empty one".to_owned()
                } else {
                    "the database file cannot be reached; check its folder and permissions".to_owned()
                },
                source: Some(Box::new(error)),
            }),
        }
    }
}

/// The one connection that writes.
pub(crate) fn writer(path: &Path, mode: Mode) -> Result<SqliteConnection, StoreError> {
    let mut conn = plain(path, mode)?;
    // The engine flushes the log before it folds it into the database, but not at each commit: for full durability the
    // writer does that, beside the next group. Checkpoints are run by the writer, not by whichever commit fills the log.
    // The pages between the oldest and the newest job that is worked on have room in 16 MiB, in the usual 2 MiB not.
    let pragmas = "PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON; PRAGMA wal_autocheckpoint = 0;
        PRAGMA journal_size_limit = 67108864; PRAGMA cache_size = -16384;";
    keep_a_log(&mut conn)
        .and_then(|()| conn.batch_execute(pragmas))
        .map_err(|error| cannot_open(path, "set up the writer", error))?;
    Ok(conn)
}

/// Switches to a write-ahead log. The switch itself waits for nobody, e.g. another server that makes it at the same time
/// in a new file; a transaction does.
fn keep_a_log(conn: &mut SqliteConnection) -> QueryResult<()> {
    for _ in 0..MOST_SWITCHES {
        match conn.batch_execute("PRAGMA journal_mode = WAL") {
            Err(error) if Trouble::of(&error) == Trouble::Busy => {
                conn.batch_execute("BEGIN IMMEDIATE; ROLLBACK")?;
            }
            outcome => return outcome,
        }
    }
    conn.batch_execute("PRAGMA journal_mode = WAL")
}

/// While the database's file was read-only, readers made its log and index read-only as well, as the engine does; where
/// the file can be written again, so must they.
pub(crate) fn repair_sidecars(path: &Path) -> Result<(), StoreError> {
    let writable = |path: &Path| access(path, Access::WRITE_OK).is_ok();
    for ending in ["-wal", "-shm"] {
        let mut sidecar = path.as_os_str().to_owned();
        sidecar.push(ending);
        let sidecar = Path::new(&sidecar);
        if let (true, Ok(found), false) = (writable(path), std::fs::metadata(path), writable(sidecar))
            && sidecar.exists()
        {
            std::fs::set_permissions(sidecar, found.permissions()).map_err(|error| {
                StoreError::Unavailable {
                    reason: format!(
                        "the database's {ending} file cannot be written; check its owner and permissions"
                    ),
                    source: Some(Box::new(error)),
                }
            })?;
        }
    }
    Ok(())
}

/// A connection that reads.
pub(crate) fn reader(path: &Path) -> Result<SqliteConnection, StoreError> {
    let mut conn = plain(path, Mode::Existing)?;
    conn.batch_execute("PRAGMA busy_timeout = 2000; PRAGMA query_only = ON;")
        .map_err(|error| cannot_open(path, "set up a reader", error))?;
    Ok(conn)
}

/// Makes a missing file its owner's alone, as its log and index then become too: it will hold credentials, and the engine
/// would let everybody read it. Made without opening it, for the reason that [`Identity::of`] gives.
fn make(path: &Path) {
    // What hinders this hinders the engine as well, which says so.
    let _ = mknodat(CWD, path, FileType::RegularFile, FileMode::from_raw_mode(0o600), 0);
}

/// A connection with the settings that every connection has.
pub(crate) fn plain(path: &Path, mode: Mode) -> Result<SqliteConnection, StoreError> {
    let uri = uri(path, mode)?;
    if mode == Mode::Create {
        make(path);
    }
    let mut conn = SqliteConnection::establish(&uri).map_err(|error| cannot_connect(path, error))?;
    if enabled!(Level::TRACE) {
        conn.set_instrumentation(log_statement);
    }
    // The patience comes first: even the first look waits while another process makes the file or closes it.
    conn.batch_execute(
        "PRAGMA busy_timeout = 5000; PRAGMA mmap_size = 0; PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON;",
    )
    .map_err(|error| cannot_open(path, "set up a connection", error))?;
    check_version(&mut conn, path)?;
    Ok(conn)
}

/// Says what the engine is asked, without the values that are bound to it.
fn log_statement(event: InstrumentationEvent<'_>) {
    if let InstrumentationEvent::StartQuery { query, .. } = event {
        let text = query.to_string();
        let sql = text.split(" -- binds: ").next().unwrap_or_default();
        trace!(area = "JOB-MANAGER", sql, "a statement begins");
    }
}

fn cannot_connect(path: &Path, error: ConnectionError) -> StoreError {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if folder.is_some_and(|folder| !folder.exists()) {
        let reason = "the database's folder does not exist; make it first, or name another".to_owned();
        return StoreError::Unavailable { reason, source: None };
    }
    connection_error(error)
}

/// The store error for a database that cannot be opened. Where there is no room for its log and index, the engine takes that
/// for a failing disk, or for a file that may not be written.
pub(crate) fn cannot_open(path: &Path, operation: &'static str, error: Error) -> StoreError {
    let no_room = || disk::free(path).is_some_and(|free| free < ROOM_TO_OPEN);
    if matches!(Trouble::of(&error), Trouble::Io | Trouble::Unusable) && no_room() {
        return disk_full(error);
    }
    store_error(operation, error)
}

fn check_version(conn: &mut SqliteConnection, path: &Path) -> Result<(), StoreError> {
    let version: Option<(String,)> = prepared!("SELECT sqlite_version()")
        .rows::<(Text,)>()
        .first(conn)
        .map_err(|error| cannot_open(path, "ask for the engine's version", error))?;
    let version = version.map(|(version,)| version).unwrap_or_default();
    let mut parts = version.split('.').map(|part| part.parse().unwrap_or(0));
    let mut part = || parts.next().unwrap_or(0);
    if (part(), part(), part()) < OLDEST {
        return Err(StoreError::Unavailable {
            reason: format!(
                "SQLite {version} can lose committed pages; build with the bundled library, 3.51.3 or newer"
            ),
            source: None,
        });
    }
    Ok(())
}

/// The path as a `file:` URI.
fn uri(path: &Path, mode: Mode) -> Result<String, StoreError> {
    let text = path.to_str().ok_or_else(|| StoreError::Unavailable {
        reason: "the database's path is not valid UTF-8; choose another data folder".to_owned(),
        source: None,
    })?;
    let mut uri = String::from("file:");
    for c in text.chars() {
        match c {
            '%' => uri.push_str("%25"),
            '?' => uri.push_str("%3f"),
            '#' => uri.push_str("%23"),
            other => uri.push(other),
        }
    }
    uri.push_str(match mode {
        Mode::Create => "?mode=rwc",
        Mode::Existing => "?mode=rw",
    });
    Ok(uri)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn odd_paths_are_escaped() {
        assert_eq!(
            uri(Path::new("a b/50%?#.db"), Mode::Existing).unwrap(),
            "file:a b/50%25%3f%23.db?mode=rw"
        );
    }

    #[test]
    fn the_bundled_engine_is_new_enough() {
        let mut conn = SqliteConnection::establish(":memory:").unwrap();
        assert!(check_version(&mut conn, Path::new(":memory:")).is_ok());
    }

    #[test]
    fn a_missing_file_is_not_made_by_accident() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("none.db");
        assert!(plain(&path, Mode::Existing).is_err());
        assert!(Identity::of(&path).unwrap_err().to_string().contains("is gone"));
        assert!(!path.exists());
    }
}
