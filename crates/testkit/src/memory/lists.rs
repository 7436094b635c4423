//! Lists: jobs by filter, histories, and queues with their counts.

use std::collections::BTreeMap;

use reclaimer_domain::history::JobEvent;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Status;
use reclaimer_domain::name::QueueName;
use reclaimer_domain::ports::{JobFilter, JobRead, Page, QueueState};

use super::data::Data;
use super::row::Row;

/// Whether everything holds that a filter says.
pub(super) fn fits(row: &Row, filter: &JobFilter) -> bool {
    fn any<T: PartialEq>(wanted: &Option<T>, found: Option<&T>) -> bool {
        wanted.as_ref().is_none_or(|wanted| Some(wanted) == found)
    }
    let job = &row.job;
    (filter.status.is_empty() || row.status().is_some_and(|status| filter.status.contains(&status)))
        && any(&filter.queue, Some(&job.queue))
        && any(&filter.command, Some(&job.command))
        && any(&filter.account_id, job.account_id.as_ref())
        && any(&filter.full_path, job.full_path.as_ref())
        && any(&filter.worker_id, job.lease.as_ref().map(|lease| &lease.worker))
        && filter.text.as_ref().is_none_or(|text| has(row, &text.to_ascii_lowercase()))
}

/// Whether a text is in what a person knows a job by.
fn has(row: &Row, text: &str) -> bool {
    let job = &row.job;
    let known_by = [Some(job.id.as_str()), Some(job.command.as_str()), job.full_path.as_deref(), job.error()];
    known_by.into_iter().flatten().any(|known| known.to_ascii_lowercase().contains(text))
}

/// How many jobs of a filter there are of each status, as stored.
pub(super) fn counted(data: &Data, filter: &JobFilter) -> Vec<(String, u64)> {
    let mut counts: BTreeMap<&str, u64> = BTreeMap::new();
    for row in data.rows().filter(|row| fits(row, filter)) {
        *counts.entry(row.status_text()).or_default() += 1;
    }
    counts.into_iter().map(|(status, count)| (status.to_owned(), count)).collect()
}

/// Up to `limit` of some items, and where they go on.
pub(super) fn page<T, C>(
    items: impl Iterator<Item = T>,
    limit: u32,
    cursor: impl FnOnce(&T) -> C,
) -> Page<T, C> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut items: Vec<T> = items.take(limit.saturating_add(1)).collect();
    let more = items.len() > limit;
    items.truncate(limit);
    let next = items.last().filter(|_| more).map(cursor);
    Page { items, next }
}

/// A page of jobs, newest first.
pub(super) fn jobs(
    data: &Data,
    filter: &JobFilter,
    cursor: Option<&JobId>,
    limit: u32,
) -> Page<JobRead, JobId> {
    let older = |row: &&Row| cursor.is_none_or(|cursor| row.job.id < *cursor);
    let found = data.rows().rev().filter(|row| fits(row, filter)).filter(older);
    let Page { items, next } = page(found, limit, |row| row.job.id.clone());
    Page { items: items.into_iter().map(read).collect(), next }
}

/// A row for reading.
pub(super) fn read(row: &Row) -> JobRead {
    match row.read() {
        Ok(job) => JobRead::Whole(Box::new(job)),
        Err(broken) => JobRead::Broken(broken),
    }
}

/// A page of a job's history, oldest first.
pub(super) fn events(row: &Row, cursor: Option<i64>, limit: u32) -> Page<JobEvent, i64> {
    let later = row.events.iter().filter(|event| cursor.is_none_or(|cursor| event.id > cursor));
    page(later.cloned(), limit, |event| event.id)
}

/// Every queue that has jobs or was paused.
pub(super) fn queues(data: &Data) -> Vec<QueueState> {
    let mut queues: BTreeMap<&QueueName, BTreeMap<Status, u64>> = BTreeMap::new();
    for row in data.rows() {
        let counts = queues.entry(&row.job.queue).or_default();
        if let Some(status) = row.status() {
            *counts.entry(status).or_default() += 1;
        }
    }
    for queue in &data.paused {
        queues.entry(queue).or_default();
    }
    let state = |(name, jobs): (&QueueName, BTreeMap<Status, u64>)| QueueState {
        name: name.clone(),
        paused: data.paused.contains(name),
        jobs: jobs.into_iter().collect(),
        oldest_queued: data
            .rows()
            .filter(|row| row.job.queue == *name && row.status() == Some(Status::Queued))
            .map(|row| row.job.run_at)
            .min(),
    };
    queues.into_iter().map(state).collect()
}
