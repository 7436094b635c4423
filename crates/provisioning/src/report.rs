//! Reports, signs of life, and leases given back.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::area::Area;
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::report::{Outcome, Report, Retryable};
use reclaimer_domain::job::{Job, Lease, LeaseToken, SpawnIntent};
use reclaimer_domain::name::{AccountId, QueueName, WorkerId};
use reclaimer_domain::ports::{
    AcceptLate, Applied, Evidence, Hold, JobRead, Release, Released, Renew, Renewed, ReportAnswer,
    ReportOrder, StoreError,
};
use reclaimer_domain::time::after;
use tracing::{debug, warn};

use crate::service::Provisioning;

/// At most so many jobs are read that wait to be started; more wait like any other job.
const MOST_STARTS: u32 = 10_000;

/// A job that a worker holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HeldJob {
    /// Which.
    pub job: JobId,
    /// By which lease.
    pub lease: Lease,
    /// Whose credentials it needs.
    pub account: Option<AccountId>,
    /// Whether anything was said about it under this lease; otherwise it may never have reached the worker.
    pub heard_of: bool,
}

/// Says in the log what became of a report.
pub(crate) fn say(job_id: &JobId, outcome: &str, answer: &ReportAnswer) {
    match answer {
        ReportAnswer::Stale { status } => {
            warn!(area = "JOB-MANAGER", %job_id, outcome, %status, "a report came from somebody who does not hold the job");
        }
        ReportAnswer::Applied { status, spawned, .. } => {
            debug!(area = "JOB-MANAGER", %job_id, outcome, %status, spawned, "report applied");
        }
        ReportAnswer::Duplicate { .. } | ReportAnswer::Refused(_) => {
            debug!(area = "JOB-MANAGER", %job_id, outcome, "report changed nothing");
        }
    }
}

impl Provisioning {
    /// Applies one report; areas it found get the jobs that their kind asks for. A discovery that failed can be tried
    /// again unless its worker says otherwise: without it nothing else of the account is found.
    ///
    /// # Errors
    /// When the store cannot.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the report.
    pub async fn report(&self, report: Report) -> Result<ReportAnswer, StoreError> {
        let order = self.order(report).await?;
        self.apply(order).await
    }

    /// What the store is to do about a report.
    pub(crate) async fn order(&self, mut report: Report) -> Result<ReportOrder, StoreError> {
        if let Outcome::Failed(failure) = &mut report.outcome
            && failure.retryable == Retryable::AskPolicy
            && self.is_discovery(&report.job).await?
        {
            failure.retryable = Retryable::Yes;
        }
        let (spawn, now) = self.to_spawn(&report.areas);
        Ok(ReportOrder { report, spawn, lease_for: self.inner.config.lease, now })
    }

    /// Applies one report by itself.
    pub(crate) async fn apply(&self, order: ReportOrder) -> Result<ReportAnswer, StoreError> {
        let (job_id, outcome) = (order.report.job.clone(), order.report.outcome.as_str());
        let answer = self.inner.jobs.report(order).await?;
        say(&job_id, outcome, &answer);
        Ok(answer)
    }

    /// The jobs that these areas ask for, and the moment they are ordered at.
    fn to_spawn(&self, areas: &[Area]) -> (Vec<SpawnIntent>, DateTime<Utc>) {
        self.inner.ids(|ids, now| {
            let mut spawn = Vec::new();
            for (area, found) in areas.iter().enumerate() {
                for command in self.inner.config.spawn.commands(&found.kind) {
                    spawn.push(SpawnIntent { id: ids.job(now), area, command: command.clone() });
                }
            }
            (spawn, now)
        })
    }

    /// Makes a late result of a queued or quarantined job count; areas it found get the jobs that their kind asks for.
    ///
    /// # Errors
    /// When the store cannot.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo it.
    pub async fn accept_late(
        &self,
        job: JobId,
        number: u32,
        actor: Actor,
    ) -> Result<Applied<Box<Job>>, StoreError> {
        let late = self.inner.jobs.late_results(&job).await?.unwrap_or_default();
        let late = late.into_iter().find(|late| late.number == number);
        let areas = late.map(|late| late.report.areas).unwrap_or_default();
        let (spawn, now) = self.to_spawn(&areas);
        self.inner.jobs.accept_late(AcceptLate { job, number, spawn, actor, now }).await
    }

