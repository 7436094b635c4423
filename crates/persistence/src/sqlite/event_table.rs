//! The `job_event` table: history, append-only.

use chrono::{DateTime, Utc};
use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::history::{EventKind, HistoryEntry, JobEvent};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Job;
use reclaimer_domain::name::RuleName;
use reclaimer_domain::ports::{HistoryPage, Page, Recorded};
use serde_json::Value;

use super::effects::Effects;
use super::many::{self, OverRows};
use super::stamp::read_stamp;
use super::statement::{Bind, prepared};

/// The most events of one job that are looked through when something is explained by its history.
const LOOKED_THROUGH: u32 = 200;

type Maybe = Nullable<Text>;
type RowSql = (BigInt, Text, Text, Text, Maybe, Maybe, Text, Maybe, Maybe, Maybe);
type Row = (
    i64,
    String,
    String,
    String,
    Option<String>,
    Option<String>,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
);

/// What never changes of a job; nothing of one that somebody removed by hand.
type OfJobSql = (Maybe, Maybe, Maybe, Nullable<BigInt>);
type OfJob = (Option<String>, Option<String>, Option<String>, Option<i64>);

macro_rules! event_columns {
    () => {
        "id, job_id, at, kind, from_status, to_status, actor, rule, reason, detail"
    };
}

/// Appends events.
struct Append;

impl OverRows for Append {
    const BEFORE: &'static str = concat!("INSERT INTO job_event (", event_columns!(), ") VALUES ");
    const AFTER: &'static str = "";
}

/// Appends an event of a job, which is as the event left it.
pub(crate) fn append(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    job: &Job,
    entry: HistoryEntry,
) -> QueryResult<()> {
    append_under(conn, effects, job.id.as_str(), job, entry)
}

/// Appends an event of a job whose row may bear a name that is none.
pub(crate) fn append_under(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    stored_id: &str,
    job: &Job,
    entry: HistoryEntry,
) -> QueryResult<()> {
    let id = next_id(conn, effects)?;
    many::run::<Append, _>(conn, &[cells(id, stored_id, &entry)])?;
    effects.happened(id, job, entry);
    Ok(())
}

fn next_id(conn: &mut SqliteConnection, effects: &Effects) -> QueryResult<i64> {
    Ok(match effects.last_event() {
        Some(last) => last + 1,
        // Whoever appends holds the database's one lock for writing: nobody else appends meanwhile.
        None => last(conn)?.map_or(1, |last| last + 1),
    })
}

/// Appends an event of each of many jobs, which are as the events left them, in order.
pub(crate) fn append_many(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    events: Vec<(&Job, HistoryEntry)>,
) -> QueryResult<()> {
    let first = next_id(conn, effects)?;
    let rows: Vec<_> =
        (first..).zip(&events).map(|(id, (job, entry))| cells(id, job.id.as_str(), entry)).collect();
    many::run::<Append, _>(conn, &rows)?;
    drop(rows);
    for (id, (job, entry)) in (first..).zip(events) {
        effects.happened(id, job, entry);
    }
    Ok(())
}

/// An event as it is stored, by [`event_columns`].
fn cells<'a>(id: i64, stored_id: &'a str, entry: &'a HistoryEntry) -> [Bind<'a>; 10] {
    [
        id.into(),
        stored_id.into(),
        entry.at.into(),
        entry.kind.as_str().into(),
        entry.from.map(|status| status.as_str()).into(),
        entry.to.map(|status| status.as_str()).into(),
        entry.actor.to_string().into(),
        entry.rule.as_ref().map(RuleName::as_str).into(),
        entry.reason.as_ref().into(),
        entry.detail.as_ref().map(ToString::to_string).into(),
    ]
}

/// A part of a job's events, oldest first. Where it goes on is told by the rows, readable or not.
pub(crate) fn page(
    conn: &mut SqliteConnection,
    job: &JobId,
    cursor: Option<i64>,
    limit: u32,
) -> QueryResult<Page<JobEvent, i64>> {
    let mut rows: Vec<Row> = prepared!(
        concat!(
            "SELECT ",
            event_columns!(),
            " FROM job_event WHERE job_id = ? AND id > ? ORDER BY id LIMIT +?"
        ),
        job.as_str(),
        cursor.unwrap_or(i64::MIN),
        limit.saturating_add(1),
    )
    .rows::<RowSql>()
    .all(conn)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().map(|row| row.0).filter(|_| more);
    Ok(Page { items: rows.into_iter().filter_map(read).collect(), next })
}

/// A job's latest events, oldest first.
pub(crate) fn latest(conn: &mut SqliteConnection, job: &JobId) -> QueryResult<Vec<JobEvent>> {
    let rows: Vec<Row> = prepared!(
        concat!("SELECT ", event_columns!(), " FROM job_event WHERE job_id = ? ORDER BY id DESC LIMIT +?"),
        job.as_str(),
        LOOKED_THROUGH,
    )
    .rows::<RowSql>()
    .all(conn)?;
    Ok(rows.into_iter().rev().filter_map(read).collect())
}

