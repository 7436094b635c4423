//! Carrying a session out on a real connection.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::stream::{FuturesOrdered, FuturesUnordered, StreamExt};
use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::name::WorkerId;
use reclaimer_domain::ports::Clock;
use reclaimer_domain::time::before;
use reclaimer_provisioning::Provisioning;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite};
use tokio::sync::{RwLock, mpsc};
use tokio::task::yield_now;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::core::{Core, Peer, Settings};
use super::effect::{Closed, Command, Done};
use super::end::Writing;
use super::outbox::{Outbox, Written, outbox};
use super::said::Said;
use crate::dialect::Dialect;
use crate::frame::{Decoder, Frame, Limits};
use crate::offers::{Offers, Ticket};
use crate::roster::{Roster, Seat};
use crate::watch::PeerWatch;

/// At most so many reports, and so many other requests, of one connection are under way; a peer that sends more waits.
const UNDER_WAY: usize = 256;
/// So many frames of one connection are taken in before others have their turn.
const AT_ONCE: usize = 64;
/// Read at once at the most.
const READ: usize = 64 * 1_024;
/// What a session shows of itself is at most so old; less where silence is judged sooner.
const SHOWN_EVERY: Duration = Duration::from_secs(1);

/// The area of the log.
pub(crate) const AREA: &str = "MESSAGEBUS";

/// What every session of a link works with.
#[derive(Debug)]
pub(crate) struct Context {
    pub(crate) link: String,
    pub(crate) dialect: Dialect,
    pub(crate) settings: Settings,
    pub(crate) provisioning: Provisioning,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) roster: Arc<Roster>,
    pub(crate) offers: Arc<Offers>,
    /// A session's leases live on for so long when it ends.
    pub(crate) grace: Duration,
    /// When the server ends, what waits is written for so long.
    pub(crate) shutdown_grace: Duration,
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
    let stop = CancellationToken::new();
    let mut writing = Writing { task: tokio::spawn(pen.run(writer, stop.clone())), stop };
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
        turns: Arc::default(),
        claims: FuturesUnordered::new(),
        refreshes: FuturesUnordered::new(),
        others: FuturesUnordered::new(),
        started: HashMap::new(),
        more: false,
        said: Said::new(Instant::now()),
        shown_at: Instant::now(),
        shown_every,
        unshown: true,
        shown_requests: 0,
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
        session.core.listens(room, Instant::now());
        let next_tick = session.core.next_tick();
        why = tokio::select! {
            read = reader.read_buf(decoder.buffer()), if room && !session.more => match read {
                Ok(0) => Some(session.core.peer_closed()),
                Ok(_) => {
                    session.core.traffic(Instant::now());
                    session.take_in(&mut decoder)
                }
                Err(error) => Some(Closed::Broken(error.to_string())),
            },
            // Others have their turn between.
            () = yield_now(), if room && session.more => session.take_in(&mut decoder),
            Some(done) = session.reports.next() => session.done(done),
            Some(done) = session.claims.next() => session.done(done),
            Some(done) = session.refreshes.next() => session.done(done),
            Some(done) = session.others.next() => session.done(done),
            Some(command) = commands.recv() => {
                session.command(command)
            }
            () = sleep_until(session.shown_at + session.shown_every), if session.unshown => None,
            () = sleep_until(next_tick.unwrap_or_else(Instant::now)), if next_tick.is_some() => {
                let effects = session.core.tick(Instant::now());
                session.carry_out(effects)
            }
            ended = &mut writing.task => {
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

pub(super) struct Session {
    pub(super) core: Core,
    /// Its name when it was last looked at.
    worker: WorkerId,
    pub(super) outbox: Outbox,
    pub(super) context: Arc<Context>,
    pub(super) seat: Seat,
    /// Reports, and what else decides which leases are held: done with in the order in which it was said.
    pub(super) reports: FuturesOrdered<Pending>,
    /// Reports go to the store one behind the other; one that takes the next jobs takes longer to get there, and has those
    /// behind it wait. First come, first served.
    pub(super) turns: Arc<RwLock<()>>,
    /// Requests for jobs; given up with the session.
    pub(super) claims: FuturesUnordered<Pending>,
    /// Requests for credentials; given up with the session.
    pub(super) refreshes: FuturesUnordered<Pending>,
    /// Everything else; carried out to its end.
    pub(super) others: FuturesUnordered<Pending>,
    /// Offers that were taken, until what becomes of them is known.
    pub(super) started: HashMap<LeaseToken, Ticket>,
    /// Whether more was read than was taken in.
    more: bool,
    /// What the log heard of it.
    pub(super) said: Said,
    shown_at: Instant,
    shown_every: Duration,
    /// Whether anything happened since.
    unshown: bool,
    /// How often jobs had been asked for when it was last shown.
    shown_requests: u64,
    pub(super) watched: Watched,
}

/// How soon others are to see how a session stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
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
        self.reports.len() < UNDER_WAY
            && self.claims.len() + self.refreshes.len() + self.others.len() < UNDER_WAY
    }

    /// Takes in what was read, or a part of it.
    fn take_in(&mut self, decoder: &mut Decoder) -> Option<Closed> {
        let now = Instant::now();
        for _ in 0..AT_ONCE {
            // What there is no room for waits.
            self.more = true;
            if !self.has_room() {
                break;
            }
            let Some(frame) = decoder.next_frame() else {
                self.more = false;
                break;
            };
            let effects = match frame {
                Frame::Whole(bytes) => {
                    let heard = self.context.dialect.read(bytes);
                    self.say_unheard(&heard, now);
                    self.core.heard(heard, now)
                }
                Frame::Rubbish { sample, fault } => {
                    self.say_rubbish(&fault, sample, now);
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

    fn command(&mut self, command: Command) -> Option<Closed> {
        let is_offer = matches!(command, Command::Offer(_));
        let effects = self.core.command(command);
        if is_offer && effects.is_empty() {
            self.seat.offer_ended();
        }
        self.carry_out(effects)
    }

    pub(super) fn done(&mut self, done: Done) -> Option<Closed> {
        self.say_refused(&done, Instant::now());
        if matches!(done, Done::Took { .. } | Done::NotTaken) {
            self.seat.offer_ended();
        }
        let effects = self.core.done(done);
        self.carry_out(effects)
    }

    /// Shows how it stands.
    pub(super) fn show(&mut self, how: Show) {
        let (gained, lost) = self.core.take_changes();
        let changed = !gained.is_empty() || !lost.is_empty();
        if changed {
            for ticket in lost.iter().filter_map(|lease| self.started.remove(lease)) {
                ticket.settle();
            }
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
        let present = self.context.clock.now();
        let heard_at = before(present, heard_ago);
        let core = &self.core;
        let asked = std::mem::replace(&mut self.shown_requests, core.requests()) != core.requests();
        let active = core.is_active() || asked || !lost.is_empty();
        self.seat.show(|view| {
            if view.worker != *core.worker() {
                view.worker = core.worker().clone();
            }
            view.protocol = core.protocol();
            view.paused = core.is_paused();
            view.proven = core.is_proven();
            view.heard_at = heard_at;
            if active {
                view.active_at = Some(present);
            }
            view.held = core.held().len();
            view.room = core.room();
            if view.status.as_ref() != core.status() {
                view.status = core.status().cloned();
            }
            let counters = core.counters();
            view.messages = counters.messages;
            view.ignored = counters.foreign + counters.unknown + counters.unreadable + counters.rubbish;
        });
        if core.room() > 0 {
            self.context.offers.ring();
        }
    }
}
