//! What a worker says about a job it holds.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lease::LeaseToken;
use super::record::{Job, Progress};
use crate::area::Area;
use crate::id::JobId;
use crate::name::WorkerId;

/// One report.
#[derive(Debug, Clone, PartialEq)]
pub struct Report {
    /// Which job it is about.
    pub job: JobId,
    /// How the sender proves that it holds the job.
    pub holder: Holder,
    /// Who sent it, when known; for the record only, it proves nothing.
    pub sender: Option<WorkerId>,
    /// What became of the job.
    pub outcome: Outcome,
    /// The worker's own timestamp: shown, and used to tell an older report of the same lease from a newer one.
    pub stamp: Option<DateTime<Utc>>,
    /// A digest of the whole report, which recognises a repetition; present when `stamp` is.
    pub digest: Option<String>,
    /// What is merged into `progress`.
    pub said: Progress,
    /// The worker's cursor; kept as it was when the report has none.
    pub resume_state: Option<Value>,
    /// What it found.
    pub areas: Vec<Area>,
}

/// How a sender proves that it holds the job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Holder {
    /// It names the lease.
    Lease(LeaseToken),
    /// It speaks the older protocol and names none: it counts while this worker holds the job.
    Worker(WorkerId),
}

/// What became of the job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It goes on.
    Progress,
    /// It is done.
    Completed,
    /// It could not be done.
    Failed(Failure),
    /// It waits until resumed.
    Paused,
}

impl Outcome {
    /// The word for messages and events.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Progress => "processing",
            Self::Completed => "completed",
            Self::Failed(_) => "failed",
            Self::Paused => "paused",
        }
    }
}

/// Why a job could not be done.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// What happened, for people and for the policy's rules.
    pub error: String,
    /// Its kind in `snake_case`.
    pub error_type: Option<String>,
    /// Whether trying again can help.
    pub retryable: Retryable,
}

/// Whether trying again can help, as far as the worker knows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Retryable {
    /// It can.
    Yes,
    /// It cannot.
    No,
    /// The worker did not say; the policy's rules decide.
    AskPolicy,
}

impl Retryable {
    /// What the worker of a failed job said.
    #[must_use]
    pub fn of(job: &Job) -> Self {
        match job.progress.get("retryable") {
            Some(Value::Bool(true)) => Self::Yes,
            Some(Value::Bool(false)) => Self::No,
            Some(_) | None => Self::AskPolicy,
        }
    }
}
