//! Carrying effects out.

use std::sync::Arc;
use std::time::Duration;

use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::job::report::{Holder, Report};
use reclaimer_domain::ports::{ReportAnswer, StoreError};
use reclaimer_domain::wire::JobOnTheWire;
use reclaimer_provisioning::{CredentialsError, Provisioning};
use tokio::time::Instant;
use tracing::warn;

use super::core::holds_none;
use super::effect::{Closed, Done, Effect, Next};
use super::run::{AREA, Context, Session};
use crate::frame::Limits;
use crate::message::{Fresh, JobsError, Outbound, RefreshRequest};
use crate::offers::Ticket;

/// Whoever asks for credentials is answered within this time; the flat dialect's crawlers wait 15 seconds.
const REFRESH_WITHIN: Duration = Duration::from_secs(12);

impl Session {
    /// Carries effects out; a reason to end where one of them is that.
    pub(super) fn carry_out(&mut self, effects: Vec<Effect>) -> Option<Closed> {
        for effect in effects {
            let context = Arc::clone(&self.context);
            match effect {
                Effect::Send(message) => self.send(&message),
                Effect::Claim { request_id, want } => self.claims.push(Box::pin(async move {
                    let limit = want.limit;
                    let outcome = context.provisioning.open(want, &context.shutdown).await;
                    Done::Claimed { request_id, limit, outcome }
                })),
                Effect::Take(ticket) => {
                    let worker = self.core.worker().clone();
                    self.others.push(Box::pin(async move {
                        match context.provisioning.take(ticket.job().clone(), worker).await {
                            Ok(Some(job)) => return Done::Took { job: Box::new(job), ticket },
                            // Somebody else has it, or it is no more to be started.
                            Ok(None) => ticket.settle(),
                            Err(error) => {
                                let job_id = ticket.job();
                                warn!(area = AREA, link = context.link, %job_id, %error, "a job could not be started yet");
                            }
                        }
                        Done::NotTaken
                    }));
                }
                Effect::Started { lease, ticket } => {
                    self.started.insert(lease, ticket);
                }
                // What they got is handed back.
                Effect::StopClaiming => self.claims.clear(),
                Effect::Report { report, subject, left_out, next } => {
                    if !left_out.is_empty() {
                        self.say_left_out(&report.job, &left_out);
                    }
                    let turns = Arc::clone(&self.turns);
                    self.reports.push_back(Box::pin(async move {
                        let held = match &report.holder {
                            Holder::Lease(token) => Some(token.clone()),
                            Holder::Worker(_) => None,
                        };
                        let (outcome, next) = match next {
                            Some(next) => {
                                let _turn = turns.write().await;
                                report_and_open(&context.provisioning, *report, next).await
                            }
                            None => {
                                let _turn = turns.read().await;
                                (context.provisioning.report(*report).await, None)
                            }
                        };
                        Done::Reported { subject, held, outcome, next }
                    }));
                }
                Effect::InTurn(done) => self.reports.push_back(Box::pin(async move { *done })),
                Effect::Refresh { request, among } => self.refreshes.push(Box::pin(async move {
                    let outcome = refresh(&context, &request, &among).await;
                    Done::Refreshed { request, outcome, at: Instant::now() }
                })),
                Effect::Keep(leases) => self
                    .others
                    .push(Box::pin(async move { Done::Kept(context.provisioning.keep(leases).await) })),
                Effect::Reattach(asked) => self.reports.push_back(Box::pin(async move {
                    let outcome = context.provisioning.keep(asked.clone()).await;
                    Done::Reattached { asked, outcome }
                })),
                Effect::TakeOver(asked) => self.reports.push_back(Box::pin(async move {
                    let outcome = context.provisioning.take_over(asked.clone()).await;
                    Done::TookOver { asked, outcome }
                })),
                Effect::Adopt(worker) => self.reports.push_back(Box::pin(async move {
                    let outcome = context.provisioning.held_by(&worker).await;
                    Done::Adopted { worker, outcome }
                })),
                Effect::Release { leases, reason } => self.release(leases, reason),
                Effect::Abandon(leases) => self.abandon(leases),
                Effect::Testify { job, detail } => {
                    let actor = Actor::Worker(self.core.worker().clone());
                    self.others.push(Box::pin(async move {
                        let reason = "its worker sent what it logged about the failure".to_owned();
                        if let Err(error) = context.provisioning.testify(job, actor, reason, detail).await {
                            warn!(area = AREA, link = context.link, %error, "evidence could not be kept");
                        }
                        Done::Nothing
                    }));
                }
                Effect::Decline { job, reason } => self.say_declined(&job, reason),
                Effect::Close(why) => return Some(why),
            }
        }
        None
    }

