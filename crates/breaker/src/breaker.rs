//! The handle that callers share.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rand::Rng;

use crate::clock::{Clock, TokioClock};
use crate::listener::{Listener, Outbox};
use crate::machine::{
    CircuitOpen, Command, Event, InvalidSettings, Machine, Outcome, Settings, Snapshot, Ticket,
};
use crate::permit::Permit;

/// What a breaker needs from outside.
pub struct Deps {
    /// Where the time comes from.
    pub clock: Arc<dyn Clock>,
    /// Where chance comes from, which spreads the open times.
    pub rng: Box<dyn Rng + Send>,
    /// Who is told of transitions.
    pub listener: Option<Arc<dyn Listener>>,
}

impl Deps {
    /// Tokio's clock, this generator, and no listener.
    #[must_use]
    pub fn new(rng: impl Rng + Send + 'static) -> Self {
        Self { clock: Arc::new(TokioClock::new()), rng: Box::new(rng), listener: None }
    }
}

impl fmt::Debug for Deps {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Deps").finish_non_exhaustive()
    }
}

/// A circuit breaker. Clones are handles of the same one.
///
/// Nothing in it waits: its lock is held for the few steps of the [machine](crate::machine) and never while other code
/// runs. It starts no timer either; what time brings about shows when next somebody asks.
#[derive(Clone)]
pub struct Breaker {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    core: Mutex<Core>,
    listener: Option<Arc<dyn Listener>>,
    outbox: Outbox,
}

struct Core {
    machine: Machine,
    rng: Box<dyn Rng + Send>,
}

impl Breaker {
    /// A closed circuit.
    ///
    /// # Errors
    /// When the settings contradict themselves; see [`InvalidSettings`].
    pub fn try_new(settings: Settings, deps: Deps) -> Result<Self, InvalidSettings> {
        let Deps { clock, rng, listener } = deps;
        let machine = Machine::try_new(settings, clock.now())?;
        let core = Mutex::new(Core { machine, rng });
        Ok(Self { shared: Arc::new(Shared { clock, core, listener, outbox: Outbox::default() }) })
    }

    /// Asks for the right to make a call.
    ///
    /// # Errors
    /// [`CircuitOpen`] while the circuit is open, or half-open with all its probes under way.
    pub fn try_acquire(&self) -> Result<Permit, CircuitOpen> {
        let ticket = self.step(|machine, now, rng| machine.acquire(now, rng))?;
        Ok(Permit::new(self.clone(), ticket))
    }

    /// What [`try_acquire`](Self::try_acquire) would answer now, without reserving anything.
    ///
    /// # Errors
    /// As for `try_acquire`.
    pub fn check(&self) -> Result<(), CircuitOpen> {
        self.step(|machine, now, rng| {
            let events = machine.advance(now, rng);
            (machine.refusal().map_or(Ok(()), Err), events)
        })
    }

    /// Refuses every call until ordered otherwise.
    pub fn force_open(&self) {
        self.command(Command::ForceOpen);
    }

    /// Lets every call through until ordered otherwise.
    pub fn force_closed(&self) {
        self.command(Command::ForceClosed);
    }

    /// Takes a force away: from forced open to half-open, from forced closed to closed.
    pub fn auto(&self) {
        self.command(Command::Auto);
    }

    /// Closes, whatever the state, and forgets all that was counted.
    pub fn reset(&self) {
        self.command(Command::Reset);
    }

    /// Carries out an order, as the four methods above do.
    pub fn command(&self, command: Command) {
        self.step(|machine, now, rng| ((), machine.command(command, now, rng)));
    }

    /// Everything there is to see.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        self.step(|machine, now, rng| {
            let events = machine.advance(now, rng);
            (machine.snapshot(), events)
        })
    }

    /// The present moment on its clock, in which its moments are given.
    #[must_use]
    pub fn now(&self) -> Duration {
        self.shared.clock.now()
    }

    pub(crate) fn report(&self, ticket: Ticket, outcome: Outcome) {
        self.step(|machine, now, rng| ((), machine.report(ticket, outcome, now, rng)));
    }

    fn core(&self) -> MutexGuard<'_, Core> {
        // The only foreign code under the lock is the generator; it is asked before anything changes.
        self.shared.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step<T>(&self, act: impl FnOnce(&mut Machine, Duration, &mut dyn Rng) -> (T, Vec<Event>)) -> T {
        let now = self.shared.clock.now();
        let mut core = self.core();
        let Core { machine, rng } = &mut *core;
        let (answer, events) = act(machine, now, rng);
        if let Some(listener) = self.shared.listener.as_deref().filter(|_| !events.is_empty()) {
            // Before the lock is given back, so that events wait in their order.
            self.shared.outbox.put(events);
            drop(core);
            self.shared.outbox.tell(listener);
        }
        answer
    }
}

impl fmt::Debug for Breaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Breaker").field("machine", &self.core().machine).finish_non_exhaustive()
    }
}
