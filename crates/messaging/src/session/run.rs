//! Carrying a session out on a real connection.

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesOrdered, FuturesUnordered, StreamExt};
use reclaimer_domain::history::Actor;
use reclaimer_domain::job::report::Holder;
use reclaimer_domain::job::{Lease, LeaseToken};
use reclaimer_domain::name::WorkerId;
use reclaimer_domain::ports::Clock;
use reclaimer_domain::time::before;
use reclaimer_domain::wire::JobOnTheWire;
use reclaimer_provisioning::Provisioning;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, info, warn};

use super::core::{Core, Peer, Settings};
use super::effect::{Closed, Command, Done, Effect};
use super::outbox::{Outbox, Written, outbox};
use crate::dialect::Dialect;
use crate::frame::{Decoder, Fault, Frame, Limits};
use crate::message::{Fresh, Heard, Outbound, RefreshRequest, Unreadable};
use crate::roster::{Roster, Seat};
use crate::watch::PeerWatch;

/// At most so many reports, and so many other requests, of one connection are under way; a peer that sends more waits.
const UNDER_WAY: usize = 256;
/// Read at once at the most.
const READ: usize = 64 * 1_024;
/// The log hears of rubbish on one connection no more often than this.
const RUBBISH_SAID_EVERY: Duration = Duration::from_secs(10);

/// What a session shows of itself is at most so old; less where silence is judged sooner.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// The area of the log.
pub(crate) const AREA: &str = "MESSAGEBUS";

/// Whoever asks for credentials is answered within this time; the flat dialect's crawlers wait 15 seconds.
const REFRESH_WITHIN: Duration = Duration::from_secs(12);

/// What every session of a link works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) link: String,
    pub(crate) dialect: Dialect,
    pub(crate) settings: Settings,
    pub(crate) provisioning: Provisioning,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) roster: Arc<Roster>,
    /// A session's leases live on for so long when it ends.
    pub(crate) grace: Duration,
    /// Whether refresh tokens may go out.
    pub(crate) send_refresh_token: bool,
    pub(crate) shutdown: CancellationToken,
}

/// How a session ended.
#[derive(Debug)]
pub(crate) struct Ended {
    pub(crate) why: Closed,
    /// Whether anything valid was heard.
    pub(crate) proven: bool,
    /// Leases that live on a grace now.
    pub(crate) orphans: Vec<LeaseToken>,
}

type Pending = Pin<Box<dyn Future<Output = Done> + Send>>;

/// Carries a session out until it ends. `on_proof` is called once, at the first valid message.
pub(crate) async fn run<S>(
    stream: S,
    peer: Peer,
    context: Arc<Context>,
    (seat, mut commands): (Seat, mpsc::Receiver<Command>),
    (cut, watched): (CancellationToken, Watched),
    on_proof: impl FnOnce() + Send,
) -> Ended
where
    S: AsyncRead + AsyncWrite + Send + 'static,
{
    let (mut reader, writer) = tokio::io::split(stream);
    let (outbox, pen) = outbox();
    let mut writing = tokio::spawn(pen.run(writer));
    let paused = context.roster.is_paused(&peer.worker);
    let (core, effects) = Core::open(context.settings.clone(), peer, paused, Instant::now());
    let shutdown = context.shutdown.clone();
    let shown_every = SHOWN_EVERY.min(context.settings.heartbeat_timeout / 8);
    let mut session = Session {
        worker: core.worker().clone(),
        core,
        outbox,
        context,
        seat,
        reports: FuturesOrdered::new(),
        claims: FuturesUnordered::new(),
        others: FuturesUnordered::new(),
        rubbish_said: None,
        shown_at: Instant::now(),
        shown_every,
        unshown: true,
        watched,
    };
    let mut decoder = Decoder::new(Limits::default());
    let mut on_proof = Some(on_proof);
    let mut written = None;
    let mut why = session.carry_out(effects);
    while why.is_none() {
        session.show(Show::InTime);
        decoder.buffer().reserve(READ);
        let room = session.has_room();
        why = tokio::select! {
            read = reader.read_buf(decoder.buffer()), if room => match read {
                Ok(0) => Some(session.core.peer_closed()),
                Ok(_) => session.take_in(&mut decoder),
                Err(error) => Some(Closed::Broken(error.to_string())),
            },
            Some(done) = session.reports.next() => session.done(done),
            Some(done) = session.claims.next() => session.done(done),
            Some(done) = session.others.next() => session.done(done),
            Some(command) = commands.recv() => {
                let effects = session.core.command(command);
                session.carry_out(effects)
            }
            () = sleep_until(session.shown_at + session.shown_every), if session.unshown => None,
            () = sleep_until(session.core.next_tick()) => {
                let effects = session.core.tick(Instant::now());
                session.carry_out(effects)
            }
            ended = &mut writing => {
                let ended = ended.unwrap_or_else(|_| Written { failure: None, unsent: Vec::new() });
                let why = ended.failure.clone().unwrap_or(Closed::Peer);
                written = Some(ended);
                Some(why)
            }
            () = cut.cancelled() => Some(Closed::Cut),
            () = shutdown.cancelled() => {
                let effects = session.core.server_ends("the server ends");
                session.carry_out(effects)
            }
        };
        if session.core.is_proven()
            && let Some(on_proof) = on_proof.take()
        {
            session.show(Show::AtOnce);
            on_proof();
        }
    }
    session.end(why.unwrap_or(Closed::Peer), writing, written).await
}

