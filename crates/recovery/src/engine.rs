//! The engine: one task that runs one cycle at a time.
//!
//! Startup, interval, lease watch, a person and the rest of a full cycle all set off the same cycle; none of them tells
//! it what it will find. Before any cycle, what our own absence owes to the leases is paid (see [`crate::absence`]):
//! while the store does not even take that, nothing is recovered. A cycle that fails is logged and counted, and the
//! engine goes on.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::TimeDelta;
use rand::SeedableRng;
use rand::rngs::StdRng;
use reclaimer_domain::ports::{Clock, RecoveryStore, RunListener, StoreError};
use reclaimer_domain::recovery::{CycleRunning, Trigger};
use reclaimer_domain::time::{after, between};
use reclaimer_policy::Policy;
use tokio::sync::{mpsc, watch};
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;
use tracing::{debug, error, info, warn};

use crate::absence::Presence;
use crate::agenda::{Agenda, Order, later};
use crate::beats::Beats;
use crate::config::Config;
use crate::cycle::{Cycles, Done, HOLD_FOR};
use crate::handle::{Failure, Handle, RecoverError, Request, State};
use crate::journal::AREA;

/// Requests that may wait: one, taken up at once unless a cycle runs; whoever comes then is told that one runs.
const REQUESTS: usize = 1;

/// Between two attempts to reach a store that is away.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// After a cycle that failed because the store went away, once it is back.
const AWAY_RETRY: Duration = Duration::from_secs(5);

/// After a cycle that failed for a reason that may well last.
const FAILED_RETRY: Duration = Duration::from_secs(60);

/// The engine looks at the clocks at least so often, to notice its own absence.
const LOOK: Duration = Duration::from_secs(5);

/// What the engine works with.
#[derive(Debug)]
pub struct Deps {
    /// Where the jobs are.
    pub store: Arc<dyn RecoveryStore>,
    /// Tells the time that is stored.
    pub clock: Arc<dyn Clock>,
    /// Decides about each job, until [`Handle::set_policy`] puts another in its place.
    pub policy: Arc<Policy>,
    /// Told of every run; `()` where nobody wants to know.
    pub listener: Arc<dyn RunListener>,
    /// Spreads, jitters, and names runs.
    pub rng: StdRng,
}

/// Runs recovery cycles until it is stopped. Made by [`Engine::new`], driven by [`Engine::run`].
#[derive(Debug)]
pub struct Engine {
    config: Arc<Config>,
    store: Arc<dyn RecoveryStore>,
    clock: Arc<dyn Clock>,
    cycles: Cycles,
    requests: mpsc::Receiver<Request>,
    state: watch::Sender<State>,
    beats: Beats,
}

impl Engine {
    /// An engine, and the handle that the rest of the program holds. Settings that would make it spin are brought into
    /// range. Requests wait until the engine runs.
    #[must_use]
    pub fn new(config: Config, deps: Deps) -> (Self, Handle) {
        let Deps { store, clock, policy, listener, mut rng } = deps;
        let config = Arc::new(config.in_range());
        let (to_engine, requests) = mpsc::channel(REQUESTS);
        let (state, shown) = watch::channel(State::default());
        let (policy, in_force) = watch::channel(policy);
        let beats = Beats::new(Instant::now());
        let handle = Handle {
            requests: to_engine,
            state: shown,
            store: Arc::clone(&store),
            clock: Arc::clone(&clock),
            config: Arc::clone(&config),
            policy,
            beats: beats.clone(),
            rng: Arc::new(Mutex::new(StdRng::from_rng(&mut rng))),
        };
        let cycles =
            Cycles::new(Arc::clone(&store), Arc::clone(&clock), in_force, Arc::clone(&config), listener, rng);
        (Self { config, store, clock, cycles, requests, state, beats }, handle)
    }

    /// Runs until `shutdown` is cancelled; a cycle that runs then finishes its page. Startup and interval count from
    /// this call.
    ///
    /// # Cancel safety
    /// Not to be dropped while a cycle runs, or the place for cycles stays taken for up to fifteen seconds; cancel
    /// `shutdown` instead.
    pub async fn run(self, shutdown: CancellationToken) {
        let now = Instant::now();
        if self.config.enabled {
            let first_look = self.config.startup_delay.saturating_add(self.config.lease_check);
            self.beats.looked_for_leases(now, first_look);
        }
        let running = Running {
            agenda: Agenda::new(&self.config, now),
            presence: Presence::new(self.config.lease_check.min(LOOK), now, self.clock.now()),
            // Leases that ran out while no server was there, or no database.
            owed: Owed { grace: true, shift: TimeDelta::zero(), next_try: now, said: false },
            engine: self,
            shutdown,
        };
        running.run().await;
    }
}

