//! Handing out jobs.

use chrono::{DateTime, Utc};
use diesel::sql_types::{Nullable, Text};
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::history::Actor;
use reclaimer_domain::job::Job;
use reclaimer_domain::name::{Command, QueueName};
use reclaimer_domain::ports::{Arrival, Claim, Claimed, Flow};

use super::effects::Effects;
use super::job_table::{Found, Loaded, load};
use super::row::{Row, RowSql, job_columns};
use super::set_aside::set_aside;
use super::stamp::read_stamp;
use super::statement::prepared;
use super::{event_table, job_table};

/// Leases up to as many jobs as there are tokens. Rows that cannot be read are set aside on the way, and make room
/// for the next.
pub(super) fn claim(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    claim: Claim,
) -> QueryResult<Claimed> {
    let Claim { worker, queue, command, tokens, lease_for, now } = claim;
    let mut tokens = tokens.into_iter();
    let mut jobs = Vec::with_capacity(tokens.len());
    while tokens.len() > 0 {
        let due = due(conn, queue.as_ref(), command.as_ref(), tokens.len(), now)?;
        let mut broken = false;
        for found in due {
            match found {
                Ok(Loaded { mut job, guard }) => {
                    let Some(token) = tokens.next() else { break };
                    if let Ok(entry) = job.claim(&worker, token, lease_for, now)
                        && job_table::update(conn, &guard, &job)?
                    {
                        event_table::append(conn, job.id.as_str(), &entry)?;
                        effects.count(Flow { claims: 1, ..Flow::default() }, now);
                        jobs.push(job);
                    }
                }
                Err(mut unreadable) => broken |= set_aside(conn, &mut unreadable, Actor::System, now)?,
            }
        }
        if !broken {
            break;
        }
    }
    let next_due =
        if jobs.is_empty() { next_due(conn, queue.as_ref(), command.as_ref(), now)? } else { None };
    Ok(Claimed { jobs, next_due })
}

/// The jobs a claim would get.
pub(super) fn peek(
    conn: &mut SqliteConnection,
    queue: Option<&QueueName>,
    command: Option<&Command>,
    limit: u32,
    now: DateTime<Utc>,
) -> QueryResult<Vec<Job>> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut wanted = limit;
    loop {
        let found = due(conn, queue, command, wanted, now)?;
        let all = found.len() < wanted;
        let mut jobs: Vec<Job> = found.into_iter().filter_map(Result::ok).map(|loaded| loaded.job).collect();
        // Rows that cannot be read take up room in what was asked for.
        if all || jobs.len() >= limit || wanted >= limit.saturating_mul(16) {
            jobs.truncate(limit);
            return Ok(jobs);
        }
        wanted = wanted.saturating_mul(2);
    }
}

/// Queued jobs whose moment has come, in the order in which they are handed out.
fn due(
    conn: &mut SqliteConnection,
    queue: Option<&QueueName>,
    command: Option<&Command>,
    limit: usize,
    now: DateTime<Utc>,
) -> QueryResult<Vec<Found>> {
    let command = command.map(Command::as_str);
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let rows: Vec<Row> = match queue {
        Some(queue) => prepared!(
            concat!(
                "SELECT ",
                job_columns!(),
                " FROM job WHERE status = 'queued' AND queue = ? AND run_at <= ? \
                 AND (? IS NULL OR command = ?) \
                 AND NOT EXISTS (SELECT 1 FROM queue WHERE queue.name = job.queue AND queue.paused <> 0) \
                 ORDER BY priority, run_at, id LIMIT ?"
            ),
            queue.as_str(),
            now,
            command,
            command,
            limit,
        )
        .rows::<RowSql>()
        .all(conn)?,
        None => prepared!(
            concat!(
                "SELECT ",
                job_columns!(),
                " FROM job WHERE status = 'queued' AND run_at <= ? AND (? IS NULL OR command = ?) \
                 AND NOT EXISTS (SELECT 1 FROM queue WHERE queue.name = job.queue AND queue.paused <> 0) \
                 ORDER BY priority, run_at, id LIMIT ?"
            ),
            now,
            command,
            command,
            limit,
        )
        .rows::<RowSql>()
        .all(conn)?,
    };
    Ok(rows.into_iter().map(load).collect())
}

/// The most arrivals that a queue's resumption makes: as many as workers may wait for.
const MOST_ARRIVALS: i64 = 1_000;

/// What waits in a queue: due jobs, and of each command the next that falls due.
pub(super) fn waiting(
    conn: &mut SqliteConnection,
    queue: &QueueName,
    now: DateTime<Utc>,
) -> QueryResult<Vec<Arrival>> {
    let mut found: Vec<(String, String)> = prepared!(
        "SELECT command, run_at FROM job WHERE status = 'queued' AND queue = ? AND run_at <= ? \
         ORDER BY priority, run_at, id LIMIT ?",
        queue.as_str(),
        now,
        MOST_ARRIVALS
    )
    .rows::<(Text, Text)>()
    .all(conn)?;
    let later: Vec<(String, String)> = prepared!(
        "SELECT command, min(run_at) FROM job WHERE status = 'queued' AND queue = ? AND run_at > ? GROUP BY command",
        queue.as_str(),
        now,
    )
    .rows::<(Text, Text)>()
    .all(conn)?;
    found.extend(later);
    let arrival = |(command, run_at): (String, String)| {
        Some(Arrival { queue: queue.clone(), command: command.parse().ok()?, run_at: read_stamp(&run_at)? })
    };
    Ok(found.into_iter().filter_map(arrival).collect())
}

/// When the next job that waits for its moment falls due.
fn next_due(
    conn: &mut SqliteConnection,
    queue: Option<&QueueName>,
    command: Option<&Command>,
    now: DateTime<Utc>,
) -> QueryResult<Option<DateTime<Utc>>> {
    let queue = queue.map(QueueName::as_str);
    let command = command.map(Command::as_str);
    let found: Option<(Option<String>,)> = prepared!(
        "SELECT min(run_at) FROM job WHERE status = 'queued' AND run_at > ? AND (? IS NULL OR queue = ?) \
         AND (? IS NULL OR command = ?) \
         AND NOT EXISTS (SELECT 1 FROM queue WHERE queue.name = job.queue AND queue.paused <> 0)",
        now,
        queue,
        queue,
        command,
        command,
    )
    .rows::<(Nullable<Text>,)>()
    .first(conn)?;
    Ok(found.and_then(|(at,)| read_stamp(&at?)))
}
