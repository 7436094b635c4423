//! Signs of life, and leases given back.

use chrono::{DateTime, Utc};
use diesel::sql_types::Text;
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{Lease, LeaseToken};
use reclaimer_domain::name::WorkerId;
use reclaimer_domain::ports::{Evidence, Hold, Release, Released, Renew, Renewed};

use super::effects::Effects;
use super::job_table::Loaded;
use super::statement::prepared;
use super::{event_table, job_table};

/// The most jobs that one worker is taken to hold.
const MOST_HELD: u32 = 10_000;

/// Renews leases.
pub(super) fn renew(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    order: &Renew,
) -> QueryResult<Renewed> {
    let Renew { leases, named, lease_for, now } = order;
    let (named, lease_for, now) = (*named, *lease_for, *now);
    let mut answer = Renewed::default();
    for token in leases {
        let Some(Ok(Loaded { mut job, guard })) = job_table::find_by_lease(conn, token)? else {
            match cancelled(conn, token)? {
                Some(job) => answer.cancelled.push((job, token.clone())),
                None => answer.lost.push(token.clone()),
            }
            continue;
        };
        job.renew(lease_for, named, now);
        match (job_table::update(conn, effects, &guard, &job)?, job.lease) {
            (true, Some(lease)) => answer.renewed.push((job.id, lease)),
            (true, None) | (false, _) => answer.lost.push(token.clone()),
        }
    }
    Ok(answer)
}

/// The jobs that a worker holds.
pub(super) fn held_by(conn: &mut SqliteConnection, worker: &WorkerId) -> QueryResult<Vec<(JobId, Lease)>> {
    let rows: Vec<(String,)> = prepared!(
        "SELECT id FROM job INDEXED BY job_running WHERE status = 'running' AND worker_id = ? ORDER BY id LIMIT +?",
        worker.as_str(),
        MOST_HELD
    )
    .rows::<(Text,)>()
    .all(conn)?;
    let mut held = Vec::with_capacity(rows.len());
    for (id,) in rows {
        if let Some(Ok(Loaded { job, .. })) = job_table::find(conn, &id)?
            && let Some(lease) = job.lease
        {
            held.push((job.id, lease));
        }
    }
    Ok(held)
}

/// Sets when leases end whose worker cannot be heard.
pub(super) fn hold(conn: &mut SqliteConnection, effects: &mut Effects, order: Hold) -> QueryResult<u32> {
    let Hold { leases, until, excused } = order;
    let mut held = 0;
    for token in leases {
        let Some(Ok(Loaded { mut job, guard })) = job_table::find_by_lease(conn, &token)? else { continue };
        job.hold_lease(until, excused);
        held += u32::from(job_table::update(conn, effects, &guard, &job)?);
    }
    Ok(held)
}

/// Notes that a queued job was to be started and its worker was away.
pub(super) fn note_pending_start(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    id: &JobId,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let Some(Ok(Loaded { mut job, guard })) = job_table::find(conn, id.as_str())? else { return Ok(false) };
    Ok(job.note_pending_start(now) && job_table::update(conn, effects, &guard, &job)?)
}

/// Adds evidence to a job's history.
pub(super) fn testify(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    evidence: Evidence,
) -> QueryResult<bool> {
    let Some(Ok(Loaded { job, .. })) = job_table::find(conn, evidence.job.as_str())? else {
        return Ok(false);
    };
    event_table::append(conn, effects, &job, job.evidence(evidence))?;
    Ok(true)
}

/// Takes leases back unworked.
pub(super) fn release(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    order: Release,
) -> QueryResult<Released> {
    let Release { leases, reason, delay, now } = order;
    let mut answer = Released::default();
    for token in leases {
        let Some(Ok(Loaded { mut job, guard })) = job_table::find_by_lease(conn, &token)? else {
            answer.lost.push(token);
            continue;
        };
        let Ok(entry) = job.give_back(reason.clone(), delay, now) else {
            answer.lost.push(token);
            continue;
        };
        if job_table::update(conn, effects, &guard, &job)? {
            event_table::append(conn, effects, &job, entry)?;
            effects.now_waits(&job);
            answer.released.push((job.id, token));
        } else {
            answer.lost.push(token);
        }
    }
    Ok(answer)
}

/// The job that was cancelled while this lease held it.
fn cancelled(conn: &mut SqliteConnection, token: &LeaseToken) -> QueryResult<Option<JobId>> {
    let found: Option<(String,)> = prepared!(
        "SELECT id FROM job WHERE ended_lease = ? AND status = 'cancelled' AND ended_lease IS NOT NULL",
        token.expose()
    )
    .rows::<(Text,)>()
    .first(conn)?;
    Ok(found.and_then(|(id,)| id.parse().ok()))
}

/// Gives every running job's lease until `until` at least, and excuses its loss.
pub(super) fn grant_grace(conn: &mut SqliteConnection, until: DateTime<Utc>) -> QueryResult<u32> {
    let changed = prepared!(
        "UPDATE job SET lease_expires_at = ?, lease_excused = 1 WHERE status = 'running' AND lease_expires_at < ?",
        until,
        until
    )
    .run(conn)?;
    Ok(u32::try_from(changed).unwrap_or(u32::MAX))
}

/// Shifts what is known of every running job by a jump of the clock, so that nobody seems to have been silent for its
/// length. After a jump forward, which a sleeping machine makes as well, losing the lease is excused.
pub(super) fn shift(conn: &mut SqliteConnection, by: chrono::Duration) -> QueryResult<u32> {
    let millis = by.num_milliseconds();
    let sign = if millis < 0 { '-' } else { '+' };
    let seconds = format!("{sign}{}.{:03} seconds", millis.abs() / 1_000, millis.abs() % 1_000);
    let changed = prepared!(
        "UPDATE job SET lease_expires_at = strftime('%Y-%m-%d %H:%M:%f', lease_expires_at, ?) || '000', \
         updated_at = strftime('%Y-%m-%d %H:%M:%f', updated_at, ?) || '000', \
         started_at = strftime('%Y-%m-%d %H:%M:%f', started_at, ?) || '000', \
         lease_excused = max(lease_excused, ?) WHERE status = 'running' AND lease_expires_at IS NOT NULL",
        &seconds,
        &seconds,
        &seconds,
        i64::from(millis > 0),
    )
    .run(conn)?;
    Ok(u32::try_from(changed).unwrap_or(u32::MAX))
}
