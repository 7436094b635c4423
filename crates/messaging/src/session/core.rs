//! The protocol of one connection, pure: what was heard and the time in, effects out.

mod evidence;
mod leases;
mod refreshes;
mod reports;
mod requests;
mod watchdog;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::name::{QueueName, WorkerId};
use serde_json::Value;
use tokio::time::Instant;

use self::evidence::Ended;
use self::leases::Held;
use self::refreshes::Refreshes;
pub(super) use self::refreshes::holds_none;
use self::watchdog::Watchdog;
use super::effect::{Closed, Command, Done, Effect, Subject};
use crate::message::{Heard, Inbound, Outbound, Registration, Unreadable};

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
    /// The names of all links, after which workers are called that give no name: nobody may take such a name.
    pub(crate) links: Arc<[String]>,
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

/// The protocol of one connection.
#[derive(Debug)]
pub(crate) struct Core {
    settings: Settings,
    /// Its name as the kernel tells it: the only one that proves anything.
    origin: WorkerId,
    worker: WorkerId,
    /// What it said of itself; `None` while it speaks the older protocol.
    registration: Option<Registration>,
    paused: bool,
    leaving: bool,
    held: HashMap<LeaseToken, Held>,
    /// What it held last.
    ended: VecDeque<Ended>,
    /// How many jobs are being leased to be started.
    taking: usize,
    /// How often jobs were asked for.
    requests: u64,
    /// How many jobs were asked for and not yet answered, and by how many requests.
    asking: u32,
    unanswered: usize,
    /// How many jobs were asked for with reports that are not yet receipted.
    asking_next: u32,
    /// What came to `held` and went from it since the last look.
    gained: Vec<LeaseToken>,
    lost: Vec<LeaseToken>,
    /// What could not be found out about leases from before the connection; tried again when the worker is heard next.
    unsettled: Vec<Effect>,
    refreshes: Refreshes,
    status: Option<Value>,
    counters: Counters,
    watchdog: Watchdog,
    renewed_at: Instant,
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
            watchdog: Watchdog::begin(&settings, now),
            settings,
            origin: peer.worker.clone(),
            worker: peer.worker,
            registration: None,
            paused,
            leaving: false,
            held: HashMap::new(),
            ended: VecDeque::new(),
            taking: 0,
            requests: 0,
            asking: 0,
            unanswered: 0,
            asking_next: 0,
            gained: Vec::new(),
            lost: Vec::new(),
            unsettled: Vec::new(),
            refreshes: Refreshes::default(),
            status: None,
            counters: Counters::default(),
            renewed_at: now,
        };
        (core, effects)
    }

    pub(crate) fn worker(&self) -> &WorkerId {
        &self.worker
    }

    pub(crate) fn is_paused(&self) -> bool {
        self.paused
    }

    /// Which protocol the worker speaks.
    pub(crate) fn protocol(&self) -> u32 {
        if self.registration.is_some() { 2 } else { 1 }
    }

    pub(crate) fn status(&self) -> Option<&Value> {
        self.status.as_ref()
    }

    pub(crate) fn counters(&self) -> Counters {
        self.counters
    }

    /// A frame came, as the dialect reads it.
    pub(crate) fn heard(&mut self, heard: Result<Heard, Unreadable>, now: Instant) -> Vec<Effect> {
        self.watchdog.traffic(now);
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
                let reason = unreadable.to_string();
                let mut effects = self.receipt(Subject::default(), Err(("unreadable".to_owned(), reason)));
                // A frame that is no message at all is no better than bytes that are no frame.
                if matches!(unreadable, Unreadable::Frame(_)) {
                    effects.extend(self.burst(now));
                }
                return effects;
            }
        };
        self.counters.messages += 1;
        self.watchdog.proven();
        let mut effects = std::mem::take(&mut self.unsettled);
        effects.extend(self.renewal(now));
        effects.extend(self.message(message, now));
        effects
    }

    fn message(&mut self, message: Inbound, now: Instant) -> Vec<Effect> {
        match message {
            Inbound::Heartbeat => Vec::new(),
            Inbound::Registered(registration) => self.registered(registration),
            Inbound::JobRequest(request) => {
                let mut effects = self.forgotten();
                effects.push(self.job_request(request));
                effects
            }
            Inbound::Report { report, next } => self.report(report, next),
            Inbound::Status(status) => {
                self.status = Some(evidence::status(status));
                Vec::new()
            }
            // Behind the reports before it, as the next: they decide what it holds.
            Inbound::FailureLogs { job, detail } => {
                vec![Effect::InTurn(Box::new(Done::Logged { job, detail }))]
            }
            Inbound::RefreshRequest(request) => {
                vec![Effect::InTurn(Box::new(Done::Asked { request, at: now }))]
            }
            Inbound::BadRequest(bad) => {
                self.counters.unreadable += 1;
                vec![Effect::Send(bad.into())]
            }
            Inbound::Leaving { reason } => {
                self.leaving = true;
                self.stop_claiming();
                let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
                let reason = format!("worker {} left in order{reason}", self.worker);
                vec![Effect::StopClaiming, Effect::InTurn(Box::new(Done::Left { reason }))]
            }
        }
    }

    fn registered(&mut self, mut registration: Registration) -> Vec<Effect> {
        registration.worker.take_if(|name| !self.may_be_called(name));
        if let Some(worker) = &registration.worker {
            self.worker = worker.clone();
        }
        let leases = std::mem::take(&mut registration.leases);
        let no_leases = std::mem::take(&mut registration.no_leases);
        self.registration = Some(registration);
        let lost = |lease| Effect::Send(Outbound::NotReattached { lease });
        let mut effects: Vec<Effect> = no_leases.into_iter().map(lost).collect();
        if !leases.is_empty() {
            effects.push(Effect::Reattach(leases));
        }
        effects
    }

    /// Whether a peer may take this name: one that tells a process is that process's alone.
    fn may_be_called(&self, name: &WorkerId) -> bool {
        let of_a_process = |link: &String| {
            let number =
                name.as_str().strip_prefix(link.as_str()).and_then(|rest| rest.strip_prefix([':', '#']));
            number
                .is_some_and(|number| !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()))
        };
        *name == self.origin || !self.settings.links.iter().any(of_a_process)
    }

    fn has_feature(&self, name: &str) -> bool {
        self.registration.as_ref().is_some_and(|worker| worker.features.iter().any(|feature| feature == name))
    }

    /// An effect was carried out.
    pub(crate) fn done(&mut self, done: Done) -> Vec<Effect> {
        match done {
            Done::Claimed { request_id, limit, outcome } => self.claimed(request_id, limit, outcome),
            Done::Took { job, ticket } => self.took(job, ticket),
            Done::NotTaken => {
                self.taking = self.taking.saturating_sub(1);
                Vec::new()
            }
            Done::Nothing => Vec::new(),
            Done::Refused { subject, code, message } => self.receipt(subject, Err((code, message))),
            Done::Reported { subject, held, outcome, next } => {
                let mut effects = self.reported(subject, held, outcome);
                effects.extend(next.into_iter().flat_map(|(next, jobs)| self.got_next(next, jobs)));
                effects
            }
            Done::Answered(message) => vec![Effect::Send(message)],
            Done::Asked { request, at } => self.asked(request, at),
            Done::Refreshed { request, outcome, at } => self.refreshed(request, outcome, at),
            Done::Kept(Ok(renewed)) => self.kept(renewed),
            // The store is away: the leases get a grace for that when it is back.
            Done::Kept(Err(_)) => Vec::new(),
            Done::Reattached { asked, outcome } => self.reattached(asked, outcome),
            Done::Adopted { worker, outcome } => self.adopted(worker, outcome),
            Done::TookOver { asked, outcome } => self.took_over(asked, outcome),
            Done::Logged { job, detail } => self.logged(job, detail),
            Done::Forgot { before } => self.abandoned(before),
            Done::Left { reason } => self.left(reason),
        }
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
            // It waits on, for whoever has room.
            Command::Offer(_) if self.room() == 0 => Vec::new(),
            Command::Offer(ticket) => {
                self.taking += 1;
                vec![Effect::Take(ticket)]
            }
            // Some may have been reported on here already.
            Command::Inherit(leases) => vec![Effect::TakeOver(leases)],
            Command::Taken { job, token, why } => self.taken(job, token, why),
        }
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
