//! Rows that cannot be read: made readable again and quarantined, with what was unreadable kept in the history.

use chrono::{DateTime, Utc};
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::history::{Actor, EventKind, HistoryEntry};
use reclaimer_domain::job::Status;
use reclaimer_domain::time::rfc3339;

use super::row::Unreadable;
use super::{event_table, job_table};

/// Sets a row aside; answers whether it still was as it had been read.
pub(crate) fn set_aside(
    conn: &mut SqliteConnection,
    unreadable: &mut Unreadable,
    actor: Actor,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let reason = format!("its row could not be read: {}", unreadable.reason());
    let job = &mut unreadable.salvage;
    job.updated_at = now;
    job.finished_at = Some(now);
    job.progress.insert("error".into(), reason.clone().into());
    job.progress.insert("errorType".into(), "broken_row".into());
    job.progress.insert("timestamp".into(), rfc3339(now).into());
    job.progress.insert("quarantineReason".into(), reason.clone().into());
    if !job_table::overwrite(conn, unreadable)? {
        return Ok(false);
    }
    let entry = HistoryEntry {
        at: now,
        kind: EventKind::SetAside,
        from: None,
        to: Some(Status::Quarantined),
        actor,
        rule: None,
        reason: Some(reason),
        detail: None,
    };
    event_table::append_set_aside(conn, unreadable, &entry)?;
    tracing::error!(
        area = "JOB-MANAGER",
        job_id = unreadable.id,
        reason = unreadable.reason(),
        "a row was set aside"
    );
    Ok(true)
}
