//! The breaker itself: a synchronous state machine without a clock, a runtime or a random source of its own.
//!
//! | state \ event | acquire | success | failure | dropped | late report | time | force open | force closed | auto | reset |
//! |---|---|---|---|---|---|---|---|---|---|---|
//! | closed | permit | = | = | = | = | = | forced open | forced closed | = | closed |
//! | closed, one failure short | permit | = | open | = | = | = | forced open | forced closed | = | closed |
//! | open | refused | – | – | – | = | half-open | forced open | forced closed | = | closed |
//! | half-open, a probe free | probe | – | – | – | = | = | forced open | forced closed | = | closed |
//! | half-open, all probes out | refused | closed | open | = | = | open, half-open | forced open | forced closed | = | closed |
//! | half-open, one drop short | refused | closed | open | open | = | open, half-open | forced open | forced closed | = | closed |
//! | forced open | refused | – | – | – | = | = | = | forced closed | half-open | closed |
//! | forced closed | permit | = | = | = | = | = | forced open | = | closed | closed |
//!
//! `=` changes nothing; a dash cannot happen, because a state that lets nothing through has no permits out. *Late* is a
//! report of an older generation, whatever it says. *Time* is a long time in which nothing else happens. The table is
//! for one probe and one success; where more are needed, a success that is not the last leaves the state as it is.
//!
//! The three states and their names are those of Michael T. Nygard (*Release It!*, Pragmatic Bookshelf). What he leaves
//! open is decided here:
//!
//! - **Generations.** Each transition begins one, and a permit belongs to the generation that gave it. What a call of an
//!   earlier generation reports says nothing about the present state, and is ignored.
//! - **Time takes effect at its own moment.** Each method first carries out what time alone has brought about since the
//!   last, dated to when it was due. So it makes no difference who looks at a breaker, or when.
//! - **Time never goes back.** A moment before one that was already seen counts as that one.
//!
//! Moments are `Duration`s since an origin of the caller's choice, the same for all calls of one machine.

mod command;
mod event;
mod half_open;
mod open_time;
mod settings;
mod snapshot;
mod state;
mod tally;
mod window;

use std::time::Duration;

use rand::Rng;

pub use command::Command;
pub use event::{Event, Reason};
pub use settings::{InvalidSettings, Rate, Settings, SlowCalls, Window};
pub use snapshot::{CircuitOpen, Measured, Snapshot};
pub use state::State;

use half_open::HalfOpen;
use tally::Tally;

/// A state, with what belongs to it.
#[derive(Debug)]
enum Phase {
    Closed,
    Open { until: Duration },
    HalfOpen(HalfOpen),
    ForcedOpen,
    ForcedClosed,
}

impl Phase {
    fn state(&self) -> State {
        match self {
            Self::Closed => State::Closed,
            Self::Open { .. } => State::Open,
            Self::HalfOpen(_) => State::HalfOpen,
            Self::ForcedOpen => State::ForcedOpen,
            Self::ForcedClosed => State::ForcedClosed,
        }
    }
}

/// How a call ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// The dependency did what it is there for.
    Success,
    /// It did not.
    Failure,
    /// Nobody knows: the call was given up before it ended.
    Abandoned,
}

/// The right to make one call, used up by its report. A ticket is reported to the machine that gave it.
#[derive(Debug)]
#[must_use = "a ticket that is not reported holds its place until it is overdue"]
pub struct Ticket {
    generation: u64,
    number: u64,
    started: Duration,
    probe: bool,
}

impl Ticket {
    /// The generation that gave it.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the call is one of the few by which a half-open circuit finds out.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.probe
    }
}

/// The state machine.
#[derive(Debug)]
pub struct Machine {
    settings: Settings,
    phase: Phase,
    /// How many transitions there were.
    generation: u64,
    /// When the present state began.
    since: Duration,
    /// The latest moment seen.
    now: Duration,
    /// How often the circuit opened since it was last closed for long enough.
    openings: u32,
    tally: Tally,
    /// The number of the next ticket.
    next: u64,
}

