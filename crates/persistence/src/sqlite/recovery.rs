//! The store as a `RecoveryStore`.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::{Nullable, Text};
use diesel::{Connection, QueryResult, SqliteConnection};
use reclaimer_domain::account::AccountState;
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::{JobId, RunId};
use reclaimer_domain::job::{Job, Status};
use reclaimer_domain::ports::{
    BrokenRow, Candidate, Candidates, Case, Flow, HistoryPage, Outcome, Page, Planned, RecoveryStore, Search,
    StoreError, Undo, Undone,
};
use reclaimer_domain::recovery::{CycleRunning, RecoveryType, RunRecord, RunReport, Trigger};
use reclaimer_domain::time::after;

use super::effects::Effects;
use super::job_table::{Found, Loaded, load};
use super::rare::rare;
use super::row::{Row, RowSql, job_columns};
use super::stamp::read_stamp;
use super::statement::prepared;
use super::{SqliteStore, accounts, event_table, job_table, leases, recover, set_aside, undo};

#[async_trait]
impl RecoveryStore for SqliteStore {
    async fn begin(
        &self,
        run: RunId,
        hold_for: Duration,
        now: DateTime<Utc>,
    ) -> Result<Result<(), CycleRunning>, StoreError> {
        self.write("begin a recovery cycle", move |conn, _| begin(conn, &run, hold_for, now)).await
    }

    async fn end(&self, run: RunId, record: Option<RunRecord>) -> Result<(), StoreError> {
        self.write("end a recovery cycle", move |conn, _| end(conn, &run, record.as_ref())).await
    }

    async fn candidates(&self, search: Search) -> Result<Candidates, StoreError> {
        self.read("look for jobs to recover", move |conn| candidates(conn, &search)).await
    }

    async fn apply(
        &self,
        run: RunId,
        decisions: Vec<Planned>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let jobs = decisions.len();
        self.writer
            .run_bulk("apply recovery decisions", jobs, move |conn, effects| {
                recover::apply(conn, effects, &run, &decisions, now)
            })
            .await
    }

    async fn set_aside(
        &self,
        rows: Vec<BrokenRow>,
        run: RunId,
        now: DateTime<Utc>,
    ) -> Result<u32, StoreError> {
        self.write("set rows aside", move |conn, effects| {
            let mut changed = 0;
            for row in rows {
                if let Some(Err(mut unreadable)) = job_table::find(conn, &row.id)?
                    && set_aside::set_aside(
                        conn,
                        effects,
                        &mut unreadable,
                        Actor::Recovery(run.clone()),
                        now,
                    )?
                {
                    changed += 1;
                }
            }
            Ok(changed)
        })
        .await
    }

    async fn grant_grace(&self, until: DateTime<Utc>) -> Result<u32, StoreError> {
        self.write("grant grace", move |conn, _| leases::grant_grace(conn, until)).await
    }

    async fn shift_leases(&self, by: chrono::Duration) -> Result<u32, StoreError> {
        self.write("shift leases", move |conn, _| leases::shift(conn, by)).await
    }

    async fn flow(&self, now: DateTime<Utc>) -> Result<Flow, StoreError> {
        Ok(self.flow.lock().map(|flow| flow.last_minute(now)).unwrap_or_default())
    }

    async fn case(&self, id: &JobId, now: DateTime<Utc>) -> Result<Option<Case>, StoreError> {
        let id = id.clone();
        self.read("look at a job", move |conn| case(conn, &id, now)).await
    }

    async fn replay(
        &self,
        since: DateTime<Utc>,
        cursor: Option<i64>,
        limit: u32,
    ) -> Result<HistoryPage, StoreError> {
        self.read("read the history of all jobs", move |conn| {
            event_table::history(conn, since, cursor, limit)
        })
        .await
    }

    async fn last_event(&self) -> Result<i64, StoreError> {
        self.read("read the id of the last event", event_table::last).await.map(Option::unwrap_or_default)
    }

