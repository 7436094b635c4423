//! What operators do to a database file: back it up, check it, look at it. Each works beside a running server.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use diesel::SqliteConnection;
use diesel::sql_types::Text;
use reclaimer_domain::job::Job;
use reclaimer_domain::ports::StoreError;

use crate::error::{Trouble, store_error};
use crate::sqlite::connection::{self, Mode};
use crate::sqlite::counts;
use crate::sqlite::job_table;
use crate::sqlite::statement::prepared;

/// What a backup came to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BackupReport {
    /// The finished, verified file.
    pub path: PathBuf,
    /// Its size in bytes.
    pub bytes: u64,
    /// How many jobs it holds.
    pub jobs: u64,
}

/// Copies the database at `from` into a new file `to`, which is its owner's alone: written under another name, flushed,
/// verified, and only then given its name. Works on a live database, of which it takes one consistent moment.
///
/// # Errors
/// When `to` exists, either file cannot be used, or the copy does not verify.
pub fn backup(from: &Path, to: &Path) -> Result<BackupReport, StoreError> {
    if to.exists() {
        return Err(unavailable("the backup's file exists already; choose another name", None));
    }
    let folder = to.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let partial = Partial::make(folder)?;
    let text = partial
        .0
        .to_str()
        .ok_or_else(|| unavailable("the backup's path is not valid UTF-8; choose another", None))?;
    let mut conn = connection::plain(from, Mode::Existing)?;
    prepared!("VACUUM INTO ?", text)
        .run(&mut conn)
        .map_err(|error| store_error("copy the database", error))?;
    drop(conn);
    File::open(&partial.0)
        .and_then(|file| file.sync_all())
        .map_err(|error| io_error("the backup cannot be flushed to its disk", error))?;
    if let Some(problem) = integrity(&partial.0)?.into_iter().next() {
        return Err(unavailable(&format!("the backup does not verify: {problem}"), None));
    }
    let jobs = inspect(&partial.0)?.jobs;
    // Linking, unlike renaming, never takes the place of a file that has appeared meanwhile.
    std::fs::hard_link(&partial.0, to)
        .map_err(|error| io_error("the backup cannot be given its name", error))?;
    File::open(folder)
        .and_then(|folder| folder.sync_all())
        .map_err(|error| io_error("the backup's folder cannot be flushed to its disk", error))?;
    let bytes = std::fs::metadata(to).map_err(|error| io_error("the backup is gone", error))?.len();
    Ok(BackupReport { path: to.to_owned(), bytes, jobs: jobs.iter().map(|(_, count)| count).sum() })
}

/// A copy that is not finished, under a name of its own; removed in the end, also where it never is.
struct Partial(PathBuf);

impl Partial {
    fn make(folder: &Path) -> Result<Self, StoreError> {
        let path = folder.join(format!(".reclaimer-backup-{}.partial", std::process::id()));
        // A database holds credentials: nobody else may read the copy, not even while it is made.
        let made = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path);
        made.map_err(|error| io_error("the backup's folder cannot be written", error))?;
        Ok(Self(path))
    }
}

impl Drop for Partial {
    fn drop(&mut self) {
        for ending in ["", "-wal", "-shm", "-journal"] {
            let mut path = self.0.clone().into_os_string();
            path.push(ending);
            // What is not there, or cannot be removed, harms nobody: the name is nobody else's.
            drop(std::fs::remove_file(path));
        }
    }
}

/// What is wrong with a database file, one line per problem; empty when it is sound.
///
/// # Errors
/// When the file cannot be read at all.
pub fn integrity(path: &Path) -> Result<Vec<String>, StoreError> {
    let mut conn = connection::reader(path)?;
    let lines: Vec<(String,)> = prepared!("PRAGMA integrity_check")
        .rows::<(Text,)>()
        .all(&mut conn)
        .map_err(|error| store_error("check the database", error))?;
    let broken: Vec<(String,)> = prepared!("SELECT \"table\" FROM pragma_foreign_key_check")
        .rows::<(Text,)>()
        .all(&mut conn)
        .map_err(|error| store_error("check the database", error))?;
    let lines = lines.into_iter().map(|(line,)| line).filter(|line| line != "ok");
    let broken =
        broken.into_iter().map(|(table,)| format!("a row of `{table}` refers to a row that is missing"));
    Ok(lines.chain(broken).collect())
}

/// What a database file holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Inspection {
    /// The engine's version.
    pub engine: String,
    /// How many jobs are in each state, as stored.
    pub jobs: Vec<(String, u64)>,
}

/// Looks at a database file.
///
/// # Errors
/// When the file cannot be read, or has not the tables of this version.
pub fn inspect(path: &Path) -> Result<Inspection, StoreError> {
    let mut conn = connection::reader(path)?;
    look(&mut conn).map_err(|error| store_error("look at the database", error))
}

fn look(conn: &mut SqliteConnection) -> diesel::QueryResult<Inspection> {
    let engine: Option<(String,)> = prepared!("SELECT sqlite_version()").rows::<(Text,)>().first(conn)?;
    let mut jobs: BTreeMap<String, i64> = BTreeMap::new();
    for (place, count) in counts::read(conn)?.0 {
        *jobs.entry(place.status.into_owned()).or_default() += count;
    }
    Ok(Inspection {
        engine: engine.map(|(version,)| version).unwrap_or_default(),
        jobs: jobs
            .into_iter()
            .filter(|(_, count)| *count > 0)
            .map(|(status, count)| (status, count.unsigned_abs()))
            .collect(),
    })
}

/// Every running job that can be read; rows that cannot are set aside by the next recovery run.
///
/// # Errors
/// As [`inspect`].
pub fn running(path: &Path) -> Result<Vec<Job>, StoreError> {
    let mut conn = connection::reader(path)?;
    let found = job_table::running(&mut conn).map_err(|error| store_error("look at the database", error))?;
    Ok(found.into_iter().filter_map(Result::ok).map(|loaded| loaded.job).collect())
}

/// Whether an error says that the file is no sound database.
#[must_use]
pub fn is_corrupt(error: &StoreError) -> bool {
    let cause =
        std::error::Error::source(error).and_then(|cause| cause.downcast_ref::<diesel::result::Error>());
    cause.is_some_and(|cause| Trouble::of(cause) == Trouble::Corrupt)
}

fn unavailable(reason: &str, source: Option<std::io::Error>) -> StoreError {
    StoreError::Unavailable { reason: reason.to_owned(), source: source.map(Into::into) }
}

fn io_error(reason: &str, source: std::io::Error) -> StoreError {
    unavailable(reason, Some(source))
}
