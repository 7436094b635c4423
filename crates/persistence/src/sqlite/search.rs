//! Jobs by filter, in the order of their ids, without looking through the table.
//!
//! Where an index holds what is wanted in few rows, or in the order of their ids, it is followed: what a worker holds, what
//! is about a path, what an account has of a command, what is rare. Everything else is looked for in windows of the
//! table, a bounded number for each page; where the last window ends is where the next page goes on, whether or not the
//! page is full.

use std::marker::PhantomData;

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryResult, RunQueryDsl, SqliteConnection};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::JobFilter;

use super::counts;
use super::job_table::{Found, Loaded, load};
use super::rare::rare;
use super::row::{Row, RowSql, job_columns};
use super::statement::{Bind, Dynamic, prepared};

/// So many rows are looked at in one go.
const WINDOW: i64 = 10_000;
/// So many windows are looked at for one page.
const MOST_WINDOWS: usize = 5;
/// So many windows are looked at to count.
const MOST_COUNTED: usize = 20;

/// In which order, and from where on.
#[derive(Debug, Clone, Copy)]
pub(super) struct From<'a> {
    pub(super) newest_first: bool,
    /// Beyond this id.
    pub(super) cursor: Option<&'a str>,
}

/// Rows of a filter.
#[derive(Debug, Default)]
pub(super) struct Rows {
    pub(super) found: Vec<Found>,
    /// From beyond where the search goes on, if it does.
    pub(super) next: Option<String>,
}

/// Which rows a statement looks at.
#[derive(Debug, Default)]
struct Condition<'a> {
    index: &'static str,
    sql: String,
    binds: Vec<Bind<'a>>,
}

impl<'a> Condition<'a> {
    /// Rows of an index, as its condition demands.
    fn of_index(index: &'static str, condition: &str) -> Self {
        Self { index, sql: condition.to_owned(), binds: Vec::new() }
    }

    fn and(&mut self, sql: &str, bind: impl Into<Bind<'a>>) {
        if !self.sql.is_empty() {
            self.sql.push_str(" AND ");
        }
        self.sql.push_str(sql);
        self.binds.push(bind.into());
    }

    /// What else a filter asks for.
    fn and_filter(&mut self, filter: &'a JobFilter) {
        if !filter.status.is_empty() {
            let marks = vec!["?"; filter.status.len()].join(", ");
            let mut statuses = filter.status.iter().map(|status| Bind::from(status.as_str()));
            // The first is bound with the text, the others after it.
            if let Some(first) = statuses.next() {
                self.and(&format!("+status IN ({marks})"), first);
            }
            self.binds.extend(statuses);
        }
        let equals = [
            ("+queue = ?", filter.queue.as_ref().map(|name| name.as_str())),
            ("+command = ?", filter.command.as_ref().map(|name| name.as_str())),
            ("+account_id = ?", filter.account_id.as_ref().map(|name| name.as_str())),
            ("+full_path = ?", filter.full_path.as_deref()),
            ("+worker_id = ?", filter.worker_id.as_ref().map(|name| name.as_str())),
        ];
        for (sql, wanted) in equals {
            if let Some(wanted) = wanted {
                self.and(sql, wanted);
            }
        }
        if let Some(text) = &filter.text {
            let text = text.to_ascii_lowercase();
            self.and(HAS_TEXT, text.clone());
            self.binds.extend([text.clone(), text.clone(), text].map(Bind::from));
        }
    }

    fn rows(self, conn: &mut SqliteConnection, newest_first: bool, limit: i64) -> QueryResult<Vec<Row>> {
        let Self { index, sql, mut binds } = self;
        let order = if newest_first { "DESC" } else { "ASC" };
        let sql = format!(
            concat!(
                "SELECT ",
                job_columns!(),
                " FROM job INDEXED BY {index} WHERE {sql} ORDER BY id {order} LIMIT +?"
            ),
            index = index,
            sql = sql,
            order = order
        );
        binds.push(limit.into());
        Dynamic::<RowSql> { sql, binds, rows: PhantomData }.load(conn)
    }

    fn counts(self, conn: &mut SqliteConnection) -> QueryResult<Vec<(String, i64)>> {
        let Self { index, sql, binds } = self;
        let sql = format!("SELECT status, count(*) FROM job INDEXED BY {index} WHERE {sql} GROUP BY status");
        Dynamic::<(Text, BigInt)> { sql, binds, rows: PhantomData }.load(conn)
    }
}