    async fn runs(&self, cursor: Option<RunId>, limit: u32) -> Result<Page<RunRecord, RunId>, StoreError> {
        self.read("list recovery runs", move |conn| runs(conn, cursor.as_ref(), limit)).await
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError> {
        let id = id.clone();
        self.read("read a recovery run", move |conn| run(conn, &id)).await
    }

    async fn undo(&self, order: Undo) -> Result<Undone, StoreError> {
        if order.dry_run {
            return self
                .read("look at a recovery run", move |conn| undo::undo(conn, &mut Effects::default(), &order))
                .await;
        }
        let undo = move |conn: &mut _, effects: &mut _| undo::undo(conn, effects, &order);
        self.writer.run_bulk("undo a recovery run", usize::MAX, undo).await
    }
}

fn begin(
    conn: &mut SqliteConnection,
    run: &RunId,
    hold_for: Duration,
    now: DateTime<Utc>,
) -> QueryResult<Result<(), CycleRunning>> {
    let until = after(now, hold_for);
    let held: Option<(String,)> = prepared!("SELECT held_until FROM recovery_place WHERE name = 'cycle'")
        .rows::<(Text,)>()
        .first(conn)?;
    // A place held for longer than anybody holds it was taken before the clock was set back.
    if let Some(held) = held.and_then(|(text,)| read_stamp(&text))
        && held > now
        && held <= until
    {
        return Ok(Err(CycleRunning { until: held }));
    }
    prepared!(
        "INSERT INTO recovery_place (name, run_id, held_until) VALUES ('cycle', ?, ?) \
         ON CONFLICT (name) DO UPDATE SET run_id = excluded.run_id, held_until = excluded.held_until",
        run.as_str(),
        until,
    )
    .run(conn)?;
    Ok(Ok(()))
}

fn end(conn: &mut SqliteConnection, run: &RunId, record: Option<&RunRecord>) -> QueryResult<()> {
    prepared!("DELETE FROM recovery_place WHERE run_id = ?", run.as_str()).run(conn)?;
    if let Some(record) = record {
        let report = record.report.as_ref().and_then(|report| serde_json::to_string(report).ok());
        prepared!(
            "INSERT OR REPLACE INTO recovery_run (id, type, trigger, started_at, finished_at, report) \
             VALUES (?, ?, ?, ?, ?, ?)",
            record.run_id.as_str(),
            record.kind.as_str(),
            record.trigger.as_str(),
            record.started_at,
            record.finished_at,
            report,
        )
        .run(conn)?;
    }
    Ok(())
}

type StoredRun = (String, String, String, String, Option<String>, Option<String>);
type StoredRunSql = (Text, Text, Text, Text, Nullable<Text>, Nullable<Text>);

macro_rules! run_columns {
    () => {
        "id, type, trigger, started_at, finished_at, report"
    };
}

/// Where it goes on is told by the rows, readable or not.
fn runs(
    conn: &mut SqliteConnection,
    cursor: Option<&RunId>,
    limit: u32,
) -> QueryResult<Page<RunRecord, RunId>> {
    let mut rows: Vec<StoredRun> = prepared!(
        concat!("SELECT ", run_columns!(), " FROM recovery_run WHERE id < ? ORDER BY id DESC LIMIT +?"),
        cursor.map_or("\u{10ffff}", RunId::as_str),
        limit.saturating_add(1),
    )
    .rows::<StoredRunSql>()
    .all(conn)?;
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).and_then(|row| row.0.parse().ok());
    Ok(Page { items: rows.into_iter().filter_map(read_run).collect(), next })
}

fn run(conn: &mut SqliteConnection, id: &RunId) -> QueryResult<Option<RunRecord>> {
    let row: Option<StoredRun> =
        prepared!(concat!("SELECT ", run_columns!(), " FROM recovery_run WHERE id = ?"), id.as_str())
            .rows::<StoredRunSql>()
            .first(conn)?;
    Ok(row.and_then(read_run))
}

fn read_run((id, kind, trigger, started_at, finished_at, report): StoredRun) -> Option<RunRecord> {
    Some(RunRecord {
        run_id: id.parse().ok()?,
        kind: kind.parse().ok()?,
        trigger: serde_json::from_value::<Trigger>(trigger.into()).ok()?,
        started_at: read_stamp(&started_at)?,
        finished_at: finished_at.as_deref().and_then(read_stamp),
        report: report.and_then(|text| serde_json::from_str::<RunReport>(&text).ok()),
    })
}

/// The jobs whose status a run decided to change, by its report.
pub(super) fn changed_by(conn: &mut SqliteConnection, id: &RunId) -> QueryResult<Vec<JobId>> {
    let report = run(conn, id)?.and_then(|run| run.report);
    Ok(report.map(|report| report.result.changed()).unwrap_or_default())
}

fn candidates(conn: &mut SqliteConnection, search: &Search) -> QueryResult<Candidates> {
    let limit = usize::try_from(search.limit).unwrap_or(usize::MAX);
    let (in_failed, in_running) = match search.kind {
        RecoveryType::Failed => (true, false),
        RecoveryType::Stuck => (false, true),
        RecoveryType::Comprehensive => (true, true),
    };
    let begun_running = matches!(search.after, Some((Status::Running, _)));
    let mut answer = Candidates::default();
    if search.after.is_none() && !search.expired_leases_only {
        // Beside the page, not in it: they have no place in its order.
        let strange = strange(conn, search)?;
        answer
            .broken
            .extend(strange.into_iter().filter_map(Result::err).map(|unreadable| unreadable.broken()));
    }
    let mut page: Vec<Found> = Vec::new();
    if in_failed && !begun_running {
        page.extend(failed(conn, search)?);
    }
    if in_running && page.len() <= limit {
        page.extend(running(conn, search)?);
    }
    answer.more = page.len() > limit;
    page.truncate(limit);
    for found in page {
        match found {
            Err(unreadable) => {
                let row = unreadable.broken();
                // It may have been found beside the page already.
                if !answer.broken.contains(&row) {
                    answer.broken.push(row);
                }
            }
            Ok(Loaded { job, .. }) => answer.jobs.push(candidate(conn, job, search.now)?),
        }
    }
    Ok(answer)
}