    /// Whether a job is one; its command never changes.
    async fn is_discovery(&self, job: &JobId) -> Result<bool, StoreError> {
        Ok(match self.inner.jobs.job(job).await? {
            Some(JobRead::Whole(job)) => job.command == self.inner.config.discovery_command,
            Some(JobRead::Broken(_)) | None => false,
        })
    }

    /// Renews leases, each of which names a job: their jobs live.
    ///
    /// # Errors
    /// When the store cannot.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the renewal.
    pub async fn heartbeat(&self, leases: Vec<LeaseToken>) -> Result<Renewed, StoreError> {
        self.renew(leases, true).await
    }

    /// Renews leases because their worker lives, whatever becomes of their jobs: nothing is known of those.
    ///
    /// # Errors
    /// When the store cannot.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the renewal.
    pub async fn keep(&self, leases: Vec<LeaseToken>) -> Result<Renewed, StoreError> {
        self.renew(leases, false).await
    }

    async fn renew(&self, leases: Vec<LeaseToken>, named: bool) -> Result<Renewed, StoreError> {
        let now = self.inner.now();
        self.inner.jobs.renew(Renew { leases, named, lease_for: self.inner.config.lease, now }).await
    }

    /// The jobs that a worker holds.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn held_by(&self, worker: &WorkerId) -> Result<Vec<HeldJob>, StoreError> {
        let held = self.inner.jobs.held_by(worker).await?;
        self.still_held(held).await
    }

    /// Renews leases because their worker lives, and tells what it holds by them.
    ///
    /// # Errors
    /// When the store cannot.
    ///
    /// # Cancel safety
    /// As [`Self::keep`].
    pub async fn take_over(&self, leases: Vec<LeaseToken>) -> Result<Vec<HeldJob>, StoreError> {
        let kept = self.keep(leases).await?;
        self.still_held(kept.renewed).await
    }

    async fn still_held(&self, found: Vec<(JobId, Lease)>) -> Result<Vec<HeldJob>, StoreError> {
        let mut held = Vec::with_capacity(found.len());
        for (id, lease) in found {
            // One that ended meanwhile, or cannot be read any more, is not held.
            if let Some(JobRead::Whole(job)) = self.inner.jobs.job(&id).await?
                && job.lease.as_ref().is_some_and(|held| held.token == lease.token)
            {
                held.push(HeldJob { heard_of: job.is_heard_of(), account: job.account_id, job: id, lease });
            }
        }
        Ok(held)
    }

    /// Holds leases on for so long because their worker cannot be heard; answers how many of them still hold a job. With
    /// `excused`, losing them is nobody's fault; without a length they end when they end.
    ///
    /// # Errors
    /// When the store cannot.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo it.
    pub async fn hold(
        &self,
        leases: Vec<LeaseToken>,
        length: Option<Duration>,
        excused: bool,
    ) -> Result<u32, StoreError> {
        let until = length.map(|length| after(self.inner.now(), length));
        self.inner.jobs.hold(Hold { leases, until, excused }).await
    }

    /// Notes that a queued job was to be started and its worker was away; false when it is not queued.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn note_pending_start(&self, job: JobId) -> Result<bool, StoreError> {
        self.inner.jobs.note_pending_start(job, self.inner.now()).await
    }

    /// Queued jobs that wait to be started, with their queues: what [`Self::note_pending_start`] noted.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn pending_starts(&self) -> Result<Vec<(JobId, QueueName)>, StoreError> {
        self.inner.jobs.pending_starts(MOST_STARTS).await
    }

    /// Adds to a job's history what is known of its attempt; false when there is no such job.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn testify(
        &self,
        job: JobId,
        actor: Actor,
        reason: String,
        detail: serde_json::Value,
    ) -> Result<bool, StoreError> {
        self.inner.jobs.testify(Evidence { job, actor, reason, detail, now: self.inner.now() }).await
    }

    /// Takes leases back unworked; with a `delay` their jobs are not handed out again before it has passed.
    ///
    /// # Errors
    /// When the store cannot.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the release.
    pub async fn release(
        &self,
        leases: Vec<LeaseToken>,
        reason: Option<String>,
        delay: Duration,
    ) -> Result<Released, StoreError> {
        self.inner.jobs.release(Release { leases, reason, delay, now: self.inner.now() }).await
    }
}
