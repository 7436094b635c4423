//! All links: run side by side, seen and steered through one handle.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use reclaimer_breaker::{Breaker, Event, InvalidSettings, State};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::name::{QueueName, WorkerId};
use reclaimer_domain::ports::Clock;
use reclaimer_domain::time::{after, before};
use reclaimer_health::Beat;
use reclaimer_provisioning::Provisioning;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::config::{Link, Reconnect, Transport};
use crate::dialect::Dialect;
use crate::offers::Offers;
use crate::roster::{Roster, SessionView};
use crate::session::{AREA, Context, Settings};
use crate::watch::PeerWatch;
use crate::{dial, listen};

/// What links need from outside.
#[derive(Debug)]
pub struct Deps {
    /// Where jobs come from and reports go to.
    pub provisioning: Provisioning,
    /// The same that the store tells of taken leases.
    pub roster: Arc<Roster>,
    /// Is told whose processes are heard.
    pub watch: Arc<dyn PeerWatch>,
    /// Tells the time that is said.
    pub clock: Arc<dyn Clock>,
    /// Spreads reconnects.
    pub rng: StdRng,
    /// How long leases hold.
    pub lease: Duration,
    /// How long the leases of a lost worker live on.
    pub grace: Duration,
    /// When everything ends, what waits to be written is written for so long.
    pub shutdown_grace: Duration,
}

/// Links that are ready to run.
#[derive(Debug)]
pub struct Links {
    running: Vec<(Arc<Line>, Transport, StdRng)>,
    handle: Handle,
    shutdown: CancellationToken,
}

/// Sees and steers links. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    lines: Arc<Vec<Arc<Line>>>,
    roster: Arc<Roster>,
    provisioning: Provisioning,
    clock: Arc<dyn Clock>,
    offers: Arc<Offers>,
}

/// At most so many leases of lost workers are remembered.
const MOST_ORPHANS: usize = 10_000;

/// Between two attempts to read which jobs waited to be started before us.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// One link while it runs.
#[derive(Debug)]
pub(crate) struct Line {
    pub(crate) name: String,
    mode: &'static str,
    pub(crate) reconnect: Reconnect,
    pub(crate) uids: Vec<u32>,
    pub(crate) context: Arc<Context>,
    pub(crate) watch: Arc<dyn PeerWatch>,
    pub(crate) breaker: Option<Breaker>,
    /// Rings when something is ordered of the breaker.
    pub(crate) ordered: Arc<Notify>,
    /// Cancelled, and made anew, when the link is forced open.
    cut: Arc<Mutex<CancellationToken>>,
    /// Leases of lost workers, which are excused should the breaker open before they are heard again.
    orphans: Mutex<Vec<LeaseToken>>,
    view: Mutex<Progress>,
}

/// How dialling goes.
#[derive(Debug, Clone, Default)]
struct Progress {
    failures: u64,
    last_error: Option<String>,
    away_since: Option<DateTime<Utc>>,
    next_attempt_at: Option<DateTime<Utc>>,
}

/// What a link shows of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct LinkView {
    /// Its name.
    pub name: String,
    /// `dial` or `listen`.
    pub mode: &'static str,
    /// `envelope` or `flat`.
    pub dialect: &'static str,
    /// The only queue it serves; `None` = any.
    pub queue: Option<QueueName>,
    /// How many connections it has.
    pub connections: usize,
    /// How often connecting failed since the start.
    pub connection_failures: u64,
    /// How it last failed.
    pub last_error: Option<String>,
    /// Since when it has not been connected, where we dial.
    pub away_since: Option<DateTime<Utc>>,
    /// When it is tried again, where it is not connected.
    pub next_attempt_at: Option<DateTime<Utc>>,
    /// What guards it, where we dial.
    pub breaker: Option<BreakerView>,
}

/// What a breaker shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BreakerView {
    /// `closed`, `open`, `half_open`, `forced_open` or `forced_closed`.
    pub state: &'static str,
    /// Since when.
    pub since: DateTime<Utc>,
    /// How often it has turned.
    pub transitions: u64,
    /// How many attempts failed in a row.
    pub consecutive_failures: u32,
    /// When the next probe may be made.
    pub next_probe_at: Option<DateTime<Utc>>,
}

