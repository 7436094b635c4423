//! The embedded migrations.

use std::path::Path;

use diesel::SqliteConnection;
use diesel::migration::{Migration, MigrationSource, MigrationVersion};
use diesel::sqlite::Sqlite;
use diesel_migrations::{EmbeddedMigrations, MigrationHarness, embed_migrations};
use reclaimer_domain::ports::StoreError;

use crate::sqlite::connection::{self, Mode};

const MIGRATIONS: EmbeddedMigrations = embed_migrations!("../../migrations/sqlite");

/// The migrations that the database at `path` lacks, oldest first; all of them when there is no file.
///
/// # Errors
/// When the file cannot be opened, or was made by a newer version.
pub fn pending(path: &Path) -> Result<Vec<String>, StoreError> {
    if !path.exists() {
        return names(&embedded()?);
    }
    let mut conn = connection::plain(path, Mode::Existing)?;
    pending_on(&mut conn, path)
}

/// Brings the database at `path` up to date, making it when it does not exist; answers what was done.
///
/// # Errors
/// When the file cannot be written, was made by a newer version, or a migration fails (which then changed nothing).
pub fn run(path: &Path) -> Result<Vec<String>, StoreError> {
    let mut conn = connection::writer(path, Mode::Create)?;
    run_on(&mut conn, path)
}

pub(crate) fn pending_on(conn: &mut SqliteConnection, path: &Path) -> Result<Vec<String>, StoreError> {
    let embedded = embedded()?;
    let applied = conn.applied_migrations().map_err(|error| failed(path, error))?;
    let known: Vec<MigrationVersion<'_>> = embedded.iter().map(|step| step.name().version()).collect();
    if let Some(newer) = applied.iter().find(|version| !known.contains(version)) {
        return Err(StoreError::MigrationNeeded {
            reason: format!(
                "it was made by a newer version (migration {newer}); run that version or a newer one"
            ),
        });
    }
    names(&conn.pending_migrations(MIGRATIONS).map_err(|error| failed(path, error))?)
}

pub(crate) fn run_on(conn: &mut SqliteConnection, path: &Path) -> Result<Vec<String>, StoreError> {
    if pending_on(conn, path)?.is_empty() {
        return Ok(Vec::new());
    }
    // Another server may bring the database up to date at the same time: whoever comes second waits, and looks again.
    let mut outcome = Ok(Vec::new());
    conn.immediate_transaction(|conn| {
        outcome = pending_on(conn, path);
        if matches!(&outcome, Ok(pending) if !pending.is_empty()) {
            conn.run_pending_migrations(MIGRATIONS)?;
        }
        Ok(())
    })
    .map_err(|error| failed(path, error))?;
    outcome
}

fn embedded() -> Result<Vec<Box<dyn Migration<Sqlite>>>, StoreError> {
    MIGRATIONS.migrations().map_err(|error| StoreError::Failed { operation: "migrate", source: error })
}

fn names(steps: &[Box<dyn Migration<Sqlite>>]) -> Result<Vec<String>, StoreError> {
    Ok(steps.iter().map(|step| step.name().to_string()).collect())
}

/// A failed migration: told apart as trouble with the file where it is that.
fn failed(path: &Path, error: Box<dyn std::error::Error + Send + Sync>) -> StoreError {
    match error.downcast::<diesel::result::Error>() {
        Ok(error) => connection::cannot_open(path, "migrate", *error),
        Err(error) => StoreError::Failed { operation: "migrate", source: error },
    }
}
