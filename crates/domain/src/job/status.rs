//! Job states and the transitions between them.
//!
//! | from \ event | claim | finish | fail | suspend | release | reclaim | quarantine | recover | retry | hold | resume | unquarantine | cancel | accept-finish | accept-fail | unrecover | unreclaim |
//! |---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|---|
//! | queued | running | – | – | – | – | – | – | – | – | paused | – | – | cancelled | finished | failed | failed | running |
//! | running | – | finished | failed | paused | queued | queued | quarantined | – | – | – | – | – | cancelled | – | – | – | – |
//! | finished | – | – | – | – | – | – | – | – | – | – | – | – | – | – | – | – | – |
//! | failed | – | – | – | – | – | – | quarantined | queued | queued | – | – | – | cancelled | – | – | – | – |
//! | paused | – | – | – | – | – | – | – | – | – | – | queued | – | cancelled | – | – | – | – |
//! | cancelled | – | – | – | – | – | – | – | – | – | – | – | – | – | – | – | – | – |
//! | quarantined | – | – | – | – | – | – | – | – | – | – | – | queued | cancelled | finished | failed | failed | running |
//!
//! A dash is [`IllegalTransition`], which names both ends. Who sends what: workers `claim`, `finish`, `fail`,
//! `suspend`, `release`; recovery `reclaim`, `recover`, `quarantine`; admins `retry`, `hold`, `resume`,
//! `unquarantine`, `cancel`, `accept-finish` and `accept-fail` (a late result), `unrecover` and `unreclaim` (undoing a
//! recovery run). `quarantine` also follows a failure report, in time or accepted late, that used up the job's attempts.
//! Producers only create jobs: they share the workers' token, and no worker may give up another's job. Guards that need
//! a lease, a time or a limit stand before the event, in [`super::lifecycle`] and in the policy; the store repeats them
//! in the `WHERE` of its update.

use std::fmt;
use std::str::FromStr;

use crate::name::Quoted;

/// Where a job stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Status {
    /// Waits for a worker.
    Queued,
    /// Leased to a worker.
    Running,
    /// Done.
    Finished,
    /// A worker reported that it could not be done.
    Failed,
    /// Held by a worker or an admin until resumed.
    Paused,
    /// Given up by a person.
    Cancelled,
    /// Set aside for a person.
    Quarantined,
}

/// What can happen to a status. Every way a status can change is one variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum StatusEvent {
    /// A worker takes the job.
    Claim,
    /// The holder reports it done.
    Finish,
    /// The holder reports that it could not be done.
    Fail,
    /// The holder pauses it.
    Suspend,
    /// The holder returns it unworked.
    GiveBack,
    /// Recovery takes it from a holder that is lost.
    Reclaim,
    /// It is set aside for a person.
    Quarantine,
    /// Recovery queues a failed job again.
    Recover,
    /// A person queues a failed job again.
    Retry,
    /// A person keeps a queued job from being taken.
    Hold,
    /// A person lets a paused job go on.
    Resume,
    /// A person queues a quarantined job again.
    Unquarantine,
    /// A person gives it up.
    Cancel,
    /// A person accepts a late result: it is done.
    AcceptFinish,
    /// A person accepts a late result: it could not be done.
    AcceptFail,
    /// A person undoes that recovery took up a failed job.
    Unrecover,
    /// A person undoes that recovery took a job from its holder.
    Unreclaim,
}

impl Status {
    /// Every status, in the order of the table.
    pub const ALL: [Self; 7] = [
        Self::Queued,
        Self::Running,
        Self::Finished,
        Self::Failed,
        Self::Paused,
        Self::Cancelled,
        Self::Quarantined,
    ];

