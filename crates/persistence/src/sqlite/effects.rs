//! What a committed group means to the world outside the database.

use chrono::{DateTime, Utc};
use reclaimer_domain::history::HistoryEntry;
use reclaimer_domain::job::{Job, Lease, Status};
use reclaimer_domain::ports::{Arrival, Change, Flow, Taken, TakenLease};

use super::ahead::Ahead;
use super::counts::Counts;

/// Gathered while operations run, told after their commit, forgotten when they fail.
#[derive(Debug, Default)]
pub(crate) struct Effects {
    pub(crate) arrivals: Vec<Arrival>,
    pub(crate) taken: Vec<TakenLease>,
    pub(crate) changes: Vec<Change>,
    /// Which jobs are counted under another state or queue.
    pub(crate) counts: Counts,
    /// What claims have found and not yet taken.
    pub(crate) claims: Ahead,
    /// What went through, and when.
    pub(crate) flow: Vec<(DateTime<Utc>, Flow)>,
}

/// How far effects had been gathered when an operation began.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Mark {
    arrivals: usize,
    taken: usize,
    changes: usize,
    counts: usize,
    flow: usize,
}

impl Effects {
    /// A job waits for a worker, if that is what became of it.
    pub(crate) fn now_waits(&mut self, job: &Job) {
        if job.status == Status::Queued {
            self.arrivals.push(arrival(job));
        }
    }

    /// A job's lease was taken from its holder.
    pub(crate) fn lease_taken(&mut self, job: &Job, lease: Option<Lease>, why: Taken) {
        self.taken.extend(lease.map(|lease| TakenLease { job: job.id.clone(), token: lease.token, why }));
    }

    /// Something happened to a job, which is as that left it.
    pub(crate) fn happened(&mut self, event_id: i64, job: &Job, entry: HistoryEntry) {
        self.changes.push(Change {
            event_id,
            job: job.id.clone(),
            queue: job.queue.clone(),
            command: job.command.clone(),
            run_at: job.run_at,
            recoveries: job.recoveries,
            entry,
        });
    }

    /// The id of the last event that was appended, if one was.
    pub(crate) fn last_event(&self) -> Option<i64> {
        self.changes.last().map(|change| change.event_id)
    }

    /// Counts what goes through at `now`.
    pub(crate) fn count(&mut self, flow: Flow, now: DateTime<Utc>) {
        match self.flow.last_mut() {
            Some((at, counted)) if *at == now => {
                counted.claims += flow.claims;
                counted.requeues += flow.requeues;
            }
            _ => self.flow.push((now, flow)),
        }
    }

    pub(crate) fn mark(&self) -> Mark {
        Mark {
            arrivals: self.arrivals.len(),
            taken: self.taken.len(),
            changes: self.changes.len(),
            counts: self.counts.len(),
            flow: self.flow.len(),
        }
    }

    /// Forgets what a failed operation gathered.
    pub(crate) fn forget_since(&mut self, mark: Mark) {
        self.arrivals.truncate(mark.arrivals);
        self.taken.truncate(mark.taken);
        self.changes.truncate(mark.changes);
        self.counts.truncate(mark.counts);
        self.flow.truncate(mark.flow);
    }
}

/// What a listener is told of a queued job.
pub(crate) fn arrival(job: &Job) -> Arrival {
    Arrival { queue: job.queue.clone(), command: job.command.clone(), run_at: job.run_at }
}

/// Counts what went through in the last minute, by seconds.
#[derive(Debug)]
pub(crate) struct FlowMeter {
    seconds: [(i64, Flow); 60],
}

impl Default for FlowMeter {
    fn default() -> Self {
        Self { seconds: [(i64::MIN, Flow::default()); 60] }
    }
}

impl FlowMeter {
    /// Counts what was committed at `now`.
    pub(crate) fn add(&mut self, flow: Flow, now: DateTime<Utc>) {
        if flow == Flow::default() {
            return;
        }
        let second = now.timestamp();
        let slot = &mut self.seconds[usize::try_from(second.rem_euclid(60)).unwrap_or(0)];
        if slot.0 != second {
            *slot = (second, Flow::default());
        }
        slot.1.claims += flow.claims;
        slot.1.requeues += flow.requeues;
    }

    /// What went through within the minute before `now`.
    pub(crate) fn last_minute(&self, now: DateTime<Utc>) -> Flow {
        let second = now.timestamp();
        let recent = self.seconds.iter().filter(|(at, _)| (second - 59..=second).contains(at));
        recent.fold(Flow::default(), |sum, (_, flow)| Flow {
            claims: sum.claims + flow.claims,
            requeues: sum.requeues + flow.requeues,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::Duration;
    use reclaimer_testkit::noon;

    #[test]
    fn a_minute_is_counted_and_older_seconds_are_not() {
        let mut meter = FlowMeter::default();
        for second in 0..120 {
            meter.add(Flow { claims: 1, requeues: 2 }, noon() + Duration::seconds(second));
        }
        let at = |second| meter.last_minute(noon() + Duration::seconds(second));
        assert_eq!(at(119), Flow { claims: 60, requeues: 120 });
        assert_eq!(at(149), Flow { claims: 30, requeues: 60 });
        assert_eq!(at(500), Flow::default());
    }
}