    /// Says something. What cannot be said is not lost: its jobs go back to wait.
    fn send(&mut self, message: &Outbound) {
        let leases = leases_of(message);
        let mut bytes = Vec::new();
        let said = self.context.dialect.write(message, self.context.clock.now(), &mut bytes);
        if let Outbound::Jobs(jobs) = message
            && bytes.len() > Limits::default().frame
            && jobs.len() > 1
        {
            // A worker need not take in larger frames than we do.
            let (first, rest) = jobs.split_at(jobs.len() / 2);
            self.send(&Outbound::Jobs(first.to_vec()));
            return self.send(&Outbound::Jobs(rest.to_vec()));
        }
        let refused = match said {
            true => self.outbox.put(bytes, leases).err(),
            false => Some(leases),
        };
        let Some(leases) = refused else { return };
        if said {
            self.say_outbox_full();
        }
        if !leases.is_empty() {
            self.core.forget(&leases);
            self.release(leases, "its worker takes nothing in".to_owned());
        }
    }

    /// Ends leases that the worker has forgotten.
    pub(super) fn abandon(&mut self, leases: Vec<LeaseToken>) {
        let context = Arc::clone(&self.context);
        let (link, worker_id, count) = (&context.link, self.core.worker(), leases.len());
        warn!(area = AREA, link, %worker_id, leases = count, "a worker asks for jobs and forgot those it had");
        self.others.push(Box::pin(async move {
            if let Err(error) = context.provisioning.hold(leases, Some(Duration::ZERO), false).await {
                warn!(area = AREA, link = context.link, %error, "forgotten leases end as they would have");
            }
            Done::Nothing
        }));
    }

    /// Gives leases back. Jobs among them that were to be started are offered again, once they are queued.
    pub(super) fn release(&mut self, leases: Vec<LeaseToken>, reason: String) {
        let context = Arc::clone(&self.context);
        let offers: Vec<Ticket> = leases.iter().filter_map(|lease| self.started.remove(lease)).collect();
        self.others.push(Box::pin(async move {
            let _offers = offers;
            if let Err(error) = context.provisioning.release(leases, Some(reason), Duration::ZERO).await {
                warn!(area = AREA, link = context.link, %error, "leases could not be given back; they end by themselves");
            }
            Done::Nothing
        }));
    }
}

/// What became of a report, and of the jobs that were wanted with it.
type Reported = (Result<ReportAnswer, StoreError>, Option<(Next, Result<Vec<JobOnTheWire>, JobsError>)>);

/// Applies a report, and leases the jobs that are wanted with it.
async fn report_and_open(provisioning: &Provisioning, report: Report, next: Next) -> Reported {
    let failed = |error: &StoreError| JobsError::of(next.request_id.clone(), error);
    let (outcome, jobs) = match provisioning.report_all(vec![report], Some(next.want.clone())).await {
        Ok(mut reported) => {
            // One report has one answer.
            let outcome = reported.answers.pop().unwrap_or(Err(StoreError::Closing));
            (outcome, reported.next.map_err(|error| failed(&error)))
        }
        Err(error) => {
            let jobs = Err(failed(&error));
            (Err(error), jobs)
        }
    };
    (outcome, Some((next, jobs)))
}

/// The leases that go out with a message.
fn leases_of(message: &Outbound) -> Vec<LeaseToken> {
    let lease = |job: &JobOnTheWire| job.lease.as_ref()?.token.parse().ok();
    match message {
        Outbound::Jobs(jobs) => jobs.iter().filter_map(lease).collect(),
        Outbound::StartJob(job) => lease(job).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Gets credentials, in time; with jobs, only where one of them is of the account.
async fn refresh(context: &Context, request: &RefreshRequest, among: &[JobId]) -> Result<Fresh, String> {
    let provisioning = &context.provisioning;
    let asking = async {
        match request {
            RefreshRequest::OfAccount { provider, account: Some(account), user, .. } => {
                if !among.is_empty() && !provisioning.is_of_account(among, account).await? {
                    return Ok(Err(holds_none(account)));
                }
                provisioning.credentials(provider, account, user.as_deref()).await.map(Ok)
            }
            RefreshRequest::OfAccount { account: None, .. } => {
                Ok(Err("the request names no account".to_owned()))
            }
            RefreshRequest::OfJob(job) => provisioning.credentials_of_job(job).await.map(Ok),
        }
    };
    let fresh = match tokio::time::timeout(REFRESH_WITHIN, asking).await {
        Ok(Ok(Ok(fresh))) => fresh,
        Ok(Ok(Err(reason))) => return Err(reason),
        Ok(Err::<_, CredentialsError>(error)) => {
            warn!(area = AREA, link = context.link, %error, "no credentials for a worker that asked");
            return Err(error.to_string());
        }
        Err(_) => return Err("the provider took too long; ask again".to_owned()),
    };
    Ok(Fresh {
        access_token: fresh.access_token,
        expires_at: fresh.expires_at,
        refresh_token: fresh.refresh_token.filter(|_| context.send_refresh_token),
        provider: fresh.provider,
    })
}
