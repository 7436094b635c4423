//! Reports that come too late: what history says of them, and the results among them, which are kept and may be
//! accepted.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::lifecycle::json_size;
use super::record::{Job, Progress};
use super::report::{Holder, Outcome, Report};
use super::status::{IllegalTransition, Status, StatusEvent};
use crate::area::Area;
use crate::history::{Actor, EventKind, HistoryEntry, JobEvent};
use crate::name::WorkerId;
use crate::time::{between, spoken};

/// At most so many late results of one job are kept: the first.
pub const MAX_LATE_RESULTS: u32 = 5;

/// The most bytes of JSON that a late result may take to be kept.
pub const MAX_LATE_RESULT: usize = 256 * 1_024;

/// A result that came after its sender had lost the job, kept so that a person may accept it.
#[derive(Debug, Clone, PartialEq)]
pub struct LateResult {
    /// Its number among the late results of its job, from 1.
    pub number: u32,
    /// When it came.
    pub at: DateTime<Utc>,
    /// Who sent it.
    pub worker: WorkerId,
    /// Under which lease, as the history names leases.
    pub lease: String,
    /// What it is, in one sentence: `finished late by worker W, 40 s after its lease was lost`.
    pub summary: String,
    /// What was reported.
    pub report: LateReport,
    /// When a person accepted it, if one did.
    pub accepted_at: Option<DateTime<Utc>>,
}

/// What a late result says.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LateReport {
    /// What became of the job: completed or failed.
    pub outcome: Outcome,
    /// What is merged into `progress`.
    pub said: Progress,
    /// The worker's cursor, if it sent one.
    pub resume_state: Option<Value>,
    /// What it found.
    pub areas: Vec<Area>,
}

impl LateReport {
    /// What is kept of a report, if it ends a job and is not too long.
    fn of(report: &Report) -> Option<Self> {
        let kept = Self {
            outcome: report.outcome.clone(),
            said: report.said.clone(),
            resume_state: report.resume_state.clone(),
            areas: report.areas.clone(),
        };
        let ends = matches!(kept.outcome, Outcome::Completed | Outcome::Failed(_));
        let size = serde_json::to_value(&kept).map_or(usize::MAX, |value| json_size(&value));
        (ends && size <= MAX_LATE_RESULT).then_some(kept)
    }
}

/// What a report by somebody who does not hold the job leaves behind.
#[derive(Debug, Clone, PartialEq)]
pub struct Stale {
    /// What history says of it.
    pub entry: HistoryEntry,
    /// The result, where it is one that may be accepted.
    pub late: Option<LateResult>,
}

impl Job {
    /// What becomes of a report by somebody who does not hold the job: who reported what, and how late. `kept` is the
    /// number of late results that are kept of the job already. `None` when the same holder's same report is on record.
    #[must_use]
    pub fn stale_report(
        &self,
        report: &Report,
        history: &[JobEvent],
        kept: u32,
        now: DateTime<Utc>,
    ) -> Option<Stale> {
        let print = match &report.holder {
            Holder::Lease(token) => Some(token.fingerprint()),
            // The lease that this worker had last.
            Holder::Worker(worker) => history.iter().rev().find_map(|event| {
                let its = event.entry.kind == EventKind::Claimed
                    && event.entry.actor == Actor::Worker(worker.clone());
                lease_of(event).filter(|_| its).map(ToOwned::to_owned)
            }),
        };
        let of_lease = |event: &&JobEvent| print.is_some() && lease_of(event) == print.as_deref();
        let claimed = history.iter().filter(of_lease).find(|event| event.entry.kind == EventKind::Claimed);
        let lost = history.iter().filter(of_lease).find(|event| {
            event.entry.from == Some(Status::Running) && event.entry.to != Some(Status::Running)
        });
        let sender = match (claimed.map(|event| &event.entry.actor), &report.sender, &report.holder) {
            (Some(Actor::Worker(worker)), _, _)
            | (_, _, Holder::Worker(worker))
            | (_, Some(worker), Holder::Lease(_)) => Some(worker.clone()),
            _ => None,
        };
        let reported = report.outcome.as_str();
        let mut detail = json!({ "reported": reported, "lease": print, "sender": sender });
        let said_before = |event: &JobEvent| {
            let said = event.entry.detail.as_ref();
            let same = |key: &str| said.and_then(|said| said.get(key)) == detail.get(key);
            event.entry.kind == EventKind::StaleReport
                && ["reported", "lease", "sender"].into_iter().all(same)
        };
        if history.iter().any(said_before) {
            return None;
        }
        let late_by = lost.map(|event| {
            format!("{} {}", spoken(between(event.entry.at, now)), after_its_end(event.entry.kind))
        });
        let late = match (&sender, &print, &late_by, lost) {
            (Some(worker), Some(lease), Some(late_by), Some(lost))
                if kept < MAX_LATE_RESULTS && may_be_accepted_after(lost.entry.kind) =>
            {
                LateReport::of(report).map(|report| LateResult {
                    number: kept + 1,
                    at: now,
                    worker: worker.clone(),
                    lease: lease.clone(),
                    summary: summary(&report.outcome, worker, late_by),
                    report,
                    accepted_at: None,
                })
            }
            _ => None,
        };
        let who = sender.as_ref().map_or("a worker".to_owned(), |worker| format!("worker {worker}"));
        let when = late_by.unwrap_or_else(|| "without holding the job".to_owned());
        let kept =
            late.as_ref().map_or(String::new(), |late| format!("; kept as late result {}", late.number));
        if let Some(late) = &late {
            detail["lateResult"] = late.number.into();
        }
        let actor = sender.map_or(Actor::System, Actor::Worker);
        let mut entry = self.entry(EventKind::StaleReport, Some(self.status), actor, now);
        entry.reason = Some(format!("{who} reported {reported} {when}; nothing was changed{kept}"));
        entry.detail = Some(detail);
        Some(Stale { entry, late })
    }

