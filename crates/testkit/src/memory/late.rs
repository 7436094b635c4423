//! Results that came too late, and accepting one.

use chrono::{DateTime, Utc};
use reclaimer_domain::history::JobEvent;
use reclaimer_domain::job::Job;
use reclaimer_domain::job::report::Report;
use reclaimer_domain::ports::{AcceptLate, Applied, Refused, StoreError};

use super::data::Data;
use super::effects::Effects;
use super::report::found;
use super::row::Row;

/// Keeps what a report leaves behind whose sender does not hold the job.
pub(super) fn keep(data: &mut Data, job: &Job, report: &Report, now: DateTime<Utc>) {
    let Some(row) = data.row(&job.id) else { return };
    let kept = u32::try_from(row.late.len()).unwrap_or(u32::MAX);
    let Some(stale) = job.stale_report(report, latest(row), kept, now) else { return };
    data.append(&job.id, stale.entry);
    if let Some(row) = data.row_mut(&job.id) {
        row.late.extend(stale.late);
    }
}

/// The most events of one job that are looked through when something is explained by its history.
const LOOKED_THROUGH: usize = 200;

/// A job's latest events, oldest first.
pub(super) fn latest(row: &Row) -> &[JobEvent] {
    &row.events[row.events.len().saturating_sub(LOOKED_THROUGH)..]
}

/// Makes one count.
pub(super) fn accept(
    data: &mut Data,
    effects: &mut Effects,
    order: AcceptLate,
) -> Result<Applied<Box<Job>>, StoreError> {
    let AcceptLate { job: id, number, spawn, actor, now } = order;
    let Some(mut job) = data.readable(&id, now) else {
        return Ok(Applied::Refused(Refused::NoSuchJob(id)));
    };
    let kept = data.row(&id).and_then(|row| row.late.iter().find(|late| late.number == number));
    let Some(late) = kept.cloned() else {
        return Ok(Applied::Refused(Refused::NoSuchLateResult { job: id, number }));
    };
    if late.accepted_at.is_some() {
        return Ok(Applied::Refused(Refused::AcceptedBefore(number)));
    }
    match job.accept_late(&late, actor, now) {
        Ok(entries) => data.save(&job, entries),
        Err(illegal) => return Ok(Applied::Refused(illegal.into())),
    }
    let row = data.row_mut(&id);
    let accepted = row.and_then(|row| row.late.iter_mut().find(|late| late.number == number));
    if let Some(late) = accepted {
        late.accepted_at = Some(now);
    }
    found(data, effects, &job, &late.report.areas, &spawn, now)?;
    Ok(Applied::Done(Box::new(job)))
}
