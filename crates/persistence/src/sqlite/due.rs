//! Which queued jobs are due, in the order in which they are handed out.
//!
//! Jobs wait in streams: one per queue, or one per command where a claim names commands. Within a stream each priority
//! is looked at on its own, so that the index leads straight to what is due, however many jobs wait for a later moment.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Status;
use reclaimer_domain::name::{Command, QueueName};

use super::job_table::{self, Found, Loaded, load};
use super::row::{Row, RowSql, job_columns};
use super::stamp::read_stamp;
use super::statement::prepared;

/// Which jobs are wanted.
#[derive(Debug, Clone, Copy)]
pub(super) struct Wanted<'a> {
    pub(super) queue: Option<&'a QueueName>,
    /// Any of these; empty = any.
    pub(super) commands: &'a [Command],
    pub(super) only: Option<&'a JobId>,
}

/// Where jobs wait.
#[derive(Debug)]
enum Stream {
    Queue(String),
    /// Of one queue, or of every queue that is not paused.
    Command {
        command: String,
        queue: Option<String>,
    },
}

impl Stream {
    /// The next priority after this one at which jobs wait.
    fn next_priority(&self, conn: &mut SqliteConnection, after: i64) -> QueryResult<Option<i64>> {
        let found: Option<(Option<i64>,)> = match self {
            Self::Queue(queue) => prepared!(
                "SELECT min(priority) FROM job WHERE status = 'queued' AND queue = ? AND priority > ?",
                queue,
                after
            )
            .rows::<(Nullable<BigInt>,)>()
            .first(conn)?,
            Self::Command { command, .. } => prepared!(
                "SELECT min(priority) FROM job WHERE status = 'queued' AND command = ? AND priority > ?",
                command,
                after
            )
            .rows::<(Nullable<BigInt>,)>()
            .first(conn)?,
        };
        Ok(found.and_then(|(priority,)| priority))
    }

    fn due(
        &self,
        conn: &mut SqliteConnection,
        priority: i64,
        now: DateTime<Utc>,
        limit: i64,
    ) -> QueryResult<Vec<Row>> {
        match self {
            Self::Queue(queue) => prepared!(
                concat!(
                    "SELECT ",
                    job_columns!(),
                    " FROM job WHERE status = 'queued' AND queue = ? AND priority = ? AND run_at <= ? \
                     ORDER BY run_at, id LIMIT +?"
                ),
                queue,
                priority,
                now,
                limit,
            )
            .rows::<RowSql>()
            .all(conn),
            Self::Command { command, queue: Some(queue) } => prepared!(
                concat!(
                    "SELECT ",
                    job_columns!(),
                    " FROM job WHERE status = 'queued' AND command = ? AND priority = ? AND run_at <= ? \
                     AND queue = ? ORDER BY run_at, id LIMIT +?"
                ),
                command,
                priority,
                now,
                queue,
                limit,
            )
            .rows::<RowSql>()
            .all(conn),
            Self::Command { command, queue: None } => prepared!(
                concat!(
                    "SELECT ",
                    job_columns!(),
                    " FROM job WHERE status = 'queued' AND command = ? AND priority = ? AND run_at <= ? \
                     AND queue NOT IN (SELECT name FROM queue WHERE paused <> 0) ORDER BY run_at, id LIMIT +?"
                ),
                command,
                priority,
                now,
                limit,
            )
            .rows::<RowSql>()
            .all(conn),
        }
    }

    fn next_due(
        &self,
        conn: &mut SqliteConnection,
        priority: i64,
        now: DateTime<Utc>,
    ) -> QueryResult<Option<DateTime<Utc>>> {
        let found: Option<(Option<String>,)> = match self {
            Self::Queue(queue) => prepared!(
                "SELECT min(run_at) FROM job WHERE status = 'queued' AND queue = ? AND priority = ? AND run_at > ?",
                queue,
                priority,
                now,
            )
            .rows::<(Nullable<Text>,)>()
            .first(conn)?,
            Self::Command { command, queue } => {
                let queue = queue.as_ref();
                prepared!(
                    "SELECT min(run_at) FROM job WHERE status = 'queued' AND command = ? AND priority = ? \
                     AND run_at > ? AND (? IS NULL OR queue = ?) \
                     AND queue NOT IN (SELECT name FROM queue WHERE paused <> 0)",
                    command,
                    priority,
                    now,
                    queue,
                    queue,
                )
                .rows::<(Nullable<Text>,)>()
                .first(conn)?
            }
        };
        Ok(found.and_then(|(at,)| read_stamp(&at?)))
    }
}

/// The streams in which what is wanted waits; none where its queue is paused.
fn streams(conn: &mut SqliteConnection, wanted: &Wanted<'_>) -> QueryResult<Vec<Stream>> {
    let queue = wanted.queue.map(ToString::to_string);
    let paused: Vec<(String,)> =
        prepared!("SELECT name FROM queue WHERE paused <> 0").rows::<(Text,)>().all(conn)?;
    let is_paused = |queue: &String| paused.iter().any(|(name,)| name == queue);
    if queue.as_ref().is_some_and(is_paused) {
        return Ok(Vec::new());
    }
    if !wanted.commands.is_empty() {
        let stream =
            |command: &Command| Stream::Command { command: command.to_string(), queue: queue.clone() };
        return Ok(wanted.commands.iter().map(stream).collect());
    }
    let queues = match queue {
        Some(queue) => vec![queue],
        None => queues(conn)?,
    };
    Ok(queues.into_iter().filter(|queue| !is_paused(queue)).map(Stream::Queue).collect())
}

