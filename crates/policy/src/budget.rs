//! What a job may still cost: attempts, lost leases, recoveries.

use reclaimer_domain::job::Status;
use serde::{Deserialize, Serialize};

use crate::policy::{Defaults, Subject};
use crate::rule::Rule;

/// One budget of a job, as it stands when a rule wants to queue the job again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Budget {
    /// What is counted.
    pub kind: BudgetKind,
    /// How much is used, the present loss included.
    pub used: u32,
    /// How much there is.
    pub most: u32,
}

/// What a budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum BudgetKind {
    /// Leases lost in a row without a report.
    LeaseLosses,
    /// How often the job was handed out.
    Attempts,
    /// How often recovery queued it again.
    Recoveries,
}

impl BudgetKind {
    /// The word in explanations.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeaseLosses => "lease_losses",
            Self::Attempts => "attempts",
            Self::Recoveries => "recoveries",
        }
    }
}

impl Budget {
    /// Whether it forbids to queue the job again.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        self.used >= self.most
    }

    /// Why the job is quarantined when it is spent.
    pub(crate) fn reason(&self) -> String {
        match self.kind {
            BudgetKind::LeaseLosses => {
                format!("poison: its lease was lost {} times in a row without a report", self.used)
            }
            BudgetKind::Attempts => format!("all {} attempts are used up", self.most),
            BudgetKind::Recoveries => format!("all {} recoveries are used up", self.most),
        }
    }
}

/// The budgets that count for this job under this rule, in the order in which they are looked at. None where the loss
/// is nobody's fault.
pub(crate) fn budgets(
    rule: &Rule,
    defaults: &Defaults,
    subject: &Subject<'_>,
) -> impl Iterator<Item = Budget> + use<> {
    let job = subject.job;
    let running = job.status == Status::Running;
    let counts = !subject.is_excused();
    let losses = (counts && running).then(|| Budget {
        kind: BudgetKind::LeaseLosses,
        used: job.lease_losses.saturating_add(1),
        most: rule.poison_after.unwrap_or(defaults.poison_after),
    });
    let attempts =
        counts.then_some(Budget { kind: BudgetKind::Attempts, used: job.attempt, most: job.max_attempts });
    // A stuck job is budgeted by its attempts and lost leases; recoveries count where its rule says so.
    let most = rule.max_recoveries.or((!running).then_some(defaults.max_recoveries));
    let recoveries = most.filter(|_| counts).map(|most| Budget {
        kind: BudgetKind::Recoveries,
        used: job.recoveries,
        most,
    });
    [losses, attempts, recoveries].into_iter().flatten()
}
