//! What somebody saw of a server at one moment.

use chrono::{DateTime, Utc};
use reclaimer_domain::time::{millis, millis_option};
use serde::{Deserialize, Serialize};

/// Everything that was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Observations {
    /// The database.
    pub database: Database,
    /// Every link that is configured.
    pub links: Vec<Link>,
    /// Every worker that is connected by a link.
    pub workers: Vec<Worker>,
    /// Every process that is supervised.
    pub processes: Vec<Process>,
    /// The recovery engine.
    pub recovery: Recovery,
    /// Every queue that has jobs or is paused; `None` = they could not be read.
    pub queues: Option<Vec<Queue>>,
    /// Running jobs that lost their lease and were not looked after, over all queues.
    pub stuck: u64,
    /// Whether there are more of these than were counted.
    pub more_stuck: bool,
    /// Every loop that is to turn.
    pub loops: Vec<Loop>,
}

/// The database.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Database {
    /// Whether a write was committed just now.
    pub writable: bool,
    /// How long that took, from asking to its being durable, in milliseconds.
    pub latency_ms: Option<f64>,
    /// What is wrong, as the stable word of answers and metrics. A writable database can have too little room for new
    /// jobs.
    pub code: Option<String>,
    /// The same as a sentence.
    pub reason: Option<String>,
    /// Since when it has not been writable.
    #[serde(with = "millis_option")]
    pub since: Option<DateTime<Utc>>,
}

/// Who connects.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum LinkMode {
    /// We do.
    Dial,
    /// Workers do.
    Listen,
}

/// A link to workers.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Link {
    /// Its name.
    pub name: String,
    /// Who connects.
    pub mode: LinkMode,
    /// Whether anybody is connected.
    pub connected: bool,
    /// How many connections it has.
    pub connections: u64,
    /// How often connecting failed since the server started.
    pub connection_failures: u64,
    /// How it last failed.
    pub last_error: Option<String>,
    /// Since when nobody has been connected, where we dial.
    #[serde(with = "millis_option")]
    pub away_since: Option<DateTime<Utc>>,
    /// When connecting is tried again.
    #[serde(with = "millis_option")]
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// When anything was last heard over it.
    #[serde(with = "millis_option")]
    pub last_heartbeat_at: Option<DateTime<Utc>>,
    /// What guards the connecting, where we dial.
    pub breaker: Option<Breaker>,
}

/// A link's breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Breaker {
    /// Where it stands.
    pub state: BreakerState,
    /// Since when.
    #[serde(with = "millis")]
    pub since: DateTime<Utc>,
    /// How often it has turned since the server started.
    pub transitions: u64,
    /// How many attempts failed in a row.
    pub consecutive_failures: u32,
    /// When the next probe may be made.
    #[serde(with = "millis_option")]
    pub next_probe_at: Option<DateTime<Utc>>,
}

/// Where a breaker stands. A closed circuit conducts: *closed* is the healthy state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum BreakerState {
    /// Attempts go through.
    Closed,
    /// Attempts are refused for a time.
    Open,
    /// A probe finds out.
    HalfOpen,
    /// Attempts are refused until a person orders otherwise.
    ForcedOpen,
    /// Attempts go through, whatever comes of them, until a person orders otherwise.
    ForcedClosed,
}

/// A worker that is connected by a link.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Worker {
    /// Its name.
    pub name: String,
    /// Over which link.
    pub link: String,
    /// The only queue that its link serves; `None` = any.
    pub queue: Option<String>,
    /// Whether it is to take no jobs.
    pub paused: bool,
    /// How many jobs it holds.
    pub held: u64,
    /// Since when it has been connected.
    #[serde(with = "millis")]
    pub connected_at: DateTime<Utc>,
    /// When anything was last heard of it.
    #[serde(with = "millis")]
    pub last_heartbeat_at: DateTime<Utc>,
    /// When it last asked for jobs, waited for one, or held one.
    #[serde(with = "millis_option")]
    pub active_at: Option<DateTime<Utc>>,
}

