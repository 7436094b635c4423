//! Handing out jobs, at once or when one arrives.

use std::sync::Arc;
use std::time::Duration;

use futures::future::join_all;
use reclaimer_domain::job::Job;
use reclaimer_domain::name::{Command, QueueName, WorkerId};
use reclaimer_domain::ports::{Claim, StoreError};
use reclaimer_domain::time::between;
use reclaimer_domain::wire::JobOnTheWire;
use tokio::time::{Instant, sleep_until};
use tracing::debug;

use crate::service::Provisioning;

/// What a worker asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Want {
    /// Who asks.
    pub worker: WorkerId,
    /// Only jobs of this queue.
    pub queue: Option<QueueName>,
    /// Only jobs of this command.
    pub command: Option<Command>,
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
            command: None,
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

    /// Leases jobs to a worker; waits for one to appear where there is none. Each comes with credentials where its
    /// account has any that hold.
    ///
    /// # Errors
    /// When the store cannot.
    ///
    /// # Cancel safety
    /// Dropping the future while it waits loses nothing. Dropped between the commit of a claim and the answer, its jobs
    /// are leased to a worker that does not know; they come back when their leases end.
    pub async fn open(&self, want: Want) -> Result<Vec<JobOnTheWire>, StoreError> {
        let inner = &self.inner;
        let limit = want.limit.clamp(1, Self::MOST_CLAIMED);
        let deadline = Instant::now() + want.wait.min(Self::LONGEST_WAIT);
        // In line before the first look: what arrives in between rings the bell.
        let place = inner.arrivals.enter(want.queue.clone(), want.command.clone());
        loop {
            place.looks();
            let claim = Claim {
                worker: want.worker.clone(),
                queue: want.queue.clone(),
                command: want.command.clone(),
                tokens: inner.tokens(limit),
                lease_for: inner.config.lease,
                now: inner.now(),
            };
            let claimed = inner.jobs.claim(claim).await?;
            if !claimed.jobs.is_empty() {
                for job in &claimed.jobs {
                    debug!(area = "JOB-MANAGER", job_id = %job.id, worker_id = %want.worker, "job handed out");
                }
                return Ok(join_all(claimed.jobs.into_iter().map(|job| self.with_credentials(job))).await);
            }
            if Instant::now() >= deadline {
                return Ok(Vec::new());
            }
            let now = inner.now();
            let told = place.due_after(now);
            let due = [claimed.next_due, told].into_iter().flatten().min();
            let due = due.and_then(|due| Instant::now().checked_add(between(now, due)));
            tokio::select! {
                () = place.rung() => {}
                () = sleep_until(due.map_or(deadline, |due| due.min(deadline))) => {}
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

    /// A job with what its worker presents to the provider. Trouble with credentials is no reason to keep the job
    /// back: the worker asks for them again, or reports what it lacks.
    async fn with_credentials(&self, job: Job) -> JobOnTheWire {
        let credentials = match &job.account_id {
            Some(account) => Arc::clone(&self.inner).credentials_to_hand_out(account).await,
            None => None,
        };
        JobOnTheWire::new(job, credentials)
    }
}
