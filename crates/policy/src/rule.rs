//! Rules: what they match, what they require, what they do.

use reclaimer_domain::decision::{Requirement, StuckSign};
use reclaimer_domain::job::report::Retryable;
use reclaimer_domain::job::{Priority, Status};
use reclaimer_domain::name::RuleName;

use crate::backoff::Backoff;
use crate::policy::Subject;

/// One rule of a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct Rule {
    /// Its name, which every decision carries.
    pub name: RuleName,
    /// Which jobs it is about.
    pub when: Match,
    /// What must hold before it queues a job again.
    pub require: Vec<Requirement>,
    /// What it does.
    pub effect: Effect,
    /// The delay before a recovered job runs; `None` = the policy's.
    pub backoff: Option<Backoff>,
    /// How often it recovers one job; `None` = the policy's.
    pub max_recoveries: Option<u32>,
    /// The priority of recovered jobs; `None` = as before.
    pub priority: Option<Priority>,
    /// One sentence for people; `None` = made from what the rule saw.
    pub reason: Option<String>,
}

/// Which jobs a rule is about. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Match {
    /// Its status.
    pub status: Option<Status>,
    /// Any of these stands in its error, in any case of letters; empty = not asked.
    pub error_contains: Vec<String>,
    /// What its worker said of trying again.
    pub retryable: Option<Retryable>,
    /// It is stuck by any of these signs; empty = not asked.
    pub stuck: Vec<StuckSign>,
}

/// What a rule does with a job it matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Effect {
    /// Queue it again.
    Requeue,
    /// Set it aside for a person.
    Quarantine,
    /// Nothing.
    Leave,
}

impl Match {
    /// Whether the rule is about this job.
    #[must_use]
    pub fn holds(&self, subject: &Subject<'_>) -> bool {
        let job = subject.job;
        self.status.is_none_or(|status| job.status == status)
            && self.retryable.is_none_or(|retryable| Retryable::of(job) == retryable)
            && (self.stuck.is_empty() || subject.sign.is_some_and(|sign| self.stuck.contains(&sign)))
            && (self.error_contains.is_empty()
                || job.error().is_some_and(|error| {
                    let error = error.to_lowercase();
                    self.error_contains.iter().any(|part| error.contains(&part.to_lowercase()))
                }))
    }
}
