//! What follows from an effect that was carried out.

use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{LeaseToken, Status};
use reclaimer_domain::ports::{Renewed, ReportAnswer, StoreError, Taken};
use reclaimer_domain::wire::JobOnTheWire;

use super::Core;
use crate::message::{Fresh, JobsError, Outbound, RefreshRequest};
use crate::session::effect::{Done, Effect, Subject};

impl Core {
    /// An effect was carried out.
    pub(crate) fn done(&mut self, done: Done) -> Vec<Effect> {
        match done {
            Done::Claimed { limit, outcome: Ok(jobs), .. } => {
                self.answered(limit);
                self.hold(&jobs);
                vec![Effect::Send(Outbound::Jobs(jobs))]
            }
            Done::Claimed { request_id, limit, outcome: Err(error) } => {
                self.answered(limit);
                vec![Effect::Send(Outbound::JobsError(jobs_error(request_id, &error)))]
            }
            Done::Took(Ok(Some(job))) => {
                self.hold(std::slice::from_ref(&*job));
                vec![Effect::Send(Outbound::StartJob(job))]
            }
            Done::Took(Ok(None) | Err(_)) | Done::Nothing => Vec::new(),
            Done::Refused { subject, code, message } => self.receipt(subject, Err((code, message))),
            Done::Reported { subject, held, outcome } => self.reported(subject, held, outcome),
            Done::Refreshed { request, outcome } => self.refreshed(request, outcome),
            Done::Kept(Ok(renewed)) => self.kept(renewed),
            // The store is away: the leases get a grace for that when it is back.
            Done::Kept(Err(_)) => Vec::new(),
            Done::Reattached { asked, outcome: Ok(renewed) } => self.reattached(asked, &renewed),
            Done::Reattached { asked, outcome: Err(_) } => {
                self.unsettled.push(Effect::Reattach(asked));
                Vec::new()
            }
            Done::Adopted { outcome: Ok(held), .. } => {
                for (job, token) in held {
                    self.take_hold(token, job);
                }
                Vec::new()
            }
            Done::Adopted { worker, outcome: Err(_) } => {
                self.unsettled.push(Effect::Adopt(worker));
                Vec::new()
            }
            Done::TookOver { outcome: Ok(Renewed { renewed, .. }), .. } => {
                for (job, lease) in renewed {
                    self.take_hold(lease.token, job);
                }
                Vec::new()
            }
            Done::TookOver { asked, outcome: Err(_) } => {
                self.unsettled.push(Effect::TakeOver(asked));
                Vec::new()
            }
            Done::Forgot { before } => {
                let leases: Vec<LeaseToken> = self.held_before(before).cloned().collect();
                self.forget(&leases);
                if leases.is_empty() { Vec::new() } else { vec![Effect::Abandon(leases)] }
            }
            Done::Left { reason } => {
                let leases: Vec<LeaseToken> = self.held.keys().cloned().collect();
                self.forget(&leases);
                if leases.is_empty() { Vec::new() } else { vec![Effect::Release { leases, reason }] }
            }
        }
    }

    /// A request for so many jobs is answered.
    fn answered(&mut self, limit: u32) {
        self.asking = self.asking.saturating_sub(limit);
        self.unanswered = self.unanswered.saturating_sub(1);
    }

    fn hold(&mut self, jobs: &[JobOnTheWire]) {
        for job in jobs {
            if let Some(token) = job.lease.as_ref().and_then(|lease| lease.token.parse().ok()) {
                self.take_hold(token, job.id.clone());
            }
        }
    }

    fn reported(
        &mut self,
        subject: Subject,
        held: Option<LeaseToken>,
        outcome: Result<ReportAnswer, StoreError>,
    ) -> Vec<Effect> {
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
        if let Some(token) = held.filter(|_| over) {
            self.let_go(&token);
        }
        self.receipt(subject, receipt)
    }

    fn refreshed(&mut self, request: RefreshRequest, outcome: Result<Fresh, String>) -> Vec<Effect> {
        let answers = self.refreshes.answer(request, outcome);
        answers.into_iter().map(|answer| Effect::Send(Outbound::Refreshed(answer))).collect()
    }

    fn kept(&mut self, renewed: Renewed) -> Vec<Effect> {
        let mut effects = Vec::new();
        for (job, token) in renewed.cancelled {
            effects.extend(self.taken(job, token, Taken::Cancelled));
        }
        for token in renewed.lost {
            if let Some(job) = self.held.get(&token).map(|held| held.job.clone()) {
                effects.extend(self.taken(job, token, Taken::Reclaimed));
            }
        }
        effects
    }

    fn reattached(&mut self, asked: Vec<LeaseToken>, renewed: &Renewed) -> Vec<Effect> {
        let mut effects = Vec::new();
        for lease in asked {
            let found = renewed.renewed.iter().find(|(_, held)| held.token == lease);
            effects.push(Effect::Send(match found {
                Some((job, held)) => {
                    self.take_hold(lease.clone(), job.clone());
                    Outbound::Reattached { job: job.clone(), lease, expires_at: held.expires_at }
                }
                None => Outbound::NotReattached { lease },
            }));
        }
        effects
    }

    /// A lease was taken from this worker.
    pub(super) fn taken(&mut self, job: JobId, lease: LeaseToken, why: Taken) -> Vec<Effect> {
        if self.let_go(&lease).is_none() {
            return Vec::new();
        }
        let (feature, message) = match why {
            Taken::Cancelled => {
                let reason = "the job was cancelled".to_owned();
                ("cancel", Outbound::CancelJob { job, lease, reason })
            }
            Taken::Reclaimed => {
                let reason = "the job was taken back by recovery".to_owned();
                ("lease", Outbound::LeaseLost { job: Some(job), lease, reason })
            }
        };
        if self.has_feature(feature) { vec![Effect::Send(message)] } else { Vec::new() }
    }
}

fn jobs_error(request_id: Option<String>, error: &StoreError) -> JobsError {
    JobsError {
        request_id,
        message: error.to_string(),
        error_type: error.code(),
        retryable: error.is_transient(),
        retry_after: error.retry_after(),
    }
}
