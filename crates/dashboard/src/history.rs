//! What went through lately and which rules decided, counted as the store commits it: charts and hit counts cost no look
//! at the tables. A restart begins anew; pages say since when they count.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use reclaimer_domain::history::{EventKind, HistoryEntry};
use reclaimer_domain::name::RuleName;
use reclaimer_domain::ports::Committed;

/// So many minutes are kept.
pub(crate) const MINUTES: usize = 60;

/// Of more rules than this none is counted: policies are smaller, and memory is bounded.
const MOST_RULES: usize = 1_000;

/// The last hour, minute by minute, and how often each rule decided.
#[derive(Debug)]
pub struct History {
    since: DateTime<Utc>,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    /// The minute with the number `n` is at `n % MINUTES`.
    minutes: [Minute; MINUTES],
    rules: BTreeMap<RuleName, Hits>,
}

/// What happened within one minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Minute {
    /// Counted from 1970.
    number: i64,
    pub(crate) finished: u64,
    pub(crate) failed: u64,
    /// Queued again by recovery, after a failure or a loss.
    pub(crate) recovered: u64,
    /// Set aside for a person.
    pub(crate) quarantined: u64,
}

impl Minute {
    /// When it began.
    pub(crate) fn begins(&self) -> DateTime<Utc> {
        DateTime::from_timestamp(self.number.saturating_mul(60), 0).unwrap_or_default()
    }

    fn count(&mut self, kind: EventKind) {
        let counter = match kind {
            EventKind::Finished | EventKind::LateAccepted => &mut self.finished,
            EventKind::Failed => &mut self.failed,
            EventKind::Recovered | EventKind::Reclaimed => &mut self.recovered,
            EventKind::Quarantined | EventKind::SetAside => &mut self.quarantined,
            _ => return,
        };
        *counter += 1;
    }
}

/// What a rule decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Hits {
    /// Jobs that it queued again.
    pub(crate) requeued: u64,
    /// Jobs that it set aside.
    pub(crate) quarantined: u64,
    /// Jobs that it let wait or left; counted once per reason, as it is recorded.
    pub(crate) left: u64,
    /// When it last decided.
    pub(crate) last: DateTime<Utc>,
}

