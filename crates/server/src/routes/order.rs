//! A job to create, as it comes in.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{NewJob, Priority};
use reclaimer_domain::name::{AccountId, Command, QueueName, UniqueKey};
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::extract::{moment, whole};

/// The limits of the domain, as bounds of fields.
const MOST_ATTEMPTS: i64 = NewJob::MOST_ATTEMPTS as i64;
const LONGEST_TIMEOUT: i64 = NewJob::LONGEST_TIMEOUT.cast_signed();

/// A job to create.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Order {
    /// What to do.
    #[schema(value_type = String)]
    command: Command,
    /// Which workers may take it.
    #[schema(value_type = Option<String>, default = "default")]
    queue: Option<QueueName>,
    /// What it is about.
    full_path: Option<String>,
    /// Whose credentials it needs.
    #[schema(value_type = Option<String>)]
    account_id: Option<AccountId>,
    /// Its arguments.
    #[schema(value_type = Option<Object>)]
    payload: Option<Value>,
    /// How soon it runs: -20 (soonest) to 19.
    #[schema(value_type = Option<i8>, minimum = -20, maximum = 19)]
    priority: Option<Priority>,
    /// Not handed out before this moment.
    #[serde(default, deserialize_with = "moment")]
    run_at: Option<DateTime<Utc>>,
    /// Failed attempts until it is quarantined.
    #[serde(default, deserialize_with = "whole::<_, _, 1, MOST_ATTEMPTS>")]
    #[schema(minimum = 1, maximum = 10_000, default = 5)]
    max_attempts: Option<u32>,
    /// A run longer than this is stuck.
    #[serde(default, deserialize_with = "whole::<_, _, 1, LONGEST_TIMEOUT>")]
    #[schema(minimum = 1, maximum = 31_536_000)]
    timeout_seconds: Option<u64>,
    /// At most one live job has this key.
    #[schema(value_type = Option<String>)]
    unique_key: Option<UniqueKey>,
    /// The job it comes from.
    #[schema(value_type = Option<String>)]
    spawned_from: Option<JobId>,
}

impl From<Order> for NewJob {
    fn from(order: Order) -> Self {
        let blank = Self::of(order.command);
        Self {
            queue: order.queue.unwrap_or_default(),
            full_path: order.full_path,
            account_id: order.account_id,
            spawned_from: order.spawned_from,
            payload: order.payload.unwrap_or_else(|| blank.payload.clone()),
            priority: order.priority.unwrap_or_default(),
            run_at: order.run_at,
            max_attempts: order.max_attempts.unwrap_or(blank.max_attempts),
            timeout: order.timeout_seconds.map(Duration::from_secs),
            unique_key: order.unique_key,
            ..blank
        }
    }
}