/// What our absence owes to the leases and was not yet paid.
#[derive(Debug)]
struct Owed {
    grace: bool,
    shift: TimeDelta,
    next_try: Instant,
    /// Whether the log says already that the store is away.
    said: bool,
}

impl Owed {
    fn something(&self) -> bool {
        self.grace || !self.shift.is_zero()
    }
}

/// An engine that runs.
#[derive(Debug)]
struct Running {
    engine: Engine,
    agenda: Agenda,
    presence: Presence,
    owed: Owed,
    shutdown: CancellationToken,
}

impl Running {
    async fn run(mut self) {
        let shutdown = self.shutdown.clone();
        loop {
            self.show(None);
            let wake = self.wake_at();
            let now = Instant::now();
            self.engine.beats.engine_turned(now, wake.saturating_duration_since(now));
            let request = tokio::select! {
                biased;
                () = shutdown.cancelled() => break,
                // Before the timer: one that is always due would keep people waiting for ever.
                Some(request) = self.engine.requests.recv() => Some(request),
                () = sleep_until(wake) => None,
            };
            self.look();
            if let Some(request) = request {
                self.manual(request).await;
            }
            if Instant::now() >= self.wake_at() {
                self.turn().await;
            }
        }
        self.engine.beats.stopped(Instant::now());
        debug!(area = AREA, "recovery has stopped");
    }

    fn wake_at(&self) -> Instant {
        let look = self.presence.next();
        if self.owed.something() {
            return self.owed.next_try.min(look);
        }
        self.agenda.next().map_or(look, |next| next.min(look))
    }

    /// Notices our own absence.
    fn look(&mut self) {
        let absence = self.presence.look(Instant::now(), self.engine.clock.now());
        if let Some(by) = absence.shift {
            let seconds = by.as_seconds_f64();
            warn!(area = AREA, seconds, "the clock jumped; the leases are shifted by as much");
            self.owed.shift = self.owed.shift.checked_add(&by).unwrap_or(by);
        }
        if absence.grace {
            warn!(
                area = AREA,
                "this process was held up; running jobs get a grace before they are recovered"
            );
            self.owed.grace = true;
        }
        if absence.shift.is_some() || absence.grace {
            self.owed.next_try = Instant::now();
        }
    }

    /// Runs what is due, if the leases got what they are owed.
    async fn turn(&mut self) {
        let now = Instant::now();
        if self.owed.something() && (now < self.owed.next_try || self.pay().await.is_err()) {
            return;
        }
        let Some(order) = self.agenda.take_due(now) else { return };
        let result = self.cycle(&order).await;
        // Where another server's cycle runs, that one looks.
        let looked = matches!(result, Ok(Done { failure: None, .. }) | Err(RecoverError::Running(_)));
        if looked && order.trigger == Trigger::LeaseWatch {
            self.engine.beats.looked_for_leases(Instant::now(), self.engine.config.lease_check);
        }
        let pause = match result {
            Ok(Done { failure: None, .. }) => return,
            // The lease watch has its next turn anyway.
            Ok(_) | Err(_) if order.trigger == Trigger::LeaseWatch => return,
            Err(RecoverError::Running(running)) => {
                between(self.engine.clock.now(), running.until).clamp(STORE_RETRY, HOLD_FOR)
            }
            Ok(Done { failure: Some(error), .. }) | Err(RecoverError::Store(error))
                if error.is_transient() =>
            {
                AWAY_RETRY
            }
            Ok(_) | Err(RecoverError::Store(_) | RecoverError::Closed) => FAILED_RETRY,
        };
        self.agenda.put(later(Instant::now(), pause), order);
    }

    async fn manual(&mut self, request: Request) {
        // Whoever asks wants to know now, perhaps of another policy than the one by which a job rests.
        let manual = Order::new(request.kind, Trigger::Manual);
        let order = Order { dry_run: request.dry_run, resting: true, ..manual };
        let paid = if self.owed.something() { self.pay().await } else { Ok(()) };
        let result = match paid {
            Ok(()) => self.cycle(&order).await.map(|done| done.report),
            Err(error) => Err(error.into()),
        };
        // Whoever asked may have gone meanwhile; the run is on record all the same.
        let _gone = request.answer.send(result);
    }

