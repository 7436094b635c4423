//! A model of the machine: it keeps everything that happens, and counts it anew for each question.

use std::time::Duration;

use reclaimer_breaker::machine::Outcome;
use reclaimer_breaker::{Command, Event, Rate, Settings, Snapshot, State, Window};

/// The events that the machine told of, as far as they were not expected yet.
type Told<'a> = std::slice::Iter<'a, Event>;

/// A permit, as the model sees it. There is one for every permit ever given.
#[derive(Debug, Clone, Copy)]
struct Call {
    generation: usize,
    began: Duration,
    ended: Option<(Duration, Outcome)>,
}

/// What began a generation.
#[derive(Debug, Clone, Copy)]
struct Begin {
    state: State,
    at: Duration,
    /// Until when it is open.
    until: Option<Duration>,
}

/// All that ever happened. Nothing is counted in advance: each question is answered by going through it.
pub(crate) struct Model {
    settings: Settings,
    pub(crate) now: Duration,
    calls: Vec<Call>,
    /// The numbers of the calls that were reported in time, in that order.
    ended: Vec<usize>,
    generations: Vec<Begin>,
    /// The generation in which the circuit was last reset.
    reset: usize,
}

impl Model {
    pub(crate) fn new(settings: Settings) -> Self {
        let first = Begin { state: State::Closed, at: Duration::ZERO, until: None };
        let (calls, ended) = (Vec::new(), Vec::new());
        Self { settings, now: Duration::ZERO, calls, ended, generations: vec![first], reset: 0 }
    }

    fn present(&self) -> Begin {
        *self.generations.last().unwrap()
    }

    fn ours(&self) -> impl Iterator<Item = &Call> {
        let generation = self.generations.len() - 1;
        self.calls.iter().filter(move |call| call.generation == generation)
    }

    fn in_flight(&self) -> impl Iterator<Item = &Call> {
        self.ours().filter(|call| call.ended.is_none())
    }

    fn ended_with(&self, outcome: Outcome) -> u32 {
        let with = self.ours().filter(|call| call.ended.is_some_and(|(_, ended)| ended == outcome));
        with.count().try_into().unwrap()
    }

    /// The calls that count, since it last closed and before it opened, in the order in which they ended: when, whether
    /// failed, whether slow.
    fn outcomes(&self) -> Vec<(Duration, bool, bool)> {
        let slow_after = self.settings.slow_calls.map_or(Duration::MAX, |slow_calls| slow_calls.slow_after);
        let closed = |begin: &Begin| matches!(begin.state, State::Closed | State::ForcedClosed);
        let generation = self.generations.iter().rposition(closed).unwrap();
        let ours = self.ended.iter().map(|number| self.calls[*number]);
        ours.filter(|call| call.generation == generation)
            .filter_map(|call| call.ended.map(|(at, outcome)| (at, outcome, at - call.began >= slow_after)))
            .filter(|(_, outcome, _)| *outcome != Outcome::Abandoned)
            .map(|(at, outcome, slow)| (at, outcome == Outcome::Failure, slow))
            .collect()
    }

    /// How many calls a window holds, and how many hits, given when each ended and whether it was a hit.
    fn within(&self, window: Window, ended: &[(Duration, bool)]) -> (u64, u64) {
        let held: Vec<bool> = match window {
            Window::Calls(most) => ended.iter().rev().take(most as usize).map(|(_, hit)| *hit).collect(),
            Window::Time(time) => {
                let tenth = |at: Duration| at.as_nanos() * 10 / time.as_nanos();
                let held = ended.iter().filter(|(at, _)| tenth(*at) + 10 > tenth(self.now));
                held.map(|(_, hit)| *hit).collect()
            }
        };
        (held.len() as u64, held.iter().filter(|hit| **hit).count() as u64)
    }

    fn too_much(&self, rate: &Rate, ended: &[(Duration, bool)]) -> bool {
        let (calls, hits) = self.within(rate.window, ended);
        calls >= u64::from(rate.min_calls) && hits as f64 / calls as f64 >= rate.threshold
    }

