//! When a running job counts as stuck.
//!
//! Elapsed time alone proves nothing: a lease that its worker keeps renewing and a job that is mentioned now and then
//! are alive, however long they run, unless the job itself carries a timeout.

use std::time::Duration;

use chrono::{DateTime, Utc};

use reclaimer_domain::decision::StuckSign;
use reclaimer_domain::job::{Job, Status};
use reclaimer_domain::name::{Command, QueueName};
use reclaimer_domain::time::{after, before};

/// How long a running job may stay silent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckLimits {
    /// Where no override says otherwise; zero = for ever.
    pub stuck_after: Duration,
    /// The first that fits a job counts.
    pub overrides: Vec<StuckOverride>,
}

/// Another limit for some jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StuckOverride {
    /// For jobs of this queue; `None` = of any.
    pub queue: Option<QueueName>,
    /// For jobs of this command; `None` = of any.
    pub command: Option<Command>,
    /// How long such a job may stay silent; zero = for ever.
    pub stuck_after: Duration,
}

impl Default for StuckLimits {
    fn default() -> Self {
        Self { stuck_after: Duration::from_secs(7_200), overrides: Vec::new() }
    }
}

impl StuckLimits {
    /// The limit that holds for jobs of a queue and command; `None` = they may stay silent for ever.
    #[must_use]
    pub fn limit(&self, queue: &QueueName, command: &Command) -> Option<Duration> {
        let fits = |limit: &&StuckOverride| {
            limit.queue.as_ref().is_none_or(|its| its == queue)
                && limit.command.as_ref().is_none_or(|its| its == command)
        };
        let limit = self.overrides.iter().find(fits).map_or(self.stuck_after, |found| found.stuck_after);
        (!limit.is_zero()).then_some(limit)
    }

    /// The shortest limit of any job: what a store may search by; `None` = silence never counts.
    #[must_use]
    pub fn shortest(&self) -> Option<Duration> {
        let limits = self.overrides.iter().map(|limit| limit.stuck_after);
        limits.chain([self.stuck_after]).filter(|limit| !limit.is_zero()).min()
    }

    /// Why the job counts as stuck at `now`; `None` when it does not.
    #[must_use]
    pub fn sign(&self, job: &Job, now: DateTime<Utc>) -> Option<StuckSign> {
        if job.status != Status::Running {
            return None;
        }
        if job.lease.as_ref().is_some_and(|lease| lease.expires_at <= now) {
            return Some(StuckSign::LeaseExpired);
        }
        if job.lease.as_ref().is_some_and(|lease| lease.excused) {
            // Its worker may have had to say something while we were away: nothing else counts before the grace ends.
            return None;
        }
        if job.deadline().is_some_and(|deadline| deadline <= now) {
            return Some(StuckSign::Timeout);
        }
        let silent = |limit| job.updated_at <= before(now, limit);
        self.limit(&job.queue, &job.command).is_some_and(silent).then_some(StuckSign::NoUpdate)
    }
    /// When the job will count as stuck if nothing more is heard of it; `None` = never.
    #[must_use]
    pub fn stuck_at(&self, job: &Job) -> Option<DateTime<Utc>> {
        if job.status != Status::Running {
            return None;
        }
        let lease = job.lease.as_ref().map(|lease| lease.expires_at);
        if job.lease.as_ref().is_some_and(|lease| lease.excused) {
            return lease;
        }
        let silence = self.limit(&job.queue, &job.command).map(|limit| after(job.updated_at, limit));
        [lease, job.deadline(), silence].into_iter().flatten().min()
    }
}
