//! The protocol of one connection, pure: what was heard and the time in, effects out.

mod done;

use std::collections::{HashMap, VecDeque};
use std::time::Duration;

use reclaimer_domain::id::JobId;
use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::name::{QueueName, WorkerId};
use reclaimer_domain::wire::read_report;
use reclaimer_provisioning::Want;
use serde_json::Value;
use tokio::time::Instant;

use super::effect::{Closed, Command, Effect, Subject};
use super::refreshes::{Ask, Refreshes};
use crate::frame::Fault;
use crate::message::{Heard, Inbound, JobRequest, Outbound, Receipt, Registration, Unreadable};

/// More bursts of rubbish than this within a minute end the session.
const MOST_BURSTS: usize = 100;
const BURSTS_WITHIN: Duration = Duration::from_secs(60);

/// A tick that comes later than this was held up by ourselves: it is no proof that the peer was silent.
const LATE: Duration = Duration::from_secs(5);

/// What a session goes by.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    /// Whether we register first and beat; the flat dialect has words for neither.
    pub(crate) speaks_first: bool,
    /// Whether the peer asks for jobs only when it works on none.
    pub(crate) asks_when_idle: bool,
    /// Between two of our heartbeats.
    pub(crate) heartbeat_interval: Duration,
    /// Nothing heard for so long ends the session.
    pub(crate) heartbeat_timeout: Duration,
    /// Nothing valid heard for so long after the beginning ends the session.
    pub(crate) first_frame_within: Duration,
    /// Leases are renewed as often as this while the worker lives.
    pub(crate) renew_every: Duration,
    /// Jobs of one answer, where the request does not say.
    pub(crate) jobs_at_once: u32,
    /// The most jobs of one answer.
    pub(crate) most_jobs: u32,
    /// Only jobs of this queue.
    pub(crate) queue: Option<QueueName>,
}

/// Who is at the other end, as the kernel tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Peer {
    /// Its name until it gives one: the link and its process, so that the same process is known again.
    pub(crate) worker: WorkerId,
    /// Whether that name tells a process, so that its jobs from before the connection are its own.
    pub(crate) is_process: bool,
}

/// How much of what was heard had no effect.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counters {
    pub(crate) messages: u64,
    pub(crate) foreign: u64,
    pub(crate) unknown: u64,
    pub(crate) unreadable: u64,
    pub(crate) rubbish: u64,
}

/// A job that the peer holds.
#[derive(Debug)]
struct Held {
    job: JobId,
    /// How often jobs had been asked for when it came.
    requests: u64,
}

/// The protocol of one connection.
#[derive(Debug)]
pub(crate) struct Core {
    settings: Settings,
    worker: WorkerId,
    /// What it said of itself; `None` while it speaks the older protocol.
    registration: Option<Registration>,
    paused: bool,
    leaving: bool,
    held: HashMap<LeaseToken, Held>,
    /// How often jobs were asked for.
    requests: u64,
    /// How many jobs were asked for and not yet answered, and by how many requests.
    asking: u32,
    unanswered: usize,
    /// What came to `held` and went from it since the last look.
    gained: Vec<LeaseToken>,
    lost: Vec<LeaseToken>,
    /// What could not be found out about leases from before the connection; tried again when the worker is heard next.
    unsettled: Vec<Effect>,
    refreshes: Refreshes,
    status: Option<Value>,
    counters: Counters,
    opened_at: Instant,
    heard_at: Instant,
    /// Whether anything valid was heard.
    proven: bool,
    beats_at: Instant,
    renewed_at: Instant,
    bursts: VecDeque<Instant>,
}

impl Core {
    /// A session that begins now, and what it says first.
    pub(crate) fn open(settings: Settings, peer: Peer, paused: bool, now: Instant) -> (Self, Vec<Effect>) {
        let mut effects = Vec::new();
        if settings.speaks_first {
            effects.push(Effect::Send(Outbound::Register));
        }
        if paused {
            effects.push(Effect::Send(Outbound::Pause));
        }
        if peer.is_process {
            effects.push(Effect::Adopt(peer.worker.clone()));
        }
        let core = Self {
            beats_at: now + settings.heartbeat_interval,
            settings,
            worker: peer.worker,
            registration: None,
            paused,
            leaving: false,
            held: HashMap::new(),
            requests: 0,
            asking: 0,
            unanswered: 0,
            gained: Vec::new(),
            lost: Vec::new(),
            unsettled: Vec::new(),
            refreshes: Refreshes::default(),
            status: None,
            counters: Counters::default(),
            opened_at: now,
            heard_at: now,
            proven: false,
            renewed_at: now,
            bursts: VecDeque::new(),
        };
        (core, effects)
    }

