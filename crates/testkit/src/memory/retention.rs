//! The store as a `RetentionStore`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::{Prune, Pruned, RetentionStore, StoreError};

use super::MemoryStore;
use super::data::Data;
use super::row::Row;

#[async_trait]
impl RetentionStore for MemoryStore {
    async fn prune(&self, order: Prune) -> Result<Pruned, StoreError> {
        self.write(|data, _| {
            let mut pruned = Pruned::default();
            for (status, until) in [(Status::Finished, order.finished), (Status::Cancelled, order.cancelled)]
            {
                if let Some(until) = until {
                    remove(data, status, until, order.limit, &mut pruned);
                }
            }
            if let Some(before) = order.events {
                forget(data, before, &order, &mut pruned);
            }
            Ok(pruned)
        })
        .await
    }
}

/// Removes jobs of this status that ended by then, the oldest first; their history stays.
fn remove(data: &mut Data, status: Status, until: DateTime<Utc>, limit: u32, pruned: &mut Pruned) {
    let ended = |row: &Row| row.job.finished_at.unwrap_or(row.job.updated_at);
    let over = data.rows().filter(|row| row.status() == Some(status) && ended(row) <= until);
    let mut over: Vec<(DateTime<Utc>, JobId)> = over.map(|row| (ended(row), row.job.id.clone())).collect();
    over.sort();
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    over.truncate(limit);
    pruned.more_jobs |= over.len() == limit;
    for (_, id) in over {
        data.retire(&id);
        pruned.jobs = pruned.jobs.saturating_add(1);
    }
}

/// Removes events from before a moment, but for those of jobs that are not over.
fn forget(data: &mut Data, before: DateTime<Utc>, order: &Prune, pruned: &mut Pruned) {
    let begin = order.from.unwrap_or(i64::MIN);
    let old = data.rows_and_past().flat_map(|row| &row.events);
    let mut old: Vec<(i64, JobId)> = old
        .filter(|event| event.id >= begin && event.entry.at < before)
        .map(|event| (event.id, event.job_id.clone()))
        .collect();
    old.sort();
    let limit = usize::try_from(order.limit).unwrap_or(usize::MAX);
    pruned.next = old.get(limit).map(|(id, _)| *id);
    old.truncate(limit);
    for (id, job) in old {
        if data.row(&job).is_some_and(|row| !row.status().is_some_and(Status::is_terminal)) {
            continue;
        }
        data.forget(&job, id);
        pruned.events = pruned.events.saturating_add(1);
    }
    if pruned.next.is_none() {
        data.runs.retain(|_, run| run.started_at >= before);
    }
}