/// Whether a text is in what a person knows a job by. Most rows have no error, and are not read as JSON for that.
const HAS_TEXT: &str = "(instr(lower(id), ?) > 0 OR instr(lower(command), ?) > 0 OR instr(lower(full_path), ?) > 0 \
     OR CASE WHEN instr(progress, '\"error\"') > 0 AND json_valid(progress) AND json_type(progress, '$.error') = 'text' \
     THEN instr(lower(progress ->> '$.error'), ?) > 0 ELSE 0 END)";

/// The index by which rows are found.
const BY_ID: &str = "sqlite_autoindex_job_1";

/// The parts of an index that hold all that a filter wants, if there are such.
fn parts<'a>(conn: &mut SqliteConnection, filter: &'a JobFilter) -> QueryResult<Option<Vec<Condition<'a>>>> {
    if let Some(worker) = &filter.worker_id {
        let mut held = Condition::of_index("job_running", "status = 'running'");
        held.and("worker_id = ?", worker.as_str());
        return Ok(Some(vec![held]));
    }
    if let Some(path) = &filter.full_path {
        let mut about = Condition::of_index("job_path", "");
        about.and("full_path = ?", path);
        return Ok(Some(vec![about]));
    }
    if let Some(account) = &filter.account_id {
        let commands = match &filter.command {
            Some(command) => vec![command.to_string()],
            None => commands_of(conn, account.as_str())?,
        };
        let part = |command: String| {
            let mut part = Condition::of_index("job_account", "");
            part.and("account_id = ?", account.as_str());
            part.and("command = ?", command);
            part
        };
        return Ok(Some(commands.into_iter().map(part).collect()));
    }
    if filter.text.is_some() {
        // A look into each row is no cheap comparison: it goes on in windows, however few of them have the state.
        return Ok(None);
    }
    let part = |status: &Status| match status {
        Status::Failed | Status::Paused | Status::Quarantined => {
            let mut part = Condition::of_index("job_rare", rare!());
            part.and("status = ?", status.as_str());
            Some(part)
        }
        Status::Running => Some(Condition::of_index("job_running", "status = 'running'")),
        Status::Queued | Status::Finished | Status::Cancelled => None,
    };
    let parts: Option<Vec<Condition<'a>>> = filter.status.iter().map(part).collect();
    Ok(parts.filter(|parts| !parts.is_empty()))
}

/// The commands of which an account has jobs: one step down the index for each.
fn commands_of(conn: &mut SqliteConnection, account: &str) -> QueryResult<Vec<String>> {
    let mut commands: Vec<String> = Vec::new();
    loop {
        let after = commands.last().map_or("", String::as_str);
        let next: Option<(Option<String>,)> = prepared!(
            "SELECT min(command) FROM job INDEXED BY job_account WHERE account_id = ? AND command > ?",
            account,
            after
        )
        .rows::<(Nullable<Text>,)>()
        .first(conn)?;
        match next.and_then(|(command,)| command) {
            Some(command) => commands.push(command),
            None => return Ok(commands),
        }
    }
}

/// Rows of a filter, up to a limit.
pub(super) fn rows(
    conn: &mut SqliteConnection,
    filter: &JobFilter,
    from: From<'_>,
    limit: u32,
) -> QueryResult<Rows> {
    let most = usize::try_from(limit).unwrap_or(usize::MAX);
    let Some(parts) = parts(conn, filter)? else { return in_windows(conn, filter, from, most) };
    let mut rows: Vec<Row> = Vec::new();
    for mut part in parts {
        part.and_filter(filter);
        if let Some(cursor) = from.cursor {
            part.and(if from.newest_first { "id < ?" } else { "id > ?" }, cursor.to_owned());
        }
        rows.extend(part.rows(conn, from.newest_first, i64::from(limit) + 1)?);
    }
    rows.sort_by(|one, other| one.0.0.cmp(&other.0.0));
    if from.newest_first {
        rows.reverse();
    }
    let more = rows.len() > most;
    rows.truncate(most);
    let next = last_readable(&rows).filter(|_| more);
    Ok(Rows { found: rows.into_iter().map(load).collect(), next })
}

fn in_windows(
    conn: &mut SqliteConnection,
    filter: &JobFilter,
    from: From<'_>,
    most: usize,
) -> QueryResult<Rows> {
    let mut rows = Rows::default();
    let mut cursor = from.cursor.map(ToOwned::to_owned);
    for _ in 0..MOST_WINDOWS {
        let end = window(conn, from.newest_first, cursor.as_deref())?;
        let mut condition = within(from.newest_first, cursor.as_deref(), end.as_deref());
        condition.and_filter(filter);
        let room = most - rows.found.len();
        let mut found = condition.rows(
            conn,
            from.newest_first,
            i64::try_from(room).unwrap_or(i64::MAX).saturating_add(1),
        )?;
        let more = found.len() > room;
        found.truncate(room);
        let last = last_readable(&found);
        rows.found.extend(found.into_iter().map(load));
        rows.next = if more { last.or_else(|| cursor.clone()) } else { end };
        if more || rows.next.is_none() || rows.found.len() == most {
            break;
        }
        cursor.clone_from(&rows.next);
    }
    Ok(rows)
}

