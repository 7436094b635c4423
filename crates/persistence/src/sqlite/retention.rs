//! The store as a `RetentionStore`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::sql_types::Text;
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::{Prune, Pruned, RetentionStore, StoreError};

use super::statement::prepared;
use super::{SqliteStore, event_table};

#[async_trait]
impl RetentionStore for SqliteStore {
    async fn prune(&self, order: Prune) -> Result<Pruned, StoreError> {
        let jobs = usize::try_from(order.limit).unwrap_or(usize::MAX);
        self.writer
            .run_bulk("remove what was kept for long enough", jobs, move |conn, _| prune(conn, &order))
            .await
    }
}

fn prune(conn: &mut SqliteConnection, order: &Prune) -> QueryResult<Pruned> {
    let mut pruned = Pruned::default();
    for (status, until) in [(Status::Finished, order.finished), (Status::Cancelled, order.cancelled)] {
        let Some(until) = until else { continue };
        let ids = prepared!(
            "SELECT id FROM job INDEXED BY job_over WHERE (status = 'finished' OR status = 'cancelled') \
             AND status = ? AND coalesce(finished_at, updated_at) <= ? \
             ORDER BY coalesce(finished_at, updated_at) LIMIT +?",
            status.as_str(),
            until,
            order.limit
        )
        .rows::<(Text,)>()
        .all(conn)?;
        remove(conn, ids, order, &mut pruned)?;
    }
    if let Some(before) = order.events {
        prune_history(conn, before, order, &mut pruned)?;
    }
    Ok(pruned)
}

/// Removes jobs; the history keeps what it needs of them.
fn remove(
    conn: &mut SqliteConnection,
    ids: Vec<(String,)>,
    order: &Prune,
    pruned: &mut Pruned,
) -> QueryResult<()> {
    pruned.more_jobs |= ids.len() >= usize::try_from(order.limit).unwrap_or(usize::MAX);
    for (id,) in &ids {
        prepared!(
            "INSERT OR REPLACE INTO past_job (id, queue, command, account_id, max_attempts, removed_at) \
             SELECT id, queue, command, account_id, max_attempts, ? FROM job WHERE id = ?",
            order.now,
            id
        )
        .run(conn)?;
        prepared!("DELETE FROM job WHERE id = ?", id).run(conn)?;
        pruned.jobs = pruned.jobs.saturating_add(1);
    }
    Ok(())
}

/// Removes events from before a moment, but for those of jobs that are not over, which a person may have to judge.
fn prune_history(
    conn: &mut SqliteConnection,
    before: DateTime<Utc>,
    order: &Prune,
    pruned: &mut Pruned,
) -> QueryResult<()> {
    let Some((first, last)) = event_table::ends(conn)? else { return Ok(()) };
    let end = event_table::first_since(conn, first, last, before)?;
    let from = order.from.unwrap_or(first).max(first);
    let until = from.saturating_add(i64::from(order.limit)).min(end);
    if from < until {
        let removed = prepared!(
            "DELETE FROM job_event WHERE id >= ? AND id < ? AND NOT EXISTS (SELECT 1 FROM job \
             WHERE job.id = job_event.job_id AND job.status NOT IN ('finished', 'cancelled'))",
            from,
            until
        )
        .run(conn)?;
        pruned.events = u32::try_from(removed).unwrap_or(u32::MAX);
    }
    if until < end {
        pruned.next = Some(until);
        return Ok(());
    }
    // An event of a job that was removed before this moment is older still, and gone.
    prepared!(
        "DELETE FROM past_job WHERE id IN (SELECT id FROM past_job WHERE removed_at < ? ORDER BY removed_at LIMIT +?)",
        before,
        order.limit
    )
    .run(conn)?;
    prepared!(
        "DELETE FROM recovery_run WHERE id IN (SELECT id FROM recovery_run WHERE started_at < ? ORDER BY id LIMIT +?)",
        before,
        order.limit
    )
    .run(conn)?;
    Ok(())
}
