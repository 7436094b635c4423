//! Why, in one sentence that a person understands.

use reclaimer_domain::decision::StuckSign;
use reclaimer_domain::job::Status;
use reclaimer_domain::time::spoken;

use crate::policy::Subject;
use crate::rule::Rule;
use crate::words::short;

/// Why a job is left that no rule matched.
pub(crate) fn no_rule(subject: &Subject<'_>) -> String {
    let job = subject.job;
    match (job.status, job.error()) {
        (Status::Failed, Some(error)) => format!("no rule recovers it; it failed with: {}", short(error)),
        (Status::Failed, None) => "no rule recovers it; it failed without saying why".to_owned(),
        _ => "no rule recovers it".to_owned(),
    }
}

/// The rule's reason, or a sentence made from what it saw.
pub(crate) fn of(rule: &Rule, subject: &Subject<'_>) -> String {
    if let Some(reason) = &rule.reason {
        return reason.clone();
    }
    let job = subject.job;
    match (subject.sign, job.error()) {
        (Some(StuckSign::LeaseExpired), _) => match &job.lease {
            Some(lease) if lease.excused => {
                format!("worker {} did not come back after our own absence", lease.worker)
            }
            Some(lease) => format!("the lease of worker {} expired without a renewal", lease.worker),
            None => "it runs without a lease".to_owned(),
        },
        (Some(StuckSign::NoUpdate), _) => "nobody said anything about it for too long".to_owned(),
        (Some(StuckSign::Timeout), _) => {
            format!("it ran longer than its timeout of {}", spoken(job.timeout.unwrap_or_default()))
        }
        (None, Some(error)) => format!("it failed with: {}", short(error)),
        (None, None) => format!("rule {} matches", rule.name),
    }
}
