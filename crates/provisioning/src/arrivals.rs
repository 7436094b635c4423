//! Who waits for which jobs, and waking as many of them as there are jobs.
//!
//! A claimer takes a place in the line *before* it looks, so that nothing that arrives in between is missed. Places that
//! want the same (queue, command) form a group.
//!
//! - A job that **arrives due** wakes the first free place that wants it, in whichever group. A place that goes away, or
//!   whose look fails, hands what it was told on to the next.
//! - For jobs that **fall due later** each group keeps the earliest moment it knows of. Its first place alone keeps time
//!   for it: one look at that moment, not one per waiter. A look that found jobs then passes the turn on, because more
//!   may be due, and because only a look tells what falls due next.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use reclaimer_domain::name::{Command, QueueName};
use reclaimer_domain::ports::{Arrival, Clock, Committed, StoreListener, TakenLease};
use tokio::sync::Notify;

/// The line of waiting claimers. Made before the store, and given to both the store and the service.
#[derive(Debug)]
pub struct Arrivals {
    clock: Arc<dyn Clock>,
    line: Mutex<Line>,
}

/// What the places of a group want.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Wanted {
    pub(crate) queue: Option<QueueName>,
    /// Any of these; empty = any.
    pub(crate) commands: Vec<Command>,
}

impl Wanted {
    fn suits(&self, arrival: &Arrival) -> bool {
        self.queue.as_ref().is_none_or(|queue| *queue == arrival.queue)
            && (self.commands.is_empty() || self.commands.contains(&arrival.command))
    }
}

/// Why a place is to look.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Told {
    /// This arrived, due.
    Arrived(Arrival),
    /// Something of its group fell due.
    FellDue,
}

#[derive(Debug)]
struct Waiter {
    wanted: Wanted,
    /// Why it is to look, and has not begun to.
    told: Option<Told>,
    /// Why it looks now.
    looking: Option<Told>,
    /// The earliest moment that was noted since its look began, which the look may have missed.
    noted: Option<DateTime<Utc>>,
    bell: Arc<Notify>,
}

/// Places that want the same, by their numbers.
#[derive(Debug, Default)]
struct Group {
    members: BTreeSet<u64>,
    /// Those that were not told to look.
    free: BTreeSet<u64>,
    /// Those that look.
    looking: BTreeSet<u64>,
    /// The earliest moment at which something falls due, as far as is known.
    due: Option<DateTime<Utc>>,
}

#[derive(Debug, Default)]
struct Line {
    next: u64,
    waiters: HashMap<u64, Waiter>,
    groups: HashMap<Wanted, Group>,
}

impl Line {
    fn tell(&mut self, number: u64, told: Told) {
        let Some(waiter) = self.waiters.get_mut(&number) else { return };
        waiter.told = Some(told);
        waiter.bell.notify_one();
        if let Some(group) = self.groups.get_mut(&waiter.wanted) {
            group.free.remove(&number);
        }
    }

    /// Tells the first free place that wants this.
    fn tell_one(&mut self, arrival: &Arrival) {
        let suits = self.groups.iter().filter(|(wanted, _)| wanted.suits(arrival));
        if let Some(first) = suits.filter_map(|(_, group)| group.free.first().copied()).min() {
            self.tell(first, Told::Arrived(arrival.clone()));
        }
    }

    /// Passes on what a place was told and did not look after.
    fn pass_on(&mut self, wanted: &Wanted, told: Told) {
        match told {
            Told::Arrived(arrival) => self.tell_one(&arrival),
            Told::FellDue => {
                if let Some(next) = self.groups.get(wanted).and_then(|group| group.free.first().copied()) {
                    self.tell(next, Told::FellDue);
                }
            }
        }
    }

    /// Something falls due later: the timekeepers whom it interests are to know, if it is earlier than what they knew.
    fn note_due(&mut self, arrival: &Arrival) {
        for (_, group) in self.groups.iter_mut().filter(|(wanted, _)| wanted.suits(arrival)) {
            for number in &group.looking {
                if let Some(waiter) = self.waiters.get_mut(number) {
                    waiter.noted = earlier(waiter.noted, Some(arrival.run_at));
                }
            }
            if group.due.is_none_or(|due| arrival.run_at < due) {
                group.due = Some(arrival.run_at);
                group.wind(&self.waiters);
            }
        }
    }

    /// Has a group's timekeeper set its alarm anew.
    fn wind(&self, wanted: &Wanted) {
        if let Some(group) = self.groups.get(wanted) {
            group.wind(&self.waiters);
        }
    }
}

impl Group {
    fn wind(&self, waiters: &HashMap<u64, Waiter>) {
        if let Some(waiter) = self.members.first().and_then(|first| waiters.get(first)) {
            waiter.bell.notify_one();
        }
    }
}

fn earlier(one: Option<DateTime<Utc>>, other: Option<DateTime<Utc>>) -> Option<DateTime<Utc>> {
    [one, other].into_iter().flatten().min()
}