/// A part of the events of all jobs from a moment on, in order. Events are appended in the order of time, but for what
/// clocks do: the first one is looked for by halving.
pub(crate) fn history(
    conn: &mut SqliteConnection,
    since: DateTime<Utc>,
    cursor: Option<i64>,
    limit: u32,
) -> QueryResult<HistoryPage> {
    let Some((first, last)) = ends(conn)? else {
        return Ok(HistoryPage { read: 1.0, ..HistoryPage::default() });
    };
    let from = match cursor {
        Some(cursor) => cursor.saturating_add(1),
        None => first_since(conn, first, last, since)?,
    };
    let mut rows: Vec<(Row, OfJob)> = prepared!(
        "SELECT e.id, e.job_id, e.at, e.kind, e.from_status, e.to_status, e.actor, e.rule, e.reason, e.detail, \
         coalesce(j.queue, p.queue), coalesce(j.command, p.command), coalesce(j.account_id, p.account_id), \
         coalesce(j.max_attempts, p.max_attempts) FROM job_event AS e LEFT JOIN job AS j ON j.id = e.job_id \
         LEFT JOIN past_job AS p ON p.id = e.job_id WHERE e.id >= ? ORDER BY e.id LIMIT +?",
        from,
        limit.saturating_add(1),
    )
    .rows::<(RowSql, OfJobSql)>()
    .all(conn)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().map(|(row, _)| row.0).filter(|_| more);
    let read = next.map_or(1.0, |next| share(first, last, next));
    Ok(HistoryPage { items: rows.into_iter().filter_map(recorded).collect(), next, read })
}

/// How far `place` is on the way from `first` to `last`.
#[expect(clippy::cast_precision_loss, reason = "it is shown as a bar")]
fn share(first: i64, last: i64, place: i64) -> f64 {
    place.saturating_sub(first) as f64 / last.saturating_sub(first).max(1) as f64
}

fn recorded((row, (queue, command, account_id, max_attempts)): (Row, OfJob)) -> Option<Recorded> {
    Some(Recorded {
        event: read(row)?,
        queue: queue?.parse().ok()?,
        command: command?.parse().ok()?,
        account_id: account_id.and_then(|id| id.parse().ok()),
        max_attempts: max_attempts?.try_into().ok()?,
    })
}

/// The ids of the first and the last event.
pub(super) fn ends(conn: &mut SqliteConnection) -> QueryResult<Option<(i64, i64)>> {
    let first: Option<(Option<i64>,)> =
        prepared!("SELECT min(id) FROM job_event").rows::<(Nullable<BigInt>,)>().first(conn)?;
    Ok(first.and_then(|(first,)| first).zip(last(conn)?))
}

/// The id of the last event.
pub(super) fn last(conn: &mut SqliteConnection) -> QueryResult<Option<i64>> {
    let last: Option<(Option<i64>,)> =
        prepared!("SELECT max(id) FROM job_event").rows::<(Nullable<BigInt>,)>().first(conn)?;
    Ok(last.and_then(|(last,)| last))
}

/// The first id from which on events are not older than `since`.
pub(super) fn first_since(
    conn: &mut SqliteConnection,
    first: i64,
    last: i64,
    since: DateTime<Utc>,
) -> QueryResult<i64> {
    let (mut low, mut high) = (first, last.saturating_add(1));
    while low < high {
        let middle = low + (high - low) / 2;
        let found: Option<(String,)> =
            prepared!("SELECT at FROM job_event WHERE id >= ? ORDER BY id LIMIT 1", middle)
                .rows::<(Text,)>()
                .first(conn)?;
        let is_old = found.is_some_and(|(at,)| read_stamp(&at).is_some_and(|at| at < since));
        if is_old { low = middle + 1 } else { high = middle }
    }
    Ok(low)
}

/// Whether the job's last event says the same as this one already. A stale report is no event of the job: it changed
/// nothing.
pub(crate) fn repeats_last(
    conn: &mut SqliteConnection,
    job: &JobId,
    entry: &HistoryEntry,
) -> QueryResult<bool> {
    let last: Option<Row> = prepared!(
        concat!(
            "SELECT ",
            event_columns!(),
            " FROM job_event WHERE job_id = ? AND kind <> ? ORDER BY id DESC LIMIT 1"
        ),
        job.as_str(),
        EventKind::StaleReport.as_str(),
    )
    .rows::<RowSql>()
    .first(conn)?;
    Ok(last.and_then(read).is_some_and(|last| entry.repeats(&last.entry)))
}

/// An event; rows that another program spoiled are left out.
fn read(row: Row) -> Option<JobEvent> {
    let (id, job_id, at, kind, from, to, actor, rule, reason, detail) = row;
    let entry = HistoryEntry {
        at: read_stamp(&at)?,
        kind: kind.parse().ok()?,
        from: from.and_then(|text| text.parse().ok()),
        to: to.and_then(|text| text.parse().ok()),
        actor: actor.parse().ok()?,
        rule: rule.and_then(|text| text.parse().ok()),
        reason,
        detail: detail.map(|text| serde_json::from_str(&text).unwrap_or(Value::String(text))),
    };
    Some(JobEvent { id, job_id: job_id.parse().ok()?, entry })
}
