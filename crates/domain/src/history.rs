//! History: one event per thing that happened to a job, append-only.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde_json::Value;

use crate::id::{JobId, RunId};
use crate::job::Status;
use crate::name::{InvalidName, RuleName, WorkerId};

/// What kind of thing happened. New kinds may be added.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EventKind {
    /// A producer, a discovery or a rerun created the job.
    Created,
    /// A worker took it.
    Claimed,
    /// Its holder reported it done.
    Finished,
    /// Its holder reported that it could not be done.
    Failed,
    /// Its holder or an admin paused it.
    Paused,
    /// An admin let it go on.
    Resumed,
    /// Its holder gave it back unworked.
    Released,
    /// Its lease was lost and recovery took it back.
    Reclaimed,
    /// Recovery queued it again after a failure.
    Recovered,
    /// Recovery looked at it and did not queue it again; written once per reason, not once per cycle.
    NotRecovered,
    /// An admin queued it again.
    Retried,
    /// It was set aside for a person.
    Quarantined,
    /// An admin released it from quarantine.
    Unquarantined,
    /// It was given up.
    Cancelled,
    /// Somebody without the current lease reported on it; nothing changed.
    StaleReport,
    /// Its row could not be read; what was unreadable is in the detail.
    SetAside,
    /// Somebody added what he knows of the attempt: how its process ended, what its worker logged.
    Evidence,
    /// An admin accepted a result that had come too late.
    LateAccepted,
    /// An admin undid what a recovery run did to it.
    Undone,
}

impl EventKind {
    /// Every kind.
    pub const ALL: [Self; 19] = [
        Self::Created,
        Self::Claimed,
        Self::Finished,
        Self::Failed,
        Self::Paused,
        Self::Resumed,
        Self::Released,
        Self::Reclaimed,
        Self::Recovered,
        Self::NotRecovered,
        Self::Retried,
        Self::Quarantined,
        Self::Unquarantined,
        Self::Cancelled,
        Self::StaleReport,
        Self::SetAside,
        Self::Evidence,
        Self::LateAccepted,
        Self::Undone,
    ];

    /// The word in the `kind` column and in every answer.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Claimed => "claimed",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Paused => "paused",
            Self::Resumed => "resumed",
            Self::Released => "released",
            Self::Reclaimed => "reclaimed",
            Self::Recovered => "recovered",
            Self::NotRecovered => "not_recovered",
            Self::Retried => "retried",
            Self::Quarantined => "quarantined",
            Self::Unquarantined => "unquarantined",
            Self::Cancelled => "cancelled",
            Self::StaleReport => "stale_report",
            Self::SetAside => "set_aside",
            Self::Evidence => "evidence",
            Self::LateAccepted => "late_accepted",
            Self::Undone => "undone",
        }
    }
}

/// A text that is no event kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown event kind `{0}`")]
pub struct UnknownEventKind(String);

impl FromStr for EventKind {
    type Err = UnknownEventKind;

    fn from_str(text: &str) -> Result<Self, UnknownEventKind> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownEventKind(text.chars().take(64).collect()))
    }
}

impl fmt::Display for EventKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl serde::Serialize for EventKind {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

/// Who did it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Actor {
    /// A worker.
    Worker(WorkerId),
    /// A recovery cycle.
    Recovery(RunId),
    /// An admin.
    Admin,
    /// A producer.
    Producer,
    /// Reclaimer itself.
    System,
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Worker(worker) => write!(f, "worker:{worker}"),
            Self::Recovery(run) => write!(f, "recovery:{run}"),
            Self::Admin => f.write_str("admin"),
            Self::Producer => f.write_str("producer"),
            Self::System => f.write_str("system"),
        }
    }
}

impl FromStr for Actor {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        if let Some(worker) = text.strip_prefix("worker:") {
            return Ok(Self::Worker(worker.parse()?));
        }
        if let Some(run) = text.strip_prefix("recovery:") {
            return Ok(Self::Recovery(run.parse()?));
        }
        Ok(match text {
            "admin" => Self::Admin,
            "producer" => Self::Producer,
            _ => Self::System,
        })
    }
}

impl serde::Serialize for Actor {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

/// What history says about one change, before it is stored.
#[derive(Debug, Clone, PartialEq)]
pub struct HistoryEntry {
    /// When.
    pub at: DateTime<Utc>,
    /// What.
    pub kind: EventKind,
    /// Where the job stood; `None` when it did not exist or could not be read.
    pub from: Option<Status>,
    /// Where it stands now.
    pub to: Option<Status>,
    /// Who did it.
    pub actor: Actor,
    /// By which rule of the policy.
    pub rule: Option<RuleName>,
    /// Why, in one sentence.
    pub reason: Option<String>,
    /// Evidence: counters, the report, how the lease was lost.
    pub detail: Option<Value>,
}

impl HistoryEntry {
    /// Whether it says the same as an earlier entry, the numbers in its reason aside, by the same policy.
    #[must_use]
    pub fn repeats(&self, earlier: &Self) -> bool {
        let words = |text: &String| text.replace(|c: char| c.is_ascii_digit(), "");
        let policy = |entry: &Self| entry.detail.as_ref().and_then(|detail| detail.get("policy")).cloned();
        self.kind == earlier.kind
            && self.rule == earlier.rule
            && self.reason.as_ref().map(words) == earlier.reason.as_ref().map(words)
            && policy(self) == policy(earlier)
    }
}

/// One stored event: a row of the `job_event` table. Ids grow in the order things happened.
#[derive(Debug, Clone, PartialEq)]
pub struct JobEvent {
    /// Its place in the order.
    pub id: i64,
    /// Whose history it belongs to.
    pub job_id: JobId,
    /// What it says.
    pub entry: HistoryEntry,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip() {
        for kind in EventKind::ALL {
            assert_eq!(kind.as_str().parse(), Ok(kind));
        }
        for actor in [
            Actor::Worker("w-1".parse().unwrap()),
            Actor::Recovery("01J".parse().unwrap()),
            Actor::Admin,
            Actor::Producer,
            Actor::System,
        ] {
            assert_eq!(actor.to_string().parse(), Ok(actor));
        }
    }
}
