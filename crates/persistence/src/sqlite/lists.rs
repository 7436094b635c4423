//! Lists: jobs by filter, and queues with their counts.

use std::collections::BTreeMap;
use std::marker::PhantomData;

use diesel::sql_types::{BigInt, Text};
use diesel::{QueryResult, RunQueryDsl, SqliteConnection};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Status;
use reclaimer_domain::name::QueueName;
use reclaimer_domain::ports::{JobFilter, JobRead, Page, QueueState};

use super::counts::{self, Place};
use super::due;
use super::job_table::{Found, Loaded, load};
use super::rare::rare;
use super::row::{Row, RowSql, job_columns};
use super::statement::{Bind, Dynamic, prepared};

/// Jobs of a filter in the order of their ids, from beyond the cursor.
pub(super) fn filtered(
    conn: &mut SqliteConnection,
    filter: &JobFilter,
    cursor: Option<&JobId>,
    limit: u32,
    newest_first: bool,
) -> QueryResult<Vec<Found>> {
    let (wanted, mut binds) = wanted(filter);
    let mut sql = format!(concat!("SELECT ", job_columns!(), " FROM job WHERE {wanted}"), wanted = wanted);
    let (beyond, order) = if newest_first { ("<", "DESC") } else { (">", "ASC") };
    if let Some(cursor) = cursor {
        sql.push_str(&format!(" AND id {beyond} ?"));
        binds.push(cursor.as_str().into());
    }
    sql.push_str(&format!(" ORDER BY id {order} LIMIT +?"));
    binds.push(limit.into());
    let rows: Vec<Row> = Dynamic::<RowSql> { sql, binds, rows: PhantomData }.load(conn)?;
    Ok(rows.into_iter().map(load).collect())
}

/// How many jobs of a filter there are of each status, as stored.
pub(super) fn counted(conn: &mut SqliteConnection, filter: &JobFilter) -> QueryResult<Vec<(String, u64)>> {
    let (wanted, binds) = wanted(filter);
    let sql = format!("SELECT status, count(*) FROM job WHERE {wanted} GROUP BY status ORDER BY status");
    let counts: Vec<(String, i64)> =
        Dynamic::<(Text, BigInt)> { sql, binds, rows: PhantomData }.load(conn)?;
    Ok(counts.into_iter().map(|(status, count)| (status, count.unsigned_abs())).collect())
}

/// A filter as a condition, and what it binds.
fn wanted(filter: &JobFilter) -> (String, Vec<Bind<'_>>) {
    let mut sql = "1 = 1".to_owned();
    let mut binds: Vec<Bind<'_>> = Vec::new();
    if !filter.status.is_empty() {
        let marks = vec!["?"; filter.status.len()].join(", ");
        sql.push_str(&format!(" AND status IN ({marks})"));
        binds.extend(filter.status.iter().map(|status| Bind::from(status.as_str())));
    }
    let equals = [
        ("queue", filter.queue.as_ref().map(|name| name.as_str())),
        ("command", filter.command.as_ref().map(|name| name.as_str())),
        ("account_id", filter.account_id.as_ref().map(|name| name.as_str())),
        ("full_path", filter.full_path.as_deref()),
        ("worker_id", filter.worker_id.as_ref().map(|name| name.as_str())),
    ];
    for (column, wanted) in equals {
        if let Some(wanted) = wanted {
            sql.push_str(&format!(" AND {column} = ?"));
            binds.push(wanted.into());
        }
    }
    (sql, binds)
}

/// A page of jobs, newest first.
pub(super) fn page(
    conn: &mut SqliteConnection,
    filter: &JobFilter,
    cursor: Option<&JobId>,
    limit: u32,
) -> QueryResult<Page<JobRead, JobId>> {
    let mut found = filtered(conn, filter, cursor, limit.saturating_add(1), true)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    found.truncate(limit);
    let last = found.iter().rev().find_map(|last| match last {
        Ok(Loaded { job, .. }) => Some(job.id.clone()),
        Err(broken) => broken.id.parse().ok(),
    });
    let items = found.into_iter().map(read).collect();
    Ok(Page { items, next: last.filter(|_| more) })
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
    let mut queues: BTreeMap<String, (bool, BTreeMap<Status, u64>)> = BTreeMap::new();
    for (Place { queue, status }, count) in counts.into_iter().filter(|(_, count)| *count > 0) {
        let (_, jobs) = queues.entry(queue).or_default();
        if let Ok(status) = status.parse() {
            jobs.insert(status, count.unsigned_abs());
        }
    }
    let paused: Vec<(String,)> =
        prepared!("SELECT name FROM queue WHERE paused <> 0").rows::<(Text,)>().all(conn)?;
    for (queue,) in paused {
        queues.entry(queue).or_default().0 = true;
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
