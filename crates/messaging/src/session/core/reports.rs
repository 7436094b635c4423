//! Reports and their receipts.

use reclaimer_domain::job::report::{Holder, Outcome};
use reclaimer_domain::job::{LeaseToken, Status};
use reclaimer_domain::ports::{ReportAnswer, StoreError};
use reclaimer_domain::wire::{read_report, salvage_report};
use serde_json::Value;

use super::Core;
use crate::message::{BadRequest, JobRequest, Outbound, Receipt};
use crate::session::effect::{Done, Effect, Subject};

impl Core {
    pub(super) fn report(
        &mut self,
        mut report: Value,
        next: Option<Result<JobRequest, BadRequest>>,
    ) -> Vec<Effect> {
        // For whoever does not know the word it is a field like any other.
        let next = next.filter(|_| self.has_feature("next"));
        let text = |report: &Value, key: &str| report.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        let task = text(&report, "taskId").or_else(|| text(&report, "jobId"));
        let lease = match report.get("lease") {
            Some(Value::Object(lease)) => lease.get("token").and_then(Value::as_str).map(ToOwned::to_owned),
            Some(Value::String(lease)) if !lease.is_empty() => Some(lease.clone()),
            _ => None,
        };
        let subject = Subject { task, lease };
        if let Some(fields) = report.as_object_mut() {
            // Who speaks is known by the connection; a name in the report would prove nothing.
            fields.remove("workerId");
            if next.is_some() {
                fields.remove("next");
            }
            if subject.lease.is_none() {
                // It names none, but this connection knows by which it holds the job.
                let held = self.held().find(|(_, job)| subject.task.as_deref() == Some(job.as_str()));
                if let Some((token, _)) = held {
                    fields.insert("lease".to_owned(), token.expose().into());
                }
            }
        }
        // Who gets no receipts cannot mend a report: of its reports counts what can be read.
        let read = match self.has_feature("ack") {
            true => read_report(report, Some(&self.origin)).map(|report| (report, Vec::new())),
            false => salvage_report(report, Some(&self.origin)),
        };
        match read {
            Ok((mut report, left_out)) => {
                report.sender = Some(self.worker.clone());
                if let Holder::Lease(token) = &report.holder
                    && report.outcome != Outcome::Progress
                {
                    self.ends_now(token, true);
                }
                let (next, answer) = match next.map(|request| self.next_jobs(request)) {
                    None => (None, None),
                    Some(Ok(next)) => (Some(next), None),
                    Some(Err(answer)) => (None, Some(answer)),
                };
                let report = Effect::Report { report: Box::new(report), subject, left_out, next };
                [report].into_iter().chain(answer.map(|answer| in_turn(*answer))).collect()
            }
            Err(error) => {
                self.counters.unreadable += 1;
                let (code, message) = (error.code().to_owned(), error.to_string());
                let refused = Effect::InTurn(Box::new(Done::Refused { subject, code, message }));
                // Its job is still the worker's, who has no room for another.
                let nothing = next.map(|_| in_turn(Outbound::Jobs(Vec::new())));
                [refused].into_iter().chain(nothing).collect()
            }
        }
    }

    pub(super) fn reported(
        &mut self,
        subject: Subject,
        held: Option<LeaseToken>,
        outcome: Result<ReportAnswer, StoreError>,
    ) -> Vec<Effect> {
        if let (Some(token), Ok(ReportAnswer::Applied { .. })) = (&held, &outcome) {
            self.heard_of(token);
        }
        let (over, receipt) = match outcome {
            Ok(ReportAnswer::Applied { status, .. } | ReportAnswer::Duplicate { status }) => {
                (status != Status::Running, Ok(()))
            }
            Ok(ReportAnswer::Stale { status }) => {
                let reason = format!("the job is somebody else's matter now; it is {status}");
                (true, Err(("stale_lease".to_owned(), reason)))
            }
            Ok(ReportAnswer::Refused(refused)) => {
                (false, Err((refused.code().to_owned(), refused.to_string())))
            }
            Err(error) => (false, Err((error.code().to_owned(), error.to_string()))),
        };
        if let Some(token) = held {
            self.ends_now(&token, false);
            if over {
                self.let_go(&token);
            }
        }
        self.receipt(subject, receipt)
    }

    /// A receipt, for a worker that asked for them.
    pub(super) fn receipt(&self, subject: Subject, outcome: Result<(), (String, String)>) -> Vec<Effect> {
        let Subject { task, lease } = subject;
        if !self.has_feature("ack") {
            return Vec::new();
        }
        vec![Effect::Send(Outbound::Receipt(Receipt { task, lease, outcome }))]
    }
}

/// Said behind the receipts of what was reported before.
fn in_turn(message: Outbound) -> Effect {
    Effect::InTurn(Box::new(Done::Answered(message)))
}
