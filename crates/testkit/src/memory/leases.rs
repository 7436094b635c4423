//! Signs of life, leases given back, and what else is asked about a worker.

use chrono::{DateTime, TimeDelta, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{Lease, LeaseToken, Status};
use reclaimer_domain::name::{QueueName, WorkerId};
use reclaimer_domain::ports::{Evidence, Hold, Release, Released, Renew, Renewed};

use super::data::Data;
use super::effects::Effects;
use super::row::Row;

/// Renews leases.
pub(super) fn renew(data: &mut Data, order: Renew) -> Renewed {
    let Renew { leases, named, lease_for, now } = order;
    let mut answer = Renewed::default();
    for token in leases {
        match data.find_by_lease(&token) {
            Some(mut job) => {
                job.renew(lease_for, named, now);
                data.save(&job, []);
                answer.renewed.extend(job.lease.map(|lease| (job.id, lease)));
            }
            None => match cancelled(data, &token) {
                Some(job) => answer.cancelled.push((job, token)),
                None => answer.lost.push(token),
            },
        }
    }
    answer
}

/// The job that was cancelled while this lease held it.
fn cancelled(data: &Data, token: &LeaseToken) -> Option<JobId> {
    let held = |row: &&Row| row.job.ended_lease.as_ref().is_some_and(|ended| ended.token == *token);
    let mut over = data.rows().filter(|row| row.status() == Some(Status::Cancelled));
    over.find(held).map(|row| row.job.id.clone())
}

/// The jobs that a worker holds.
pub(super) fn held_by(data: &Data, worker: &WorkerId) -> Vec<(JobId, Lease)> {
    let running = data.rows().filter(|row| row.status() == Some(Status::Running));
    let held = running.filter_map(|row| {
        let job = row.read().ok()?;
        Some((job.id, job.lease.filter(|lease| lease.worker == *worker)?))
    });
    held.collect()
}

/// Sets when leases end whose worker cannot be heard.
pub(super) fn hold(data: &mut Data, order: Hold) -> u32 {
    let mut held = 0;
    for token in order.leases {
        if let Some(mut job) = data.find_by_lease(&token) {
            job.hold_lease(order.until, order.excused);
            data.save(&job, []);
            held += 1;
        }
    }
    held
}

/// Notes that a queued job was to be started and its worker was away.
pub(super) fn note_pending_start(data: &mut Data, id: &JobId, now: DateTime<Utc>) -> bool {
    let Some(Ok(mut job)) = data.find(id) else { return false };
    let is_noted = job.note_pending_start(now);
    data.save(&job, []);
    is_noted
}

/// Adds evidence to a job's history.
pub(super) fn testify(data: &mut Data, evidence: Evidence) -> bool {
    let Some(Ok(job)) = data.find(&evidence.job) else { return false };
    data.append(&job.id, job.evidence(evidence));
    true
}

/// Takes leases back unworked.
pub(super) fn release(data: &mut Data, effects: &mut Effects, order: Release) -> Released {
    let Release { leases, reason, delay, now } = order;
    let mut answer = Released::default();
    for token in leases {
        if let Some(mut job) = data.find_by_lease(&token)
            && let Ok(entry) = job.give_back(reason.clone(), delay, now)
        {
            data.save(&job, [entry]);
            effects.now_waits(&job);
            answer.released.push((job.id, token));
        } else {
            answer.lost.push(token);
        }
    }
    answer
}

/// Gives every running job's lease until `until` at least, and excuses its loss.
pub(super) fn grant_grace(data: &mut Data, until: DateTime<Utc>) -> u32 {
    change_leases(data, |row| {
        let lease = row.job.lease.as_mut().filter(|lease| lease.expires_at < until)?;
        (lease.expires_at, lease.excused) = (until, true);
        Some(())
    })
}

/// Shifts what is known of every running job by a jump of the clock. After a jump forward, which a sleeping machine
/// makes as well, losing the lease is excused.
pub(super) fn shift(data: &mut Data, by: TimeDelta) -> u32 {
    change_leases(data, |row| {
        let job = &mut row.job;
        let lease = job.lease.as_mut()?;
        lease.expires_at += by;
        lease.excused |= by > TimeDelta::zero();
        job.updated_at += by;
        job.started_at = job.started_at.map(|at| at + by);
        Some(())
    })
}

/// Changes running jobs; answers how many.
fn change_leases(data: &mut Data, mut change: impl FnMut(&mut Row) -> Option<()>) -> u32 {
    let running: Vec<JobId> = data
        .rows()
        .filter(|row| row.status() == Some(Status::Running))
        .map(|row| row.job.id.clone())
        .collect();
    let changed = running.iter().filter_map(|id| change(data.row_mut(id)?));
    u32::try_from(changed.count()).unwrap_or(u32::MAX)
}

/// Queued jobs whose `progress` says that they wait to be started.
pub(super) fn pending_starts(data: &Data, limit: u32) -> Vec<(JobId, QueueName)> {
    let waits = |row: &&Row| {
        row.status() == Some(Status::Queued) && row.job.progress.get("pendingStart") == Some(&true.into())
    };
    let waiting = data.rows().filter(waits).map(|row| (row.job.id.clone(), row.job.queue.clone()));
    waiting.take(usize::try_from(limit).unwrap_or(usize::MAX)).collect()
}
