//! Creating a job inside the caller's own transaction.

use chrono::{DateTime, Utc};
use diesel::SqliteConnection;
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{InvalidJob, Job, NewJob};
use reclaimer_domain::ports::{Arrival, CreatedJob};

use crate::sqlite::{Effects, NewRow, arrival, insert_new};

/// Why a job was not enqueued.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum EnqueueError {
    /// The order itself is wrong.
    #[error("the job cannot be enqueued")]
    Invalid(#[from] InvalidJob),
    /// The database refused it, e.g. because the account does not exist.
    #[error("the database refused the job")]
    Database(#[from] diesel::result::Error),
}

/// Creates a job on the caller's connection, so that it exists exactly if the caller's own transaction commits. A live
/// job that holds the unique key is answered instead of a new one.
///
/// After the commit, hand the arrival to [`crate::SqliteStore::announce`] so that waiting workers learn of it at once;
/// without that they find it with their next request.
///
/// # Errors
/// [`EnqueueError::Invalid`] names the field out of range; [`EnqueueError::Database`] is what the engine said.
pub fn enqueue(
    conn: &mut SqliteConnection,
    id: JobId,
    order: NewJob,
    now: DateTime<Utc>,
) -> Result<(CreatedJob, Arrival), EnqueueError> {
    order.validate()?;
    let row = NewRow::of(Job::new(id, order, now));
    let mut effects = Effects::default();
    let answer = insert_new(conn, &mut effects, &row, Actor::Producer)?;
    effects.counts.write(conn)?;
    Ok((answer, arrival(&row.job)))
}
