//! Jobs: asked for, handed out, offered, refused.

use std::time::Duration;

use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::ports::StoreError;
use reclaimer_domain::wire::JobOnTheWire;
use reclaimer_provisioning::Want;
use serde_json::Value;

use super::Core;
use crate::message::{BadRequest, JobRequest, JobsError, Outbound};
use crate::offers::Ticket;
use crate::session::effect::{Effect, Next};

/// So many requests of one connection may wait for jobs.
const MOST_WAITING: usize = 32;
/// When to ask again where more do.
const AGAIN: Duration = Duration::from_secs(1);
/// On a worker that does not say how many jobs it can run, no more are started than it then holds so many.
const UNSAID: usize = 10;

impl Core {
    pub(super) fn job_request(&mut self, request: JobRequest) -> Effect {
        match self.want(request, self.held.len()) {
            Ok(Next { request_id, want }) => self.claim(request_id, want),
            Err(answer) => Effect::Send(*answer),
        }
    }

    /// What the worker may be given next with the receipt of a report; an answer where that is nothing. Places of jobs
    /// whose end is on its way are free by then.
    pub(super) fn next_jobs(
        &mut self,
        request: Result<JobRequest, BadRequest>,
    ) -> Result<Next, Box<Outbound>> {
        let held = self.held.values().filter(|held| !held.ends).count();
        let next = self.want(request.map_err(|bad| Box::new(bad.into()))?, held)?;
        self.asking_next = self.asking_next.saturating_add(next.want.limit);
        Ok(next)
    }

    /// What a request may get of a worker that holds so many jobs; an answer where that is nothing.
    fn want(&self, request: JobRequest, held: usize) -> Result<Next, Box<Outbound>> {
        let JobRequest { request_id, limit, queue, commands, wait, worker } = request;
        if let (Some(wanted), Some(own)) = (&queue, &self.settings.queue)
            && wanted != own
        {
            let reason = format!("this link hands out jobs of queue `{own}` only");
            return Err(Box::new(BadRequest::Jobs { request_id, reason }.into()));
        }
        let mut limit = limit.unwrap_or(self.settings.jobs_at_once).min(self.settings.most_jobs);
        if let Some(capacity) = self.registration.as_ref().and_then(|registration| registration.capacity) {
            let taken = u32::try_from(held).unwrap_or(u32::MAX);
            let taken = taken.saturating_add(self.asking).saturating_add(self.asking_next);
            limit = limit.min(capacity.saturating_sub(taken));
        }
        if self.paused || self.leaving || limit == 0 {
            return Err(Box::new(Outbound::Jobs(Vec::new())));
        }
        let queue = queue.or_else(|| self.settings.queue.clone());
        let worker = worker.filter(|name| self.may_be_called(name)).unwrap_or_else(|| self.worker.clone());
        Ok(Next { request_id, want: Want { worker, queue, commands, limit, wait } })
    }

    /// Leases jobs, if not too many requests wait already.
    fn claim(&mut self, request_id: Option<Value>, want: Want) -> Effect {
        if self.unanswered >= MOST_WAITING {
            return Effect::Send(Outbound::JobsError(JobsError {
                request_id,
                message: format!("{MOST_WAITING} requests of this connection wait for jobs already"),
                error_type: "too_many_waiting",
                retryable: true,
                retry_after: AGAIN,
            }));
        }
        self.asking = self.asking.saturating_add(want.limit);
        self.unanswered += 1;
        Effect::Claim { request_id, want }
    }

    /// The jobs that were wanted with a report, which has its receipt. Meanwhile the worker may have been told to take no
    /// more.
    pub(super) fn got_next(
        &mut self,
        next: Next,
        outcome: Result<Vec<JobOnTheWire>, JobsError>,
    ) -> Vec<Effect> {
        let Next { request_id, want } = next;
        self.asking_next = self.asking_next.saturating_sub(want.limit);
        let refused = self.paused || self.leaving;
        match outcome {
            Ok(jobs) if refused && !jobs.is_empty() => {
                let lease = |job: &JobOnTheWire| job.lease.as_ref()?.token.parse().ok();
                let leases = jobs.iter().filter_map(lease).collect();
                let reason = "its worker takes no more jobs".to_owned();
                vec![Effect::Release { leases, reason }, Effect::Send(Outbound::Jobs(Vec::new()))]
            }
            Ok(jobs) if !jobs.is_empty() || refused || want.wait.is_zero() => {
                self.hold(&jobs);
                vec![Effect::Send(Outbound::Jobs(jobs))]
            }
            Ok(_) => vec![self.claim(request_id, want)],
            Err(error) => vec![Effect::Send(Outbound::JobsError(error))],
        }
    }