impl Arrivals {
    /// An empty line; `clock` is the one by which jobs fall due.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, line: Mutex::default() }
    }

    fn line(&self) -> MutexGuard<'_, Line> {
        // A panic in here could at worst cost a wake-up, and there is no code in here that panics.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a place in the line.
    pub(crate) fn enter(self: &Arc<Self>, wanted: Wanted) -> Place {
        let bell = Arc::new(Notify::new());
        let mut line = self.line();
        let number = line.next;
        line.next += 1;
        let group = line.groups.entry(wanted.clone()).or_default();
        group.members.insert(number);
        group.free.insert(number);
        let waiter = Waiter { wanted, told: None, looking: None, noted: None, bell: Arc::clone(&bell) };
        line.waiters.insert(number, waiter);
        Place { arrivals: Arc::clone(self), number, bell }
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.line().waiters.len()
    }
}

impl StoreListener for Arrivals {
    fn arrived(&self, arrivals: &[Arrival]) {
        let now = self.clock.now();
        let mut line = self.line();
        if line.waiters.is_empty() {
            return;
        }
        for arrival in arrivals {
            if arrival.run_at <= now {
                line.tell_one(arrival);
            } else {
                line.note_due(arrival);
            }
        }
    }

    fn taken(&self, _: &[TakenLease]) {}

    fn committed(&self, _: &Committed) {}
}

/// A place in the line; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    arrivals: Arc<Arrivals>,
    number: u64,
    bell: Arc<Notify>,
}

impl Place {
    /// Waits until there is a reason to look, or to set the alarm anew. Tells at once when there was one already.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Whether it was told to look.
    pub(crate) fn is_told(&self) -> bool {
        self.arrivals.line().waiters.get(&self.number).is_some_and(|waiter| waiter.told.is_some())
    }

    /// The moment at which this place is to look for its group, if it keeps time for it.
    pub(crate) fn alarm(&self) -> Option<DateTime<Utc>> {
        let line = self.arrivals.line();
        let group = line.groups.get(&line.waiters.get(&self.number)?.wanted)?;
        group.due.filter(|_| group.members.first() == Some(&self.number))
    }

    /// Its alarm rang: it looks for its group.
    pub(crate) fn fell_due(&self) {
        self.arrivals.line().tell(self.number, Told::FellDue);
    }

    /// A look begins.
    pub(crate) fn begin_look(&self) {
        let mut line = self.arrivals.line();
        let line = &mut *line;
        if let Some(waiter) = line.waiters.get_mut(&self.number) {
            if waiter.told.is_some() {
                waiter.looking = waiter.told.take();
            }
            waiter.noted = None;
            if let Some(group) = line.groups.get_mut(&waiter.wanted) {
                group.free.insert(self.number);
                group.looking.insert(self.number);
            }
        }
    }

