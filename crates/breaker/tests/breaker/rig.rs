//! A machine with its time and chance, and a breaker on a clock that is moved by hand.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rand::SeedableRng;
use rand::rngs::StdRng;
use reclaimer_breaker::machine::{Machine, Outcome, Ticket};
use reclaimer_breaker::{Breaker, CircuitOpen, Command, Deps, Event, Settings, State};

pub(crate) fn millis(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

pub(crate) fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// The default settings without jitter: open times are what they should be.
pub(crate) fn exact() -> Settings {
    Settings { jitter: 0.0, ..Settings::default() }
}

/// A machine that remembers its time, its generator and all it has said.
pub(crate) struct Rig {
    pub(crate) machine: Machine,
    pub(crate) now: Duration,
    pub(crate) events: Vec<Event>,
    rng: StdRng,
}

impl Rig {
    pub(crate) fn new(settings: Settings) -> Self {
        Self::seeded(settings, 7)
    }

    pub(crate) fn seeded(settings: Settings, seed: u64) -> Self {
        let machine = Machine::try_new(settings, Duration::ZERO).unwrap();
        Self { machine, now: Duration::ZERO, events: Vec::new(), rng: StdRng::seed_from_u64(seed) }
    }

    pub(crate) fn acquire(&mut self) -> Result<Ticket, CircuitOpen> {
        let (answer, events) = self.machine.acquire(self.now, &mut self.rng);
        self.events.extend(events);
        answer
    }

    pub(crate) fn report(&mut self, ticket: Ticket, outcome: Outcome) {
        self.events.extend(self.machine.report(ticket, outcome, self.now, &mut self.rng));
    }

    pub(crate) fn command(&mut self, command: Command) {
        self.events.extend(self.machine.command(command, self.now, &mut self.rng));
    }

    pub(crate) fn look(&mut self) {
        self.events.extend(self.machine.advance(self.now, &mut self.rng));
    }

    pub(crate) fn wait(&mut self, time: Duration) {
        self.now += time;
        self.look();
    }

    /// A call that takes no time.
    #[track_caller]
    pub(crate) fn call(&mut self, outcome: Outcome) {
        let ticket = self.acquire().unwrap();
        self.report(ticket, outcome);
    }

    /// So many failures, and how long the circuit is open for then.
    #[track_caller]
    pub(crate) fn fail(&mut self, times: u32) -> Duration {
        for _ in 0..times {
            self.call(Outcome::Failure);
        }
        assert_eq!(self.state(), State::Open);
        self.machine.snapshot().next_probe_at.unwrap() - self.now
    }

    pub(crate) fn state(&self) -> State {
        self.machine.snapshot().state
    }
}

/// A clock in milliseconds.
#[derive(Clone, Default)]
pub(crate) struct Hands(Arc<AtomicU64>);

impl Hands {
    pub(crate) fn advance(&self, by: Duration) {
        self.0.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn now(&self) -> Duration {
        millis(self.0.load(Ordering::SeqCst))
    }
}

/// All events that a breaker told its listener of.
pub(crate) type Log = Arc<Mutex<Vec<Event>>>;

/// A breaker, its clock and its log.
pub(crate) fn breaker(settings: Settings) -> (Breaker, Hands, Log) {
    let (hands, log) = (Hands::default(), Log::default());
    let (clock, events) = (hands.clone(), Arc::clone(&log));
    let deps = Deps {
        clock: Arc::new(move || clock.now()),
        listener: Some(Arc::new(move |event: &Event| events.lock().unwrap().push(event.clone()))),
        ..Deps::new(StdRng::seed_from_u64(7))
    };
    (Breaker::try_new(settings, deps).unwrap(), hands, log)
}
