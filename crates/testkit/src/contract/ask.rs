//! Shorthand for what nearly every contract asks of a store. Whatever is not answered as expected ends the test.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reclaimer_domain::decision::Decision;
use reclaimer_domain::history::{Actor, EventKind, JobEvent};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::report::{Failure, Holder, Outcome, Report, Retryable};
use reclaimer_domain::job::{Job, LeaseToken, NewJob, Progress, Status};
use reclaimer_domain::ports::{
    AdminAction, Applied, Claim, Claimed, Create, Created, JobFilter, JobRead, JobStore, Page, Planned,
    Release, Released, Renew, Renewed, ReportAnswer, ReportOrder, Seen,
};

use super::rig::Store;
use crate::account::text;
use crate::noon;

/// How long the leases of the suite hold.
pub(super) const LEASE: Duration = Duration::from_secs(60);

/// So many seconds after [`noon`].
pub(super) fn at(seconds: i64) -> DateTime<Utc> {
    noon() + TimeDelta::seconds(seconds)
}

/// A job id written in the test.
pub(super) fn id(literal: &str) -> JobId {
    text(literal)
}

/// A lease token written in the test.
pub(super) fn token(literal: &str) -> LeaseToken {
    text(literal)
}

/// An order for a job of this command in the default queue.
pub(super) fn order(command: &str) -> NewJob {
    NewJob::of(text(command))
}

/// An order of one claim for as many jobs as tokens, at [`noon`].
pub(super) fn claim(worker: &str, tokens: &[&str]) -> Claim {
    Claim {
        worker: text(worker),
        queue: None,
        commands: Vec::new(),
        only: None,
        tokens: tokens.iter().map(|literal| token(literal)).collect(),
        lease_for: LEASE,
        now: noon(),
    }
}

/// A report by the holder of a lease that says nothing but its outcome.
pub(super) fn report(job: &JobId, lease: &str, outcome: Outcome) -> Report {
    Report {
        job: job.clone(),
        holder: Holder::Lease(token(lease)),
        sender: None,
        outcome,
        stamp: None,
        digest: None,
        said: Progress::new(),
        resume_state: None,
        areas: Vec::new(),
    }
}

/// A failure that leaves the rest to the policy.
pub(super) fn failure(error: &str) -> Outcome {
    Outcome::Failed(Failure { error: error.to_owned(), error_type: None, retryable: Retryable::AskPolicy })
}

/// The kinds of a history, in order.
pub(super) fn kinds(history: &[JobEvent]) -> Vec<EventKind> {
    history.iter().map(|event| event.entry.kind).collect()
}

/// A job and its history, to be compared with what they are later.
#[derive(Debug, PartialEq)]
pub(super) struct Snapshot {
    pub(super) job: Job,
    pub(super) history: Vec<JobEvent>,
}

