//! The `recovery_change` table: what recovery changed of a job last, and putting it back.

use chrono::{DateTime, Utc};
use diesel::sql_types::Text;
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::id::{JobId, RunId};
use reclaimer_domain::job::{NotUndone, Status};
use reclaimer_domain::ports::{Undo, Undone};

use super::effects::Effects;
use super::job_table::{self, Found, Loaded, load};
use super::row::{Row, RowSql, Unreadable};
use super::stamp::read_stamp;
use super::statement::prepared;
use super::{event_table, recovery};

/// Keeps what is about to be changed of jobs, in the place of what was kept before.
pub(super) fn keep(
    conn: &mut SqliteConnection,
    run: &RunId,
    jobs: &[&JobId],
    now: DateTime<Utc>,
) -> QueryResult<()> {
    prepared!(
        "INSERT OR REPLACE INTO recovery_change SELECT id, ?, ?, queue, status, priority, progress, attempt, recoveries, \
         recover_after, run_at, worker_id, lease_token, lease_expires_at, lease_excused, lease_epoch, lease_losses, \
         updated_at, finished_at FROM job WHERE id IN (SELECT value FROM json_each(?))",
        run.as_str(),
        now,
        job_table::listed(jobs),
    )
    .run(conn)
    .map(drop)
}

/// Puts back what a run changed.
pub(super) fn undo(conn: &mut SqliteConnection, effects: &mut Effects, order: &Undo) -> QueryResult<Undone> {
    let mut answer = Undone::default();
    let changed: Vec<(String, String)> = prepared!(
        "SELECT job_id, at FROM recovery_change WHERE run_id = ? ORDER BY job_id",
        order.run.as_str()
    )
    .rows::<(Text, Text)>()
    .all(conn)?;
    for (id, at) in &changed {
        let Ok(job) = id.parse::<JobId>() else { continue };
        match undo_one(conn, effects, order, &job, read_stamp(at).unwrap_or_default())? {
            Ok(status) => answer.undone.push((job, status)),
            Err(why) => answer.left.push((job, why)),
        }
    }
    // A job that a later run took up, or that was put back already, is on no record of this run any more.
    let named = |job: &JobId| changed.iter().any(|(id, _)| id == job.as_str());
    for job in recovery::changed_by(conn, &order.run)?.into_iter().filter(|job| !named(job)) {
        match job_table::find(conn, job.as_str())? {
            None => {}
            Some(Ok(Loaded { job: found, .. })) => answer.left.push((job, NotUndone::Changed(found.status))),
            Some(Err(broken)) => answer.left.push((job, NotUndone::Broken(broken.reason()))),
        }
    }
    Ok(answer)
}

fn undo_one(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    order: &Undo,
    id: &JobId,
    recovered_at: DateTime<Utc>,
) -> QueryResult<Result<Status, NotUndone>> {
    let unreadable = |broken: Box<Unreadable>| Ok(Err(NotUndone::Broken(broken.reason())));
    let (Some(found), Some(before)) = (job_table::find(conn, id.as_str())?, before(conn, id)?) else {
        return Ok(Err(NotUndone::Broken("it is gone".to_owned())));
    };
    let (Loaded { mut job, guard }, before) = match (found, before) {
        (Ok(found), Ok(before)) => (found, before.job),
        (Err(broken), _) | (_, Err(broken)) => return unreadable(broken),
    };
    let entry = match job.undo_recovery(
        before,
        recovered_at,
        &order.run,
        order.grace,
        order.actor.clone(),
        order.now,
    ) {
        Ok(entry) => entry,
        Err(why) => return Ok(Err(why)),
    };
    if !order.dry_run {
        if !job_table::update(conn, effects, &guard, &job)? {
            return Ok(Err(NotUndone::Changed(job.status)));
        }
        event_table::append(conn, effects, &job, entry)?;
        prepared!("DELETE FROM recovery_change WHERE job_id = ?", id.as_str()).run(conn)?;
    }
    Ok(Ok(job.status))
}

/// A job as it was before recovery changed it last.
fn before(conn: &mut SqliteConnection, id: &JobId) -> QueryResult<Option<Found>> {
    let row: Option<Row> = prepared!(
        "SELECT j.id, c.queue, j.command, j.full_path, j.account_id, j.spawned_from, j.payload, c.status, \
         c.priority, c.progress, j.resume_state, c.attempt, j.max_attempts, c.recoveries, c.recover_after, \
         c.run_at, j.timeout_seconds, j.unique_key, c.worker_id, c.lease_token, c.lease_expires_at, \
         c.lease_excused, c.lease_epoch, c.lease_losses, j.ended_lease, j.ended_as, j.last_report, j.created_at, \
         c.updated_at, j.started_at, c.finished_at, j.longest_silence_ms, j.counted_in, j.counted_as \
         FROM recovery_change AS c JOIN job AS j ON j.id = c.job_id WHERE c.job_id = ?",
        id.as_str()
    )
    .rows::<RowSql>()
    .first(conn)?;
    Ok(row.map(load))
}