/// What a supervised process does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum ProcessState {
    /// It runs, or is meant to end.
    Running,
    /// It is being started, or waits for that.
    Restarting,
    /// It used up its restarts, or said that a restart cannot help: a person should look.
    Exhausted,
    /// It ended and is not meant to run.
    Ended,
}

/// A supervised process.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Process {
    /// Its name: the worker's, and a number.
    pub name: String,
    /// The worker of the configuration.
    pub worker: String,
    /// What it does.
    pub state: ProcessState,
    /// How often it was started again since the server started.
    pub restarts: u64,
    /// How it last ended, as a sentence.
    pub last_end: Option<String>,
    /// When it is started again, where it waits for that.
    #[serde(with = "millis_option")]
    pub starts_at: Option<DateTime<Utc>>,
}

/// The recovery engine.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Recovery {
    /// Whether it runs by itself.
    pub enabled: bool,
    /// When its last cycle ended.
    #[serde(with = "millis_option")]
    pub last_ended_at: Option<DateTime<Utc>>,
    /// When a cycle last could not run.
    #[serde(with = "millis_option")]
    pub last_failure_at: Option<DateTime<Utc>>,
    /// Why.
    pub last_failure: Option<String>,
    /// Of the jobs that recovery had queued again, how many finished since `counted_since`.
    pub finished: u64,
    /// How many came to an end at all: finished or quarantined.
    pub ended: u64,
    /// The share of the first in the second; `null` when none ended.
    pub success_rate: Option<f64>,
    /// From when on that is counted: a day ago, or the start of the server.
    #[serde(with = "millis")]
    pub counted_since: DateTime<Utc>,
}

/// A queue.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Queue {
    /// Its name.
    pub name: String,
    /// Whether its jobs are held back.
    pub paused: bool,
    /// Jobs that wait, those included that are not due yet.
    pub queued: u64,
    /// Since when the job has been due that has waited longest; `null` when none is.
    #[serde(with = "millis_option")]
    pub oldest_queued_at: Option<DateTime<Utc>>,
    /// Jobs that run.
    pub running: u64,
    /// Jobs that failed and were not looked after.
    pub failed: u64,
    /// Jobs that wait for a person.
    pub quarantined: u64,
    /// When a job was last taken from it, as far as this server knows; its own start counts as one.
    #[serde(with = "millis_option")]
    pub last_taken_at: Option<DateTime<Utc>>,
}

/// All queues together.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Queues {
    /// How many queues there are.
    pub queues: u64,
    /// How many of them are paused.
    pub paused: u64,
    /// Jobs that wait, those included that are not due yet.
    pub queued: u64,
    /// Since when the job has been due that has waited longest in a queue that is not paused.
    #[serde(with = "millis_option")]
    pub oldest_queued_at: Option<DateTime<Utc>>,
    /// Jobs that run.
    pub running: u64,
    /// Jobs that failed and were not looked after.
    pub failed: u64,
    /// Jobs that wait for a person.
    pub quarantined: u64,
    /// Running jobs that lost their lease and were not looked after.
    pub stuck: u64,
    /// Whether there are more of these than were counted.
    pub more_stuck: bool,
}

/// A loop that is to turn.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Loop {
    /// Its name.
    pub name: String,
    /// Since it last turned, in milliseconds.
    pub silent_for_ms: u64,
    /// For how long it has been silent beyond what it had said, in milliseconds; `null` = it is well.
    pub overdue_by_ms: Option<u64>,
}

impl Loop {
    /// What a look at a loop's beat found.
    #[must_use]
    pub fn of(pulse: crate::Pulse) -> Self {
        Self {
            name: pulse.name.to_owned(),
            silent_for_ms: reclaimer_domain::time::millis_of(pulse.silent_for),
            overdue_by_ms: pulse.overdue_by.map(reclaimer_domain::time::millis_of),
        }
    }
}