struct Session {
    core: Core,
    /// Its name when it was last looked at.
    worker: WorkerId,
    outbox: Outbox,
    context: Arc<Context>,
    seat: Seat,
    /// Reports, and what else decides which leases are held: done with in the order in which it was said.
    reports: FuturesOrdered<Pending>,
    /// Requests for jobs; given up with the session.
    claims: FuturesUnordered<Pending>,
    /// Everything else; carried out to its end.
    others: FuturesUnordered<Pending>,
    /// When the log last heard of rubbish.
    rubbish_said: Option<Instant>,
    shown_at: Instant,
    shown_every: Duration,
    /// Whether anything happened since.
    unshown: bool,
    watched: Watched,
}

/// How soon others are to see how a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Show {
    AtOnce,
    /// Soon; what it holds at once.
    InTime,
}

/// Who wants to know that the peer's process was heard.
#[derive(Debug)]
pub(crate) struct Watched {
    pub(crate) pid: Option<i32>,
    pub(crate) watch: Arc<dyn PeerWatch>,
}

impl Session {
    /// Whether more may be read: a peer that sends faster than the store takes waits.
    fn has_room(&self) -> bool {
        self.reports.len() < UNDER_WAY && self.claims.len() + self.others.len() < UNDER_WAY
    }

    /// Takes in what was read.
    fn take_in(&mut self, decoder: &mut Decoder) -> Option<Closed> {
        let now = Instant::now();
        self.core.traffic(now);
        while let Some(frame) = decoder.next_frame() {
            let effects = match frame {
                Frame::Whole(bytes) => {
                    let heard = self.context.dialect.read(bytes);
                    self.say_unheard(&heard);
                    self.core.heard(heard, now)
                }
                Frame::Rubbish { sample, fault } => {
                    let sample = sample.escape_ascii().to_string();
                    self.say_rubbish(now, &fault, &sample);
                    self.core.rubbish(fault, now)
                }
            };
            if let Some(why) = self.carry_out(effects) {
                return Some(why);
            }
        }
        self.know_worker()
    }

    /// A worker that gave its name may be one that is to take no more jobs.
    fn know_worker(&mut self) -> Option<Closed> {
        if self.worker == *self.core.worker() {
            return None;
        }
        self.worker = self.core.worker().clone();
        self.show(Show::AtOnce);
        let paused = self.context.roster.is_paused(&self.worker);
        let effects = self.core.command(if paused { Command::Pause } else { Command::Resume });
        self.carry_out(effects)
    }

    fn say_unheard(&self, heard: &Result<Heard, Unreadable>) {
        let (link, worker_id) = (&self.context.link, self.core.worker());
        match heard {
            Ok(Heard::Message(_)) => {}
            Ok(Heard::Foreign { destination }) => {
                debug!(area = AREA, link, %worker_id, destination, "a message for somebody else was dropped");
            }
            Ok(Heard::Unknown { kind }) => {
                debug!(area = AREA, link, %worker_id, kind, "a message of no known kind was ignored");
            }
            Err(error) => warn!(area = AREA, link, %worker_id, %error, "a message was ignored"),
        }
    }

    /// Says that there was rubbish, once in a while and with a sample.
    fn say_rubbish(&mut self, now: Instant, fault: &Fault, sample: &str) {
        if self.rubbish_said.is_none_or(|said| now.duration_since(said) >= RUBBISH_SAID_EVERY) {
            self.rubbish_said = Some(now);
            let (link, worker_id) = (&self.context.link, self.core.worker());
            warn!(area = AREA, link, %worker_id, %fault, sample, "rubbish on the link was skipped");
        }
    }