/// A job with the state of its account.
fn candidate(conn: &mut SqliteConnection, job: Job, now: DateTime<Utc>) -> QueryResult<Candidate> {
    let account = match &job.account_id {
        Some(id) => accounts::find(conn, id)?,
        None => None,
    };
    let account = AccountState::of(job.account_id.as_ref(), account.as_ref(), now);
    Ok(Candidate { job, account })
}

fn case(conn: &mut SqliteConnection, id: &JobId, now: DateTime<Utc>) -> QueryResult<Option<Case>> {
    // One moment for all of it: a job is not explained by what happened after it was read.
    conn.transaction(|conn| {
        let Some(found) = job_table::find(conn, id.as_str())? else { return Ok(None) };
        Ok(Some(match found {
            Err(unreadable) => Case::Broken(unreadable.broken()),
            Ok(Loaded { job, .. }) => Case::Whole {
                candidate: Box::new(candidate(conn, job, now)?),
                history: event_table::latest(conn, id)?,
            },
        }))
    })
}

/// Rows that no other search finds, or not in time: their status is none, or their stamps are written so that they do
/// not compare as text.
fn strange(conn: &mut SqliteConnection, search: &Search) -> QueryResult<Vec<Found>> {
    let rows: Vec<Row> = prepared!(
        concat!(
            "SELECT ",
            job_columns!(),
            " FROM job INDEXED BY job_rare WHERE ",
            rare!(),
            " AND status <> 'paused' AND status <> 'quarantined' \
             AND (status <> 'failed' OR substr(recover_after, 11, 1) <> ' ') \
             AND (status <> 'queued' OR substr(run_at, 11, 1) <> ' ') ORDER BY id LIMIT +?"
        ),
        search.limit
    )
    .rows::<RowSql>()
    .all(conn)?;
    Ok(rows.into_iter().map(load).collect())
}

fn failed(conn: &mut SqliteConnection, search: &Search) -> QueryResult<Vec<Found>> {
    let rows: Vec<Row> = prepared!(
        concat!(
            "SELECT ",
            job_columns!(),
            " FROM job INDEXED BY job_rare WHERE ",
            rare!(),
            " AND status = 'failed' AND id > ? \
             AND (recover_after IS NULL OR recover_after <= ?) ORDER BY id LIMIT +?"
        ),
        after_id(search, Status::Failed),
        rested_by(search),
        search.limit.saturating_add(1),
    )
    .rows::<RowSql>()
    .all(conn)?;
    Ok(rows.into_iter().map(load).collect())
}

/// Running jobs that may be stuck. Coarse on purpose: the policy looks closely.
fn running(conn: &mut SqliteConnection, search: &Search) -> QueryResult<Vec<Found>> {
    let rows: Vec<Row> = if search.expired_leases_only {
        prepared!(
            concat!(
                "SELECT ",
                job_columns!(),
                " FROM job INDEXED BY job_running WHERE status = 'running' AND lease_expires_at <= ? AND id > ? \
                 AND (recover_after IS NULL OR recover_after <= ?) ORDER BY id LIMIT +?"
            ),
            search.now,
            after_id(search, Status::Running),
            rested_by(search),
            search.limit.saturating_add(1),
        )
        .rows::<RowSql>()
        .all(conn)?
    } else {
        prepared!(
            concat!(
                "SELECT ",
                job_columns!(),
                " FROM job INDEXED BY job_running WHERE status = 'running' AND id > ? \
                 AND (recover_after IS NULL OR recover_after <= ?) \
                 AND (lease_expires_at <= ? OR updated_at <= ? OR (timeout_seconds IS NOT NULL \
                 AND strftime('%Y-%m-%d %H:%M:%f', started_at, '+' || timeout_seconds || ' seconds') <= ?)) \
                 ORDER BY id LIMIT +?"
            ),
            after_id(search, Status::Running),
            rested_by(search),
            search.now,
            search.silent_since,
            search.now,
            search.limit.saturating_add(1),
        )
        .rows::<RowSql>()
        .all(conn)?
    };
    Ok(rows.into_iter().map(load).collect())
}

/// Jobs that rest until later than this are left out.
fn rested_by(search: &Search) -> DateTime<Utc> {
    // The last moment that is written with four digits for the year, and so compares as text.
    const END: DateTime<Utc> = DateTime::from_timestamp_nanos(i64::MAX);
    if search.resting { END } else { search.now }
}

/// Where a search of one status goes on.
fn after_id(search: &Search, status: Status) -> &str {
    match &search.after {
        Some((last, id)) if *last == status => id.as_str(),
        Some(_) | None => "",
    }
}