    pub(super) fn claimed(
        &mut self,
        request_id: Option<Value>,
        limit: u32,
        outcome: Result<Vec<JobOnTheWire>, StoreError>,
    ) -> Vec<Effect> {
        self.asking = self.asking.saturating_sub(limit);
        self.unanswered = self.unanswered.saturating_sub(1);
        vec![Effect::Send(match outcome {
            Ok(jobs) => {
                self.hold(&jobs);
                Outbound::Jobs(jobs)
            }
            Err(error) => Outbound::JobsError(JobsError::of(request_id, &error)),
        })]
    }

    /// The job of an offer was leased. Meanwhile the worker may have been told to take no more.
    pub(super) fn took(&mut self, job: Box<JobOnTheWire>, ticket: Ticket) -> Vec<Effect> {
        self.taking = self.taking.saturating_sub(1);
        let Some(lease) = job.lease.as_ref().and_then(|lease| lease.token.parse::<LeaseToken>().ok()) else {
            return Vec::new();
        };
        let mut effects = vec![Effect::Started { lease: lease.clone(), ticket }];
        if self.paused || self.leaving {
            let reason = "its worker takes no more jobs".to_owned();
            effects.push(Effect::Release { leases: vec![lease], reason });
        } else {
            self.hold(std::slice::from_ref(&*job));
            effects.push(Effect::Send(Outbound::StartJob(job)));
        }
        effects
    }

    /// How often jobs were asked for.
    pub(crate) fn requests(&self) -> u64 {
        self.requests
    }

    /// Whether the worker holds jobs, or waits for some.
    pub(crate) fn is_active(&self) -> bool {
        !self.held.is_empty() || self.unanswered > 0
    }

    /// How many more jobs can be started on the worker.
    pub(crate) fn room(&self) -> usize {
        if self.paused || self.leaving {
            return 0;
        }
        let capacity = self.registration.as_ref().and_then(|registration| registration.capacity);
        let capacity = capacity.map_or(UNSAID, |capacity| usize::try_from(capacity).unwrap_or(usize::MAX));
        capacity.saturating_sub(self.held.len() + self.taking)
    }

    /// The connection is about to end: nothing is started over it any more.
    pub(crate) fn ends(&mut self) {
        self.leaving = true;
    }

    /// Forgets the requests for jobs that wait; answers how many they are.
    pub(super) fn stop_claiming(&mut self) -> usize {
        self.asking = 0;
        std::mem::take(&mut self.unanswered)
    }

    /// Has the worker take no more jobs, not even those that it asked for before.
    pub(super) fn pause(&mut self, told: Outbound) -> Vec<Effect> {
        self.paused = true;
        let unanswered = self.stop_claiming();
        let mut effects = vec![Effect::StopClaiming, Effect::Send(told)];
        effects.extend((0..unanswered).map(|_| Effect::Send(Outbound::Jobs(Vec::new()))));
        effects
    }
}

impl From<BadRequest> for Outbound {
    fn from(bad: BadRequest) -> Self {
        match bad {
            BadRequest::Jobs { request_id, reason } => Self::JobsError(JobsError {
                request_id,
                message: reason,
                error_type: "invalid_request",
                retryable: false,
                retry_after: Duration::ZERO,
            }),
            BadRequest::Credentials { subject, reason } => Self::NoCredentials { subject, reason },
        }
    }
}

impl JobsError {
    /// Why the store handed out none.
    pub(crate) fn of(request_id: Option<Value>, error: &StoreError) -> Self {
        Self {
            request_id,
            message: error.to_string(),
            error_type: error.code(),
            retryable: error.is_transient(),
            retry_after: error.retry_after(),
        }
    }
}
