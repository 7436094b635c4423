//! A job as handed to a worker.

use chrono::{DateTime, Utc};
use serde::Serialize;
use serde_json::Value;

use crate::id::JobId;
use crate::job::{Job, Priority, Progress};
use crate::name::{AccountId, Command, ProviderId, QueueName};
use crate::time::{millis, millis_option};

/// A job as handed to a worker: what it has to do, and the lease that proves that it may.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct JobOnTheWire {
    /// Its name.
    pub id: JobId,
    /// The same, under the name that older workers know.
    pub task_id: JobId,
    /// Its queue.
    pub queue: QueueName,
    /// What to do.
    pub command: Command,
    /// What it is about.
    pub full_path: Option<String>,
    /// Whose credentials it needs.
    pub account_id: Option<AccountId>,
    /// How often it has been leased, this time included.
    pub attempt: u32,
    /// How soon it runs.
    pub priority: Priority,
    /// Its arguments.
    pub payload: Value,
    /// What was said about it before.
    pub progress: Progress,
    /// The worker's own cursor from an earlier run.
    pub resume_state: Option<Value>,
    /// When it was created.
    #[serde(with = "millis")]
    pub created_at: DateTime<Utc>,
    /// The job that created it.
    pub spawned_from: Option<JobId>,
    /// The trace that what the worker does belongs to (W3C Trace Context); absent where nobody records traces.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub traceparent: Option<String>,
    /// The lease; absent when the job was only looked at.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub lease: Option<LeaseOnTheWire>,
    /// What to present to the provider.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub credentials: Option<Credentials>,
    /// Where the account's provider answers, copied from the payload's `gitlabGraphQLUrl` where it has one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub gitlab_api_url: Option<String>,
}

/// A lease as handed to its holder.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct LeaseOnTheWire {
    /// What every report must name.
    pub token: String,
    /// When it ends unless renewed.
    #[serde(with = "millis")]
    pub expires_at: DateTime<Utc>,
    /// Grows with every claim of the job and never goes back, so that third stores can fence too.
    pub epoch: u64,
}

impl std::fmt::Debug for LeaseOnTheWire {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LeaseOnTheWire").field("expires_at", &self.expires_at).finish_non_exhaustive()
    }
}

/// Credentials as handed to a worker that holds the lease; never a refresh token.
#[derive(Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Credentials {
    /// What to present.
    pub access_token: String,
    /// How: always `Bearer`.
    pub token_type: &'static str,
    /// When it ends.
    #[serde(with = "millis_option")]
    pub expires_at: Option<DateTime<Utc>>,
    /// Where it counts.
    pub provider_id: ProviderId,
}

impl std::fmt::Debug for Credentials {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Credentials").field("provider_id", &self.provider_id).finish_non_exhaustive()
    }
}

impl JobOnTheWire {
    /// A job and the credentials it is handed out with.
    #[must_use]
    pub fn new(job: Job, credentials: Option<Credentials>) -> Self {
        let gitlab_api_url =
            job.payload.get("gitlabGraphQLUrl").and_then(Value::as_str).map(ToOwned::to_owned);
        let epoch = job.lease_epoch;
        Self {
            task_id: job.id.clone(),
            id: job.id,
            queue: job.queue,
            command: job.command,
            full_path: job.full_path,
            account_id: job.account_id,
            attempt: job.attempt,
            priority: job.priority,
            payload: job.payload,
            progress: job.progress,
            resume_state: job.resume_state,
            created_at: job.created_at,
            spawned_from: job.spawned_from,
            traceparent: None,
            lease: job.lease.map(|lease| LeaseOnTheWire {
                token: lease.token.expose().to_owned(),
                expires_at: lease.expires_at,
                epoch,
            }),
            credentials,
            gitlab_api_url,
        }
    }
}
