//! What a job ought to be: the specification written down a second time, as small as it goes.

use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::report::{Holder, Outcome, Report};
use reclaimer_domain::job::{Counter, EndedLease, Job, Lease, LeaseToken, NewJob, Status};
use reclaimer_domain::name::{QueueName, UniqueKey, WorkerId};

use crate::operation::{ByHand, Verdict};

/// How long leases hold, in seconds.
pub(crate) const LEASE: i64 = 30;

/// What is compared of a row. What the model leaves out it watches all the same: where nothing of this changes, nothing
/// at all may.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Row {
    pub(crate) status: Status,
    pub(crate) lease: Option<Lease>,
    attempt: u32,
    lease_epoch: u64,
    recoveries: u32,
    lease_losses: u32,
    run_at: DateTime<Utc>,
    recover_after: Option<DateTime<Utc>>,
    ended: Option<EndedLease>,
    last_report: (Option<DateTime<Utc>>, Vec<String>),
    updated_at: DateTime<Utc>,
}

impl Row {
    /// What a stored job is.
    pub(crate) fn of(job: &Job) -> Self {
        Self {
            status: job.status,
            lease: job.lease.clone(),
            attempt: job.attempt,
            lease_epoch: job.lease_epoch,
            recoveries: job.recoveries,
            lease_losses: job.lease_losses,
            run_at: job.run_at,
            recover_after: job.recover_after,
            ended: job.ended_lease.clone(),
            last_report: (job.report_stamp, job.report_digests.clone()),
            updated_at: job.updated_at,
        }
    }
}

/// What the history has to say.
#[derive(Debug, Clone, PartialEq, Default)]
pub(crate) struct History {
    /// Every change of the status, in order.
    pub(crate) changes: Vec<(Option<Status>, Status)>,
    /// Every report that did not count, by who sent what.
    pub(crate) stale: BTreeSet<String>,
    /// Who took it under which lease, in order.
    claims: Vec<(WorkerId, LeaseToken)>,
    /// How often it was said why recovery left the job.
    pub(crate) left: usize,
    /// What was said last, while nothing else has happened.
    said: Option<u8>,
}

#[derive(Debug, Clone, PartialEq)]
pub(crate) struct ModelJob {
    pub(crate) id: JobId,
    pub(crate) order: NewJob,
    pub(crate) row: Row,
    pub(crate) history: History,
}

/// What becomes of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fate {
    Applied,
    Duplicate,
    Stale,
}

fn in_seconds(now: DateTime<Utc>, seconds: i64) -> DateTime<Utc> {
    now + TimeDelta::seconds(seconds)
}

impl ModelJob {
    pub(crate) fn new(id: JobId, order: NewJob, now: DateTime<Utc>) -> Self {
        let row = Row {
            status: Status::Queued,
            lease: None,
            attempt: 0,
            lease_epoch: 0,
            recoveries: 0,
            lease_losses: 0,
            run_at: order.run_at.unwrap_or(now),
            recover_after: None,
            ended: None,
            last_report: (None, Vec::new()),
            updated_at: now,
        };
        let history = History { changes: vec![(None, Status::Queued)], ..History::default() };
        Self { id, order, row, history }
    }

    fn becomes(&mut self, status: Status) {
        self.history.changes.push((Some(self.row.status), status));
        self.history.said = None;
        self.row.status = status;
    }

    pub(crate) fn is_due(&self, now: DateTime<Utc>) -> bool {
        self.row.status == Status::Queued && self.row.run_at <= now
    }

    pub(crate) fn is_live(&self) -> bool {
        !matches!(self.row.status, Status::Finished | Status::Cancelled)
    }

    pub(crate) fn is_candidate(&self, now: DateTime<Utc>) -> bool {
        let rests = self.row.recover_after.is_some_and(|until| until > now);
        let over = self.row.lease.as_ref().is_some_and(|lease| lease.expires_at <= now);
        !rests && (self.row.status == Status::Failed || over)
    }

    pub(crate) fn is_held_by(&self, token: &LeaseToken) -> bool {
        self.row.lease.as_ref().is_some_and(|lease| lease.token == *token)
    }

    pub(crate) fn was_cancelled_under(&self, token: &LeaseToken) -> bool {
        self.row.status == Status::Cancelled
            && self.row.ended.as_ref().is_some_and(|ended| ended.token == *token)
    }

