//! What follows for health from what the store commits.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use chrono::{DateTime, Utc};
use reclaimer_domain::history::EventKind;
use reclaimer_domain::name::QueueName;
use reclaimer_domain::ports::{Change, Committed};
use reclaimer_health::{Success, Successes};

/// Of more queues than this it is not remembered when a job was last taken; they count as if one just was.
const MOST_QUEUES: usize = 10_000;

/// When jobs were last taken from each queue, and what became of recovered ones.
#[derive(Debug)]
pub(crate) struct Ledger {
    since: DateTime<Utc>,
    kept: Mutex<Kept>,
}

#[derive(Debug)]
struct Kept {
    taken: HashMap<QueueName, DateTime<Utc>>,
    successes: Successes,
}

impl Ledger {
    /// Nothing has happened yet.
    pub(crate) fn new(now: DateTime<Utc>) -> Self {
        let kept = Kept { taken: HashMap::new(), successes: Successes::new(now) };
        Self { since: now, kept: Mutex::new(kept) }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        // Every change is a few assignments.
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes notice of a group. Called by the writer.
    pub(crate) fn committed(&self, group: &Committed) {
        let mut kept = None;
        for change in &group.changes {
            let ended = recovered_job_ended(change);
            if ended.is_none() && change.entry.kind != EventKind::Claimed {
                continue;
            }
            let kept = kept.get_or_insert_with(|| self.kept());
            match ended {
                Some(finished) => kept.successes.ended(finished, change.entry.at),
                None => kept.took(&change.queue, change.entry.at),
            }
        }
    }

    /// When a job was last taken from a queue, as far as is known; the beginning counts as one.
    pub(super) fn last_taken(&self, queue: &QueueName) -> Option<DateTime<Utc>> {
        let kept = self.kept();
        let unknown = (kept.taken.len() < MOST_QUEUES).then_some(self.since);
        kept.taken.get(queue).copied().or(unknown)
    }

    /// What became of recovered jobs within a day.
    pub(super) fn successes(&self, now: DateTime<Utc>) -> Success {
        self.kept().successes.last_day(now)
    }
}

impl Kept {
    fn took(&mut self, queue: &QueueName, at: DateTime<Utc>) {
        if let Some(taken) = self.taken.get_mut(queue) {
            *taken = at;
        } else if self.taken.len() < MOST_QUEUES {
            self.taken.insert(queue.clone(), at);
        }
    }
}

/// Whether a job that recovery had queued again finished; `None` = it did not come to an end. One that a person gave up
/// says nothing of recovery.
fn recovered_job_ended(change: &Change) -> Option<bool> {
    if change.recoveries == 0 {
        return None;
    }
    match change.entry.kind {
        EventKind::Finished | EventKind::LateAccepted => Some(true),
        EventKind::Quarantined | EventKind::SetAside => Some(false),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use reclaimer_domain::history::{Actor, HistoryEntry};

    fn at(seconds: i64) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::days(20_000) + TimeDelta::seconds(seconds)
    }

    fn change(queue: &str, kind: EventKind, recoveries: u32, seconds: i64) -> Change {
        let entry = HistoryEntry {
            at: at(seconds),
            kind,
            from: None,
            to: None,
            actor: Actor::System,
            rule: None,
            reason: None,
            detail: None,
        };
        Change {
            event_id: 1,
            job: "J".parse().unwrap(),
            queue: queue.parse().unwrap(),
            command: "c".parse().unwrap(),
            run_at: at(0),
            recoveries,
            entry,
        }
    }

    fn tell(ledger: &Ledger, changes: Vec<Change>) {
        ledger.committed(&Committed { changes, ..Committed::default() });
    }

    #[test]
    fn only_what_recovery_had_queued_again_tells_of_its_success() {
        let ledger = Ledger::new(at(0));
        let ends = [
            (EventKind::Finished, 0),
            (EventKind::Quarantined, 0),
            (EventKind::Finished, 1),
            (EventKind::LateAccepted, 2),
            (EventKind::Quarantined, 3),
            (EventKind::Cancelled, 1),
            (EventKind::Failed, 1),
        ];
        tell(&ledger, ends.map(|(kind, recoveries)| change("q", kind, recoveries, 5)).into());
        let success = ledger.successes(at(10));
        assert_eq!((success.finished, success.ended), (2, 3));
    }

    #[test]
    fn it_is_known_when_a_queue_was_last_taken_from() {
        let ledger = Ledger::new(at(0));
        let queue: QueueName = "q".parse().unwrap();
        assert_eq!(ledger.last_taken(&queue), Some(at(0)), "nobody can tell of the time before");
        let changes = vec![change("q", EventKind::Claimed, 0, 7), change("other", EventKind::Claimed, 0, 8)];
        tell(&ledger, changes);
        tell(&ledger, vec![change("q", EventKind::Created, 0, 9)]);
        assert_eq!(ledger.last_taken(&queue), Some(at(7)));
    }

    #[test]
    fn of_too_many_queues_nothing_is_concluded() {
        let ledger = Ledger::new(at(0));
        let name = |number: usize| format!("q{number}");
        let claimed = |number| change(&name(number), EventKind::Claimed, 0, 7);
        tell(&ledger, (0..=MOST_QUEUES).map(claimed).collect());
        assert_eq!(ledger.last_taken(&name(3).parse().unwrap()), Some(at(7)));
        assert_eq!(ledger.last_taken(&name(MOST_QUEUES).parse().unwrap()), None);
    }
}
