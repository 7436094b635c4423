//! What a policy would have done.

use chrono::{DateTime, Utc};
use reclaimer_domain::decision::{Action, PolicyHash};
use reclaimer_domain::id::JobId;
use reclaimer_domain::time::{millis, millis_option};
use serde::{Deserialize, Serialize};

use super::fate::Fate;

/// What becomes of a job, without the details of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is queued again.
    Requeue,
    /// It is set aside for a person.
    Quarantine,
    /// A rule matched, but something it requires did not hold.
    Skip,
    /// No rule recovered it.
    Leave,
}

impl Verdict {
    /// The word in answers.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requeue => "requeue",
            Self::Quarantine => "quarantine",
            Self::Skip => "skip",
            Self::Leave => "leave",
        }
    }

    /// Whether the job does not stay where it is.
    pub(super) fn is_final(self) -> bool {
        matches!(self, Self::Requeue | Self::Quarantine)
    }
}

impl From<&Action> for Verdict {
    fn from(action: &Action) -> Self {
        match action {
            Action::Requeue { .. } => Self::Requeue,
            Action::Quarantine => Self::Quarantine,
            Action::Skip { .. } => Self::Skip,
            Action::Leave { .. } => Self::Leave,
        }
    }
}

/// What a policy would have done with what happened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Forecast {
    /// The policy.
    pub policy_hash: PolicyHash,
    /// When the first event that was read happened; null without one.
    #[serde(with = "millis_option", default)]
    pub from: Option<DateTime<Utc>>,
    /// When the last did.
    #[serde(with = "millis_option", default)]
    pub to: Option<DateTime<Utc>>,
    /// How many events were read.
    pub events: u64,
    /// How many failures and losses recovery decided about.
    pub cases: u64,
    /// How many failures it did not: they were taken up before it looked at them, wait for it, or were decided about by
    /// a version that did not keep what it saw.
    pub undecided: u64,
    /// How many of the cases would have come out differently.
    pub differing: u64,
    /// What would have become of the cases, by the rule of this policy that decides; most cases first.
    pub rules: Vec<RuleForecast>,
    /// Cases that would have come out differently, the first [`MOST_DIFFERENCES`](super::MOST_DIFFERENCES).
    pub differences: Vec<Difference>,
}

/// What one rule would have done, beside what happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RuleForecast {
    /// Its name; null for the cases that no rule matches.
    pub rule: Option<String>,
    /// Jobs that it would have queued again.
    pub requeued: u64,
    /// Jobs that it would have set aside.
    pub quarantined: u64,
    /// Jobs that would have had to wait for what it requires.
    pub skipped: u64,
    /// Jobs that it would have left.
    pub left: u64,
    /// Of all of these, how many were queued again in reality.
    pub really_requeued: u64,
    /// Of those that it would have queued again and that were: how many then finished.
    pub then_finished: u64,
    /// … and how many failed or were lost again.
    pub then_failed: u64,
}

impl RuleForecast {
    /// How many cases it decided.
    #[must_use]
    pub fn cases(&self) -> u64 {
        self.requeued + self.quarantined + self.skipped + self.left
    }
}

/// What was, or would have been, decided about a case in the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Case {
    /// What became of the job.
    pub action: Verdict,
    /// By which rule.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<String>,
    /// Why.
    pub reason: String,
}

/// A case that would have come out differently.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Difference {
    /// The job.
    pub job_id: JobId,
    /// When it was decided about in reality.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
    /// What was decided.
    pub really: Case,
    /// What would have been.
    pub instead: Case,
    /// What became of the job in reality.
    pub then: Fate,
}
