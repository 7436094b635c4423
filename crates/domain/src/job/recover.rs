//! What a decision of the recovery policy does to a job.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::record::Job;
use super::status::{IllegalTransition, Status, StatusEvent};
use crate::decision::{Action, Decision, StuckSign};
use crate::history::{Actor, EventKind, HistoryEntry};
use crate::id::RunId;
use crate::saw::Saw;
use crate::time::rfc3339;

impl Job {
    /// Applies a decision of the recovery policy.
    ///
    /// # Errors
    /// When the job has moved on so that the decision no longer fits.
    pub fn recover(
        &mut self,
        decision: &Decision,
        run: &RunId,
        now: DateTime<Utc>,
    ) -> Result<HistoryEntry, IllegalTransition> {
        let from = self.status;
        let mut detail = json!({ "policy": decision.policy, "saw": Saw::of(self, decision) });
        let kind = match &decision.action {
            Action::Requeue { run_at, priority, queue } => {
                let event = if from == Status::Running { StatusEvent::Reclaim } else { StatusEvent::Recover };
                self.status = from.after(event)?;
                self.run_at = *run_at;
                if let Some(priority) = priority.filter(|priority| *priority != self.priority) {
                    detail["fromPriority"] = self.priority.get().into();
                    detail["toPriority"] = priority.get().into();
                    self.priority = priority;
                }
                if let Some(queue) = queue.as_ref().filter(|queue| **queue != self.queue) {
                    detail["fromQueue"] = self.queue.as_str().into();
                    detail["toQueue"] = queue.as_str().into();
                    self.queue.clone_from(queue);
                }
                self.recover_after = None;
                if from == Status::Running { EventKind::Reclaimed } else { EventKind::Recovered }
            }
            Action::Quarantine => {
                self.status = from.after(StatusEvent::Quarantine)?;
                EventKind::Quarantined
            }
            Action::Skip { until, .. } | Action::Leave { until } => {
                self.recover_after = Some(*until);
                EventKind::NotRecovered
            }
        };
        let mut entry = self.entry(kind, Some(from), Actor::Recovery(run.clone()), now);
        entry.rule.clone_from(&decision.rule);
        entry.reason = Some(decision.reason.clone());
        if kind != EventKind::NotRecovered {
            self.note_recovery(decision, from, &mut detail, now);
            self.updated_at = now;
            self.finished_at = if self.status == Status::Queued { None } else { Some(now) };
        }
        entry.detail = Some(detail);
        Ok(entry)
    }

    /// Takes the lease away, counts, and writes the recovery metadata of `progress`, and the evidence into `detail`.
    fn note_recovery(&mut self, decision: &Decision, from: Status, detail: &mut Value, now: DateTime<Utc>) {
        let lease = self.lease.take();
        let excused = lease.as_ref().is_some_and(|lease| lease.excused);
        let requeued = self.status == Status::Queued;
        if from == Status::Running {
            if excused {
                self.attempt = self.attempt.saturating_sub(1);
            } else {
                self.lease_losses = self.lease_losses.saturating_add(1);
            }
            let reason = match decision.sign {
                Some(StuckSign::LeaseExpired) => "lease_expired",
                Some(StuckSign::NoUpdate | StuckSign::Timeout) | None => "stuck_job_recovery",
            };
            self.progress.insert("resetReason".into(), reason.into());
            self.progress.insert("resetTimestamp".into(), rfc3339(now).into());
            self.progress.insert("previousStatus".into(), from.as_str().into());
        }
        if requeued {
            if !excused {
                self.recoveries = self.recoveries.saturating_add(1);
            }
            self.progress.insert("recoveryAttempt".into(), rfc3339(now).into());
            self.progress.insert("recoveryCount".into(), self.recoveries.into());
            if let Some(rule) = &decision.rule {
                self.progress.insert("recoveryRule".into(), rule.as_str().into());
            }
            if let Some(error) = self.progress.get("error").cloned() {
                self.progress.insert("previousError".into(), error);
            }
        } else {
            self.progress.insert("quarantineReason".into(), decision.reason.clone().into());
        }
        if let Some(lease) = lease {
            detail["lease"] = lease.token.fingerprint().into();
            detail["worker"] = lease.worker.as_str().into();
            detail["sign"] = decision.sign.map(StuckSign::as_str).into();
            detail["leaseLosses"] = self.lease_losses.into();
            detail["charged"] = (!excused).into();
        }
    }
}
