//! Many finished jobs at once.

use std::path::Path;

use diesel::connection::SimpleConnection;
use diesel::{Connection, SqliteConnection};

use crate::BareError;

/// So many events each job has: it was created, claimed and reported.
pub const EVENTS_PER_JOB: u64 = 3;

/// So many jobs are written per transaction.
const PART: u64 = 50_000;

/// Writes so many finished jobs with their events into a Reclaimer database that nobody has open. Their ids sort before
/// any that is made now.
///
/// # Errors
/// When the file cannot be opened, or its tables are not as expected.
pub fn fill_finished(path: &Path, jobs: u64) -> Result<(), BareError> {
    fill(path, jobs, "finished", |from, to| {
        format!("{}; {}", finished_sql(from, to), finished_events_sql(from, to))
    })
}

/// Writes so many jobs that wait, with their events. They were due long ago, and so are taken before any other.
///
/// # Errors
/// When the file cannot be opened, or its tables are not as expected.
pub fn fill_waiting(path: &Path, jobs: u64) -> Result<(), BareError> {
    fill(path, jobs, "queued", |from, to| {
        format!("{}; {}", waiting_sql(from, to), waiting_events_sql(from, to))
    })
}

/// The id of a finished job by the number that [`fill_finished`] counts, from 0.
#[must_use]
pub fn finished_id(number: u64) -> String {
    format!("01AAAAAAAA{number:016}")
}

/// Writes part by part, and counts what it wrote as the store does.
fn fill(path: &Path, jobs: u64, status: &str, part: impl Fn(u64, u64) -> String) -> Result<(), BareError> {
    let mut conn = SqliteConnection::establish(&path.to_string_lossy())?;
    conn.batch_execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; PRAGMA cache_size = -200000;")?;
    let mut from = 0;
    while from < jobs {
        let to = (from + PART).min(jobs);
        conn.batch_execute(&format!(
            "BEGIN IMMEDIATE; {}; INSERT INTO job_count (queue, status, jobs) VALUES ('default', '{status}', {}) \
             ON CONFLICT DO UPDATE SET jobs = jobs + excluded.jobs; COMMIT;",
            part(from, to),
            to - from
        ))?;
        from = to;
    }
    conn.batch_execute("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA optimize;")?;
    Ok(())
}

fn numbers(from: u64, to: u64) -> String {
    format!(
        "WITH RECURSIVE numbers (n) AS (SELECT {from} UNION ALL SELECT n + 1 FROM numbers WHERE n + 1 < {to})"
    )
}

/// Any id of finished job `n`: twenty-six characters, as those that are made.
const ID: &str = "printf('01AAAAAAAA%016d', n)";
/// The same of one that waits.
const WAITING_ID: &str = "printf('01BBBBBBBB%016d', n)";
/// A second for each job, counted from a day long past.
const AT: &str = "strftime('%Y-%m-%d %H:%M:%S', 1735689600 + n, 'unixepoch') || '.000000'";

fn finished_sql(from: u64, to: u64) -> String {
    format!(
        "INSERT INTO job (id, queue, command, payload, status, progress, attempt, run_at, lease_epoch, ended_lease, \
         ended_as, created_at, updated_at, started_at, finished_at, counted_in, counted_as) {} \
         SELECT {ID}, 'default', 'BENCH', '{{\"n\":' || n || ',\"text\":\"' || hex(zeroblob(80)) || '\"}}', 'finished', \
         '{{\"message\":\"done\"}}', 1, {AT}, 1, printf('%032x', n), '{{\"worker\":\"bench\",\"became\":\"finished\"}}', \
         {AT}, {AT}, {AT}, {AT}, 'default', 'finished' FROM numbers",
        numbers(from, to)
    )
}

fn finished_events_sql(from: u64, to: u64) -> String {
    format!(
        "INSERT INTO job_event (job_id, at, kind, from_status, to_status, actor) {} \
         SELECT {ID}, {AT}, kind, before, after, actor FROM numbers, \
         (SELECT 'created' AS kind, NULL AS before, 'queued' AS after, 'producer' AS actor \
         UNION ALL SELECT 'claimed', 'queued', 'running', 'worker:bench' \
         UNION ALL SELECT 'finished', 'running', 'finished', 'worker:bench')",
        numbers(from, to)
    )
}

fn waiting_sql(from: u64, to: u64) -> String {
    format!(
        "INSERT INTO job (id, queue, command, payload, status, progress, run_at, created_at, updated_at, counted_in, \
         counted_as) {} \
         SELECT {WAITING_ID}, 'default', 'BENCH', '{{\"n\":' || n || ',\"text\":\"' || hex(zeroblob(80)) || '\"}}', 'queued', \
         '{{}}', {AT}, {AT}, {AT}, 'default', 'queued' FROM numbers",
        numbers(from, to)
    )
}

fn waiting_events_sql(from: u64, to: u64) -> String {
    format!(
        "INSERT INTO job_event (job_id, at, kind, from_status, to_status, actor) {} \
         SELECT {WAITING_ID}, {AT}, 'created', NULL, 'queued', 'producer' FROM numbers",
        numbers(from, to)
    )
}
