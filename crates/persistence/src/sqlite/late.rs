//! The `late_result` table: results that came too late, and accepting one.

use diesel::sql_types::{BigInt, Nullable, Text};
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{Job, LateResult};
use reclaimer_domain::ports::{AcceptLate, Applied, Refused};

use super::effects::Effects;
use super::job_table::Loaded;
use super::manual::{readable, refused};
use super::stamp::read_stamp;
use super::statement::prepared;
use super::{areas, event_table, job_table};

type RowSql = (BigInt, Text, Text, Text, Text, Text, Nullable<Text>);
type Row = (i64, String, String, String, String, String, Option<String>);

/// How many are kept of a job.
pub(super) fn count(conn: &mut SqliteConnection, job: &JobId) -> QueryResult<u32> {
    let found: Option<(i64,)> = prepared!("SELECT count(*) FROM late_result WHERE job_id = ?", job.as_str())
        .rows::<(BigInt,)>()
        .first(conn)?;
    Ok(found.and_then(|(count,)| u32::try_from(count).ok()).unwrap_or(0))
}

/// Keeps one.
pub(super) fn keep(conn: &mut SqliteConnection, job: &JobId, late: &LateResult) -> QueryResult<()> {
    let report = serde_json::to_string(&late.report)
        .map_err(|error| diesel::result::Error::SerializationError(Box::new(error)))?;
    prepared!(
        "INSERT INTO late_result (job_id, number, at, worker_id, lease, summary, report) \
         VALUES (?, ?, ?, ?, ?, ?, ?)",
        job.as_str(),
        late.number,
        late.at,
        late.worker.as_str(),
        &late.lease,
        &late.summary,
        report,
    )
    .run(conn)
    .map(drop)
}

/// All of a job, by number.
pub(super) fn list(conn: &mut SqliteConnection, job: &JobId) -> QueryResult<Vec<LateResult>> {
    let rows: Vec<Row> = prepared!(
        "SELECT number, at, worker_id, lease, summary, report, accepted_at FROM late_result \
         WHERE job_id = ? ORDER BY number",
        job.as_str()
    )
    .rows::<RowSql>()
    .all(conn)?;
    Ok(rows.into_iter().filter_map(read).collect())
}

/// One of them; a row that another program spoiled is none.
fn read((number, at, worker, lease, summary, report, accepted_at): Row) -> Option<LateResult> {
    Some(LateResult {
        number: number.try_into().ok()?,
        at: read_stamp(&at)?,
        worker: worker.parse().ok()?,
        lease,
        summary,
        report: serde_json::from_str(&report).ok()?,
        accepted_at: accepted_at.as_deref().and_then(read_stamp),
    })
}

/// Makes one count.
pub(super) fn accept(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    order: AcceptLate,
) -> QueryResult<Applied<Box<Job>>> {
    let AcceptLate { job: id, number, spawn, actor, now } = order;
    let Some(found) = job_table::find(conn, id.as_str())? else {
        return Ok(Applied::Refused(Refused::NoSuchJob(id)));
    };
    let Loaded { mut job, guard } = match readable(conn, effects, found, now)? {
        Ok(loaded) => loaded,
        Err(broken) => return Ok(Applied::Refused(refused(&broken))),
    };
    let Some(late) = list(conn, &id)?.into_iter().find(|late| late.number == number) else {
        return Ok(Applied::Refused(Refused::NoSuchLateResult { job: id, number }));
    };
    if late.accepted_at.is_some() {
        return Ok(Applied::Refused(Refused::AcceptedBefore(number)));
    }
    let entries = match job.accept_late(&late, actor, now) {
        Ok(entries) => entries,
        Err(illegal) => return Ok(Applied::Refused(illegal.into())),
    };
    job_table::update(conn, effects, &guard, &job)?;
    for entry in entries {
        event_table::append(conn, effects, &job, entry)?;
    }
    prepared!(
        "UPDATE late_result SET accepted_at = ? WHERE job_id = ? AND number = ?",
        now,
        job.id.as_str(),
        number
    )
    .run(conn)?;
    areas::record(conn, &late.report.areas, now)?;
    areas::spawn(conn, effects, &job, &late.report.areas, &spawn, now)?;
    Ok(Applied::Done(Box::new(job)))
}
