//! What people do to jobs by hand.

use std::fmt;

use chrono::{DateTime, Utc};

use super::jobs::{JobFilter, Refused};
use crate::history::{Actor, HistoryEntry};
use crate::job::{Counts, IllegalTransition, Job, Reset, Status, StatusEvent};

/// What a person can do to one job.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AdminAction {
    /// Queue a failed job again; these counters begin again.
    Retry(Reset),
    /// Give it up.
    Cancel,
    /// Keep a queued job from being taken.
    Pause,
    /// Let a paused job go on.
    Resume,
    /// Let a quarantined job run again; these counters begin again.
    Release(Reset),
}

impl AdminAction {
    /// The states from which it can be done.
    #[must_use]
    pub fn possible_from(self) -> Vec<Status> {
        let event = match self {
            Self::Retry(_) => StatusEvent::Retry,
            Self::Cancel => StatusEvent::Cancel,
            Self::Pause => StatusEvent::Hold,
            Self::Resume => StatusEvent::Resume,
            Self::Release(_) => StatusEvent::Unquarantine,
        };
        Status::ALL.into_iter().filter(|status| status.after(event).is_ok()).collect()
    }

    /// Does it to a job. Answers what history says of it, and what the counters stood at that begin again.
    ///
    /// # Errors
    /// When the transition table forbids it; the job is as it was.
    pub fn act(
        self,
        job: &mut Job,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> Result<(HistoryEntry, Counts), IllegalTransition> {
        let resets_none = |entry| (entry, Counts::new());
        match self {
            Self::Retry(reset) => job.retry(reset, actor, now),
            Self::Cancel => job.cancel(actor, now).map(resets_none),
            Self::Pause => job.hold(actor, now).map(resets_none),
            Self::Resume => job.resume(actor, now).map(resets_none),
            Self::Release(reset) => job.unquarantine(reset, actor, now),
        }
    }

    /// Which jobs it can be done to, in one sentence: why it cannot be done to others.
    #[must_use]
    pub fn whom(self) -> String {
        let done = match self {
            Self::Retry(_) => "retried",
            Self::Cancel => "cancelled",
            Self::Pause => "paused",
            Self::Resume => "resumed",
            Self::Release(_) => "released",
        };
        format!("only {} jobs can be {done}", Listed(&self.possible_from()))
    }
}

/// `queued, failed and paused`.
struct Listed<'a>(&'a [Status]);

impl fmt::Display for Listed<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let last = self.0.len().saturating_sub(1);
        for (place, status) in self.0.iter().enumerate() {
            let before = match place {
                0 => "",
                place if place == last => " and ",
                _ => ", ",
            };
            write!(f, "{before}{status}")?;
        }
        Ok(())
    }
}

/// What was done to one job by hand.
#[derive(Debug, Clone, PartialEq)]
pub struct Administered {
    /// The job as it is now.
    pub job: Box<Job>,
    /// The counters that began again, and what they stood at.
    pub reset: Counts,
}

/// One thing done to many jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Bulk {
    /// Which jobs.
    pub filter: JobFilter,
    /// What is done.
    pub action: AdminAction,
    /// At most so many, oldest first.
    pub limit: u32,
    /// Only say what would be done.
    pub dry_run: bool,
    /// Who does it.
    pub actor: Actor,
    /// When.
    pub now: DateTime<Utc>,
}

impl Bulk {
    /// The states of the jobs that it is done to: those of the filter that allow it. The others are counted, and use up
    /// no place under the limit.
    #[must_use]
    pub fn eligible(&self) -> Vec<Status> {
        let asked = &self.filter.status;
        let possible = self.action.possible_from().into_iter();
        possible.filter(|status| asked.is_empty() || asked.contains(status)).collect()
    }

    /// Of the jobs of its filter, counted by their status as stored: how many are eligible, and why the others are not.
    #[must_use]
    pub fn sort(&self, counts: Vec<(String, u64)>) -> (u64, Vec<Ineligible>) {
        let (possible, mut eligible, mut ineligible) = (self.eligible(), 0, Vec::new());
        for (status, count) in counts {
            let reason = match status.parse::<Status>() {
                Ok(status) if possible.contains(&status) => {
                    eligible += count;
                    continue;
                }
                Ok(_) => self.action.whom(),
                Err(unknown) => format!("{unknown}; recovery will set the row aside"),
            };
            ineligible.push(Ineligible { status, count, reason });
        }
        (eligible, ineligible)
    }
}

/// What a bulk action did, or would do. A dry run and the real one give the same answer, as long as nobody else changes
/// the jobs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BulkAnswer {
    /// Jobs of the filter whose state allows it, counted just before it was done.
    pub eligible: u64,
    /// The others, by their state.
    pub ineligible: Vec<Ineligible>,
    /// What became of each job looked at.
    pub items: Vec<BulkItem>,
    /// Whether eligible jobs were left because of the limit.
    pub more: bool,
}

/// Jobs of one state to which something cannot be done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ineligible {
    /// Their status as stored; one that is none belongs to rows that recovery will set aside.
    pub status: String,
    /// How many.
    pub count: u64,
    /// Why not.
    pub reason: String,
}

/// What a bulk action did to one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BulkItem {
    /// Which.
    pub id: String,
    /// What became of it: the counters that began again and what they stood at, or why nothing was done.
    pub outcome: Result<Counts, Refused>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_action_says_whom_it_is_for() {
        assert_eq!(AdminAction::Retry(Reset::ALL).whom(), "only failed jobs can be retried");
        assert_eq!(
            AdminAction::Cancel.whom(),
            "only queued, running, failed, paused and quarantined jobs can be cancelled"
        );
    }
}
