//! What the API shows of workers and links, and what it asks of them. Whoever has links and processes implements
//! [`Fleet`]; a server without any uses [`NoFleet`].

use std::fmt;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::name::QueueName;
use reclaimer_domain::time::{millis, millis_option};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

/// Workers that connect by links, and their processes.
#[async_trait]
pub trait Fleet: Send + Sync + fmt::Debug {
    /// All of them, now.
    fn view(&self) -> FleetView;

    /// Has a worker take no more jobs, or take them again: by its own name, or by that of its process.
    ///
    /// # Errors
    /// When there is nobody of that name.
    fn set_paused(&self, worker: &str, paused: bool) -> Result<(), FleetError>;

    /// Starts a supervised worker afresh: all its processes by the worker's name, one of them by its own.
    ///
    /// # Errors
    /// When there is nobody of that name, or its process is none of ours.
    fn restart(&self, worker: &str) -> Result<(), FleetError>;

    /// Orders something of a link's breaker.
    ///
    /// # Errors
    /// When there is no such link, or it has no breaker.
    fn order(&self, link: &str, order: BreakerOrder) -> Result<(), FleetError>;

    /// Offers a job to a worker that can be told to start one.
    async fn offer(&self, job: JobId, queue: QueueName);
}

/// What can be ordered of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum BreakerOrder {
    /// Close, and forget all that was counted.
    Reset,
    /// Refuse everything until ordered otherwise, and cut the connection there is.
    ForcedOpen,
    /// Take a force away.
    Auto,
}

/// Why a fleet did not do what it was asked to.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FleetError {
    /// There is no such worker.
    #[error(
        "there is no worker `{0}`; `GET /api/admin/workers` lists those that are connected or supervised"
    )]
    UnknownWorker(String),
    /// The worker's process is not ours to restart.
    #[error("nobody here supervises the process of worker `{0}`; restart it where it was started")]
    NotSupervised(String),
    /// There is no such link.
    #[error("there is no link `{0}`; `GET /api/admin/workers` lists them")]
    UnknownLink(String),
    /// There is nothing to guard.
    #[error("workers connect to link `{0}` by themselves; it has no breaker")]
    NoBreaker(String),
}

/// Links, the workers connected to them, and the processes that are supervised.
#[derive(Debug, Clone, Default, PartialEq, Serialize, ToSchema)]
pub struct FleetView {
    /// What a person should look at, in sentences; empty when all is well.
    pub problems: Vec<String>,
    /// Every link that is configured.
    pub links: Vec<LinkShape>,
    /// Every worker that is connected by a link, one entry per connection.
    pub workers: Vec<WorkerShape>,
    /// Every process that is supervised.
    pub processes: Vec<ProcessShape>,
}

/// A link.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct LinkShape {
    /// Its name.
    pub name: String,
    /// `dial`: we connect; `listen`: workers do.
    pub mode: &'static str,
    /// `envelope` or `flat`.
    pub dialect: &'static str,
    /// How many connections it has.
    pub connections: usize,
    /// How often connecting failed since the server started.
    pub connection_failures: u64,
    /// How it last failed.
    pub last_error: Option<String>,
    /// When connecting is tried again, where there is no connection.
    #[serde(with = "millis_option")]
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// What guards the connecting, where we connect.
    pub breaker: Option<BreakerShape>,
}

/// A breaker.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct BreakerShape {
    /// `closed`, `open`, `half_open`, `forced_open` or `forced_closed`.
    pub state: &'static str,
    /// How many attempts failed in a row.
    pub consecutive_failures: u32,
    /// When the next probe may be made.
    #[serde(with = "millis_option")]
    pub next_probe_at: Option<DateTime<Utc>>,
}

/// A worker's connection.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkerShape {
    /// The worker's name: its own, or made of its link's name and its process id.
    pub id: String,
    /// Over which link.
    pub link: String,
    /// `connecting` until something valid was heard, then `connected`, or `paused`.
    pub state: &'static str,
    /// Its process, where the system tells it.
    pub pid: Option<i32>,
    /// The supervised process that it belongs to.
    pub process: Option<String>,
    /// Which version of the link's protocol it speaks.
    pub protocol: u32,
    /// Since when.
    #[serde(with = "millis")]
    pub connected_at: DateTime<Utc>,
    /// When anything was last heard.
    #[serde(with = "millis")]
    pub last_heard_at: DateTime<Utc>,
    /// How many jobs it holds.
    pub leases: usize,
    /// What it last said of itself.
    #[schema(value_type = Option<Object>)]
    pub status: Option<Value>,
    /// How many messages were heard.
    pub messages: u64,
    /// How many of them were for somebody else, of no known kind, not readable, or no messages at all.
    pub ignored: u64,
}

/// A supervised process.
#[derive(Debug, Clone, PartialEq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct ProcessShape {
    /// Its name: the worker's, and a number.
    pub name: String,
    /// The worker of the configuration.
    pub worker: String,
    /// `starting`, `ready`, `stopping`, `waiting`, `given_up`, `held`, `done` or `stopped`.
    pub state: &'static str,
    /// Its process id, while there is one.
    pub pid: Option<u32>,
    /// How often it was started again.
    pub restarts: u64,
    /// Whether a person should look: it used up its restarts, or said that a restart cannot help, and has neither
    /// recovered since nor been restarted by hand.
    pub given_up: bool,
    /// When it is started again, where it waits for that.
    #[serde(with = "millis_option")]
    pub starts_at: Option<DateTime<Utc>>,
    /// How it last ended.
    pub last_end: Option<EndShape>,
}

/// The end of a process.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub struct EndShape {
    /// Why it ended, as a stable word: `exited`, `signalled`, `memory_limit`, `out_of_memory`, `never_ready`, `deaf`,
    /// `not_started`, `guard_lost` or `stopped`.
    pub cause: &'static str,
    /// The same as a sentence.
    pub message: String,
    /// The code it exited with.
    pub exit_code: Option<i32>,
    /// The number of the signal that killed it.
    pub signal: Option<i32>,
    /// Whether it was killed for want of memory.
    pub out_of_memory: bool,
    /// The most memory it was known to hold, in bytes.
    pub peak_memory: Option<u64>,
    /// For how long it ran, in milliseconds.
    pub ran_for_ms: u64,
    /// Its last lines, oldest first.
    pub output: Vec<String>,
}

/// No links and no processes.
#[derive(Debug, Clone, Copy)]
pub struct NoFleet;

#[async_trait]
impl Fleet for NoFleet {
    fn view(&self) -> FleetView {
        FleetView::default()
    }

    fn set_paused(&self, worker: &str, _: bool) -> Result<(), FleetError> {
        Err(FleetError::UnknownWorker(worker.to_owned()))
    }

    fn restart(&self, worker: &str) -> Result<(), FleetError> {
        Err(FleetError::UnknownWorker(worker.to_owned()))
    }

    fn order(&self, link: &str, _: BreakerOrder) -> Result<(), FleetError> {
        Err(FleetError::UnknownLink(link.to_owned()))
    }

    async fn offer(&self, _: JobId, _: QueueName) {}
}