    pub(crate) fn claim(&mut self, worker: &WorkerId, token: LeaseToken, now: DateTime<Utc>) {
        assert_eq!(self.row.status, Status::Queued, "{} was claimed", self.id);
        self.becomes(Status::Running);
        self.history.claims.push((worker.clone(), token.clone()));
        self.row.attempt += 1;
        self.row.lease_epoch += 1;
        let expires_at = in_seconds(now, LEASE);
        self.row.lease = Some(Lease { worker: worker.clone(), token, expires_at, excused: false });
        self.row.last_report = (None, Vec::new());
        self.row.updated_at = now;
    }

    pub(crate) fn renew(&mut self, now: DateTime<Utc>) {
        if let Some(lease) = &mut self.row.lease {
            lease.expires_at = lease.expires_at.max(in_seconds(now, LEASE));
            lease.excused = false;
            self.row.updated_at = now;
        }
    }

    pub(crate) fn report(&mut self, report: &Report, now: DateTime<Utc>) -> Fate {
        let holds = |worker: &WorkerId, token: &LeaseToken| match &report.holder {
            Holder::Lease(named) => named == token,
            Holder::Worker(named) => named == worker,
        };
        let end = match &report.outcome {
            Outcome::Progress => None,
            Outcome::Completed => Some(Status::Finished),
            Outcome::Failed(_) => Some(Status::Failed),
            Outcome::Paused => Some(Status::Paused),
        };
        let Some(lease) = self.row.lease.clone().filter(|lease| holds(&lease.worker, &lease.token)) else {
            let ended = self.row.ended.as_ref().filter(|ended| holds(&ended.worker, &ended.token));
            if ended.is_some_and(|ended| Some(ended.became) == end) {
                return Fate::Duplicate;
            }
            let who = match &report.holder {
                Holder::Lease(token) => token.expose(),
                Holder::Worker(worker) => {
                    let its = self.history.claims.iter().rev().find(|(taker, _)| taker == worker);
                    its.map_or(worker.as_str(), |(_, token)| token.expose())
                }
            };
            let said = format!("{} by {who}", report.outcome.as_str());
            self.history.stale.insert(said);
            return Fate::Stale;
        };
        let (last, digests) = &self.row.last_report;
        let known = |digest: &String| digests.contains(digest);
        if report.stamp.is_some() && report.stamp == *last && report.digest.as_ref().is_some_and(known) {
            return Fate::Duplicate;
        }
        if end.is_none() && report.stamp.is_some() && report.stamp < *last {
            self.renew(now);
            return Fate::Duplicate;
        }
        if report.stamp.is_some() {
            if report.stamp != self.row.last_report.0 {
                self.row.last_report = (report.stamp, Vec::new());
            }
            self.row.last_report.1.extend(report.digest.clone());
        }
        self.row.lease_losses = 0;
        self.row.updated_at = now;
        let Some(became) = end else {
            self.renew(now);
            return Fate::Applied;
        };
        self.becomes(became);
        self.row.ended = Some(EndedLease { worker: lease.worker, token: lease.token, became });
        self.row.lease = None;
        if became == Status::Failed && self.row.attempt >= self.order.max_attempts {
            self.becomes(Status::Quarantined);
        }
        if became == Status::Paused {
            self.row.attempt -= 1;
        }
        Fate::Applied
    }

    pub(crate) fn give_back(&mut self, delay: i64, now: DateTime<Utc>) {
        self.becomes(Status::Queued);
        self.row.lease = None;
        self.row.attempt = self.row.attempt.saturating_sub(1);
        self.row.run_at = in_seconds(now, delay);
        self.row.updated_at = now;
    }

    /// Applies a decision; false where the job's status does not allow it.
    pub(crate) fn recover(&mut self, verdict: Verdict, now: DateTime<Utc>) -> bool {
        let to = match verdict {
            Verdict::Requeue { .. } => Status::Queued,
            Verdict::Quarantine => Status::Quarantined,
            Verdict::Leave { reason, rest } => {
                self.row.recover_after = Some(in_seconds(now, rest));
                if self.history.said != Some(reason) {
                    self.history.said = Some(reason);
                    self.history.left += 1;
                }
                return true;
            }
        };
        if !matches!(self.row.status, Status::Running | Status::Failed) {
            return false;
        }
        let excused = self.row.lease.as_ref().is_some_and(|lease| lease.excused);
        match self.row.status {
            Status::Running if excused => self.row.attempt = self.row.attempt.saturating_sub(1),
            Status::Running => self.row.lease_losses += 1,
            _ => {}
        }
        if let Verdict::Requeue { delay } = verdict {
            self.row.run_at = in_seconds(now, delay);
            self.row.recover_after = None;
            self.row.recoveries += u32::from(!excused);
        }
        self.becomes(to);
        self.row.lease = None;
        self.row.updated_at = now;
        true
    }

