//! Lists: jobs by filter, and queues with their counts.

use std::collections::BTreeMap;
use std::sync::Arc;

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Status;
use reclaimer_domain::name::QueueName;
use reclaimer_domain::ports::{JobFilter, JobRead, Page, QueueState};

use super::counts::{self, Place};
use super::due;
use super::job_table::{Found, Loaded};
use super::rare::rare;
use super::search;
use super::statement::prepared;

/// A page of jobs, newest first.
pub(super) fn page(
    conn: &mut SqliteConnection,
    filter: &JobFilter,
    cursor: Option<&JobId>,
    limit: u32,
) -> QueryResult<Page<JobRead, JobId>> {
    let from = search::From { newest_first: true, cursor: cursor.map(JobId::as_str) };
    let search::Rows { found, next } = search::rows(conn, filter, from, limit)?;
    Ok(Page { items: found.into_iter().map(read).collect(), next: search::cursor(next) })
}

/// A row for reading.
pub(super) fn read(found: Found) -> JobRead {
    match found {
        Ok(Loaded { job, .. }) => JobRead::Whole(Box::new(job)),
        Err(unreadable) => JobRead::Broken(unreadable.broken()),
    }
}

/// Every queue that has jobs or was paused, and whether other programs wrote some of the jobs.
pub(super) fn queues(conn: &mut SqliteConnection) -> QueryResult<(Vec<QueueState>, bool)> {
    let (counts, foreign) = counts::read(conn)?;
    let mut queues: BTreeMap<Arc<str>, (bool, BTreeMap<Status, u64>)> = BTreeMap::new();
    for (Place { queue, status }, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        let (_, jobs) = queues.entry(queue).or_default();
        if let Ok(status) = status.parse() {
            jobs.insert(status, count.unsigned_abs());
        }
    }
    let paused: Vec<(String,)> =
        prepared!("SELECT name FROM queue WHERE paused <> 0").rows::<(Text,)>().all(conn)?;
    for (queue,) in paused {
        queues.entry(queue.into()).or_default().0 = true;
    }
    let mut states = Vec::with_capacity(queues.len());
    for (queue, (paused, jobs)) in queues {
        let Ok(name) = queue.parse::<QueueName>() else { continue };
        let oldest_queued = if jobs.contains_key(&Status::Queued) { due::oldest(conn, &name)? } else { None };
        states.push(QueueState { name, paused, jobs: jobs.into_iter().collect(), oldest_queued });
    }
    Ok((states, foreign))
}

/// Whether there is such a job.
pub(super) fn exists(conn: &mut SqliteConnection, id: &JobId) -> QueryResult<bool> {
    let found: Option<(i64,)> =
        prepared!("SELECT 1 FROM job WHERE id = ?", id.as_str()).rows::<(BigInt,)>().first(conn)?;
    Ok(found.is_some())
}

/// Queued jobs whose `progress` says that they wait to be started. The words are those that the domain writes.
pub(super) fn pending_starts(
    conn: &mut SqliteConnection,
    limit: u32,
) -> QueryResult<Vec<(JobId, QueueName)>> {
    let rows: Vec<(String, String)> = prepared!(
        concat!(
            "SELECT id, queue FROM job INDEXED BY job_rare WHERE ",
            rare!(),
            " AND status = 'queued' AND instr(progress, '\"pendingStart\":true') > 0 ORDER BY id LIMIT +?"
        ),
        limit
    )
    .rows::<(Text, Text)>()
    .all(conn)?;
    Ok(rows.into_iter().filter_map(|(id, queue)| Some((id.parse().ok()?, queue.parse().ok()?))).collect())
}
