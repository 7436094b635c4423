//! Builds jobs.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::job::{Job, Lease, NewJob, Priority, Status};
use reclaimer_domain::time::after;
use serde_json::Value;

use crate::account::text;
use crate::noon;

/// A queued job `job-1` of command `PROJECT` in the default queue, created at [`noon`].
#[must_use]
pub fn a_job() -> JobBuilder {
    JobBuilder(Job::new(text("job-1"), NewJob::of(text("PROJECT")), noon()))
}

/// Says what a job is like.
#[derive(Debug, Clone)]
pub struct JobBuilder(Job);

impl JobBuilder {
    /// Its name.
    #[must_use]
    pub fn id(mut self, id: &str) -> Self {
        self.0.id = text(id);
        self
    }

    /// Its queue.
    #[must_use]
    pub fn queue(mut self, queue: &str) -> Self {
        self.0.queue = text(queue);
        self
    }

    /// Its command.
    #[must_use]
    pub fn command(mut self, command: &str) -> Self {
        self.0.command = text(command);
        self
    }

    /// The account it names.
    #[must_use]
    pub fn account(mut self, account: &str) -> Self {
        self.0.account_id = Some(text(account));
        self
    }

    /// Failed with this error at [`noon`], in its first attempt unless said otherwise.
    #[must_use]
    pub fn failed_with(mut self, error: &str) -> Self {
        self.0.status = Status::Failed;
        self.0.attempt = self.0.attempt.max(1);
        self.0.finished_at = Some(noon());
        self.0.progress.insert("error".into(), error.into());
        self
    }

    /// Its worker said that trying again can help.
    #[must_use]
    pub fn retryable(mut self) -> Self {
        self.0.progress.insert("retryable".into(), true.into());
        self
    }

    /// Its worker said that trying again cannot help.
    #[must_use]
    pub fn not_retryable(mut self) -> Self {
        self.0.progress.insert("retryable".into(), false.into());
        self
    }

    /// The type of its failure.
    #[must_use]
    pub fn error_type(mut self, kind: &str) -> Self {
        self.0.progress.insert("errorType".into(), kind.into());
        self
    }

    /// Its latest attempt ended then.
    #[must_use]
    pub fn finished_at(mut self, at: DateTime<Utc>) -> Self {
        self.0.finished_at = Some(at);
        self
    }

    /// Its latest attempt began then.
    #[must_use]
    pub fn started_at(mut self, at: DateTime<Utc>) -> Self {
        self.0.started_at = Some(at);
        self
    }

    /// From −20, the soonest, to 19.
    ///
    /// # Panics
    /// With another number.
    #[must_use]
    #[expect(clippy::panic, reason = "a builder for tests: a bad number is a mistake in the test")]
    pub fn priority(mut self, number: i64) -> Self {
        self.0.priority = Priority::try_from(number).unwrap_or_else(|error| panic!("{error}"));
        self
    }

    /// Running since [`noon`], held by this worker for a minute.
    #[must_use]
    pub fn held_by(mut self, worker: &str) -> Self {
        self.0.status = Status::Running;
        self.0.attempt = self.0.attempt.max(1);
        self.0.started_at = Some(noon());
        self.0.lease = Some(Lease {
            worker: text(worker),
            token: text(&format!("token-of-{worker}")),
            expires_at: after(noon(), Duration::from_secs(60)),
            excused: false,
        });
        self
    }

    /// Its lease ends at this moment.
    #[must_use]
    pub fn leased_until(mut self, at: DateTime<Utc>) -> Self {
        if let Some(lease) = &mut self.0.lease {
            lease.expires_at = at;
        }
        self
    }

    /// Its lease lives on a grace for our own absence.
    #[must_use]
    pub fn excused(mut self) -> Self {
        if let Some(lease) = &mut self.0.lease {
            lease.excused = true;
        }
        self
    }

    /// In this attempt of so many.
    #[must_use]
    pub fn attempt(mut self, attempt: u32, of: u32) -> Self {
        self.0.attempt = attempt;
        self.0.max_attempts = of;
        self
    }

    /// Recovered so often before.
    #[must_use]
    pub fn recovered(mut self, times: u32) -> Self {
        self.0.recoveries = times;
        self
    }

    /// So many leases of it were lost in a row.
    #[must_use]
    pub fn lost_leases(mut self, losses: u32) -> Self {
        self.0.lease_losses = losses;
        self
    }

    /// It may run no longer than this.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.0.timeout = Some(timeout);
        self
    }

    /// Something was last heard of it then.
    #[must_use]
    pub fn updated_at(mut self, at: DateTime<Utc>) -> Self {
        self.0.updated_at = at;
        self
    }

    /// One key of its `progress`.
    #[must_use]
    pub fn progress(mut self, key: &str, value: Value) -> Self {
        self.0.progress.insert(key.to_owned(), value);
        self
    }

    /// The job.
    #[must_use]
    pub fn build(self) -> Job {
        self.0
    }
}
