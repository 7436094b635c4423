//! Rows that cannot be read: made readable again and quarantined, with what was unreadable kept in the history.

use chrono::{DateTime, Utc};
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::history::Actor;

use super::effects::Effects;
use super::row::Unreadable;
use super::{event_table, job_table};

/// Sets a row aside; answers whether it still was as it had been read.
pub(crate) fn set_aside(
    conn: &mut SqliteConnection,
    effects: &mut Effects,
    unreadable: &mut Unreadable,
    actor: Actor,
    now: DateTime<Utc>,
) -> QueryResult<bool> {
    let (from, reason) = (unreadable.status.parse().ok(), unreadable.reason());
    let entry = unreadable.salvage.set_aside(from, &reason, unreadable.evidence(), actor, now);
    if !job_table::overwrite(conn, effects, unreadable)? {
        return Ok(false);
    }
    event_table::append_under(conn, effects, &unreadable.id, &unreadable.salvage, entry)?;
    tracing::error!(area = "JOB-MANAGER", job_id = unreadable.id, reason, "a row was set aside");
    Ok(true)
}
