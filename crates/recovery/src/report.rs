//! What a cycle did, as shown to people.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::decision::{Action, PolicyHash};
use reclaimer_domain::id::RunId;
use reclaimer_domain::ports::{BrokenRow, Planned, StoreError};
use reclaimer_domain::recovery::{DecisionReport, RecoveryType, RunReport, RunResult, Trigger};

use crate::apply::Fate;

/// The numbers of a cycle while it runs.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    /// Jobs decided about and rows set aside.
    pub(crate) examined: u32,
    /// Jobs whose status changed, or would have.
    pub(crate) changed: u32,
    /// When every job has become due again that found the budget used up.
    pub(crate) waits_until: Option<DateTime<Utc>>,
    recovered: u32,
    failed: u32,
    skipped: u32,
    quarantined: u32,
    errors: Vec<String>,
    decisions: Vec<DecisionReport>,
}

/// What a report says beside the numbers.
#[derive(Debug)]
pub(crate) struct Heading<'a> {
    pub(crate) run: &'a RunId,
    pub(crate) kind: RecoveryType,
    pub(crate) trigger: Trigger,
    pub(crate) dry_run: bool,
    pub(crate) took: Duration,
    pub(crate) policy: PolicyHash,
    pub(crate) more: bool,
    /// Why the cycle ended before its end, if so.
    pub(crate) failure: Option<&'a StoreError>,
}

impl Tally {
    /// Counts a decision and what became of it.
    pub(crate) fn step(&mut self, step: &Planned, fate: &Fate) {
        self.examined += 1;
        self.decisions.push(DecisionReport::new(step.job.clone(), &step.decision));
        if let Fate::Failed(why) = fate {
            self.errors.push(format!("{}: {why}", step.job));
        }
        match (&step.decision.action, fate) {
            (Action::Skip { .. } | Action::Leave { .. }, _) => self.skipped += 1,
            (Action::Requeue { .. }, Fate::Done) => {
                self.recovered += 1;
                self.changed += 1;
            }
            (Action::Quarantine, Fate::Done) => {
                self.quarantined += 1;
                self.changed += 1;
            }
            (Action::Requeue { .. } | Action::Quarantine, Fate::Failed(_)) => self.failed += 1,
            // Losing the race over a job that was not to be changed costs nothing: whoever won looked after it.
            (Action::Requeue { .. } | Action::Quarantine, Fate::Lost(how)) => {
                self.failed += 1;
                self.errors.push(format!("{}: {how}", step.job));
            }
        }
    }

    /// Counts a row that cannot be read and what became of it.
    pub(crate) fn broken(&mut self, row: &BrokenRow, fate: &Fate) {
        self.examined += 1;
        match fate {
            Fate::Done => {
                self.quarantined += 1;
                self.changed += 1;
                self.errors.push(format!("{}: set aside: {}", row.id, row.reason));
            }
            Fate::Lost(why) | Fate::Failed(why) => {
                self.failed += 1;
                self.errors.push(format!("{}: not set aside ({why}): {}", row.id, row.reason));
            }
        }
    }

    /// The report.
    pub(crate) fn report(self, heading: &Heading<'_>) -> RunReport {
        let message = self.message(heading);
        let mut errors = self.errors;
        errors.extend(heading.failure.map(ToString::to_string));
        RunReport {
            success: heading.failure.is_none(),
            kind: heading.kind,
            result: RunResult {
                recovered_jobs: self.recovered,
                failed_recoveries: self.failed,
                skipped_jobs: self.skipped,
                errors,
                quarantined_jobs: self.quarantined,
                run_id: heading.run.clone(),
                trigger: heading.trigger,
                dry_run: heading.dry_run,
                duration_ms: u64::try_from(heading.took.as_millis()).unwrap_or(u64::MAX),
                policy_hash: Some(heading.policy),
                more: heading.more,
                decisions: self.decisions,
            },
            message,
        }
    }

    fn message(&self, heading: &Heading<'_>) -> String {
        let mut counts =
            format!("{} recovered, {} failed, {} skipped", self.recovered, self.failed, self.skipped);
        if self.quarantined > 0 {
            counts.push_str(&format!(", {} quarantined", self.quarantined));
        }
        match heading.failure {
            Some(failure) if self.examined > 0 => {
                format!("Job recovery broke off: {failure}; until then {counts}")
            }
            Some(failure) => format!("Job recovery could not run: {failure}"),
            None if heading.dry_run => format!("Job recovery dry run, nothing changed: would be {counts}"),
            None => format!("Job recovery completed: {counts}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(tally: &Tally, dry_run: bool, failure: Option<&StoreError>) -> String {
        tally.message(&Heading {
            run: &"01J".parse().unwrap(),
            kind: RecoveryType::Stuck,
            trigger: Trigger::Manual,
            dry_run,
            took: Duration::ZERO,
            policy: "a1b2c3d4e5f6".parse().unwrap(),
            more: false,
            failure,
        })
    }

    #[test]
    fn the_message_is_the_documented_one() {
        let tally = || Tally { recovered: 5, skipped: 2, examined: 7, ..Tally::default() };
        assert_eq!(
            message(&tally(), false, None),
            "Job recovery completed: 5 recovered, 0 failed, 2 skipped"
        );
        assert_eq!(
            message(&Tally { quarantined: 3, ..tally() }, false, None),
            "Job recovery completed: 5 recovered, 0 failed, 2 skipped, 3 quarantined"
        );
        assert_eq!(
            message(&tally(), true, None),
            "Job recovery dry run, nothing changed: would be 5 recovered, 0 failed, 2 skipped"
        );
    }

    #[test]
    fn a_failure_says_what_was_done_before_it() {
        let closing = StoreError::Closing;
        assert_eq!(
            message(&Tally::default(), false, Some(&closing)),
            "Job recovery could not run: the store is shutting down"
        );
        assert_eq!(
            message(&Tally { recovered: 1, examined: 1, ..Tally::default() }, false, Some(&closing)),
            "Job recovery broke off: the store is shutting down; until then 1 recovered, 0 failed, 0 skipped"
        );
    }
}