    /// A look at what was due at `now` ended: with jobs, or with the moment at which the next one falls due.
    pub(crate) fn end_look(&self, now: DateTime<Utc>, found: bool, next_due: Option<DateTime<Utc>>) {
        let mut line = self.arrivals.line();
        let line = &mut *line;
        let Some(waiter) = line.waiters.get_mut(&self.number) else { return };
        let (looked_for, noted) = (waiter.looking.take(), waiter.noted.take());
        let wanted = waiter.wanted.clone();
        let mut fell_due = looked_for == Some(Told::FellDue);
        if let Some(group) = line.groups.get_mut(&wanted) {
            group.looking.remove(&self.number);
            fell_due |= group.due.is_some_and(|due| due <= now);
            // What fell due until then was looked after.
            group.due = earlier(earlier(next_due, noted), group.due.filter(|due| *due > now));
            // Whoever takes the jobs is about to leave.
            if found {
                group.free.remove(&self.number);
            }
        }
        if found && fell_due {
            line.pass_on(&wanted, Told::FellDue);
        }
        line.wind(&wanted);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = self.arrivals.line();
        let Some(waiter) = line.waiters.remove(&self.number) else { return };
        let wanted = waiter.wanted;
        let mut kept_time = false;
        if let Some(group) = line.groups.get_mut(&wanted) {
            kept_time = group.members.first() == Some(&self.number);
            group.members.remove(&self.number);
            group.free.remove(&self.number);
            group.looking.remove(&self.number);
            if group.members.is_empty() {
                line.groups.remove(&wanted);
            }
        }
        for told in [waiter.looking, waiter.told].into_iter().flatten() {
            line.pass_on(&wanted, told);
        }
        if kept_time {
            line.wind(&wanted);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reclaimer_testkit::{ManualClock, noon};
    use std::time::Duration;

    const SECOND: Duration = Duration::from_secs(1);

    fn line() -> (Arc<Arrivals>, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::default());
        (Arc::new(Arrivals::new(Arc::clone(&clock) as Arc<dyn Clock>)), clock)
    }

    fn anything() -> Wanted {
        Wanted { queue: None, commands: Vec::new() }
    }

    fn arrival(queue: &str) -> Arrival {
        Arrival { queue: queue.parse().unwrap(), command: "X".parse().unwrap(), run_at: noon() }
    }

    fn later(seconds: u32) -> Arrival {
        Arrival { run_at: noon() + SECOND * seconds, ..arrival("a") }
    }

    fn told(places: &[Place]) -> Vec<bool> {
        places.iter().map(Place::is_told).collect()
    }

    #[test]
    fn as_many_are_woken_as_jobs_arrive_in_the_order_of_the_line() {
        let (arrivals, _) = line();
        let places: Vec<Place> = (0..4).map(|_| arrivals.enter(anything())).collect();
        arrivals.arrived(&[arrival("a"), arrival("a")]);
        assert_eq!(told(&places), [true, true, false, false]);
    }

    #[test]
    fn only_those_are_woken_whom_it_suits() {
        let (arrivals, _) = line();
        let wanted = |queue: &str, command: &str| Wanted {
            queue: Some(queue.parse().unwrap()),
            commands: vec![command.parse().unwrap()],
        };
        let places = [
            arrivals.enter(wanted("b", "X")),
            arrivals.enter(wanted("a", "Y")),
            arrivals.enter(wanted("a", "X")),
        ];
        arrivals.arrived(&[arrival("a")]);
        assert_eq!(told(&places), [false, false, true]);
    }

    #[test]
    fn a_wake_up_that_nobody_looked_after_goes_to_the_next() {
        let (arrivals, _) = line();
        let (gone, next) = (arrivals.enter(anything()), arrivals.enter(anything()));
        arrivals.arrived(&[arrival("a")]);
        drop(gone);
        assert!(next.is_told());
        next.begin_look();
        next.end_look(noon(), false, None);
        drop(next);
        assert_eq!(arrivals.waiting(), 0);
        assert!(arrivals.line().groups.is_empty());
    }

    #[test]
    fn a_look_that_fails_hands_its_wake_up_on() {
        let (arrivals, _) = line();
        let (fails, next) = (arrivals.enter(anything()), arrivals.enter(anything()));
        arrivals.arrived(&[arrival("a")]);
        fails.begin_look();
        drop(fails);
        assert!(next.is_told());
    }

    #[test]
    fn what_arrives_during_a_look_is_another_reason_to_look() {
        let (arrivals, _) = line();
        let place = arrivals.enter(anything());
        arrivals.arrived(&[arrival("a")]);
        place.begin_look();
        arrivals.arrived(&[arrival("a")]);
        place.end_look(noon(), false, None);
        assert!(place.is_told());
    }

    #[test]
    fn the_first_keeps_time_for_its_group_and_hands_it_on() {
        let (arrivals, clock) = line();
        let places: Vec<Place> = (0..3).map(|_| arrivals.enter(anything())).collect();
        arrivals.arrived(&[later(8)]);
        assert_eq!(told(&places), [false; 3], "nobody looks before it is due");
        let alarms = |places: &[Place]| places.iter().map(Place::alarm).collect::<Vec<_>>();
        let due = Some(noon() + SECOND * 8);
        assert_eq!(alarms(&places), [due, None, None]);
        // A job that is due now takes the first away; the second keeps time from then on.
        clock.advance(SECOND);
        arrivals.arrived(&[arrival("a")]);
        places[0].begin_look();
        places[0].end_look(noon() + SECOND, true, None);
        let rest: Vec<Place> = places.into_iter().skip(1).collect();
        assert_eq!(alarms(&rest), [due, None]);
        assert_eq!(told(&rest), [false, false]);
    }

    #[test]
    fn a_turn_goes_round_while_jobs_are_found() {
        let (arrivals, _) = line();
        let places: Vec<Place> = (0..3).map(|_| arrivals.enter(anything())).collect();
        let (now, next) = (noon() + SECOND * 8, noon() + SECOND * 60);
        places[0].fell_due();
        places[0].begin_look();
        places[0].end_look(now, true, None);
        assert_eq!(told(&places), [false, true, false], "more may be due");
        places[1].begin_look();
        places[1].end_look(now, false, Some(next));
        assert_eq!(told(&places), [false, false, false], "nothing was left");
        drop(places.into_iter().next());
    }

    #[test]
    fn a_look_for_an_arrival_that_takes_what_fell_due_passes_the_turn_on() {
        let (arrivals, clock) = line();
        let places: Vec<Place> = (0..2).map(|_| arrivals.enter(anything())).collect();
        arrivals.arrived(&[later(8)]);
        clock.advance(SECOND * 8);
        // The alarm has not rung yet when another job arrives, and the look finds the one that fell due.
        arrivals.arrived(&[later(8)]);
        places[0].begin_look();
        places[0].end_look(noon() + SECOND * 8, true, None);
        assert_eq!(told(&places), [false, true]);
    }

    #[test]
    fn an_earlier_moment_is_kept_and_a_past_one_dropped() {
        let (arrivals, _) = line();
        let place = arrivals.enter(anything());
        arrivals.arrived(&[later(9), later(5), later(7)]);
        assert_eq!(place.alarm(), Some(noon() + SECOND * 5));
        place.begin_look();
        arrivals.arrived(&[later(6)]);
        place.end_look(noon() + SECOND * 5, false, Some(noon() + SECOND * 7));
        assert_eq!(place.alarm(), Some(noon() + SECOND * 6), "the look may have missed what came meanwhile");
    }
}