    /// Gives the leases what our absence owes them.
    async fn pay(&mut self) -> Result<(), StoreError> {
        let paid = self.try_to_pay().await;
        match &paid {
            Ok(()) => self.owed.said = false,
            Err(error) => {
                self.owed.next_try = later(Instant::now(), STORE_RETRY);
                if self.owed.said {
                    debug!(area = AREA, %error, "the store is still away");
                } else {
                    warn!(area = AREA, %error, "the store is away; recovery waits for it");
                    self.owed.said = true;
                }
            }
        }
        paid
    }

    async fn try_to_pay(&mut self) -> Result<(), StoreError> {
        if !self.owed.shift.is_zero() {
            let shifted = self.engine.store.shift_leases(self.owed.shift).await;
            if matches!(shifted, Err(StoreError::OutcomeUnknown { .. })) {
                // Shifting twice would be worse than not at all; a grace is safe either way.
                self.owed.grace = true;
                self.owed.shift = TimeDelta::zero();
            }
            let leases = shifted?;
            self.owed.shift = TimeDelta::zero();
            info!(area = AREA, leases, "leases shifted by the jump of the clock");
        }
        if self.owed.grace {
            let until = after(self.engine.clock.now(), self.engine.config.reclaim_grace);
            let leases = self.engine.store.grant_grace(until).await?;
            self.owed.grace = false;
            if leases > 0 {
                info!(area = AREA, leases, "running jobs got a grace for our own absence");
            }
        }
        Ok(())
    }

    /// Runs a cycle, and puts what it leaves on the agenda.
    async fn cycle(&mut self, order: &Order) -> Result<Done, RecoverError> {
        self.show(Some(CycleRunning { until: after(self.engine.clock.now(), HOLD_FOR) }));
        let result = self.engine.cycles.run(order, &self.shutdown).await;
        match &result {
            Ok(Done { failure: Some(error), .. }) | Err(RecoverError::Store(error)) => {
                self.failed(order, error)
            }
            Ok(done) => self.ended(order, done),
            Err(error @ (RecoverError::Running(_) | RecoverError::Closed)) => {
                let (kind, trigger) = (order.kind.as_str(), order.trigger.as_str());
                debug!(area = AREA, kind, trigger, %error, "a recovery cycle has to wait");
            }
        }
        // Before the answer, so that whoever gets it can ask for the next one.
        self.show(None);
        result
    }

    fn ended(&mut self, order: &Order, done: &Done) {
        let now = self.engine.clock.now();
        self.engine.state.send_modify(|state| state.last_ended_at = Some(now));
        if order.dry_run {
            return;
        }
        let earlier = self.agenda.take_follow_up(order).and_then(|earlier| earlier.waits_until);
        let waits_until = earlier.max(order.waits_until).max(done.waits_until).filter(|until| *until > now);
        let pause = self.engine.config.drain_pause;
        let (pause, from) = match (&done.rest, waits_until) {
            (Some(rest), _) => (pause, rest.from.clone()),
            (None, Some(until)) => (pause.max(between(now, until)), None),
            (None, None) => return,
        };
        let next = Order { from, waits_until, resting: false, ..order.clone() };
        self.agenda.put(later(Instant::now(), pause), next);
    }

    fn failed(&mut self, order: &Order, error: &StoreError) {
        let (kind, trigger) = (order.kind.as_str(), order.trigger.as_str());
        let cause = std::error::Error::source(error).map(tracing::field::display);
        if error.is_transient() {
            warn!(area = AREA, kind, trigger, %error, cause, "a recovery cycle could not run");
            self.owed.grace = true;
            self.owed.next_try = later(Instant::now(), STORE_RETRY);
        } else {
            error!(area = AREA, kind, trigger, %error, cause, "a recovery cycle could not run");
        }
        let failure = Failure { at: self.engine.clock.now(), code: error.code(), error: error.to_string() };
        self.engine.state.send_modify(|state| {
            state.failures += 1;
            state.last_failure = Some(failure);
        });
    }

    /// Shows how it stands to the handles.
    fn show(&self, running: Option<CycleRunning>) {
        let next_run = self.agenda.next_comprehensive();
        self.engine.state.send_modify(|state| {
            state.running = running;
            state.next_run = next_run;
        });
    }
}