    pub(crate) fn worker(&self) -> &WorkerId {
        &self.worker
    }

    /// Whether anything valid was heard: only then is the connection known to be of use.
    pub(crate) fn is_proven(&self) -> bool {
        self.proven
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Which protocol the worker speaks.
    pub(crate) fn protocol(&self) -> u32 {
        if self.registration.is_some() { 2 } else { 1 }
    }

    pub(crate) fn held(&self) -> impl ExactSizeIterator<Item = (&LeaseToken, &JobId)> {
        self.held.iter().map(|(token, held)| (token, &held.job))
    }

    /// What came to the held leases and went from them since the last call.
    pub(crate) fn take_changes(&mut self) -> (Vec<LeaseToken>, Vec<LeaseToken>) {
        (std::mem::take(&mut self.gained), std::mem::take(&mut self.lost))
    }

    /// These leases did not reach the worker; they are given back.
    pub(crate) fn forget(&mut self, leases: &[LeaseToken]) {
        for token in leases {
            self.let_go(token);
        }
    }

    fn take_hold(&mut self, token: LeaseToken, job: JobId) {
        self.gained.push(token.clone());
        self.held.insert(token, Held { job, requests: self.requests });
    }

    fn let_go(&mut self, token: &LeaseToken) -> Option<JobId> {
        let job = self.held.remove(token)?.job;
        self.lost.push(token.clone());
        Some(job)
    }

    pub(crate) fn status(&self) -> Option<&Value> {
        self.status.as_ref()
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    pub(crate) fn heard_at(&self) -> Instant {
        self.heard_at
    }

    /// Bytes came, whatever they are.
    pub(crate) fn traffic(&mut self, now: Instant) {
        self.heard_at = now;
    }

    /// Bytes that are no frame came.
    pub(crate) fn rubbish(&mut self, fault: Fault, now: Instant) -> Vec<Effect> {
        self.counters.rubbish += 1;
        if fault == Fault::Endless {
            return vec![Effect::Close(Closed::Rubbish("a frame that does not end"))];
        }
        while self.bursts.front().is_some_and(|at| now.duration_since(*at) >= BURSTS_WITHIN) {
            self.bursts.pop_front();
        }
        self.bursts.push_back(now);
        if self.bursts.len() > MOST_BURSTS {
            return vec![Effect::Close(Closed::Rubbish("more than 100 bursts within a minute"))];
        }
        Vec::new()
    }

    /// A frame came, as the dialect reads it.
    pub(crate) fn heard(&mut self, heard: Result<Heard, Unreadable>, now: Instant) -> Vec<Effect> {
        self.heard_at = now;
        let message = match heard {
            Ok(Heard::Message(message)) => message,
            Ok(Heard::Foreign { .. }) => {
                self.counters.foreign += 1;
                return Vec::new();
            }
            Ok(Heard::Unknown { .. }) => {
                self.counters.unknown += 1;
                return Vec::new();
            }
            Err(unreadable) => {
                self.counters.unreadable += 1;
                return self
                    .receipt(Subject::default(), Err(("unreadable".to_owned(), unreadable.to_string())));
            }
        };
        self.counters.messages += 1;
        self.proven = true;
        let mut effects = std::mem::take(&mut self.unsettled);
        if now.duration_since(self.renewed_at) >= self.settings.renew_every && !self.held.is_empty() {
            self.renewed_at = now;
            effects.push(Effect::Keep(self.held.keys().cloned().collect()));
        }
        effects.extend(self.message(message));
        effects
    }

    fn message(&mut self, message: Inbound) -> Vec<Effect> {
        match message {
            Inbound::Heartbeat => Vec::new(),
            Inbound::Registered(registration) => self.registered(registration),
            Inbound::JobRequest(request) => {
                let mut effects = self.forgotten();
                effects.push(self.job_request(request));
                effects
            }
            Inbound::Report(report) => self.report(report),
            Inbound::Status(status) => {
                self.status = Some(status);
                Vec::new()
            }
            Inbound::FailureLogs { job, detail } => vec![Effect::Testify { job, detail }],
            Inbound::RefreshRequest(request) => match self.refreshes.ask(&request) {
                Ask::First => vec![Effect::Refresh(request)],
                Ask::Joined => Vec::new(),
                Ask::Again(answer) => vec![Effect::Send(Outbound::Refreshed(*answer))],
            },
            Inbound::Leaving { reason } => {
                self.leaving = true;
                self.stop_claiming();
                let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                let reason = format!("worker {} left in order{reason}", self.worker);
                vec![Effect::StopClaiming, Effect::Leave { reason }]
            }
        }
    }

    fn registered(&mut self, registration: Registration) -> Vec<Effect> {
        if let Some(worker) = &registration.worker {
            self.worker = worker.clone();
        }
        let leases = registration.leases.clone();
        self.registration = Some(registration);
        if leases.is_empty() { Vec::new() } else { vec![Effect::Reattach(leases)] }
    }

    /// A peer that asks only when it is idle, and asks again, has forgotten what it had before: its last word about that was
    /// lost with a connection, and its heartbeats would keep the leases for ever. A request that crossed the answer to the
    /// one before proves nothing.
    fn forgotten(&mut self) -> Vec<Effect> {
        let before = self.requests;
        self.requests += 1;
        if self.settings.asks_when_idle && self.held_before(before).next().is_some() {
            vec![Effect::Forget { before }]
        } else {
            Vec::new()
        }
    }

    /// What is held since before so many requests.
    fn held_before(&self, requests: u64) -> impl Iterator<Item = &LeaseToken> {
        self.held.iter().filter(move |(_, held)| held.requests < requests).map(|(token, _)| token)
    }

    fn job_request(&mut self, request: JobRequest) -> Effect {
        let JobRequest { request_id, limit, queue, commands, wait, worker } = request;
        let mut limit = limit.unwrap_or(self.settings.jobs_at_once).min(self.settings.most_jobs);
        if let Some(capacity) = self.registration.as_ref().and_then(|registration| registration.capacity) {
            let taken = u32::try_from(self.held.len()).unwrap_or(u32::MAX).saturating_add(self.asking);
            limit = limit.min(capacity.saturating_sub(taken));
        }
        if self.paused || self.leaving || limit == 0 {
            return Effect::Send(Outbound::Jobs(Vec::new()));
        }
        let queue = queue.or_else(|| self.settings.queue.clone());
        let worker = worker.unwrap_or_else(|| self.worker.clone());
        self.asking = self.asking.saturating_add(limit);
        self.unanswered += 1;
        Effect::Claim { request_id, want: Want { worker, queue, commands, limit, wait } }
    }

    /// Whether the worker holds as many jobs as it can run.
    fn is_full(&self) -> bool {
        let capacity = self.registration.as_ref().and_then(|registration| registration.capacity);
        capacity.is_some_and(|capacity| self.held.len() >= usize::try_from(capacity).unwrap_or(usize::MAX))
    }

    /// Forgets the requests for jobs that wait; answers how many they are.
    fn stop_claiming(&mut self) -> usize {
        self.asking = 0;
        std::mem::take(&mut self.unanswered)
    }

    /// Has the worker take no more jobs, not even those that it asked for before.
    fn pause(&mut self, told: Outbound) -> Vec<Effect> {
        self.paused = true;
        let unanswered = self.stop_claiming();
        let mut effects = vec![Effect::StopClaiming, Effect::Send(told)];
        effects.extend((0..unanswered).map(|_| Effect::Send(Outbound::Jobs(Vec::new()))));
        effects
    }

    fn report(&mut self, mut report: Value) -> Vec<Effect> {
        let text = |report: &Value, key: &str| report.get(key).and_then(Value::as_str).map(ToOwned::to_owned);
        let task = text(&report, "taskId").or_else(|| text(&report, "jobId"));
        let lease = match report.get("lease") {
            Some(Value::Object(lease)) => lease.get("token").and_then(Value::as_str).map(ToOwned::to_owned),
            Some(Value::String(lease)) => Some(lease.clone()),
            _ => None,
        };
        let subject = Subject { task, lease };
        if subject.lease.is_none() {
            // It names none, but this connection knows by which it holds the job.
            let held = self.held().find(|(_, job)| subject.task.as_deref() == Some(job.as_str()));
            if let (Some((token, _)), Some(fields)) = (held, report.as_object_mut()) {
                fields.insert("lease".to_owned(), token.expose().into());
            }
        }
        match read_report(report, Some(&self.worker)) {
            Ok(report) => vec![Effect::Report { report: Box::new(report), subject }],
            Err(error) => {
                self.counters.unreadable += 1;
                let (code, message) = (error.code().to_owned(), error.to_string());
                vec![Effect::Refuse { subject, code, message }]
            }
        }
    }

    /// A receipt, for a worker that asked for them.
    fn receipt(&self, subject: Subject, outcome: Result<(), (String, String)>) -> Vec<Effect> {
        let Subject { task, lease } = subject;
        if !self.has_feature("ack") {
            return Vec::new();
        }
        vec![Effect::Send(Outbound::Receipt(Receipt { task, lease, outcome }))]
    }

    fn has_feature(&self, name: &str) -> bool {
        self.registration.as_ref().is_some_and(|worker| worker.features.iter().any(|feature| feature == name))
    }

    /// Somebody else asks for something.
    pub(crate) fn command(&mut self, command: Command) -> Vec<Effect> {
        match command {
            Command::Pause if !self.paused => self.pause(Outbound::Pause),
            Command::Resume if self.paused => {
                self.paused = false;
                vec![Effect::Send(Outbound::Resume)]
            }
            Command::Pause | Command::Resume => Vec::new(),
            // An older worker does not know the word; that it gets no more jobs it understands.
            Command::Finish { reason } => self.pause(match self.registration {
                Some(_) => Outbound::Shutdown { reason },
                None => Outbound::Pause,
            }),
            // It stays queued, for whoever takes it.
            Command::Offer(_) if self.paused || self.leaving || self.is_full() => Vec::new(),
            Command::Offer(job) => vec![Effect::Take(job)],
            // Some may have been reported on here already.
            Command::Inherit(leases) => vec![Effect::TakeOver(leases)],
            Command::Taken { job, token, why } => self.taken(job, token, why),
        }
    }

    /// When something is due.
    pub(crate) fn next_tick(&self) -> Instant {
        let mut next = self.heard_at + self.settings.heartbeat_timeout;
        if !self.proven {
            next = next.min(self.opened_at + self.settings.first_frame_within);
        }
        if self.settings.speaks_first {
            next = next.min(self.beats_at);
        }
        next
    }

    /// Does what is due.
    pub(crate) fn tick(&mut self, now: Instant) -> Vec<Effect> {
        let silent_at = self.heard_at + self.settings.heartbeat_timeout;
        let mute_at = self.opened_at + self.settings.first_frame_within;
        if now >= self.next_tick() + LATE {
            // We were held up ourselves; the peer gets another interval.
            self.heard_at = now;
            self.opened_at = now;
        } else if !self.proven && now >= mute_at {
            return vec![Effect::Close(Closed::Mute)];
        } else if now >= silent_at {
            return vec![Effect::Close(if self.leaving { Closed::Left } else { Closed::Silent })];
        }
        if self.settings.speaks_first && now >= self.beats_at {
            self.beats_at = now + self.settings.heartbeat_interval;
            return vec![Effect::Send(Outbound::Heartbeat)];
        }
        Vec::new()
    }

    /// What to say when the server ends.
    pub(crate) fn server_ends(&self, reason: &str) -> Vec<Effect> {
        let mut effects = Vec::new();
        if self.registration.is_some() {
            effects.push(Effect::Send(Outbound::Shutdown { reason: reason.to_owned() }));
        }
        effects.push(Effect::Close(Closed::ServerEnds));
        effects
    }

    /// What a closed connection means: a worker that said it leaves has left.
    pub(crate) fn peer_closed(&self) -> Closed {
        if self.leaving { Closed::Left } else { Closed::Peer }
    }
}

#[cfg(test)]
mod tests;