    fn done(&mut self, done: Done) -> Option<Closed> {
        let effects = self.core.done(done);
        self.carry_out(effects)
    }

    /// Carries effects out; a reason to end where one of them is that.
    fn carry_out(&mut self, effects: Vec<Effect>) -> Option<Closed> {
        for effect in effects {
            let context = Arc::clone(&self.context);
            match effect {
                Effect::Send(message) => self.send(&message),
                Effect::Claim { request_id, want } => self.claims.push(Box::pin(async move {
                    let limit = want.limit;
                    let outcome = context.provisioning.open(want, &context.shutdown).await;
                    Done::Claimed { request_id, limit, outcome }
                })),
                Effect::Take(job) => {
                    let worker = self.core.worker().clone();
                    self.claims.push(Box::pin(async move {
                        Done::Took(context.provisioning.take(job, worker).await.map(|job| job.map(Box::new)))
                    }));
                }
                // What they got is handed back.
                Effect::StopClaiming => self.claims.clear(),
                Effect::Report { report, subject } => self.reports.push_back(Box::pin(async move {
                    let held = match &report.holder {
                        Holder::Lease(token) => Some(token.clone()),
                        Holder::Worker(_) => None,
                    };
                    Done::Reported { subject, held, outcome: context.provisioning.report(*report).await }
                })),
                Effect::Refuse { subject, code, message } => {
                    self.reports.push_back(Box::pin(async move { Done::Refused { subject, code, message } }));
                }
                Effect::Refresh(request) => self.others.push(Box::pin(async move {
                    let outcome = refresh(&context, &request).await;
                    Done::Refreshed { request, outcome }
                })),
                Effect::Keep(leases) => self
                    .others
                    .push(Box::pin(async move { Done::Kept(context.provisioning.keep(leases).await) })),
                Effect::Reattach(asked) => self.reports.push_back(Box::pin(async move {
                    let outcome = context.provisioning.keep(asked.clone()).await;
                    Done::Reattached { asked, outcome }
                })),
                Effect::TakeOver(asked) => self.reports.push_back(Box::pin(async move {
                    let outcome = context.provisioning.keep(asked.clone()).await;
                    Done::TookOver { asked, outcome }
                })),
                Effect::Adopt(worker) => self.reports.push_back(Box::pin(async move {
                    let held = context.provisioning.held_by(&worker).await;
                    let tokens =
                        |held: Vec<_>| held.into_iter().map(|(job, lease): (_, Lease)| (job, lease.token));
                    Done::Adopted { worker, outcome: held.map(|held| tokens(held).collect()) }
                })),
                Effect::Forget { before } => {
                    self.reports.push_back(Box::pin(async move { Done::Forgot { before } }));
                }
                Effect::Leave { reason } => {
                    self.reports.push_back(Box::pin(async move { Done::Left { reason } }));
                }
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
        let refused = match said {
            true => self.outbox.put(bytes, leases).err(),
            false => Some(leases),
        };
        let Some(leases) = refused else { return };
        if said {
            let (link, worker_id) = (&self.context.link, self.core.worker());
            warn!(area = AREA, link, %worker_id, "a message was refused: too much waits to be written to this worker");
        }
        if !leases.is_empty() {
            self.core.forget(&leases);
            self.release(leases, "its worker takes nothing in".to_owned());
        }
    }

    /// Ends leases that the worker has forgotten.
    fn abandon(&mut self, leases: Vec<LeaseToken>) {
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

    fn release(&mut self, leases: Vec<LeaseToken>, reason: String) {
        let context = Arc::clone(&self.context);
        self.others.push(Box::pin(async move {
            if let Err(error) = context.provisioning.release(leases, Some(reason), Duration::ZERO).await {
                warn!(area = AREA, link = context.link, %error, "leases could not be given back; they end by themselves");
            }
            Done::Nothing
        }));
    }

    /// Shows how it stands.
    fn show(&mut self, how: Show) {
        let (gained, lost) = self.core.take_changes();
        let changed = !gained.is_empty() || !lost.is_empty();
        if changed {
            self.seat.holds(gained, &lost);
        }
        let now = Instant::now();
        if how == Show::InTime && !changed && now.duration_since(self.shown_at) < self.shown_every {
            self.unshown = true;
            return;
        }
        (self.shown_at, self.unshown) = (now, false);
        let heard_ago = now.duration_since(self.core.heard_at());
        let heard = self.core.is_proven() && heard_ago < self.shown_every * 2;
        if let Some(pid) = self.watched.pid.filter(|_| heard) {
            self.watched.watch.heard(pid, self.core.worker());
        }
        let heard_at = before(self.context.clock.now(), heard_ago);
        let core = &self.core;
        self.seat.show(|view| {
            if view.worker != *core.worker() {
                view.worker = core.worker().clone();
            }
            view.protocol = core.protocol();
            view.paused = core.is_paused();
            view.proven = core.is_proven();
            view.heard_at = heard_at;
            view.held = core.held().len();
            if view.status.as_ref() != core.status() {
                view.status = core.status().cloned();
            }
            let counters = core.counters();
            view.messages = counters.messages;
            view.ignored = counters.foreign + counters.unknown + counters.unreadable + counters.rubbish;
        });
    }

    /// Ends: what was said is carried out, what was not written goes back, and what is held lives on for a while.
    async fn end(
        mut self,
        why: Closed,
        writing: tokio::task::JoinHandle<Written>,
        written: Option<Written>,
    ) -> Ended {
        // Requests for jobs that are given up hand back what they get.
        self.claims.clear();
        while let Some(done) = self.reports.next().await {
            // Answers of a session that ends are for its bookkeeping alone; what is given back goes back.
            for effect in self.core.done(done) {
                match effect {
                    Effect::Release { leases, reason } => self.release(leases, reason),
                    Effect::Abandon(leases) => self.abandon(leases),
                    _ => {}
                }
            }
        }
        let (outbox, _closed) = super::outbox::outbox();
        drop(std::mem::replace(&mut self.outbox, outbox));
        let written = match written {
            Some(written) => written,
            None => writing.await.unwrap_or_else(|_| Written { failure: None, unsent: Vec::new() }),
        };
        if !written.unsent.is_empty() {
            self.core.forget(&written.unsent);
            self.release(written.unsent, "the connection ended before it was handed over".to_owned());
        }
        while let Some(done) = self.others.next().await {
            let _ = self.core.done(done);
        }
        self.show(Show::AtOnce);
        let orphans = self.seat.hand_over(self.core.held().map(|(token, _)| token.clone()).collect());
        let (link, worker_id, count) = (&self.context.link, self.core.worker(), orphans.len());
        match &why {
            Closed::Left | Closed::ServerEnds => info!(area = AREA, link, %worker_id, "session ended: {why}"),
            _ => warn!(area = AREA, link, %worker_id, leases = count, "session ended: {why}"),
        }
        if let Some(pid) = self.watched.pid.filter(|_| count > 0) {
            self.watched.watch.lost(pid, &orphans);
        }
        // Leases that outlive the server get a grace when it is back.
        if count > 0 && why != Closed::ServerEnds {
            let held = self.context.provisioning.hold(orphans.clone(), Some(self.context.grace), false).await;
            if let Err(error) = held {
                warn!(area = AREA, link, %worker_id, %error, "the leases of a lost worker end as they would have");
            }
        }
        Ended { proven: self.core.is_proven(), why, orphans }
    }
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

/// Gets credentials, in time.
async fn refresh(context: &Context, request: &RefreshRequest) -> Result<Fresh, String> {
    let asking = async {
        match request {
            RefreshRequest::OfAccount { provider, account: Some(account), user, .. } => {
                Some(context.provisioning.credentials(provider, account, user.as_deref()).await)
            }
            // Whose credentials it needs is not guessed.
            RefreshRequest::OfAccount { account: None, .. } => None,
            RefreshRequest::OfJob(job) => Some(context.provisioning.credentials_of_job(job).await),
        }
    };
    let fresh = match tokio::time::timeout(REFRESH_WITHIN, asking).await {
        Ok(Some(Ok(fresh))) => fresh,
        Ok(Some(Err(error))) => {
            warn!(area = AREA, link = context.link, %error, "no credentials for a worker that asked");
            return Err(error.to_string());
        }
        Ok(None) => return Err("the request names no account; name it as `accountId`".to_owned()),
        Err(_) => return Err("the provider took too long; ask again".to_owned()),
    };
    Ok(Fresh {
        access_token: fresh.access_token,
        expires_at: fresh.expires_at,
        refresh_token: fresh.refresh_token.filter(|_| context.send_refresh_token),
        provider: fresh.provider,
    })
}