impl Machine {
    /// A closed circuit.
    ///
    /// # Errors
    /// When the settings contradict themselves; see [`InvalidSettings`].
    pub fn try_new(settings: Settings, now: Duration) -> Result<Self, InvalidSettings> {
        settings.check()?;
        let tally = Tally::new(&settings);
        Ok(Self {
            settings,
            phase: Phase::Closed,
            generation: 0,
            since: now,
            now,
            openings: 0,
            tally,
            next: 0,
        })
    }

    /// Carries out what time alone has brought about: the end of an open time, a probe that is overdue. Returns the
    /// transitions in their order, as all methods do.
    pub fn advance<R: Rng + ?Sized>(&mut self, now: Duration, rng: &mut R) -> Vec<Event> {
        self.now = self.now.max(now);
        let mut events = Vec::new();
        loop {
            match &self.phase {
                Phase::Open { until } if *until <= self.now => {
                    let at = *until;
                    let phase = Phase::HalfOpen(HalfOpen::default());
                    events.push(self.enter(phase, Reason::OpenTimeOver, at));
                }
                Phase::HalfOpen(half_open) => match half_open.overdue_at() {
                    Some(at) if at <= self.now => events.push(self.open(Reason::ProbeOverdue, at, rng)),
                    Some(_) | None => return events,
                },
                Phase::Closed | Phase::Open { .. } | Phase::ForcedOpen | Phase::ForcedClosed => {
                    return events;
                }
            }
        }
    }

    /// Asks for the right to make a call. In a half-open circuit it is the reservation of a probe.
    pub fn acquire<R: Rng + ?Sized>(
        &mut self,
        now: Duration,
        rng: &mut R,
    ) -> (Result<Ticket, CircuitOpen>, Vec<Event>) {
        let events = self.advance(now, rng);
        if let Some(open) = self.refusal() {
            return (Err(open), events);
        }
        let number = self.next;
        self.next += 1;
        let probe = if let Phase::HalfOpen(half_open) = &mut self.phase {
            half_open.reserve(number, self.now.saturating_add(self.settings.probe_timeout));
            true
        } else {
            false
        };
        (Ok(Ticket { generation: self.generation, number, started: self.now, probe }), events)
    }

    /// Says how a call ended.
    pub fn report<R: Rng + ?Sized>(
        &mut self,
        ticket: Ticket,
        outcome: Outcome,
        now: Duration,
        rng: &mut R,
    ) -> Vec<Event> {
        let mut events = self.advance(now, rng);
        if ticket.generation != self.generation {
            return events;
        }
        let took = self.now.saturating_sub(ticket.started);
        let slow = self.settings.slow_calls.is_some_and(|slow_calls| took >= slow_calls.slow_after);
        match &mut self.phase {
            Phase::Closed => {
                if let Some(reason) = self.tally.record(outcome, slow, self.now) {
                    events.push(self.open(reason, self.now, rng));
                }
            }
            Phase::ForcedClosed => {
                self.tally.record(outcome, slow, self.now);
            }
            Phase::HalfOpen(half_open) => {
                match half_open.report(ticket.number, outcome, slow, &self.settings) {
                    Some(reason @ Reason::ProbesSucceeded(_)) => {
                        events.push(self.enter(Phase::Closed, reason, self.now));
                    }
                    Some(reason) => events.push(self.open(reason, self.now, rng)),
                    None => {}
                }
            }
            Phase::Open { .. } | Phase::ForcedOpen => {}
        }
        events
    }