/// The last id that is one: only such can be asked from.
fn last_readable(rows: &[Row]) -> Option<String> {
    rows.iter().rev().map(|row| &row.0.0).find(|id| id.parse::<JobId>().is_ok()).cloned()
}

/// The last id of a window, if rows follow it.
fn window(
    conn: &mut SqliteConnection,
    newest_first: bool,
    cursor: Option<&str>,
) -> QueryResult<Option<String>> {
    let mut found: Vec<(String,)> = if newest_first {
        prepared!(
            "SELECT id FROM job WHERE id < ? ORDER BY id DESC LIMIT 2 OFFSET +?",
            cursor.unwrap_or(AFTER_ALL),
            WINDOW - 1
        )
        .rows::<(Text,)>()
        .all(conn)?
    } else {
        prepared!(
            "SELECT id FROM job WHERE id > ? ORDER BY id LIMIT 2 OFFSET +?",
            cursor.unwrap_or_default(),
            WINDOW - 1
        )
        .rows::<(Text,)>()
        .all(conn)?
    };
    Ok(if found.len() == 2 { Some(found.swap_remove(0).0) } else { None })
}

/// Beyond every id.
const AFTER_ALL: &str = "\u{10ffff}";

/// The rows of a window.
fn within<'a>(newest_first: bool, cursor: Option<&str>, end: Option<&str>) -> Condition<'a> {
    let mut condition = Condition::of_index(BY_ID, "");
    let (beyond, upto) = if newest_first { ("id < ?", "id >= ?") } else { ("id > ?", "id <= ?") };
    let start = if newest_first { AFTER_ALL } else { "" };
    condition.and(beyond, cursor.unwrap_or(start).to_owned());
    if let Some(end) = end {
        condition.and(upto, end.to_owned());
    }
    condition
}

/// How many jobs of a filter there are of each status, as stored. Exact where an index holds them or the filter is about
/// nothing but queues and states; otherwise only the first 200,000 rows are looked at.
pub(super) fn counted(conn: &mut SqliteConnection, filter: &JobFilter) -> QueryResult<Vec<(String, u64)>> {
    let mut counts: std::collections::BTreeMap<String, i64> = std::collections::BTreeMap::new();
    let mut add = |found: Vec<(String, i64)>| {
        for (status, count) in found {
            *counts.entry(status).or_default() += count;
        }
    };
    let plain =
        JobFilter { status: filter.status.clone(), queue: filter.queue.clone(), ..JobFilter::default() };
    if *filter == plain {
        let (places, _) = counts::read(conn)?;
        let of_queue = |queue: &str| filter.queue.as_ref().is_none_or(|wanted| wanted.as_str() == queue);
        let of_status = |status: &str| {
            filter.status.is_empty() || filter.status.iter().any(|wanted| wanted.as_str() == status)
        };
        let places =
            places.into_iter().filter(|(place, _)| of_queue(&place.queue) && of_status(&place.status));
        add(places.map(|(place, count)| (place.status.into_owned(), count)).collect());
    } else if let Some(parts) = parts(conn, filter)? {
        for mut part in parts {
            part.and_filter(filter);
            add(part.counts(conn)?);
        }
    } else {
        let mut cursor: Option<String> = None;
        for _ in 0..MOST_COUNTED {
            let end = window(conn, false, cursor.as_deref())?;
            let mut condition = within(false, cursor.as_deref(), end.as_deref());
            condition.and_filter(filter);
            add(condition.counts(conn)?);
            cursor = end;
            if cursor.is_none() {
                break;
            }
        }
    }
    let counts = counts.into_iter().filter(|(_, count)| *count > 0);
    Ok(counts.map(|(status, count)| (status, count.unsigned_abs())).collect())
}

/// The id of a row, whether or not it can be read.
pub(super) fn id_of(found: &Found) -> String {
    match found {
        Ok(Loaded { job, .. }) => job.id.to_string(),
        Err(broken) => broken.id.clone(),
    }
}

/// Where the page after this goes on.
pub(super) fn cursor(next: Option<String>) -> Option<JobId> {
    next.and_then(|id| id.parse().ok())
}