impl dyn Store + '_ {
    /// Creates one job under this id at [`noon`].
    pub(super) async fn add(&self, name: &str, new: NewJob) -> JobId {
        self.add_at(name, new, noon()).await
    }

    /// Creates one job under this id.
    pub(super) async fn add_at(&self, name: &str, new: NewJob, now: DateTime<Utc>) -> JobId {
        let jobs = vec![(id(name), new)];
        match self.order(jobs, now).await {
            Created::Done { jobs, replayed: false, .. } if jobs.len() == 1 && jobs[0].created => {
                jobs[0].id.clone()
            }
            other => panic!("`{name}` was not created: {other:?}"),
        }
    }

    /// Orders jobs as a producer.
    pub(super) async fn order(&self, jobs: Vec<(JobId, NewJob)>, now: DateTime<Utc>) -> Created {
        self.create(Create { jobs, idempotency: None, actor: Actor::Producer, now }).await.unwrap()
    }

    /// Claims exactly one job of any kind.
    pub(super) async fn take(&self, worker: &str, lease: &str, now: DateTime<Utc>) -> Job {
        let Claimed { mut jobs, .. } = self.claim(Claim { now, ..claim(worker, &[lease]) }).await.unwrap();
        jobs.pop().unwrap_or_else(|| panic!("nothing was handed out to {worker}"))
    }

    /// The ids that a claim gets.
    pub(super) async fn claimed_ids(&self, claim: Claim) -> Vec<String> {
        self.claim(claim).await.unwrap().jobs.iter().map(|job| job.id.to_string()).collect()
    }

    /// Creates a job and claims it, at [`noon`].
    pub(super) async fn add_running(&self, name: &str, new: NewJob, worker: &str, lease: &str) -> JobId {
        let job = self.add(name, new).await;
        let taken = self.take(worker, lease, noon()).await;
        assert_eq!(taken.id, job, "another job was handed out");
        job
    }

    /// Creates a job that stands in this status, having been held under the lease `first` where it must have been held.
    pub(super) async fn add_in(&self, status: Status, name: &str, new: NewJob) -> JobId {
        if matches!(status, Status::Queued | Status::Cancelled) {
            let job = self.add(name, new).await;
            if status == Status::Cancelled {
                self.administered(&job, AdminAction::Cancel, noon()).await;
            }
            return job;
        }
        let attempts = if status == Status::Quarantined { 1 } else { new.max_attempts };
        let lease = format!("first-{name}");
        let job = self.add_running(name, NewJob { max_attempts: attempts, ..new }, "w", &lease).await;
        let outcome = match status {
            Status::Running => return job,
            Status::Finished => Outcome::Completed,
            Status::Failed | Status::Quarantined => failure("it broke"),
            Status::Paused => Outcome::Paused,
            Status::Queued | Status::Cancelled => unreachable!("made above"),
        };
        let answer = self.tell(report(&job, &lease, outcome), noon()).await;
        assert!(matches!(answer, ReportAnswer::Applied { .. }), "{answer:?}");
        job
    }

    /// Sends a report that asks for no spawned jobs.
    pub(super) async fn tell(&self, report: Report, now: DateTime<Utc>) -> ReportAnswer {
        let order = ReportOrder { report, spawn: Vec::new(), lease_for: LEASE, now };
        self.report(order).await.unwrap()
    }

    /// Gives a sign of life for each lease.
    pub(super) async fn beat(&self, leases: &[&str], now: DateTime<Utc>) -> Renewed {
        let leases = leases.iter().map(|literal| token(literal)).collect();
        // Both this port and that of accounts have a `renew`.
        JobStore::renew(self, Renew { leases, named: true, lease_for: LEASE, now }).await.unwrap()
    }

    /// Gives leases back without delay.
    pub(super) async fn give_back(&self, leases: &[&str], now: DateTime<Utc>) -> Released {
        let leases = leases.iter().map(|literal| token(literal)).collect();
        self.release(Release { leases, reason: None, delay: Duration::ZERO, now }).await.unwrap()
    }

    /// Does something by hand that is allowed; answers the job.
    pub(super) async fn administered(&self, id: &JobId, action: AdminAction, now: DateTime<Utc>) -> Job {
        match self.administer(id.clone(), action, Actor::Admin, now).await.unwrap() {
            Applied::Done(done) => *done.job,
            Applied::Refused(refused) => panic!("refused: {refused}"),
        }
    }

    /// Runs a job again that may be, under this id; answers the new one.
    pub(super) async fn run_again(&self, id: &JobId, new: &JobId, now: DateTime<Utc>) -> Job {
        match self.rerun(id.clone(), new.clone(), Actor::Admin, now).await.unwrap() {
            Applied::Done(job) => *job,
            Applied::Refused(refused) => panic!("refused: {refused}"),
        }
    }

    /// Reads a job whose row can be read.
    pub(super) async fn read(&self, id: &JobId) -> Job {
        match self.job(id).await.unwrap() {
            Some(JobRead::Whole(job)) => *job,
            other => panic!("`{id}` cannot be read: {other:?}"),
        }
    }

    /// Reads a job's whole history.
    pub(super) async fn history(&self, id: &JobId) -> Vec<JobEvent> {
        match self.events(id, None, 1_000).await.unwrap() {
            Some(Page { items, next: None }) => items,
            other => panic!("`{id}` has no such history: {other:?}"),
        }
    }

    /// Reads a job and its history.
    pub(super) async fn snapshot(&self, id: &JobId) -> Snapshot {
        Snapshot { job: self.read(id).await, history: self.history(id).await }
    }

    /// The ids of all jobs, newest first.
    pub(super) async fn all_ids(&self) -> Vec<String> {
        let page = self.jobs(JobFilter::default(), None, 1_000).await.unwrap();
        let id = |item: JobRead| match item {
            JobRead::Whole(job) => job.id.to_string(),
            JobRead::Broken(row) => row.id,
        };
        page.items.into_iter().map(id).collect()
    }

    /// Stops or restarts handing out the jobs of a queue, at [`noon`].
    pub(super) async fn set_paused(&self, queue: &str, paused: bool) {
        self.pause_queue(text(queue), paused, noon()).await.unwrap();
    }

    /// A decision about a job as it now looks.
    pub(super) async fn plan(&self, id: &JobId, decision: Decision) -> Planned {
        Planned { job: id.clone(), seen: Seen::of(&self.read(id).await), decision }
    }
}