    /// The word in the `status` column and in every answer.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Queued => "queued",
            Self::Running => "running",
            Self::Finished => "finished",
            Self::Failed => "failed",
            Self::Paused => "paused",
            Self::Cancelled => "cancelled",
            Self::Quarantined => "quarantined",
        }
    }

    /// Whether nothing can happen to it any more.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Finished | Self::Cancelled)
    }

    /// The status after an event: the one transition table.
    ///
    /// # Errors
    /// [`IllegalTransition`] where the table has a dash.
    pub fn after(self, event: StatusEvent) -> Result<Self, IllegalTransition> {
        use StatusEvent as E;
        match (self, event) {
            (Self::Queued, E::Claim) => Ok(Self::Running),
            (Self::Queued, E::Hold) => Ok(Self::Paused),
            (Self::Running, E::Finish) => Ok(Self::Finished),
            (Self::Running, E::Fail) => Ok(Self::Failed),
            (Self::Running, E::Suspend) => Ok(Self::Paused),
            (Self::Running, E::GiveBack | E::Reclaim) => Ok(Self::Queued),
            (Self::Running | Self::Failed, E::Quarantine) => Ok(Self::Quarantined),
            (Self::Failed, E::Recover | E::Retry) => Ok(Self::Queued),
            (Self::Paused, E::Resume) => Ok(Self::Queued),
            (Self::Quarantined, E::Unquarantine) => Ok(Self::Queued),
            (Self::Queued | Self::Running | Self::Failed | Self::Paused | Self::Quarantined, E::Cancel) => {
                Ok(Self::Cancelled)
            }
            (Self::Queued | Self::Quarantined, E::AcceptFinish) => Ok(Self::Finished),
            (Self::Queued | Self::Quarantined, E::AcceptFail | E::Unrecover) => Ok(Self::Failed),
            (Self::Queued | Self::Quarantined, E::Unreclaim) => Ok(Self::Running),
            // The rest, spelled per status, so that a new event stops the build here.
            (
                from @ Self::Queued,
                E::Finish
                | E::Fail
                | E::Suspend
                | E::GiveBack
                | E::Reclaim
                | E::Quarantine
                | E::Recover
                | E::Retry
                | E::Resume
                | E::Unquarantine,
            )
            | (
                from @ Self::Running,
                E::Claim
                | E::Recover
                | E::Retry
                | E::Hold
                | E::Resume
                | E::Unquarantine
                | E::AcceptFinish
                | E::AcceptFail
                | E::Unrecover
                | E::Unreclaim,
            )
            | (
                from @ Self::Failed,
                E::Claim
                | E::Finish
                | E::Fail
                | E::Suspend
                | E::GiveBack
                | E::Reclaim
                | E::Hold
                | E::Resume
                | E::Unquarantine
                | E::AcceptFinish
                | E::AcceptFail
                | E::Unrecover
                | E::Unreclaim,
            )
            | (
                from @ Self::Paused,
                E::Claim
                | E::Finish
                | E::Fail
                | E::Suspend
                | E::GiveBack
                | E::Reclaim
                | E::Quarantine
                | E::Recover
                | E::Retry
                | E::Hold
                | E::Unquarantine
                | E::AcceptFinish
                | E::AcceptFail
                | E::Unrecover
                | E::Unreclaim,
            )
            | (
                from @ Self::Quarantined,
                E::Claim
                | E::Finish
                | E::Fail
                | E::Suspend
                | E::GiveBack
                | E::Reclaim
                | E::Quarantine
                | E::Recover
                | E::Retry
                | E::Hold
                | E::Resume,
            )
            | (
                from @ (Self::Finished | Self::Cancelled),
                E::Claim
                | E::Finish
                | E::Fail
                | E::Suspend
                | E::GiveBack
                | E::Reclaim
                | E::Quarantine
                | E::Recover
                | E::Retry
                | E::Hold
                | E::Resume
                | E::Unquarantine
                | E::Cancel
                | E::AcceptFinish
                | E::AcceptFail
                | E::Unrecover
                | E::Unreclaim,
            ) => Err(IllegalTransition { from, event }),
        }
    }
}

impl StatusEvent {
    /// Every event, in the order of the table.
    pub const ALL: [Self; 17] = [
        Self::Claim,
        Self::Finish,
        Self::Fail,
        Self::Suspend,
        Self::GiveBack,
        Self::Reclaim,
        Self::Quarantine,
        Self::Recover,
        Self::Retry,
        Self::Hold,
        Self::Resume,
        Self::Unquarantine,
        Self::Cancel,
        Self::AcceptFinish,
        Self::AcceptFail,
        Self::Unrecover,
        Self::Unreclaim,
    ];

