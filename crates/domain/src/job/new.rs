//! Orders for new jobs, and their limits.

use std::time::Duration;

use chrono::{DateTime, Datelike, Utc};
use serde_json::Value;

use super::priority::Priority;
use super::record::Job;
use crate::area::{Area, MAX_PATH};
use crate::id::JobId;
use crate::name::{AccountId, Command, QueueName, UniqueKey};
use crate::nesting::{MAX_DEPTH, is_too_deep};

/// What a producer orders.
#[derive(Debug, Clone, PartialEq)]
pub struct NewJob {
    /// Which workers may take it.
    pub queue: QueueName,
    /// What to do.
    pub command: Command,
    /// What it is about.
    pub full_path: Option<String>,
    /// Whose credentials it needs; the account must exist.
    pub account_id: Option<AccountId>,
    /// The job it comes from; it must exist.
    pub spawned_from: Option<JobId>,
    /// Arguments, opaque to Reclaimer.
    pub payload: Value,
    /// How soon it runs.
    pub priority: Priority,
    /// Not leased before this moment; `None` = at once.
    pub run_at: Option<DateTime<Utc>>,
    /// Failed attempts until it is quarantined; at least 1.
    pub max_attempts: u32,
    /// A run longer than this is stuck; whole seconds.
    pub timeout: Option<Duration>,
    /// At most one live job per key.
    pub unique_key: Option<UniqueKey>,
}

/// Why an order is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidJob {
    /// No attempt would be allowed, or more than can be counted.
    #[error("maxAttempts is a whole number from 1 to {most}, got {0}", most = NewJob::MOST_ATTEMPTS)]
    MaxAttempts(u64),
    /// A run could not be that short or long.
    #[error("timeoutSeconds is a whole number from 1 to {most}, got {0}", most = NewJob::LONGEST_TIMEOUT)]
    Timeout(u64),
    /// The moment cannot be written as a date.
    #[error("runAt is a moment between the years 1 and 9999")]
    RunAt,
    /// The path is empty or too long.
    #[error("fullPath takes 1 to {MAX_PATH} characters without control characters")]
    Path,
    /// The payload is nested too deeply.
    #[error("payload is nested too deeply: at most {MAX_DEPTH} levels, itself included")]
    Depth,
}

impl NewJob {
    /// Attempts unless ordered otherwise.
    pub const DEFAULT_ATTEMPTS: u32 = 5;
    /// The largest `max_attempts`.
    pub const MOST_ATTEMPTS: u32 = 10_000;
    /// The longest timeout, in seconds: a year.
    pub const LONGEST_TIMEOUT: u64 = 31_536_000;

    /// An order with every default.
    #[must_use]
    pub fn of(command: Command) -> Self {
        Self {
            queue: QueueName::default(),
            command,
            full_path: None,
            account_id: None,
            spawned_from: None,
            payload: Value::Object(serde_json::Map::new()),
            priority: Priority::default(),
            run_at: None,
            max_attempts: Self::DEFAULT_ATTEMPTS,
            timeout: None,
            unique_key: None,
        }
    }

    /// Checks what the types alone do not.
    ///
    /// # Errors
    /// [`InvalidJob`] names the first field out of range and what is allowed.
    pub fn validate(&self) -> Result<(), InvalidJob> {
        if !(1..=Self::MOST_ATTEMPTS).contains(&self.max_attempts) {
            return Err(InvalidJob::MaxAttempts(self.max_attempts.into()));
        }
        if let Some(timeout) = self.timeout
            && !(1..=Self::LONGEST_TIMEOUT).contains(&timeout.as_secs())
        {
            return Err(InvalidJob::Timeout(timeout.as_secs()));
        }
        if self.run_at.is_some_and(|at| !(1..=9_999).contains(&at.year())) {
            return Err(InvalidJob::RunAt);
        }
        if let Some(path) = &self.full_path
            && !is_path(path)
        {
            return Err(InvalidJob::Path);
        }
        if is_too_deep(&self.payload) {
            return Err(InvalidJob::Depth);
        }
        Ok(())
    }

    /// The order for another job exactly like this one, spawned from it: what "run again" means.
    #[must_use]
    pub fn again(job: &Job) -> Self {
        Self {
            queue: job.queue.clone(),
            command: job.command.clone(),
            full_path: job.full_path.clone(),
            account_id: job.account_id.clone(),
            spawned_from: Some(job.id.clone()),
            payload: job.payload.clone(),
            priority: job.priority,
            run_at: None,
            max_attempts: job.max_attempts,
            timeout: job.timeout,
            unique_key: job.unique_key.clone(),
        }
    }
}

/// Whether a text can be a `full_path`.
#[must_use]
pub fn is_path(path: &str) -> bool {
    !path.is_empty() && path.chars().count() <= MAX_PATH && !path.chars().any(char::is_control)
}

/// A job to be spawned for an area that a report found, unless the same (account, area, command) has one already.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpawnIntent {
    /// The id it gets.
    pub id: JobId,
    /// Which of the report's areas it is about.
    pub area: usize,
    /// What to do there.
    pub command: Command,
}

impl SpawnIntent {
    /// The job for `area`, found by `parent`: of the parent's queue, account, payload, priority and limits.
    #[must_use]
    pub fn job(&self, parent: &Job, area: &Area, now: DateTime<Utc>) -> Job {
        let order = NewJob {
            command: self.command.clone(),
            full_path: Some(area.full_path.clone()),
            unique_key: None,
            ..NewJob::again(parent)
        };
        Job::new(self.id.clone(), order, now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_name_the_field() {
        let order = NewJob::of("X".parse().unwrap());
        assert_eq!(order.validate(), Ok(()));
        let none = NewJob { max_attempts: 0, ..order.clone() };
        assert!(none.validate().unwrap_err().to_string().starts_with("maxAttempts"));
        let short = NewJob { timeout: Some(Duration::ZERO), ..order.clone() };
        assert!(short.validate().unwrap_err().to_string().starts_with("timeoutSeconds"));
        let late = NewJob { run_at: Some(DateTime::<Utc>::MAX_UTC), ..order.clone() };
        assert!(late.validate().unwrap_err().to_string().starts_with("runAt"));
        let path = NewJob { full_path: Some("a\nb".into()), ..order };
        assert!(path.validate().unwrap_err().to_string().starts_with("fullPath"));
    }

    #[test]
    fn a_payload_is_nested_only_so_deep() {
        let nested = |levels| (0..levels).fold(Value::Null, |inner, _| serde_json::json!([inner]));
        let order = |levels| NewJob { payload: nested(levels), ..NewJob::of("X".parse().unwrap()) };
        assert_eq!(order(MAX_DEPTH).validate(), Ok(()));
        let refused = order(MAX_DEPTH + 1).validate().unwrap_err().to_string();
        assert_eq!(refused, "payload is nested too deeply: at most 64 levels, itself included");
    }
}
