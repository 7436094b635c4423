//! Recovery cycles: the one place, their records, and putting back what one changed.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::history::JobEvent;
use reclaimer_domain::id::{JobId, RunId};
use reclaimer_domain::job::NotUndone;
use reclaimer_domain::ports::{HistoryPage, Page, Recorded, Undo, Undone};
use reclaimer_domain::recovery::{CycleRunning, RunRecord};
use reclaimer_domain::time::after;

use super::data::Data;
use super::lists::page;
use super::row::{Change, Row};

/// Takes the one place for a cycle.
pub(super) fn begin(
    data: &mut Data,
    run: RunId,
    hold_for: Duration,
    now: DateTime<Utc>,
) -> Result<(), CycleRunning> {
    let until = after(now, hold_for);
    // A place held for longer than anybody holds it was taken before the clock was set back.
    match data.place {
        Some((_, held)) if held > now && held <= until => Err(CycleRunning { until: held }),
        _ => {
            data.place = Some((run, until));
            Ok(())
        }
    }
}

/// Gives the place back, and keeps the record.
pub(super) fn end(data: &mut Data, run: &RunId, record: Option<RunRecord>) {
    if data.place.as_ref().is_some_and(|(holder, _)| holder == run) {
        data.place = None;
    }
    data.runs.extend(record.map(|record| (record.run_id.clone(), record)));
}

/// Runs, newest first.
pub(super) fn runs(data: &Data, cursor: Option<&RunId>, limit: u32) -> Page<RunRecord, RunId> {
    let older = |run: &&RunRecord| cursor.is_none_or(|cursor| run.run_id < *cursor);
    page(data.runs.values().rev().filter(older).cloned(), limit, |run| run.run_id.clone())
}

/// The events of all jobs from a moment on.
pub(super) fn replay(data: &Data, since: DateTime<Utc>, cursor: Option<i64>, limit: u32) -> HistoryPage {
    let mut all: Vec<(&JobEvent, &Row)> =
        data.rows_and_past().flat_map(|row| row.events.iter().map(move |event| (event, row))).collect();
    all.sort_by_key(|(event, _)| event.id);
    let begin = match cursor {
        Some(cursor) => all.partition_point(|(event, _)| event.id <= cursor),
        None => all.partition_point(|(event, _)| event.entry.at < since),
    };
    let part = all[begin..].iter().map(|(event, row)| Recorded {
        event: (*event).clone(),
        queue: row.job.queue.clone(),
        command: row.job.command.clone(),
        account_id: row.job.account_id.clone(),
        max_attempts: row.job.max_attempts,
    });
    let Page { items, next } = page(part, limit, |item| item.event.id);
    let end = u32::try_from(begin + items.len()).unwrap_or(u32::MAX);
    let of = u32::try_from(all.len()).unwrap_or(u32::MAX).max(1);
    let read = if next.is_some() { f64::from(end) / f64::from(of) } else { 1.0 };
    HistoryPage { items, next, read }
}

/// The id of the last event of all.
pub(super) fn last_event(data: &Data) -> i64 {
    data.rows_and_past().flat_map(|row| &row.events).map(|event| event.id).max().unwrap_or_default()
}

/// Puts back what a run changed. A dry run does it to a copy.
pub(super) fn undo(data: &mut Data, order: &Undo) -> Undone {
    let changed = data.rows().filter_map(|row| {
        let change = row.change.as_ref().filter(|change| change.run == order.run)?;
        Some((row.job.id.clone(), change.clone()))
    });
    let changed: Vec<(JobId, Change)> = changed.collect();
    let mut answer = Undone::default();
    let named: Vec<JobId> = changed.iter().map(|(id, _)| id.clone()).collect();
    for (id, Change { at, before, .. }) in changed {
        let mut job = match data.find(&id) {
            Some(Ok(job)) => job,
            Some(Err(broken)) => {
                answer.left.push((id, NotUndone::Broken(broken.reason)));
                continue;
            }
            None => continue,
        };
        match job.undo_recovery(before, at, &order.run, order.grace, order.actor.clone(), order.now) {
            Err(why) => answer.left.push((id, why)),
            Ok(entry) => {
                data.save(&job, [entry]);
                if let Some(row) = data.row_mut(&id) {
                    row.change = None;
                }
                answer.undone.push((id, job.status));
            }
        }
    }
    // A job that a later run took up, or that was put back already, is on no record of this run any more.
    let report = data.runs.get(&order.run).and_then(|run| run.report.as_ref());
    let decided = report.map(|report| report.result.changed()).unwrap_or_default();
    for id in decided.into_iter().filter(|id| !named.contains(id)) {
        match data.find(&id) {
            None => {}
            Some(Ok(job)) => answer.left.push((id, NotUndone::Changed(job.status))),
            Some(Err(broken)) => answer.left.push((id, NotUndone::Broken(broken.reason))),
        }
    }
    answer
}