/// What can be ordered of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerOrder {
    /// Close, and forget all that was counted.
    Reset,
    /// Refuse everything until ordered otherwise; a connection there is, is cut.
    ForceOpen,
    /// Take a force away.
    Auto,
}

/// Why a breaker was not ordered.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum OrderError {
    /// There is no such link.
    #[error("there is no link `{0}`")]
    NoSuchLink(String),
    /// Workers connect to it, so there is nothing to guard.
    #[error("workers connect to link `{0}` by themselves; it has no breaker")]
    NoBreaker(String),
}

impl Links {
    /// Puts links together.
    ///
    /// # Errors
    /// When the settings of a breaker contradict themselves.
    pub fn new(
        links: Vec<Link>,
        deps: Deps,
        shutdown: CancellationToken,
    ) -> Result<(Self, Handle), InvalidSettings> {
        let Deps { provisioning, roster, watch, clock, mut rng, lease, grace, shutdown_grace } = deps;
        let mut running = Vec::with_capacity(links.len());
        let offers: Arc<Offers> = Arc::default();
        let names: Arc<[String]> = links.iter().map(|link| link.name.clone()).collect();
        for link in links {
            let ordered = Arc::new(Notify::new());
            let cut = Arc::new(Mutex::new(CancellationToken::new()));
            let breaker = match &link.transport {
                Transport::Dial(_) => {
                    let mut deps = reclaimer_breaker::Deps::new(StdRng::seed_from_u64(rng.random()));
                    deps.listener = Some(Arc::new(on_turn(link.name.clone(), &cut)));
                    Some(Breaker::try_new(link.breaker, deps)?)
                }
                Transport::Listen(_) => None,
            };
            let settings = Settings {
                speaks_first: matches!(link.dialect, Dialect::Envelope(_)),
                asks_when_idle: matches!(link.dialect, Dialect::Flat(_)),
                heartbeat_interval: link.heartbeat_interval,
                heartbeat_timeout: link.heartbeat_timeout,
                first_frame_within: link.first_frame_within,
                renew_every: lease / 4,
                jobs_at_once: link.jobs_at_once,
                most_jobs: Provisioning::MOST_CLAIMED,
                queue: link.queue,
                links: Arc::clone(&names),
            };
            let context = Arc::new(Context {
                link: link.name.clone(),
                dialect: link.dialect,
                settings,
                provisioning: provisioning.clone(),
                clock: Arc::clone(&clock),
                roster: Arc::clone(&roster),
                offers: Arc::clone(&offers),
                grace,
                shutdown_grace,
                send_refresh_token: link.send_refresh_token,
                shutdown: shutdown.clone(),
            });
            let line = Arc::new(Line {
                name: link.name,
                mode: link.transport.word(),
                reconnect: link.reconnect,
                uids: link.uids,
                context,
                watch: Arc::clone(&watch),
                breaker,
                ordered,
                cut,
                orphans: Mutex::default(),
                view: Mutex::default(),
            });
            running.push((line, link.transport, StdRng::seed_from_u64(rng.random())));
        }
        let lines = Arc::new(running.iter().map(|(line, _, _)| Arc::clone(line)).collect());
        let handle = Handle { lines, roster, provisioning, clock, offers };
        Ok((Self { running, handle: handle.clone(), shutdown }, handle))
    }

    /// Runs every link until the shutdown is asked for. A link that ends by a panic is said by name; the others go on.
    pub async fn run(self) {
        let Self { running, handle, shutdown } = self;
        let mut tasks = JoinSet::new();
        tasks.spawn(hand_out_offers(handle, shutdown.clone()));
        for (line, transport, rng) in running {
            match transport {
                Transport::Dial(path) => tasks.spawn(dial::run(line, path, rng, shutdown.clone())),
                Transport::Listen(listener) => tasks.spawn(listen::run(line, listener, shutdown.clone())),
            };
        }
        while let Some(ended) = tasks.join_next().await {
            if let Err(panic) = ended {
                error!(area = AREA, %panic, "a link ended by a panic");
            }
        }
    }
}

