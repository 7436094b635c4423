//! What history says about reports that come too late.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::record::Job;
use super::report::{Holder, Report};
use super::status::Status;
use crate::history::{Actor, EventKind, HistoryEntry, JobEvent};
use crate::time::{between, spoken};

impl Job {
    /// What history says about a report by somebody who does not hold the job: who reported what, and how late.
    /// `None` when the same holder's same report is on record already.
    #[must_use]
    pub fn stale_report(
        &self,
        report: &Report,
        history: &[JobEvent],
        now: DateTime<Utc>,
    ) -> Option<HistoryEntry> {
        let print = match &report.holder {
            Holder::Lease(token) => Some(token.fingerprint()),
            Holder::Worker(_) => None,
        };
        let of_lease = |event: &&JobEvent| {
            let named = event.entry.detail.as_ref().and_then(|detail| detail.get("lease"));
            print.is_some() && named.and_then(Value::as_str) == print.as_deref()
        };
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
        let detail = json!({ "reported": reported, "lease": print, "sender": sender });
        if history.iter().any(|event| {
            event.entry.kind == EventKind::StaleReport && event.entry.detail.as_ref() == Some(&detail)
        }) {
            return None;
        }
        let who = sender.as_ref().map_or("a worker".to_owned(), |worker| format!("worker {worker}"));
        let late = match lost {
            Some(event) => {
                format!("{} {}", spoken(between(event.entry.at, now)), after_its_end(event.entry.kind))
            }
            None => "without holding the job".to_owned(),
        };
        let actor = sender.map_or(Actor::System, Actor::Worker);
        let mut entry = self.entry(EventKind::StaleReport, Some(self.status), actor, now);
        entry.reason = Some(format!("{who} reported {reported} {late}; nothing was changed"));
        entry.detail = Some(detail);
        Some(entry)
    }
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
        | EventKind::Evidence => "after its lease was lost",
    }
}
