//! The `job` table: reading a row, writing one, changing one under its guard.

use std::collections::HashMap;

use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{Job, LeaseToken};
use reclaimer_domain::name::UniqueKey;
use reclaimer_domain::time::millis_of;
use serde_json::Value;

use super::counts::Place;
use super::create::NewRow;
use super::effects::Effects;
use super::row::{Row, RowSql, Unreadable, ended_as, job_columns, last_report, read_row};
use super::statement::prepared;

/// A row as found: a job, or what is wrong with it.
pub(crate) type Found = Result<Loaded, Box<Unreadable>>;

/// A job, and what its row must still look like when the job is written back.
#[derive(Debug)]
pub(crate) struct Loaded {
    pub(crate) job: Job,
    pub(crate) guard: Guard,
}

/// Reads a row.
pub(crate) fn load(row: Row) -> Found {
    let guard = Guard::of(&row);
    read_row(row).map(|job| Loaded { job, guard })
}

/// One job by id.
pub(crate) fn find(conn: &mut SqliteConnection, id: &str) -> QueryResult<Option<Found>> {
    let row: Option<Row> = prepared!(concat!("SELECT ", job_columns!(), " FROM job WHERE id = ?"), id)
        .rows::<RowSql>()
        .first(conn)?;
    Ok(row.map(load))
}

/// Jobs by their ids, those of them that there are.
pub(crate) fn find_many(conn: &mut SqliteConnection, ids: &[&JobId]) -> QueryResult<HashMap<String, Found>> {
    let rows: Vec<Row> = prepared!(
        concat!("SELECT ", job_columns!(), " FROM job WHERE id IN (SELECT value FROM json_each(?))"),
        listed(ids)
    )
    .rows::<RowSql>()
    .all(conn)?;
    Ok(rows.into_iter().map(|row| (row.0.0.clone(), load(row))).collect())
}

/// Ids as the one value that `json_each` makes rows of.
pub(super) fn listed(ids: &[&JobId]) -> String {
    Value::from_iter(ids.iter().map(|id| id.as_str())).to_string()
}

/// Every running job.
pub(crate) fn running(conn: &mut SqliteConnection) -> QueryResult<Vec<Found>> {
    let rows: Vec<Row> =
        prepared!(concat!("SELECT ", job_columns!(), " FROM job WHERE status = 'running' ORDER BY id"))
            .rows::<RowSql>()
            .all(conn)?;
    Ok(rows.into_iter().map(load).collect())
}

/// The job that a lease holds.
pub(crate) fn find_by_lease(conn: &mut SqliteConnection, token: &LeaseToken) -> QueryResult<Option<Found>> {
    let row: Option<Row> = prepared!(
        concat!("SELECT ", job_columns!(), " FROM job WHERE lease_token = ? AND status = 'running'"),
        token.expose()
    )
    .rows::<RowSql>()
    .first(conn)?;
    Ok(row.map(load))
}

/// The live job that holds a unique key.
pub(crate) fn key_holder(conn: &mut SqliteConnection, key: &UniqueKey) -> QueryResult<Option<String>> {
    let row: Option<(String,)> = prepared!(
        "SELECT id FROM job INDEXED BY job_unique_key WHERE unique_key = ? AND status <> 'finished' AND status <> 'cancelled'",
        key.as_str()
    )
    .rows::<(diesel::sql_types::Text,)>()
    .first(conn)?;
    Ok(row.map(|(id,)| id))
}

/// Writes a new row.
pub(crate) fn insert(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    NewRow { job, payload }: &NewRow,
) -> QueryResult<()> {
    let timeout = timeout_seconds(job);
    prepared!(
        "INSERT INTO job (id, queue, command, full_path, account_id, spawned_from, payload, status, priority, \
         progress, max_attempts, run_at, timeout_seconds, unique_key, created_at, updated_at, counted_in, counted_as) \
         VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, '{}', ?, ?, ?, ?, ?, ?, ?, ?)",
        job.id.as_str(),
        job.queue.as_str(),
        job.command.as_str(),
        job.full_path.as_ref(),
        job.account_id.as_ref().map(|id| id.as_str()),
        job.spawned_from.as_ref().map(JobId::as_str),
        payload,
        job.status.as_str(),
        i64::from(job.priority.get()),
        job.max_attempts,
        job.run_at,
        timeout,
        job.unique_key.as_ref().map(UniqueKey::as_str),
        job.created_at,
        job.updated_at,
        job.queue.as_str(),
        job.status.as_str(),
    )
    .run(conn)?;
    effects.counts.moved(None, Some(Place::now(job)));
    Ok(())
}

/// What a row must still look like to be changed: its cells as they are stored, which other programs may have written in
/// other ways than we would.
#[derive(Debug)]
pub(crate) struct Guard {
    id: String,
    status: String,
    lease_token: Option<String>,
    lease_expires_at: Option<String>,
    /// Under what the row is counted.
    counted: Option<Place>,
}

impl Guard {
    fn of(row: &Row) -> Self {
        let (
            (id, .., status, _, _, _),
            _,
            (_, lease_token, lease_expires_at, ..),
            (.., counted_in, counted_as),
        ) = row;
        Self {
            id: id.clone(),
            status: status.clone(),
            lease_token: lease_token.clone(),
            lease_expires_at: lease_expires_at.clone(),
            counted: Place::of(counted_in.clone(), counted_as.clone()),
        }
    }
}

