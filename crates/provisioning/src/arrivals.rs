//! Who waits for which jobs, and waking as many of them as there are jobs.
//!
//! A claimer enters the line *before* it looks, so that nothing that arrives in between is missed. An arrival wakes the
//! first that it suits. One that was woken but goes away without having looked hands its wake-up on to the next.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use reclaimer_domain::name::{Command, QueueName};
use reclaimer_domain::ports::{Arrival, ArrivalSink};
use tokio::sync::Notify;

/// The line of waiting claimers. Made before the store, and given to both the store and the service.
#[derive(Debug, Default)]
pub struct Arrivals {
    line: Mutex<Line>,
}

#[derive(Debug, Default)]
struct Line {
    next: u64,
    /// In the order in which they came.
    waiters: BTreeMap<u64, Waiter>,
}

#[derive(Debug)]
struct Waiter {
    queue: Option<QueueName>,
    command: Option<Command>,
    /// What it was woken for and has not yet looked after.
    told: Option<Arrival>,
    /// The earliest moment at which something it may want falls due, as far as it was told.
    due: Option<DateTime<Utc>>,
    bell: Arc<Notify>,
}

impl Waiter {
    fn wants(&self, arrival: &Arrival) -> bool {
        self.queue.as_ref().is_none_or(|queue| *queue == arrival.queue)
            && self.command.as_ref().is_none_or(|command| *command == arrival.command)
    }
}

impl Arrivals {
    fn line(&self) -> MutexGuard<'_, Line> {
        // Every change of the line is one assignment: a panic cannot leave it half done.
        self.line.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Enters the line.
    pub(crate) fn enter(self: &Arc<Self>, queue: Option<QueueName>, command: Option<Command>) -> Place {
        let bell = Arc::new(Notify::new());
        let mut line = self.line();
        let number = line.next;
        line.next += 1;
        line.waiters
            .insert(number, Waiter { queue, command, told: None, due: None, bell: Arc::clone(&bell) });
        Place { arrivals: Arc::clone(self), number, bell }
    }

    /// How many wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.line().waiters.len()
    }
}

impl Line {
    /// Wakes the first that wants this and was not woken for something else.
    fn wake_one(&mut self, arrival: &Arrival) {
        let free = |waiter: &&mut Waiter| waiter.told.is_none() && waiter.wants(arrival);
        if let Some(waiter) = self.waiters.values_mut().find(free) {
            waiter.told = Some(arrival.clone());
            waiter.bell.notify_one();
        }
    }
}

impl ArrivalSink for Arrivals {
    fn arrived(&self, arrivals: &[Arrival]) {
        let mut line = self.line();
        for arrival in arrivals {
            // Whether its moment has come is the waiters' matter, who have a clock: each notes the earliest, and one
            // is woken to look.
            for waiter in line.waiters.values_mut().filter(|waiter| waiter.wants(arrival)) {
                waiter.due = Some(waiter.due.map_or(arrival.run_at, |due| due.min(arrival.run_at)));
            }
            line.wake_one(arrival);
        }
    }
}

/// A place in the line; leaves it when dropped.
#[derive(Debug)]
pub(crate) struct Place {
    arrivals: Arc<Arrivals>,
    number: u64,
    bell: Arc<Notify>,
}

impl Place {
    /// Waits until something arrives that suits. Tells at once when it has already.
    pub(crate) async fn rung(&self) {
        self.bell.notified().await;
    }

    /// Says that a look follows: what it was woken for is looked after.
    pub(crate) fn looks(&self) {
        if let Some(waiter) = self.arrivals.line().waiters.get_mut(&self.number) {
            waiter.told = None;
        }
    }

    /// The earliest moment after `now` at which something falls due, as far as arrivals told; forgets earlier ones.
    pub(crate) fn due_after(&self, now: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let mut line = self.arrivals.line();
        let waiter = line.waiters.get_mut(&self.number)?;
        waiter.due = waiter.due.filter(|due| *due > now);
        waiter.due
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut line = self.arrivals.line();
        if let Some(Waiter { told: Some(arrival), .. }) = line.waiters.remove(&self.number) {
            line.wake_one(&arrival);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use reclaimer_testkit::noon;

    fn arrival(queue: &str) -> Arrival {
        Arrival { queue: queue.parse().unwrap(), command: "X".parse().unwrap(), run_at: noon() }
    }

    fn is_told(place: &Place) -> bool {
        place.arrivals.line().waiters[&place.number].told.is_some()
    }

    #[test]
    fn as_many_are_woken_as_jobs_arrive_in_the_order_of_the_line() {
        let arrivals = Arc::new(Arrivals::default());
        let places: Vec<Place> = (0..4).map(|_| arrivals.enter(None, None)).collect();
        arrivals.arrived(&[arrival("a"), arrival("a")]);
        assert_eq!(places.iter().map(is_told).collect::<Vec<_>>(), [true, true, false, false]);
    }

    #[test]
    fn only_those_are_woken_whom_it_suits() {
        let arrivals = Arc::new(Arrivals::default());
        let other = arrivals.enter(Some("b".parse().unwrap()), None);
        let command = arrivals.enter(Some("a".parse().unwrap()), Some("Y".parse().unwrap()));
        let right = arrivals.enter(Some("a".parse().unwrap()), Some("X".parse().unwrap()));
        arrivals.arrived(&[arrival("a")]);
        assert_eq!((is_told(&other), is_told(&command), is_told(&right)), (false, false, true));
    }

    #[test]
    fn a_wake_up_that_nobody_looked_after_goes_to_the_next() {
        let arrivals = Arc::new(Arrivals::default());
        let (gone, next) = (arrivals.enter(None, None), arrivals.enter(None, None));
        arrivals.arrived(&[arrival("a")]);
        drop(gone);
        assert!(is_told(&next));
        next.looks();
        drop(next);
        assert_eq!(arrivals.waiting(), 0);
    }
}