    /// Makes a late result count: the job ends as its report says.
    ///
    /// # Errors
    /// When the job is neither queued nor quarantined.
    pub fn accept_late(
        &mut self,
        late: &LateResult,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> Result<Vec<HistoryEntry>, IllegalTransition> {
        let from = self.status;
        let failure = match &late.report.outcome {
            Outcome::Failed(failure) => Some(failure),
            Outcome::Completed | Outcome::Progress | Outcome::Paused => None,
        };
        self.status = from.after(match failure {
            Some(_) => StatusEvent::AcceptFail,
            None => StatusEvent::AcceptFinish,
        })?;
        self.merge_progress(&late.report.said);
        if late.report.resume_state.is_some() {
            self.resume_state.clone_from(&late.report.resume_state);
        }
        self.progress.remove("pendingStart");
        self.lease_losses = 0;
        self.recover_after = None;
        self.updated_at = now;
        self.finished_at = Some(now);
        let mut entry = self.entry(EventKind::LateAccepted, Some(from), actor.clone(), now);
        entry.reason = Some(format!("a late result was accepted: {}", late.summary));
        entry.detail = Some(json!({ "lateResult": late.number, "lease": late.lease, "worker": late.worker }));
        let mut entries = vec![entry];
        match failure {
            None => self.forget_failure(),
            Some(failure) => {
                self.write_failure(failure, late.at);
                if self.attempt >= self.max_attempts {
                    entries.push(self.use_up_attempts(actor, now)?);
                }
            }
        }
        Ok(entries)
    }
}

fn lease_of(event: &JobEvent) -> Option<&str> {
    event.entry.detail.as_ref().and_then(|detail| detail.get("lease")).and_then(Value::as_str)
}

fn summary(outcome: &Outcome, worker: &WorkerId, late_by: &str) -> String {
    let how = match outcome {
        Outcome::Completed | Outcome::Progress | Outcome::Paused => "finished",
        Outcome::Failed(_) => "failed",
    };
    format!("{how} late by worker {worker}, {late_by}")
}

/// Whether a result of a lease that ended like this can stand in for another run: not where its own holder had said
/// already how the job ended, nor where the job was given up.
fn may_be_accepted_after(end: EventKind) -> bool {
    matches!(end, EventKind::Reclaimed | EventKind::Quarantined | EventKind::Released)
}

/// How an event that ended a lease is told beside a report that came later.
fn after_its_end(kind: EventKind) -> &'static str {
    match kind {
        EventKind::Finished => "after it had reported completed",
        EventKind::Failed => "after it had reported failed",
        EventKind::Paused => "after it had reported paused",
        EventKind::Released => "after it had given the job back",
        EventKind::Cancelled => "after the job was cancelled",
        EventKind::Reclaimed
        | EventKind::Quarantined
        | EventKind::SetAside
        // None of these ends a lease.
        | EventKind::Created
        | EventKind::Claimed
        | EventKind::Resumed
        | EventKind::Recovered
        | EventKind::NotRecovered
        | EventKind::Retried
        | EventKind::Unquarantined
        | EventKind::StaleReport
        | EventKind::Evidence
        | EventKind::LateAccepted
        | EventKind::Undone => "after its lease was lost",
    }
}