impl History {
    /// Nothing has happened yet.
    #[must_use]
    pub fn new(now: DateTime<Utc>) -> Self {
        let kept = Kept { minutes: [Minute::default(); MINUTES], rules: BTreeMap::new() };
        Self { since: now, kept: Mutex::new(kept) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every change is a few additions.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes notice of what became durable. Called by the store's writer: it costs a few additions per event.
    pub fn committed(&self, group: &Committed) {
        if group.changes.is_empty() {
            return;
        }
        let mut kept = self.kept();
        for change in &group.changes {
            kept.event(&change.entry);
        }
    }

    /// Since when it counts.
    pub(crate) fn since(&self) -> DateTime<Utc> {
        self.since
    }

    /// The last hour up to the minute of `now`, oldest first.
    pub(crate) fn last_hour(&self, now: DateTime<Utc>) -> Vec<Minute> {
        let (kept, last) = (self.kept(), number_of(now));
        let first = last - MINUTES as i64 + 1;
        let minute = |number| {
            let found = kept.minutes[place(number)];
            if found.number == number { found } else { Minute { number, ..Minute::default() } }
        };
        (first..=last).map(minute).collect()
    }

    /// What each rule decided.
    pub(crate) fn hits(&self) -> BTreeMap<RuleName, Hits> {
        self.kept().rules.clone()
    }
}

impl Kept {
    fn event(&mut self, entry: &HistoryEntry) {
        let number = number_of(entry.at);
        let minute = &mut self.minutes[place(number)];
        if minute.number < number {
            *minute = Minute { number, ..Minute::default() };
        }
        if minute.number == number {
            minute.count(entry.kind);
        }
        if let Some(rule) = &entry.rule {
            self.rule(rule, entry);
        }
    }

    fn rule(&mut self, rule: &RuleName, entry: &HistoryEntry) {
        if !self.rules.contains_key(rule) {
            if self.rules.len() >= MOST_RULES {
                return;
            }
            self.rules.insert(rule.clone(), Hits::default());
        }
        let Some(hits) = self.rules.get_mut(rule) else { return };
        match entry.kind {
            EventKind::Recovered | EventKind::Reclaimed => hits.requeued += 1,
            EventKind::Quarantined => hits.quarantined += 1,
            EventKind::NotRecovered => hits.left += 1,
            _ => return,
        }
        hits.last = hits.last.max(entry.at);
    }
}

fn number_of(at: DateTime<Utc>) -> i64 {
    at.timestamp().div_euclid(60)
}

fn place(number: i64) -> usize {
    usize::try_from(number.rem_euclid(MINUTES as i64)).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use reclaimer_domain::history::Actor;
    use reclaimer_domain::ports::Change;

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(seconds)
    }

    fn tell(history: &History, events: &[(EventKind, Option<&str>, i64)]) {
        let change = |(kind, rule, seconds): &(EventKind, Option<&str>, i64)| Change {
            event_id: 1,
            job: "J".parse().unwrap(),
            queue: "q".parse().unwrap(),
            command: "c".parse().unwrap(),
            run_at: at(0),
            recoveries: 0,
            entry: HistoryEntry {
                at: at(*seconds),
                kind: *kind,
                from: None,
                to: None,
                actor: Actor::System,
                rule: rule.map(|rule| rule.parse().unwrap()),
                reason: None,
                detail: None,
            },
        };
        history
            .committed(&Committed { changes: events.iter().map(change).collect(), ..Committed::default() });
    }

    #[test]
    fn an_hour_is_kept_minute_by_minute() {
        let history = History::new(at(0));
        let finished = |seconds| (EventKind::Finished, None, seconds);
        tell(&history, &[finished(0), finished(59), finished(60), (EventKind::Failed, None, 61)]);
        let hour = history.last_hour(at(125));
        assert_eq!(hour.len(), MINUTES);
        let last: Vec<_> = hour[MINUTES - 3..].iter().map(|it| (it.finished, it.failed)).collect();
        assert_eq!(last, [(2, 0), (1, 1), (0, 0)]);
        assert_eq!(hour[MINUTES - 3].begins(), at(0));
        // An hour later the same places hold other minutes, and what comes late is not counted among them.
        tell(&history, &[finished(3_600), finished(1)]);
        let hour = history.last_hour(at(3_600));
        assert_eq!(
            hour.iter().map(|it| it.finished).sum::<u64>(),
            2,
            "the minute from 60 s on, and the last one"
        );
        assert_eq!(history.last_hour(at(100_000)).iter().map(|it| it.finished).sum::<u64>(), 0);
    }

    #[test]
    fn rules_are_counted_by_what_they_decided() {
        let history = History::new(at(0));
        let events = [
            (EventKind::Reclaimed, Some("stuck"), 1),
            (EventKind::Recovered, Some("stuck"), 2),
            (EventKind::Quarantined, Some("poison"), 3),
            (EventKind::NotRecovered, Some("stuck"), 4),
            (EventKind::Finished, None, 5),
        ];
        tell(&history, &events);
        let hits = history.hits();
        let stuck = Hits { requeued: 2, quarantined: 0, left: 1, last: at(4) };
        assert_eq!(hits[&"stuck".parse::<RuleName>().unwrap()], stuck);
        assert_eq!(hits.len(), 2);
        let minute = history.last_hour(at(59)).pop().unwrap();
        assert_eq!((minute.recovered, minute.quarantined, minute.finished), (2, 1, 1));
    }

    #[test]
    fn names_of_rules_do_not_pile_up() {
        let history = History::new(at(0));
        for number in 0..=MOST_RULES {
            tell(&history, &[(EventKind::Recovered, Some(&format!("r{number}")), 1)]);
        }
        assert_eq!(history.hits().len(), MOST_RULES);
    }
}