    fn trips(&self) -> Option<&'static str> {
        let outcomes = self.outcomes();
        let failed: Vec<_> = outcomes.iter().map(|(at, failed, _)| (*at, *failed)).collect();
        let slow: Vec<_> = outcomes.iter().map(|(at, _, slow)| (*at, *slow)).collect();
        let in_a_row = self.in_a_row();
        if self.settings.consecutive_failures.is_some_and(|most| in_a_row >= most) {
            return Some("consecutive_failures");
        }
        if self.settings.failure_rates.iter().any(|rate| self.too_much(rate, &failed)) {
            return Some("failure_rate");
        }
        let slow_calls = self.settings.slow_calls?;
        self.too_much(&slow_calls.rate, &slow).then_some("slow_calls")
    }

    fn in_a_row(&self) -> u32 {
        let outcomes = self.outcomes();
        outcomes.iter().rev().take_while(|(_, failed, _)| *failed).count().try_into().unwrap()
    }

    /// How often it opened, since the last reset and the last closed time that was long enough, before `at`.
    fn openings(&self, at: Duration) -> i32 {
        let ends = self.generations.iter().skip(1).map(|begin| begin.at).chain([at]);
        let mut openings = 0;
        for (number, (begin, end)) in self.generations.iter().zip(ends).enumerate() {
            let stable = begin.state == State::Closed && end - begin.at >= self.settings.stable_after;
            if stable || number == self.reset {
                openings = 0;
            }
            openings += i32::from(begin.state == State::Open);
        }
        openings
    }

    /// Expects a transition, and that it was told of.
    fn expect(&mut self, to: State, why: &str, at: Duration, told: &mut Told<'_>) {
        let event = told.next().unwrap_or_else(|| panic!("nothing was said of {why}"));
        assert_eq!(
            (event.from, event.to, event.reason.code(), event.at),
            (self.present().state, to, why, at)
        );
        assert_eq!(event.generation, self.generations.len() as u64);
        let until = event.next_probe_at.filter(|_| to == State::Open);
        match to {
            State::Open => {
                let Settings { open_for, open_factor, max_open_for, jitter, .. } = &self.settings;
                let grown = open_for.as_secs_f64() * open_factor.powi(self.openings(at));
                let capped = grown.min(max_open_for.as_secs_f64());
                let open = (until.unwrap() - at).as_secs_f64();
                let bounds = capped * (1.0 - jitter) - 1e-6..=capped * (1.0 + jitter) + 1e-6;
                assert!(bounds.contains(&open), "open for {open} s, not within {bounds:?}");
            }
            State::HalfOpen => assert_eq!(event.next_probe_at, Some(at)),
            State::Closed | State::ForcedOpen | State::ForcedClosed => assert_eq!(event.next_probe_at, None),
        }
        self.generations.push(Begin { state: to, at, until });
    }

    fn overdue_at(&self) -> Option<Duration> {
        let half_open = self.present().state == State::HalfOpen;
        let first = self.in_flight().map(|call| call.began + self.settings.probe_timeout).min();
        first.filter(|_| half_open)
    }

    pub(crate) fn pass_time(&mut self, told: &mut Told<'_>) {
        loop {
            if let Some(until) = self.present().until.filter(|until| *until <= self.now) {
                self.expect(State::HalfOpen, "open_time_over", until, told);
            } else if let Some(at) = self.overdue_at().filter(|at| *at <= self.now) {
                self.expect(State::Open, "probe_overdue", at, told);
            } else {
                return;
            }
        }
    }

    pub(crate) fn lets_through(&self) -> bool {
        match self.present().state {
            State::Closed | State::ForcedClosed => true,
            State::HalfOpen => self.in_flight().count() < self.settings.probes as usize,
            State::Open | State::ForcedOpen => false,
        }
    }

    /// A call begins.
    pub(crate) fn begin(&mut self) {
        self.calls.push(Call { generation: self.generations.len() - 1, began: self.now, ended: None });
    }

    pub(crate) fn report(&mut self, number: usize, outcome: Outcome, told: &mut Told<'_>) {
        if self.calls[number].generation != self.generations.len() - 1 {
            return;
        }
        self.calls[number].ended = Some((self.now, outcome));
        self.ended.push(number);
        let slow_after = self.settings.slow_calls.map(|slow_calls| slow_calls.slow_after);
        let slow = slow_after.is_some_and(|after| self.now - self.calls[number].began >= after);
        let now = self.now;
        match (self.present().state, outcome) {
            (State::Closed, Outcome::Success | Outcome::Failure) => {
                if let Some(why) = self.trips() {
                    self.expect(State::Open, why, now, told);
                }
            }
            (State::HalfOpen, Outcome::Failure) => self.expect(State::Open, "probe_failed", now, told),
            (State::HalfOpen, Outcome::Success) if slow => {
                self.expect(State::Open, "probe_slow", now, told);
            }
            (State::HalfOpen, Outcome::Success)
                if self.ended_with(Outcome::Success) == self.settings.probes_to_close =>
            {
                self.expect(State::Closed, "probes_succeeded", now, told);
            }
            (State::HalfOpen, Outcome::Abandoned)
                if self.ended_with(Outcome::Abandoned) == self.settings.max_abandoned_probes =>
            {
                self.expect(State::Open, "probes_abandoned", now, told);
            }
            _ => {}
        }
    }

    pub(crate) fn command(&mut self, command: Command, told: &mut Told<'_>) {
        let state = self.present().state;
        let to = match command {
            Command::ForceOpen => State::ForcedOpen,
            Command::ForceClosed => State::ForcedClosed,
            Command::Auto if state == State::ForcedOpen => State::HalfOpen,
            Command::Auto if state == State::ForcedClosed => State::Closed,
            Command::Auto => return,
            Command::Reset => State::Closed,
        };
        if to == state && command != Command::Reset {
            return;
        }
        self.expect(to, command.as_str(), self.now, told);
        if command == Command::Reset {
            self.reset = self.generations.len() - 1;
        }
    }

    pub(crate) fn check(&self, snapshot: &Snapshot) {
        let Begin { state, at: since, until } = self.present();
        assert_eq!((snapshot.state, snapshot.since, snapshot.at), (state, since, self.now));
        assert_eq!(snapshot.generation, self.generations.len() as u64 - 1);
        assert_eq!(i32::try_from(snapshot.openings).unwrap(), self.openings(self.now));
        let half_open = state == State::HalfOpen;
        let probe = half_open.then(|| if self.lets_through() { Some(self.now) } else { self.overdue_at() });
        assert_eq!(snapshot.next_probe_at, until.or(probe.flatten()));
        let probes = if half_open {
            (self.in_flight().count(), self.ended_with(Outcome::Success), self.ended_with(Outcome::Abandoned))
        } else {
            (0, 0, 0)
        };
        let seen = (snapshot.probes_in_flight as usize, snapshot.probes_succeeded, snapshot.probes_abandoned);
        assert_eq!(seen, probes);
        assert!(snapshot.probes_in_flight <= self.settings.probes);

        assert_eq!(snapshot.consecutive_failures, self.in_a_row());
        let outcomes = self.outcomes();
        let failed: Vec<_> = outcomes.iter().map(|(at, failed, _)| (*at, *failed)).collect();
        let slow: Vec<_> = outcomes.iter().map(|(at, _, slow)| (*at, *slow)).collect();
        for (rate, measured) in self.settings.failure_rates.iter().zip(&snapshot.failure_rates) {
            assert_eq!((measured.calls, measured.hits), self.within(rate.window, &failed));
        }
        if let (Some(slow_calls), Some(measured)) = (self.settings.slow_calls, snapshot.slow_calls) {
            assert_eq!((measured.calls, measured.hits), self.within(slow_calls.rate.window, &slow));
        }
    }
}