    /// Does something by hand; false where the job's status does not allow it.
    pub(crate) fn administer(&mut self, by_hand: ByHand, now: DateTime<Utc>) -> bool {
        let to = match (by_hand, self.row.status) {
            (ByHand::Retry(_), Status::Failed)
            | (ByHand::Resume, Status::Paused)
            | (ByHand::Release(_), Status::Quarantined) => Status::Queued,
            (ByHand::Pause, Status::Queued) => Status::Paused,
            (ByHand::Cancel, _) if self.is_live() => Status::Cancelled,
            _ => return false,
        };
        self.becomes(to);
        self.row.updated_at = now;
        if let Some(lease) = self.row.lease.take() {
            self.row.ended = Some(EndedLease { worker: lease.worker, token: lease.token, became: to });
        }
        match by_hand {
            ByHand::Retry(reset) | ByHand::Release(reset) => {
                let kept = |counter, count| if reset.has(counter) { 0 } else { count };
                self.row.attempt = kept(Counter::Attempts, self.row.attempt);
                self.row.lease_losses = kept(Counter::LeaseLosses, self.row.lease_losses);
                self.row.recoveries = kept(Counter::Recoveries, self.row.recoveries);
                self.row.run_at = now;
                self.row.recover_after = None;
            }
            ByHand::Resume => self.row.run_at = self.row.run_at.max(now),
            ByHand::Cancel | ByHand::Pause | ByHand::Rerun => {}
        }
        true
    }

    pub(crate) fn grant_grace(&mut self, until: DateTime<Utc>) -> bool {
        match &mut self.row.lease {
            Some(lease) if lease.expires_at < until => {
                (lease.expires_at, lease.excused) = (until, true);
                true
            }
            _ => false,
        }
    }
}

/// Everything there ought to be.
#[derive(Debug, Clone, Default)]
pub(crate) struct Model {
    pub(crate) jobs: Vec<ModelJob>,
    pub(crate) paused: BTreeSet<QueueName>,
}

impl Model {
    pub(crate) fn job(&mut self, id: &JobId) -> &mut ModelJob {
        self.jobs.iter_mut().find(|job| job.id == *id).unwrap()
    }

    pub(crate) fn holder_of(&self, key: Option<&UniqueKey>) -> Option<&JobId> {
        let holder = |job: &&ModelJob| job.order.unique_key.as_ref() == key && job.is_live();
        self.jobs.iter().find(holder).filter(|_| key.is_some()).map(|job| &job.id)
    }

    /// The jobs of a queue, or of any, that may be taken, in the order in which they are.
    pub(crate) fn due(&self, queue: Option<&QueueName>, now: DateTime<Utc>) -> Vec<JobId> {
        let mut due: Vec<&ModelJob> = self.open(queue).filter(|job| job.is_due(now)).collect();
        due.sort_by_key(|job| (job.order.priority, job.row.run_at, &job.id));
        due.into_iter().map(|job| job.id.clone()).collect()
    }

    /// When the next of them falls due.
    pub(crate) fn next_due(&self, queue: Option<&QueueName>, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let later = self.open(queue).filter(|job| job.row.status == Status::Queued && job.row.run_at > now);
        later.map(|job| job.row.run_at).min()
    }

    fn open(&self, queue: Option<&QueueName>) -> impl Iterator<Item = &ModelJob> {
        let wanted = move |job: &&ModelJob| queue.is_none_or(|queue| job.order.queue == *queue);
        self.jobs.iter().filter(wanted).filter(|job| !self.paused.contains(&job.order.queue))
    }

    /// The jobs that recovery should look at, in the order in which it does.
    pub(crate) fn candidates(&self, now: DateTime<Utc>) -> Vec<JobId> {
        let mut found: Vec<&ModelJob> = self.jobs.iter().filter(|job| job.is_candidate(now)).collect();
        found.sort_by_key(|job| (job.row.status != Status::Failed, &job.id));
        found.into_iter().map(|job| job.id.clone()).collect()
    }
}
