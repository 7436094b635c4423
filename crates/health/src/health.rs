//! What an observation is judged to mean.

use chrono::{DateTime, Utc};
use reclaimer_domain::time::{millis, millis_option};
use serde::{Deserialize, Serialize};

use crate::observed::{Database, Link, Loop, Process, Queue, Queues, Recovery, Worker};

/// How well something is, the worst last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Nothing needs to be done.
    Ok,
    /// Jobs are taken in, but somebody should look.
    Degraded,
    /// No job can be taken in.
    Down,
}

impl Status {
    /// Its word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Degraded => "degraded",
            Self::Down => "down",
        }
    }
}

/// How a server is doing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Health {
    /// The worst of its indicators.
    pub status: Status,
    /// When this was observed.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
    /// Everything that can be well or not. Of workers, processes and queues a hundred each at most: what is in trouble
    /// first.
    pub indicators: Vec<Indicator>,
}

/// One thing that can be well or not. Its kind and its name together tell it from others.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(rename_all = "camelCase")]
pub struct Indicator {
    /// The link, the queue, the loop …; the kind again where there is one of it.
    pub name: String,
    /// How well it is.
    pub status: Status,
    /// What there is to say about it, in one sentence.
    pub what: String,
    /// Since when it has not been well, where that is known.
    #[serde(with = "millis_option")]
    pub since: Option<DateTime<Utc>>,
    /// What kind of thing it is, and what was seen of it.
    #[serde(flatten)]
    pub figures: Figures,
}

/// What was seen of a thing.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(utoipa::ToSchema))]
#[serde(tag = "kind", content = "figures", rename_all = "snake_case")]
pub enum Figures {
    /// The database.
    Database(Database),
    /// The recovery engine.
    Recovery(Recovery),
    /// All queues together; `null` when they could not be read.
    Queues(Option<Queues>),
    /// A loop that is to turn.
    Loop(Loop),
    /// A link to workers.
    Link(Link),
    /// A supervised process.
    Process(Process),
    /// A connected worker.
    Worker(Worker),
    /// A queue.
    Queue(Queue),
}

impl Figures {
    /// The word for the kind of thing.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Database(_) => "database",
            Self::Recovery(_) => "recovery",
            Self::Queues(_) => "queues",
            Self::Loop(_) => "loop",
            Self::Link(_) => "link",
            Self::Process(_) => "process",
            Self::Worker(_) => "worker",
            Self::Queue(_) => "queue",
        }
    }
}
