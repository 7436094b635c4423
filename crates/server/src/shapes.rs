//! Shapes that several endpoints answer with.

use chrono::{DateTime, Utc};
use reclaimer_domain::account::Account;
use reclaimer_domain::history::JobEvent;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Job;
use reclaimer_domain::name::{AccountId, Command, QueueName, UniqueKey, WorkerId};
use reclaimer_domain::ports::JobRead;
use reclaimer_domain::time::{millis, millis_option};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

/// A job as producers and admins read it: every column, without the lease's token.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobShape {
    #[schema(value_type = String)]
    id: JobId,
    #[schema(value_type = String)]
    queue: QueueName,
    #[schema(value_type = String)]
    command: Command,
    full_path: Option<String>,
    #[schema(value_type = Option<String>)]
    account_id: Option<AccountId>,
    #[schema(value_type = Option<String>)]
    spawned_from: Option<JobId>,
    #[schema(value_type = Object)]
    payload: Value,
    status: &'static str,
    priority: i8,
    #[schema(value_type = Object)]
    progress: Value,
    #[schema(value_type = Option<Object>)]
    resume_state: Option<Value>,
    attempt: u32,
    max_attempts: u32,
    recoveries: u32,
    #[serde(with = "millis_option")]
    recover_after: Option<DateTime<Utc>>,
    #[serde(with = "millis")]
    run_at: DateTime<Utc>,
    timeout_seconds: Option<u64>,
    #[schema(value_type = Option<String>)]
    unique_key: Option<UniqueKey>,
    #[schema(value_type = Option<String>)]
    worker_id: Option<WorkerId>,
    #[serde(with = "millis_option")]
    lease_expires_at: Option<DateTime<Utc>>,
    lease_epoch: u64,
    lease_losses: u32,
    #[serde(with = "millis")]
    created_at: DateTime<Utc>,
    #[serde(with = "millis")]
    updated_at: DateTime<Utc>,
    #[serde(with = "millis_option")]
    started_at: Option<DateTime<Utc>>,
    #[serde(with = "millis_option")]
    finished_at: Option<DateTime<Utc>>,
}

impl From<Job> for JobShape {
    fn from(job: Job) -> Self {
        let (worker_id, lease_expires_at) = job.lease.map(|lease| (lease.worker, lease.expires_at)).unzip();
        Self {
            id: job.id,
            queue: job.queue,
            command: job.command,
            full_path: job.full_path,
            account_id: job.account_id,
            spawned_from: job.spawned_from,
            payload: job.payload,
            status: job.status.as_str(),
            priority: job.priority.get(),
            progress: Value::Object(job.progress),
            resume_state: job.resume_state,
            attempt: job.attempt,
            max_attempts: job.max_attempts,
            recoveries: job.recoveries,
            recover_after: job.recover_after,
            run_at: job.run_at,
            timeout_seconds: job.timeout.map(|timeout| timeout.as_secs()),
            unique_key: job.unique_key,
            worker_id,
            lease_expires_at,
            lease_epoch: job.lease_epoch,
            lease_losses: job.lease_losses,
            created_at: job.created_at,
            updated_at: job.updated_at,
            started_at: job.started_at,
            finished_at: job.finished_at,
        }
    }
}

/// A job, or what is known of a row that cannot be read.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum JobReadShape {
    /// A whole row.
    Whole(Box<JobShape>),
    /// A row that cannot be read.
    Broken {
        /// Its name as stored.
        id: String,
        /// Its status as stored.
        status: String,
        /// What is wrong with it.
        broken: String,
    },
}

impl From<JobRead> for JobReadShape {
    fn from(read: JobRead) -> Self {
        match read {
            JobRead::Whole(job) => Self::Whole(Box::new((*job).into())),
            JobRead::Broken(row) => Self::Broken { id: row.id, status: row.status, broken: row.reason },
        }
    }
}

/// A part of a list.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ListShape<T> {
    /// The items.
    pub(crate) items: Vec<T>,
    /// Where the next part begins; null at the end.
    pub(crate) next_cursor: Option<String>,
}

/// One event of a job's history.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct EventShape {
    id: i64,
    job_id: String,
    #[serde(with = "millis")]
    at: DateTime<Utc>,
    kind: &'static str,
    from: Option<&'static str>,
    to: Option<&'static str>,
    actor: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = Option<Object>)]
    detail: Option<Value>,
}

impl From<JobEvent> for EventShape {
    fn from(event: JobEvent) -> Self {
        let entry = event.entry;
        Self {
            id: event.id,
            job_id: event.job_id.to_string(),
            at: entry.at,
            kind: entry.kind.as_str(),
            from: entry.from.map(|status| status.as_str()),
            to: entry.to.map(|status| status.as_str()),
            actor: entry.actor.to_string(),
            rule: entry.rule.map(|rule| rule.to_string()),
            reason: entry.reason,
            detail: entry.detail,
        }
    }
}

/// An account as read: never its secrets.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AccountShape {
    id: String,
    user_id: String,
    provider_id: String,
    has_access_token: bool,
    has_refresh_token: bool,
    #[serde(with = "millis_option")]
    access_token_expires_at: Option<DateTime<Utc>>,
    #[serde(with = "millis_option")]
    refresh_token_expires_at: Option<DateTime<Utc>>,
    /// Whether a token of it holds now.
    valid: bool,
    #[serde(with = "millis")]
    created_at: DateTime<Utc>,
    #[serde(with = "millis")]
    updated_at: DateTime<Utc>,
}

impl AccountShape {
    pub(crate) fn new(account: Account, now: DateTime<Utc>) -> Self {
        Self {
            valid: account.is_valid(now),
            id: account.id.to_string(),
            user_id: account.user_id,
            provider_id: account.provider.to_string(),
            has_access_token: account.access_token.is_some(),
            has_refresh_token: account.refresh_token.is_some(),
            access_token_expires_at: account.access_token_expires_at,
            refresh_token_expires_at: account.refresh_token_expires_at,
            created_at: account.created_at,
            updated_at: account.updated_at,
        }
    }
}
