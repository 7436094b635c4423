//! What a decision of recovery was based on, kept with its event so that it can be replayed against another policy.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::account::Standing;
use crate::decision::{Action, Decision, StuckSign};
use crate::job::report::Retryable;
use crate::job::{Job, Priority, Status};
use crate::name::QueueName;

/// What a decision saw of a job, beside what never changes of it and the error, which the event of the failure has.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Saw {
    /// Where the job stood.
    pub status: Status,
    /// Its queue.
    pub queue: QueueName,
    /// Its priority.
    pub priority: Priority,
    /// How often it had been handed out.
    pub attempt: u32,
    /// How often recovery had queued it again.
    pub recoveries: u32,
    /// How many leases had been lost in a row.
    pub lease_losses: u32,
    /// When it had failed, or had last been heard of.
    pub since: DateTime<Utc>,
    /// The type of its failure.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub error_type: Option<String>,
    /// What its worker had said of trying again.
    pub retryable: Retryable,
    /// How the account that it names stood.
    pub account: Standing,
    /// Why it counted as stuck.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub sign: Option<StuckSign>,
    /// Whether losing it was nobody's fault.
    #[serde(skip_serializing_if = "std::ops::Not::not", default)]
    pub excused: bool,
    /// What it had to wait for, where it was skipped.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub unmet: Option<String>,
}

impl Saw {
    /// What this decision saw of the job, before it is applied.
    #[must_use]
    pub fn of(job: &Job, decision: &Decision) -> Self {
        let failed = job.finished_at.filter(|_| job.status == Status::Failed);
        Self {
            status: job.status,
            queue: job.queue.clone(),
            priority: job.priority,
            attempt: job.attempt,
            recoveries: job.recoveries,
            lease_losses: job.lease_losses,
            since: failed.unwrap_or(job.updated_at),
            error_type: job.error_type().map(ToOwned::to_owned),
            retryable: Retryable::of(job),
            account: decision.account,
            sign: decision.sign,
            excused: job.lease.as_ref().is_some_and(|lease| lease.excused),
            unmet: match &decision.action {
                Action::Skip { unmet, .. } => Some(unmet.as_str().to_owned()),
                Action::Requeue { .. } | Action::Quarantine | Action::Leave { .. } => None,
            },
        }
    }
}
