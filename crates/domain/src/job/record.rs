//! The job record.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};

use super::lease::{EndedLease, Lease};
use super::new::NewJob;
use super::priority::Priority;
use super::status::Status;
use crate::id::JobId;
use crate::name::{AccountId, Command, QueueName, UniqueKey};

/// What the worker last said, plus failure and recovery metadata: the `progress` column.
pub type Progress = Map<String, Value>;

/// One row of the `job` table.
///
/// Fields are public because a job is plain data; it changes through [`super::lifecycle`], which keeps them
/// consistent.
#[derive(Debug, Clone, PartialEq)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// Which workers may take it.
    pub queue: QueueName,
    /// What to do.
    pub command: Command,
    /// What it is about.
    pub full_path: Option<String>,
    /// Whose credentials it needs.
    pub account_id: Option<AccountId>,
    /// The job that created it.
    pub spawned_from: Option<JobId>,
    /// Arguments, opaque to Reclaimer.
    pub payload: Value,
    /// Where it stands.
    pub status: Status,
    /// How soon it runs.
    pub priority: Priority,
    /// What is known of its run.
    pub progress: Progress,
    /// The worker's own cursor, handed back when the job runs again.
    pub resume_state: Option<Value>,
    /// How often it has been leased and the lease was charged.
    pub attempt: u32,
    /// After so many failed attempts it is quarantined.
    pub max_attempts: u32,
    /// How often recovery queued it again.
    pub recoveries: u32,
    /// Recovery does not look at it before this moment.
    pub recover_after: Option<DateTime<Utc>>,
    /// Not leased before this moment.
    pub run_at: DateTime<Utc>,
    /// A run longer than this is stuck, whatever its heartbeats say; whole seconds.
    pub timeout: Option<Duration>,
    /// At most one live job per key.
    pub unique_key: Option<UniqueKey>,
    /// Who holds it; `None` unless running.
    pub lease: Option<Lease>,
    /// Plus one per claim, never reset, so that third stores can fence too.
    pub lease_epoch: u64,
    /// Leases lost in a row without a report: the poison count.
    pub lease_losses: u32,
    /// The last lease that ended by a report or a cancel.
    pub ended_lease: Option<EndedLease>,
    /// The worker's own timestamp of the last report applied under the current lease.
    pub report_stamp: Option<DateTime<Utc>>,
    /// The digests of the reports that had this timestamp, the latest last, which recognise a repetition.
    pub report_digests: Vec<String>,
    /// When it was created.
    pub created_at: DateTime<Utc>,
    /// When it, or its worker about it, last said something.
    pub updated_at: DateTime<Utc>,
    /// The longest that nobody said anything about it while its latest attempt ran.
    pub longest_silence: Duration,
    /// When its latest attempt began.
    pub started_at: Option<DateTime<Utc>>,
    /// When its latest attempt ended.
    pub finished_at: Option<DateTime<Utc>>,
}

impl Job {
    /// A queued job from a producer's order.
    #[must_use]
    pub fn new(id: JobId, new: NewJob, now: DateTime<Utc>) -> Self {
        Self {
            id,
            queue: new.queue,
            command: new.command,
            full_path: new.full_path,
            account_id: new.account_id,
            spawned_from: new.spawned_from,
            payload: new.payload,
            status: Status::Queued,
            priority: new.priority,
            progress: Progress::new(),
            resume_state: None,
            attempt: 0,
            max_attempts: new.max_attempts,
            recoveries: 0,
            recover_after: None,
            run_at: new.run_at.unwrap_or(now),
            timeout: new.timeout,
            unique_key: new.unique_key,
            lease: None,
            lease_epoch: 0,
            lease_losses: 0,
            ended_lease: None,
            report_stamp: None,
            report_digests: Vec::new(),
            created_at: now,
            updated_at: now,
            longest_silence: Duration::ZERO,
            started_at: None,
            finished_at: None,
        }
    }

    /// When the present run becomes too long; `None` without a timeout or a start.
    #[must_use]
    pub fn deadline(&self) -> Option<DateTime<Utc>> {
        Some(crate::time::after(self.started_at?, self.timeout?))
    }

    /// The failure text its worker left, if any.
    #[must_use]
    pub fn error(&self) -> Option<&str> {
        self.progress.get("error").and_then(Value::as_str)
    }

    /// The failure's type in `snake_case`, if any.
    #[must_use]
    pub fn error_type(&self) -> Option<&str> {
        self.progress.get("errorType").and_then(Value::as_str)
    }
}
