//! What a cycle says in the log.

use reclaimer_domain::decision::Action;
use reclaimer_domain::id::RunId;
use reclaimer_domain::ports::{BrokenRow, Planned};
use reclaimer_domain::recovery::{RunReport, Trigger};
use tracing::{debug, info, warn};

use crate::apply::Fate;

/// The area of every line that belongs to no startup run.
pub(crate) const AREA: &str = "JOB-RECOVERY";

/// At most so many jobs of a cycle have a line of their own; the others are in its report and in their history.
const MOST_LINES: u32 = 20;

/// The log of one cycle.
#[derive(Debug)]
pub(crate) struct Journal {
    area: &'static str,
    run: RunId,
    lines: u32,
    unsaid: u32,
    dry_run: bool,
}

impl Journal {
    pub(crate) fn new(run: RunId, trigger: Trigger, dry_run: bool) -> Self {
        let area = match trigger {
            Trigger::Startup => "STARTUP-RECOVERY",
            Trigger::Periodic | Trigger::Manual | Trigger::LeaseWatch => AREA,
        };
        Self { area, run, lines: 0, unsaid: 0, dry_run }
    }

    /// One job, decided about and applied or not.
    pub(crate) fn step(&mut self, step: &Planned, fate: &Fate) {
        let said_only_in_detail = !step.decision.action.changes_status() || self.dry_run;
        if !said_only_in_detail && !self.has_room() {
            return;
        }
        let (area, run_id, job_id) = (self.area, &self.run, &step.job);
        let rule = step.decision.rule.as_ref().map(tracing::field::display);
        let reason = &step.decision.reason;
        if said_only_in_detail {
            let action = step.decision.action.as_str();
            debug!(area, %run_id, %job_id, rule, reason, action, dry_run = self.dry_run, "job looked at");
            return;
        }
        match (fate, &step.decision.action) {
            (Fate::Lost(why) | Fate::Failed(why), _) => {
                warn!(area, %run_id, %job_id, rule, reason = why, "job could not be recovered")
            }
            (Fate::Done, Action::Quarantine) => {
                info!(area, %run_id, %job_id, rule, reason, "job quarantined")
            }
            (Fate::Done, _) => info!(area, %run_id, %job_id, rule, reason, "job recovered"),
        }
    }

    /// One row that cannot be read.
    pub(crate) fn broken(&mut self, row: &BrokenRow, fate: &Fate) {
        if self.dry_run || !self.has_room() {
            return;
        }
        let (area, run_id, job_id, reason) = (self.area, &self.run, &row.id, &row.reason);
        match fate {
            Fate::Done => warn!(area, %run_id, job_id, reason, "row set aside"),
            Fate::Lost(why) | Fate::Failed(why) => {
                warn!(area, %run_id, job_id, reason, why, "row could not be set aside")
            }
        }
    }

    fn has_room(&mut self) -> bool {
        let room = self.lines < MOST_LINES;
        if room {
            self.lines += 1;
        } else {
            self.unsaid += 1;
        }
        room
    }

    /// The end of the cycle: one line where it did something.
    pub(crate) fn ended(&self, report: &RunReport, did_something: bool) {
        let (area, run_id, result) = (self.area, &self.run, &report.result);
        let (kind, trigger) = (report.kind.as_str(), result.trigger.as_str());
        let elapsed_ms = result.duration_ms;
        if self.unsaid > 0 {
            info!(area, %run_id, "and {} more jobs, see the report of this run", self.unsaid);
        }
        if !report.success {
            warn!(area, %run_id, kind, trigger, elapsed_ms, "{}", report.message);
        } else if did_something {
            info!(area, %run_id, kind, trigger, elapsed_ms, more = result.more, "{}", report.message);
        } else {
            debug!(area, %run_id, kind, trigger, elapsed_ms, "nothing to recover");
        }
    }
}
