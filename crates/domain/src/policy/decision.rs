//! What a policy decides.

use chrono::{DateTime, Utc};

use super::rule::Requirement;
use super::stuck::StuckSign;
use crate::job::Priority;
use crate::name::RuleName;

/// One decision about one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of the job.
    pub action: Action,
    /// The rule that decided; `None` when none matched.
    pub rule: Option<RuleName>,
    /// Why, in one sentence a person understands.
    pub reason: String,
    /// Why a running job counted as stuck.
    pub sign: Option<StuckSign>,
}

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is queued again.
    Requeue {
        /// Not leased before this moment.
        run_at: DateTime<Utc>,
        /// Its new priority; `None` = as before.
        priority: Option<Priority>,
    },
    /// It is set aside for a person.
    Quarantine,
    /// A rule matched, but something it requires does not hold yet.
    Skip {
        /// What does not hold.
        unmet: Unmet,
        /// When it is looked at again.
        until: DateTime<Utc>,
    },
    /// No rule recovers it.
    Leave {
        /// When it is looked at again.
        until: DateTime<Utc>,
    },
}

/// What a job that a rule matched still waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unmet {
    /// Something that its rule requires.
    Requirement(Requirement),
    /// Room in the recovery budget: too many jobs were queued again in the last minute.
    RecoveryBudget,
}

impl Action {
    /// The word in reports and metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Requeue { .. } => "requeue",
            Self::Quarantine => "quarantine",
            Self::Skip { .. } => "skip",
            Self::Leave { .. } => "leave",
        }
    }

    /// Whether the job's status changes.
    #[must_use]
    pub fn changes_status(&self) -> bool {
        matches!(self, Self::Requeue { .. } | Self::Quarantine)
    }
}