/// What happens when a breaker goes from one state to another.
fn on_turn(link: String, cut: &Arc<Mutex<CancellationToken>>) -> impl Fn(&Event) + Send + Sync + use<> {
    let cut = Arc::clone(cut);
    move |event| {
        let (from, to, reason) = (event.from.as_str(), event.to.as_str(), event.reason);
        match event.to {
            State::Open | State::ForcedOpen => {
                error!(area = AREA, link, from, to, %reason, "the circuit opened")
            }
            _ => info!(area = AREA, link, from, to, %reason, "the circuit turned"),
        }
        if event.to == State::ForcedOpen {
            let mut cut = cut.lock().unwrap_or_else(PoisonError::into_inner);
            cut.cancel();
            *cut = CancellationToken::new();
        }
    }
}

impl Line {
    /// Cancelled when the link is to be cut.
    pub(crate) fn cut(&self) -> CancellationToken {
        self.cut.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// It is not connected, or no more, and is dialled again after this time. Whether connecting failed, or a connection
    /// that was good has ended, is told apart.
    pub(crate) fn away(&self, error: &str, failed: bool, again_in: Duration) {
        let at = after(self.context.clock.now(), again_in);
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        view.failures += u64::from(failed);
        view.last_error = Some(error.to_owned());
        view.away_since.get_or_insert_with(|| self.context.clock.now());
        view.next_attempt_at = Some(at);
    }

    /// It is connected.
    pub(crate) fn connected(&self) {
        let mut view = self.view.lock().unwrap_or_else(PoisonError::into_inner);
        (view.away_since, view.next_attempt_at) = (None, None);
    }

    /// These leases live on a grace.
    pub(crate) fn adopt_orphans(&self, leases: Vec<LeaseToken>) {
        let mut orphans = self.orphans.lock().unwrap_or_else(PoisonError::into_inner);
        orphans.extend(leases);
        let surplus = orphans.len().saturating_sub(MOST_ORPHANS);
        orphans.drain(..surplus);
    }

    /// The circuit is open: what is lost meanwhile is no fault of the jobs.
    pub(crate) async fn excuse_orphans(&self) {
        let leases = std::mem::take(&mut *self.orphans.lock().unwrap_or_else(PoisonError::into_inner));
        if leases.is_empty() {
            return;
        }
        if let Err(error) = self.context.provisioning.hold(leases, None, true).await {
            warn!(area = AREA, link = self.name, %error, "leases lost behind an open circuit could not be excused");
        }
    }

    fn view(&self, connections: usize, now: DateTime<Utc>) -> LinkView {
        let progress = self.view.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let breaker = self.breaker.as_ref().map(|breaker| {
            let seen = breaker.snapshot();
            let until = |at: Duration| after(now, at.saturating_sub(seen.at));
            BreakerView {
                state: seen.state.as_str(),
                since: before(now, seen.at.saturating_sub(seen.since)),
                transitions: seen.generation,
                consecutive_failures: seen.consecutive_failures,
                next_probe_at: seen.next_probe_at.map(until),
            }
        });
        LinkView {
            name: self.name.clone(),
            mode: self.mode,
            dialect: match self.context.dialect {
                Dialect::Envelope(_) => "envelope",
                Dialect::Flat(_) => "flat",
            },
            queue: self.context.settings.queue.clone(),
            connections,
            connection_failures: progress.failures,
            last_error: progress.last_error,
            away_since: progress.away_since.filter(|_| connections == 0),
            next_attempt_at: progress.next_attempt_at.filter(|_| connections == 0),
            breaker,
        }
    }
}

impl Handle {
    /// Every link.
    #[must_use]
    pub fn links(&self) -> Vec<LinkView> {
        let (sessions, now) = (self.roster.sessions(), self.clock.now());
        let connections = |line: &Line| sessions.iter().filter(|session| session.link == line.name).count();
        self.lines.iter().map(|line| line.view(connections(line), now)).collect()
    }

    /// Everybody who is connected.
    #[must_use]
    pub fn sessions(&self) -> Vec<SessionView> {
        self.roster.sessions()
    }

    /// Proves that jobs are started on workers, where there are any to start.
    #[must_use]
    pub fn beat(&self) -> Beat {
        self.offers.beat()
    }

