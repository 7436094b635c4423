//! Handing out jobs, at once or when one arrives.

use std::iter::repeat_with;
use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Job;
use reclaimer_domain::name::{Command, QueueName, WorkerId};
use reclaimer_domain::ports::{Claim, StoreError};
use reclaimer_domain::time::between;
use reclaimer_domain::trace::traceparent;
use reclaimer_domain::wire::{Credentials, JobOnTheWire};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::debug;

use crate::arrivals::{Place, Wanted};
use crate::delivery::{self, Undelivered};
use crate::service::Provisioning;

/// However the clocks differ, a waiter looks no more often than this.
const SHORTEST_ALARM: Duration = Duration::from_millis(1);

/// What a worker asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Who asks.
    pub worker: WorkerId,
    /// Only jobs of this queue.
    pub queue: Option<QueueName>,
    /// Only jobs of these commands; empty = of any.
    pub commands: Vec<Command>,
    /// At most so many; held to [`Provisioning::MOST_CLAIMED`].
    pub limit: u32,
    /// How long to wait for one to appear; held to [`Provisioning::LONGEST_WAIT`].
    pub wait: Duration,
}

impl Want {
    /// Up to [`Provisioning::DEFAULT_CLAIMED`] jobs of any kind, without waiting.
    #[must_use]
    pub fn of(worker: WorkerId) -> Self {
        Self {
            worker,
            queue: None,
            commands: Vec::new(),
            limit: Provisioning::DEFAULT_CLAIMED,
            wait: Duration::ZERO,
        }
    }
}

impl Provisioning {
    /// The most jobs that one request gets.
    pub const MOST_CLAIMED: u32 = 100;
    /// How many jobs a request gets that does not say.
    pub const DEFAULT_CLAIMED: u32 = 10;
    /// The longest that a request waits.
    pub const LONGEST_WAIT: Duration = Duration::from_secs(60);

    /// Leases jobs to a worker; waits for one to appear where there is none, until the time that it asked for is up or
    /// `stop` is cancelled. Each comes with credentials where its account has any that hold.
    ///
    /// # Errors
    /// When the store cannot.
    ///
    /// # Cancel safety
    /// Dropping the future loses nothing: jobs that were leased and not answered are given back, and cost no attempt.
    pub async fn open(&self, want: Want, stop: &CancellationToken) -> Result<Vec<JobOnTheWire>, StoreError> {
        let inner = &self.inner;
        if want.wait.is_zero() {
            let (claimed, undelivered) = delivery::claim(inner, self.claim(&want)).await?;
            return Ok(self.hand_out(claimed.jobs, undelivered, &want.worker).await);
        }
        let deadline = Instant::now() + want.wait.min(Self::LONGEST_WAIT);
        // In line before the first look: what arrives in between rings the bell.
        let place =
            inner.arrivals.enter(Wanted { queue: want.queue.clone(), commands: want.commands.clone() });
        loop {
            let claim = self.claim(&want);
            let now = claim.now;
            place.begin_look();
            let (claimed, undelivered) = delivery::claim(inner, claim).await?;
            place.end_look(now, !claimed.jobs.is_empty(), claimed.next_due);
            if !claimed.jobs.is_empty() {
                return Ok(self.hand_out(claimed.jobs, undelivered, &want.worker).await);
            }
            if !self.wait(&place, deadline, stop).await {
                return Ok(Vec::new());
            }
        }
    }

    /// What the store is asked for.
    pub(crate) fn claim(&self, want: &Want) -> Claim {
        let inner = &self.inner;
        Claim {
            worker: want.worker.clone(),
            queue: want.queue.clone(),
            commands: want.commands.clone(),
            only: None,
            tokens: inner.tokens(want.limit.clamp(1, Self::MOST_CLAIMED)),
            lease_for: inner.config.lease,
            now: inner.now(),
        }
    }

    /// Makes jobs ready for the worker that they were leased to.
    pub(crate) async fn hand_out(
        &self,
        jobs: Vec<Job>,
        undelivered: Undelivered,
        worker: &WorkerId,
    ) -> Vec<JobOnTheWire> {
        for job in &jobs {
            debug!(area = "JOB-MANAGER", job_id = %job.id, worker_id = %worker, "job handed out");
        }
        // Most need none.
        let credentials = match jobs.iter().any(|job| job.account_id.is_some()) {
            true => join_all(jobs.iter().map(|job| self.credentials_for(job))).await,
            false => Vec::new(),
        };
        let credentials = credentials.into_iter().chain(repeat_with(|| None));
        let jobs =
            jobs.into_iter().zip(credentials).map(|(job, found)| self.on_the_wire(job, found)).collect();
        undelivered.deliver();
        jobs
    }

    /// Leases one very job to a worker, if it is queued and due.
    ///
    /// # Errors
    /// When the store cannot.
    ///
    /// # Cancel safety
    /// As [`Self::open`].
    pub async fn take(&self, job: JobId, worker: WorkerId) -> Result<Option<JobOnTheWire>, StoreError> {
        let inner = &self.inner;
        let claim = Claim {
            worker,
            queue: None,
            commands: Vec::new(),
            only: Some(job),
            tokens: inner.tokens(1),
            lease_for: inner.config.lease,
            now: inner.now(),
        };
        let (mut claimed, undelivered) = delivery::claim(inner, claim).await?;
        let job = match claimed.jobs.pop() {
            Some(job) => {
                let credentials = self.credentials_for(&job).await;
                Some(self.on_the_wire(job, credentials))
            }
            None => None,
        };
        undelivered.deliver();
        Ok(job)
    }

    /// Waits until there is a reason to look; false when the time is up.
    async fn wait(&self, place: &Place, deadline: Instant, stop: &CancellationToken) -> bool {
        loop {
            if place.is_told() {
                return true;
            }
            if Instant::now() >= deadline || stop.is_cancelled() {
                return false;
            }
            let alarm = place.alarm().map(|due| {
                let until = between(self.inner.now(), due).max(SHORTEST_ALARM);
                Instant::now().checked_add(until).unwrap_or(deadline)
            });
            tokio::select! {
                () = place.rung() => {}
                () = sleep_until(alarm.unwrap_or(deadline)), if alarm.is_some() => place.fell_due(),
                () = sleep_until(deadline) => {}
                () = stop.cancelled() => {}
            }
        }
    }

    /// The jobs that a request would get now, without leases and without credentials.
    ///
    /// # Errors
    /// When the store cannot.
    pub async fn peek(
        &self,
        queue: Option<QueueName>,
        command: Option<Command>,
        limit: u32,
    ) -> Result<Vec<JobOnTheWire>, StoreError> {
        let limit = limit.clamp(1, Self::MOST_CLAIMED);
        let jobs = self.inner.jobs.peek(queue, command, limit, self.inner.now()).await?;
        Ok(jobs.into_iter().map(|job| JobOnTheWire::new(job, None)).collect())
    }

    /// What a job's worker presents to the provider. Trouble with credentials is no reason to keep the job back: the worker
    /// asks for them again, or reports what it lacks.
    async fn credentials_for(&self, job: &Job) -> Option<Credentials> {
        Arc::clone(&self.inner).credentials_to_hand_out(job.account_id.as_ref()?).await
    }

    fn on_the_wire(&self, job: Job, credentials: Option<Credentials>) -> JobOnTheWire {
        let lease = job.lease.as_ref().filter(|_| self.inner.config.traces);
        let traceparent = lease.map(|lease| traceparent(&job.id, &lease.token));
        JobOnTheWire { traceparent, ..JobOnTheWire::new(job, credentials) }
    }
}
