//! What the server says, as this view reads it. What it does not know it leaves out; a newer server is no reason to
//! show nothing.

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use reclaimer_domain::job::Status;
use serde::Deserialize;
use serde_json::Value;

/// All that is looked at once a second.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Snapshot {
    /// When it was asked for.
    pub(super) at: DateTime<Utc>,
    pub(super) health: Health,
    pub(super) queues: Vec<Queue>,
    pub(super) fleet: Fleet,
    pub(super) runs: Vec<Run>,
    /// The jobs of the state that was asked for, newest first, up to a limit.
    pub(super) jobs: Vec<Job>,
    pub(super) state: Option<Status>,
}

impl Snapshot {
    /// How many jobs there are in a state.
    pub(super) fn count(&self, status: Status) -> u64 {
        self.queues.iter().filter_map(|queue| queue.jobs.get(status.as_str())).sum()
    }
}

/// A part of a list.
#[derive(Debug, Deserialize)]
pub(super) struct Items<T> {
    pub(super) items: Vec<T>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Health {
    pub(super) status: String,
    pub(super) indicators: Vec<Indicator>,
}

impl Health {
    /// What is not well, in sentences, the worst first.
    pub(super) fn troubles(&self) -> impl Iterator<Item = &str> {
        let of = |status: &'static str| self.indicators.iter().filter(move |it| it.status == status);
        of("down").chain(of("degraded")).map(|indicator| indicator.what.as_str())
    }
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Indicator {
    pub(super) status: String,
    pub(super) what: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Queue {
    pub(super) name: String,
    pub(super) paused: bool,
    pub(super) jobs: BTreeMap<String, u64>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Fleet {
    pub(super) links: Vec<Link>,
    pub(super) workers: Vec<Worker>,
    pub(super) processes: Vec<Process>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Link {
    pub(super) name: String,
    pub(super) connections: usize,
    pub(super) connection_failures: u64,
    pub(super) last_error: Option<String>,
    pub(super) breaker: Option<Breaker>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct Breaker {
    pub(super) state: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Worker {
    pub(super) id: String,
    pub(super) link: String,
    pub(super) state: String,
    pub(super) last_heard_at: Option<DateTime<Utc>>,
    pub(super) leases: usize,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Process {
    pub(super) name: String,
    pub(super) state: String,
    pub(super) restarts: u64,
    pub(super) given_up: bool,
    pub(super) last_end: Option<End>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct End {
    pub(super) message: String,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Run {
    pub(super) trigger: String,
    pub(super) started_at: Option<DateTime<Utc>>,
    pub(super) finished_at: Option<DateTime<Utc>>,
    pub(super) message: Option<String>,
    pub(super) counts: Vec<DecisionCount>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct DecisionCount {
    pub(super) action: String,
    pub(super) rule: Option<String>,
    pub(super) reason: String,
    pub(super) jobs: u32,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(super) struct Job {
    pub(super) id: String,
    pub(super) status: String,
    pub(super) queue: String,
    pub(super) command: String,
    pub(super) full_path: Option<String>,
    pub(super) attempt: u32,
    pub(super) updated_at: Option<DateTime<Utc>>,
    pub(super) worker_id: Option<String>,
    pub(super) progress: Value,
    /// Why the row cannot be read.
    pub(super) broken: Option<String>,
}

impl Job {
    /// What is to be known of it first.
    pub(super) fn remark(&self) -> String {
        let error = self.progress["error"].as_str().map(ToOwned::to_owned);
        let holder = self.worker_id.as_ref().map(|worker| format!("held by {worker}"));
        self.broken.clone().or(holder).or(error).unwrap_or_default()
    }
}

/// One job in full: why it is where it is, and what happened to it.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Story {
    pub(super) job: Job,
    /// Why recovery does what it does with it, in one sentence.
    pub(super) why: String,
    /// When recovery looks at it next.
    pub(super) next: String,
    pub(super) events: Vec<JobEvent>,
}

#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default)]
pub(super) struct JobEvent {
    pub(super) at: Option<DateTime<Utc>>,
    pub(super) kind: String,
    pub(super) actor: String,
    pub(super) rule: Option<String>,
    pub(super) reason: Option<String>,
}