    /// The event's name, as in the table.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Claim => "claim",
            Self::Finish => "finish",
            Self::Fail => "fail",
            Self::Suspend => "suspend",
            Self::GiveBack => "release",
            Self::Reclaim => "reclaim",
            Self::Quarantine => "quarantine",
            Self::Recover => "recover",
            Self::Retry => "retry",
            Self::Hold => "hold",
            Self::Resume => "resume",
            Self::Unquarantine => "unquarantine",
            Self::Cancel => "cancel",
            Self::AcceptFinish => "accept-finish",
            Self::AcceptFail => "accept-fail",
            Self::Unrecover => "unrecover",
            Self::Unreclaim => "unreclaim",
        }
    }

    /// Where the event leads when it is allowed.
    #[must_use]
    pub fn leads_to(self) -> Status {
        match self {
            Self::Claim | Self::Unreclaim => Status::Running,
            Self::Finish | Self::AcceptFinish => Status::Finished,
            Self::Fail | Self::AcceptFail | Self::Unrecover => Status::Failed,
            Self::Suspend | Self::Hold => Status::Paused,
            Self::GiveBack
            | Self::Reclaim
            | Self::Recover
            | Self::Retry
            | Self::Resume
            | Self::Unquarantine => Status::Queued,
            Self::Quarantine => Status::Quarantined,
            Self::Cancel => Status::Cancelled,
        }
    }
}

/// A status cannot follow another by this event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a {from} job cannot become {} by {}", event.leads_to(), event.as_str())]
pub struct IllegalTransition {
    /// Where the job stands.
    pub from: Status,
    /// What was tried.
    pub event: StatusEvent,
}

/// A text that is no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown status `{text}`; a status is one of {}", Quoted(&Status::ALL.map(Status::as_str)))]
pub struct UnknownStatus {
    text: String,
}

impl FromStr for Status {
    type Err = UnknownStatus;

    fn from_str(text: &str) -> Result<Self, UnknownStatus> {
        Self::ALL
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownStatus { text: text.chars().take(64).collect() })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl serde::Serialize for Status {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Status {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The transition function, printed as the table of the module documentation.
    fn table() -> Vec<String> {
        let head = StatusEvent::ALL.map(StatusEvent::as_str).join(" | ");
        let mut lines = vec![format!("| from \\ event | {head} |"), format!("|---{}|", "|---".repeat(17))];
        for status in Status::ALL {
            let cells = StatusEvent::ALL
                .map(|event| status.after(event).map_or_else(|_| "–".to_owned(), |to| to.to_string()));
            lines.push(format!("| {status} | {} |", cells.join(" | ")));
        }
        lines
    }

    #[test]
    fn the_documented_table_is_the_function() {
        let documented: Vec<&str> =
            include_str!("status.rs").lines().filter_map(|line| line.strip_prefix("//! |")).collect();
        let documented: Vec<String> = documented.into_iter().map(|line| format!("|{line}")).collect();
        assert_eq!(documented, table());
        let page = include_str!("../../../../docs/reference/states.md");
        assert!(
            page.contains(&table().join("\n")),
            "docs/reference/states.md: put in\n{}",
            table().join("\n")
        );
    }

    #[test]
    fn an_event_leads_where_it_says() {
        for status in Status::ALL {
            for event in StatusEvent::ALL {
                match status.after(event) {
                    Ok(to) => assert_eq!(to, event.leads_to()),
                    Err(error) => {
                        let text = error.to_string();
                        assert!(text.contains(status.as_str()), "{text}");
                        assert!(text.contains(event.leads_to().as_str()), "{text}");
                    }
                }
            }
        }
    }

    #[test]
    fn terminal_means_that_nothing_follows() {
        for status in Status::ALL {
            let stuck = StatusEvent::ALL.into_iter().all(|event| status.after(event).is_err());
            assert_eq!(stuck, status.is_terminal(), "{status}");
        }
    }

    #[test]
    fn an_unknown_word_names_the_known_ones() {
        assert_eq!("queued".parse::<Status>(), Ok(Status::Queued));
        let text = "done".parse::<Status>().unwrap_err().to_string();
        assert!(text.starts_with("unknown status `done`; a status is one of `queued`, `running`"), "{text}");
    }
}