/// Writes a changed job over the row it was read from, if that still is what the guard says; answers whether it was.
pub(crate) fn update(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    guard: &Guard,
    job: &Job,
) -> QueryResult<bool> {
    let changed = prepared!(
        "UPDATE job SET status = ?, queue = ?, priority = ?, progress = ?, resume_state = ?, attempt = ?, recoveries = ?, \
         recover_after = ?, run_at = ?, worker_id = ?, lease_token = ?, lease_expires_at = ?, lease_excused = ?, \
         lease_epoch = ?, lease_losses = ?, ended_lease = ?, ended_as = ?, last_report = ?, updated_at = ?, \
         started_at = ?, finished_at = ?, longest_silence_ms = ?, counted_in = ?, counted_as = ? \
         WHERE id = ? AND +status = ? AND lease_token IS ? AND lease_expires_at IS ?",
        job.status.as_str(),
        job.queue.as_str(),
        i64::from(job.priority.get()),
        serde_json::to_string(&job.progress).unwrap_or_else(|_| "{}".to_owned()),
        job.resume_state.as_ref().map(ToString::to_string),
        job.attempt,
        job.recoveries,
        job.recover_after,
        job.run_at,
        job.lease.as_ref().map(|lease| lease.worker.as_str()),
        job.lease.as_ref().map(|lease| lease.token.expose()),
        job.lease.as_ref().map(|lease| lease.expires_at),
        i64::from(job.lease.as_ref().is_some_and(|lease| lease.excused)),
        i64::try_from(job.lease_epoch).unwrap_or(i64::MAX),
        job.lease_losses,
        job.ended_lease.as_ref().map(|ended| ended.token.expose()),
        job.ended_lease.as_ref().map(ended_as),
        last_report(job),
        job.updated_at,
        job.started_at,
        job.finished_at,
        i64::try_from(millis_of(job.longest_silence)).unwrap_or(i64::MAX),
        job.queue.as_str(),
        job.status.as_str(),
        &guard.id,
        &guard.status,
        guard.lease_token.as_ref(),
        guard.lease_expires_at.as_ref(),
    )
    .run(conn)?;
    if changed == 1 {
        effects.counts.moved(guard.counted.clone(), Some(Place::now(job)));
    }
    Ok(changed == 1)
}

/// Overwrites an unreadable row with what could be salvaged and set aside, if its status still is the stored one. A row
/// that was over lives again by that, but without its unique key where another live job holds it by now.
pub(crate) fn overwrite(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    unreadable: &Unreadable,
) -> QueryResult<bool> {
    let job = &unreadable.salvage;
    let changed = prepared!(
        "UPDATE job SET queue = ?, command = ?, account_id = (SELECT id FROM account WHERE id = ?), \
         spawned_from = CASE WHEN ? THEN NULL ELSE spawned_from END, \
         unique_key = CASE WHEN ? OR EXISTS (SELECT 1 FROM job AS other WHERE other.unique_key = job.unique_key \
         AND other.id <> job.id AND other.status <> 'finished' AND other.status <> 'cancelled') THEN NULL ELSE unique_key END, \
         payload = ?, status = ?, priority = ?, progress = ?, resume_state = ?, attempt = ?, max_attempts = ?, \
         recoveries = ?, recover_after = NULL, run_at = ?, timeout_seconds = ?, worker_id = NULL, \
         lease_token = NULL, lease_expires_at = NULL, lease_excused = 0, lease_epoch = ?, lease_losses = ?, \
         ended_lease = NULL, ended_as = NULL, last_report = NULL, created_at = ?, updated_at = ?, started_at = ?, \
         finished_at = ?, longest_silence_ms = 0, counted_in = ?, counted_as = ? WHERE id = ? AND +status = ?",
        job.queue.as_str(),
        job.command.as_str(),
        job.account_id.as_ref().map(|id| id.as_str()),
        i64::from(unreadable.is_faulty("spawned_from")),
        i64::from(unreadable.is_faulty("unique_key")),
        job.payload.to_string(),
        job.status.as_str(),
        i64::from(job.priority.get()),
        serde_json::to_string(&job.progress).unwrap_or_else(|_| "{}".to_owned()),
        job.resume_state.as_ref().map(ToString::to_string),
        job.attempt,
        job.max_attempts,
        job.recoveries,
        job.run_at,
        timeout_seconds(job),
        i64::try_from(job.lease_epoch).unwrap_or(i64::MAX),
        job.lease_losses,
        job.created_at,
        job.updated_at,
        job.started_at,
        job.finished_at,
        job.queue.as_str(),
        job.status.as_str(),
        &unreadable.id,
        &unreadable.status,
    )
    .run(conn)?;
    if changed == 1 {
        effects.counts.moved(unreadable.counted.clone(), Some(Place::now(job)));
    }
    Ok(changed == 1)
}

fn timeout_seconds(job: &Job) -> Option<i64> {
    job.timeout.map(|timeout| i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX))
}