    /// Has a worker take no more jobs, or take them again; false when there is nobody of that name.
    #[must_use]
    pub fn set_paused(&self, worker: &WorkerId, paused: bool) -> bool {
        self.roster.set_paused(worker, paused)
    }

    /// Orders something of a link's breaker.
    ///
    /// # Errors
    /// When there is no such link, or nothing guards it.
    pub fn order(&self, link: &str, order: BreakerOrder) -> Result<(), OrderError> {
        let found = self.lines.iter().find(|line| line.name == link);
        let line = found.ok_or_else(|| OrderError::NoSuchLink(link.to_owned()))?;
        let breaker = line.breaker.as_ref().ok_or_else(|| OrderError::NoBreaker(link.to_owned()))?;
        match order {
            BreakerOrder::Reset => breaker.reset(),
            BreakerOrder::ForceOpen => breaker.force_open(),
            BreakerOrder::Auto => breaker.auto(),
        }
        line.ordered.notify_one();
        Ok(())
    }

    /// The worker of a link was started anew: what went wrong with the one before says nothing about it, so it is dialled at
    /// once. A link that is forced open stays so.
    pub fn worker_started(&self, link: &str) {
        let line = self.lines.iter().find(|line| line.name == link);
        let Some((line, breaker)) = line.and_then(|line| Some((line, line.breaker.as_ref()?))) else {
            return;
        };
        if matches!(breaker.snapshot().state, State::Open | State::HalfOpen) {
            breaker.reset();
            line.ordered.notify_one();
        }
    }

    /// Has a job started on a worker that can be told to start one. Where none has room for it, the job stays queued, its
    /// `progress` says so, and it is offered when one has; meanwhile anybody may take it.
    ///
    /// # Cancel safety
    /// Dropping the future may leave the note in `progress` out; the job is offered all the same.
    pub async fn offer(&self, job: JobId, queue: QueueName) {
        if self.lines.is_empty() {
            return;
        }
        self.offers.put(job.clone(), queue);
        self.hand_out();
        if !self.offers.is_waiting(&job) {
            return;
        }
        match self.provisioning.note_pending_start(job.clone()).await {
            Ok(true) => {}
            Ok(false) => self.offers.remove(&job),
            Err(error) => {
                warn!(area = AREA, job_id = %job, %error, "that a job waits to be started could not be noted");
            }
        }
    }

    /// Offers what waits to whoever has room; answers when one that rests may be offered again.
    fn hand_out(&self) -> Option<Instant> {
        self.offers.round(|ticket, queue| self.roster.offer(ticket, &self.starting_links(queue)))
    }

    /// Links over which a worker can be told to start a job of this queue.
    fn starting_links(&self, queue: &QueueName) -> Vec<String> {
        let starts = |line: &&Arc<Line>| {
            let own = line.context.settings.queue.as_ref();
            matches!(line.context.dialect, Dialect::Envelope(_)) && own.is_none_or(|own| own == queue)
        };
        self.lines.iter().filter(starts).map(|line| line.name.clone()).collect()
    }

    /// Puts the jobs on the list that waited to be started when the last server ended; false when they cannot be read.
    async fn remember_offers(&self) -> bool {
        match self.provisioning.pending_starts().await {
            Ok(waiting) => {
                waiting.into_iter().for_each(|(job, queue)| self.offers.put(job, queue));
                true
            }
            Err(error) => {
                warn!(area = AREA, %error, "which jobs waited to be started cannot be read yet");
                false
            }
        }
    }
}

/// Hands out offers, whenever somebody may have room, until the end.
async fn hand_out_offers(handle: Handle, shutdown: CancellationToken) {
    if handle.lines.is_empty() {
        return;
    }
    let mut remembered = false;
    handle.offers.turn();
    while !shutdown.is_cancelled() {
        if !remembered {
            remembered = handle.remember_offers().await;
        }
        let rests = handle.hand_out();
        let again = (!remembered).then(|| Instant::now() + READ_AGAIN);
        tokio::select! {
            () = handle.offers.changed([rests, again].into_iter().flatten().min()) => {}
            () = shutdown.cancelled() => {}
        }
    }
}