/// The queues in which jobs wait: one step down the index for each.
fn queues(conn: &mut SqliteConnection) -> QueryResult<Vec<String>> {
    let mut queues: Vec<String> = Vec::new();
    loop {
        let after = queues.last().map_or("", String::as_str);
        let next: Option<(Option<String>,)> =
            prepared!("SELECT min(queue) FROM job WHERE status = 'queued' AND queue > ?", after)
                .rows::<(Nullable<Text>,)>()
                .first(conn)?;
        match next.and_then(|(queue,)| queue) {
            Some(queue) => queues.push(queue),
            None => return Ok(queues),
        }
    }
}

/// Beyond every priority.
const BEFORE_ALL: i64 = i64::MIN;

/// Queued jobs whose moment has come, in the order in which they are handed out.
pub(super) fn due(
    conn: &mut SqliteConnection,
    wanted: &Wanted<'_>,
    limit: usize,
    now: DateTime<Utc>,
) -> QueryResult<Vec<Found>> {
    if let Some(id) = wanted.only {
        return only(conn, id, wanted, now);
    }
    let streams = streams(conn, wanted)?;
    let mut heads = Vec::with_capacity(streams.len());
    for stream in &streams {
        heads.push(stream.next_priority(conn, BEFORE_ALL)?);
    }
    let mut found: Vec<Row> = Vec::new();
    while let Some(priority) = heads.iter().flatten().min().copied() {
        let room = limit - found.len();
        let mut level = Vec::new();
        for (stream, head) in streams.iter().zip(&mut heads).filter(|(_, head)| **head == Some(priority)) {
            level.extend(stream.due(conn, priority, now, i64::try_from(room).unwrap_or(i64::MAX))?);
            *head = if level.len() < room { stream.next_priority(conn, priority)? } else { None };
        }
        if streams.len() > 1 {
            // By run_at, then by id, as each stream is.
            level.sort_by(|one, other| (&one.1.4, &one.0.0).cmp(&(&other.1.4, &other.0.0)));
        }
        level.truncate(room);
        found.append(&mut level);
        if found.len() >= limit {
            break;
        }
    }
    Ok(found.into_iter().map(load).collect())
}

/// One job, if it is due.
fn only(
    conn: &mut SqliteConnection,
    id: &JobId,
    wanted: &Wanted<'_>,
    now: DateTime<Utc>,
) -> QueryResult<Vec<Found>> {
    let found = job_table::find(conn, id.as_str())?;
    let Some(Ok(Loaded { job, .. })) = &found else { return Ok(Vec::new()) };
    let suits = job.status == Status::Queued
        && job.run_at <= now
        && wanted.queue.is_none_or(|queue| *queue == job.queue)
        && (wanted.commands.is_empty() || wanted.commands.contains(&job.command));
    let queue = job.queue.clone();
    if !suits || streams(conn, &Wanted { queue: Some(&queue), commands: &[], only: None })?.is_empty() {
        return Ok(Vec::new());
    }
    Ok(found.into_iter().collect())
}

/// The earliest moment from which on a job of a queue waits.
pub(super) fn oldest(conn: &mut SqliteConnection, queue: &QueueName) -> QueryResult<Option<DateTime<Utc>>> {
    let stream = Stream::Queue(queue.to_string());
    let (mut earliest, mut priority) = (None, BEFORE_ALL);
    while let Some(next) = stream.next_priority(conn, priority)? {
        priority = next;
        let found: Option<(Option<String>,)> = prepared!(
            "SELECT min(run_at) FROM job WHERE status = 'queued' AND queue = ? AND priority = ?",
            queue.as_str(),
            priority,
        )
        .rows::<(Nullable<Text>,)>()
        .first(conn)?;
        let at = found.and_then(|(at,)| read_stamp(&at?));
        earliest = [earliest, at].into_iter().flatten().min();
    }
    Ok(earliest)
}

/// When the next job that waits for its moment falls due.
pub(super) fn next_due(
    conn: &mut SqliteConnection,
    wanted: &Wanted<'_>,
    now: DateTime<Utc>,
) -> QueryResult<Option<DateTime<Utc>>> {
    if wanted.only.is_some() {
        return Ok(None);
    }
    let mut earliest: Option<DateTime<Utc>> = None;
    for stream in streams(conn, wanted)? {
        let mut priority = BEFORE_ALL;
        while let Some(next) = stream.next_priority(conn, priority)? {
            priority = next;
            let due = stream.next_due(conn, priority, now)?;
            earliest = [earliest, due].into_iter().flatten().min();
        }
    }
    Ok(earliest)
}
