//! When the engine does what: pure bookkeeping of moments.

use chrono::{DateTime, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Status;
use reclaimer_domain::recovery::{RecoveryType, Trigger};
use std::time::Duration;
use tokio::time::Instant;

use crate::config::Config;

/// Where a search for candidates ended.
pub(crate) type Cursor = (Status, JobId);

/// A cycle to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Order {
    /// What it looks at.
    pub(crate) kind: RecoveryType,
    /// Whether of the running jobs it looks only at those whose lease expired.
    pub(crate) expired_leases_only: bool,
    /// Whether it looks also at jobs that rest.
    pub(crate) resting: bool,
    /// What set it off.
    pub(crate) trigger: Trigger,
    /// Whether it changes nothing.
    pub(crate) dry_run: bool,
    /// Where an earlier cycle broke off.
    pub(crate) from: Option<Cursor>,
    /// Until when jobs wait that earlier cycles left because the budget was used up.
    pub(crate) waits_until: Option<DateTime<Utc>>,
}

impl Order {
    /// A cycle over everything of a kind.
    pub(crate) fn new(kind: RecoveryType, trigger: Trigger) -> Self {
        Self {
            kind,
            expired_leases_only: false,
            resting: false,
            trigger,
            dry_run: false,
            from: None,
            waits_until: None,
        }
    }

    /// A look for expired leases.
    fn lease_watch() -> Self {
        Self { expired_leases_only: true, ..Self::new(RecoveryType::Stuck, Trigger::LeaseWatch) }
    }

    fn looks_at_the_same_as(&self, other: &Self) -> bool {
        (self.kind, self.expired_leases_only) == (other.kind, other.expired_leases_only)
    }
}

/// What the engine will do by itself, and when.
#[derive(Debug)]
pub(crate) struct Agenda {
    interval: Duration,
    lease_check: Duration,
    startup: Option<Instant>,
    periodic: Option<Instant>,
    lease_watch: Option<Instant>,
    /// What is left of earlier cycles; at most one of those that look at the same.
    follow_ups: Vec<(Instant, Order)>,
}

impl Agenda {
    /// The agenda of an engine that starts now. Nothing comes before the startup run.
    pub(crate) fn new(config: &Config, now: Instant) -> Self {
        let startup = later(now, config.startup_delay);
        let if_enabled = |at| config.enabled.then_some(at);
        Self {
            interval: config.interval,
            lease_check: config.lease_check,
            startup: if_enabled(startup),
            periodic: if_enabled(later(now, config.interval)),
            lease_watch: if_enabled(later(startup, config.lease_check)),
            follow_ups: Vec::new(),
        }
    }

    /// When the next cycle is due; `None` = never, unless somebody asks.
    pub(crate) fn next(&self) -> Option<Instant> {
        let regular = [self.startup, self.periodic, self.lease_watch];
        regular.into_iter().flatten().chain(self.follow_ups.iter().map(|(at, _)| *at)).min()
    }

    /// When the next cycle is due that looks at everything.
    pub(crate) fn next_comprehensive(&self) -> Option<Instant> {
        let follow_ups =
            self.follow_ups.iter().filter(|(_, order)| order.kind == RecoveryType::Comprehensive);
        [self.startup, self.periodic].into_iter().flatten().chain(follow_ups.map(|(at, _)| *at)).min()
    }

    /// Takes one cycle that is due at `now` off the agenda. What recurs is put on again, counted from `now` where more
    /// than one turn was missed: turns are never made up for in a burst.
    pub(crate) fn take_due(&mut self, now: Instant) -> Option<Order> {
        let due = |at: &mut Instant| *at <= now;
        if self.startup.take_if(due).is_some() {
            return Some(Order::new(RecoveryType::Comprehensive, Trigger::Startup));
        }
        if let Some(at) = self.periodic.filter(|at| *at <= now) {
            self.periodic = Some(turn_after(at, self.interval, now));
            return Some(Order::new(RecoveryType::Comprehensive, Trigger::Periodic));
        }
        if let Some(index) = self.follow_ups.iter().position(|(at, _)| *at <= now) {
            return Some(self.follow_ups.swap_remove(index).1);
        }
        let at = self.lease_watch.filter(|at| *at <= now)?;
        self.lease_watch = Some(turn_after(at, self.lease_check, now));
        Some(Order::lease_watch())
    }