    /// Carries out what a person orders.
    pub fn command<R: Rng + ?Sized>(&mut self, command: Command, now: Duration, rng: &mut R) -> Vec<Event> {
        let mut events = self.advance(now, rng);
        let phase = match (command, &self.phase) {
            (Command::ForceOpen, Phase::ForcedOpen) | (Command::ForceClosed, Phase::ForcedClosed) => None,
            (Command::ForceOpen, _) => Some(Phase::ForcedOpen),
            (Command::ForceClosed, _) => Some(Phase::ForcedClosed),
            // Nobody knows how the dependency fares; a probe finds out.
            (Command::Auto, Phase::ForcedOpen) => Some(Phase::HalfOpen(HalfOpen::default())),
            (Command::Auto, Phase::ForcedClosed) => Some(Phase::Closed),
            (Command::Auto, Phase::Closed | Phase::Open { .. } | Phase::HalfOpen(_)) => None,
            (Command::Reset, _) => Some(Phase::Closed),
        };
        if let Some(phase) = phase {
            events.push(self.enter(phase, Reason::Ordered(command), self.now));
        }
        if command == Command::Reset {
            self.openings = 0;
        }
        events
    }

    /// What [`acquire`](Self::acquire) would be refused with, as of the latest moment seen.
    #[must_use]
    pub fn refusal(&self) -> Option<CircuitOpen> {
        let refused = match &self.phase {
            Phase::Open { .. } | Phase::ForcedOpen => true,
            Phase::HalfOpen(half_open) => half_open.in_flight() >= self.settings.probes,
            Phase::Closed | Phase::ForcedClosed => false,
        };
        refused.then(|| CircuitOpen::new(self.phase.state(), self.next_probe_at(), self.now))
    }

    /// Everything there is to see, as of the latest moment seen.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let (in_flight, succeeded, abandoned) = match &self.phase {
            Phase::HalfOpen(half_open) => {
                (half_open.in_flight(), half_open.succeeded(), half_open.abandoned())
            }
            Phase::Closed | Phase::Open { .. } | Phase::ForcedOpen | Phase::ForcedClosed => (0, 0, 0),
        };
        Snapshot {
            at: self.now,
            state: self.phase.state(),
            since: self.since,
            generation: self.generation,
            next_probe_at: self.next_probe_at(),
            openings: self.openings_at(self.now),
            consecutive_failures: self.tally.consecutive_failures(),
            failure_rates: self.tally.failure_rates(self.now),
            slow_calls: self.tally.slow_calls(self.now),
            probes_in_flight: in_flight,
            probes_succeeded: succeeded,
            probes_abandoned: abandoned,
        }
    }

    fn next_probe_at(&self) -> Option<Duration> {
        match &self.phase {
            Phase::Open { until } => Some(*until),
            Phase::HalfOpen(half_open) if half_open.in_flight() < self.settings.probes => Some(self.now),
            // All are out; one may be reported any moment, and is overdue then.
            Phase::HalfOpen(half_open) => half_open.overdue_at(),
            Phase::Closed | Phase::ForcedOpen | Phase::ForcedClosed => None,
        }
    }

    /// How often the circuit opened in a row: a closed one that was stable has started anew.
    fn openings_at(&self, at: Duration) -> u32 {
        let closed_for = at.saturating_sub(self.since);
        let stable = matches!(self.phase, Phase::Closed) && closed_for >= self.settings.stable_after;
        if stable { 0 } else { self.openings }
    }

    fn open<R: Rng + ?Sized>(&mut self, reason: Reason, at: Duration, rng: &mut R) -> Event {
        let until = at.saturating_add(open_time::draw(&self.settings, self.openings_at(at), rng));
        let event = self.enter(Phase::Open { until }, reason, at);
        self.openings = self.openings.saturating_add(1);
        event
    }

    /// Every transition there is.
    fn enter(&mut self, phase: Phase, reason: Reason, at: Duration) -> Event {
        let from = self.phase.state();
        let next_probe_at = match &phase {
            Phase::Open { until } => Some(*until),
            Phase::HalfOpen(_) => Some(at),
            Phase::Closed | Phase::ForcedOpen | Phase::ForcedClosed => None,
        };
        self.openings = self.openings_at(at);
        self.phase = phase;
        self.generation += 1;
        self.since = at;
        // While it is open, what opened it stays to be seen.
        if matches!(self.phase, Phase::Closed | Phase::ForcedClosed) {
            self.tally = Tally::new(&self.settings);
        }
        Event { generation: self.generation, from, to: self.phase.state(), reason, at, next_probe_at }
    }
}