    /// Puts a cycle on the agenda, in place of one that looks at the same.
    pub(crate) fn put(&mut self, at: Instant, order: Order) {
        self.take_follow_up(&order);
        self.follow_ups.push((at, order));
    }

    /// Takes the follow-up that looks at the same as this cycle off the agenda.
    pub(crate) fn take_follow_up(&mut self, order: &Order) -> Option<Order> {
        let index = self.follow_ups.iter().position(|(_, other)| other.looks_at_the_same_as(order))?;
        Some(self.follow_ups.swap_remove(index).1)
    }
}

/// The next turn of something that recurs and was due at `at`.
fn turn_after(at: Instant, every: Duration, now: Instant) -> Instant {
    let next = later(at, every);
    if next > now { next } else { later(now, every) }
}

/// `at` plus a length of time, held a hundred years ahead instead of overflowing.
pub(crate) fn later(at: Instant, length: Duration) -> Instant {
    const FAR: Duration = Duration::from_secs(100 * 365 * 86_400);
    at.checked_add(length.min(FAR)).unwrap_or(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn words(order: Option<Order>) -> Option<(&'static str, &'static str)> {
        order.map(|order| (order.trigger.as_str(), order.kind.as_str()))
    }

    #[test]
    fn each_has_its_turn() {
        let start = Instant::now();
        let mut agenda = Agenda::new(&Config::default(), start);
        assert_eq!(agenda.next(), Some(start + SECOND * 3));
        assert_eq!(agenda.take_due(start + SECOND * 2), None);
        assert_eq!(words(agenda.take_due(start + SECOND * 3)), Some(("startup", "comprehensive")));
        assert_eq!(agenda.next(), Some(start + SECOND * 8), "the lease watch follows the startup run");
        assert_eq!(agenda.next_comprehensive(), Some(start + SECOND * 1_800));
        assert_eq!(words(agenda.take_due(start + SECOND * 8)), Some(("lease_watch", "stuck")));
        assert_eq!(agenda.next(), Some(start + SECOND * 13));
    }

    #[test]
    fn missed_turns_are_not_made_up_for() {
        let start = Instant::now();
        let mut agenda = Agenda::new(&Config::default(), start);
        let much_later = start + SECOND * 100_000;
        let mut taken = Vec::new();
        while let Some(order) = agenda.take_due(much_later) {
            taken.push(order.trigger.as_str());
        }
        assert_eq!(taken, ["startup", "periodic", "lease_watch"]);
        assert_eq!(agenda.next(), Some(much_later + SECOND * 5));
    }

    #[test]
    fn a_switched_off_engine_has_only_follow_ups() {
        let start = Instant::now();
        let mut agenda = Agenda::new(&Config { enabled: false, ..Config::default() }, start);
        assert_eq!(agenda.next(), None);
        let order = Order::new(RecoveryType::Failed, Trigger::Manual);
        agenda.put(start + SECOND, order.clone());
        agenda.put(start + SECOND * 2, order.clone());
        assert_eq!(agenda.next(), Some(start + SECOND * 2), "one follow-up of a kind");
        assert_eq!(agenda.take_due(start + SECOND * 2), Some(order));
        assert_eq!(agenda.next(), None);
    }

    #[test]
    fn endless_times_do_not_overflow() {
        let start = Instant::now();
        let config = Config { interval: Duration::MAX, startup_delay: Duration::MAX, ..Config::default() };
        assert!(Agenda::new(&config, start).next() > Some(start));
    }
}
