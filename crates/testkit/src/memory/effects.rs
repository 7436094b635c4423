//! What a write means to the world outside the data.

use std::sync::Mutex;

use chrono::{DateTime, TimeDelta, Utc};
use reclaimer_domain::job::{Job, Lease, Status};
use reclaimer_domain::ports::{Arrival, Change, Committed, Flow, StoreListener, Taken, TakenLease};

/// Gathered while a write is made, told after it, forgotten when it fails.
#[derive(Debug, Default)]
pub(super) struct Effects {
    pub(super) arrivals: Vec<Arrival>,
    taken: Vec<TakenLease>,
    pub(super) changes: Vec<Change>,
    flow: Vec<(DateTime<Utc>, Flow)>,
}

impl Effects {
    /// A job waits for a worker, if that is what became of it.
    pub(super) fn now_waits(&mut self, job: &Job) {
        if job.status == Status::Queued {
            self.arrivals.push(arrival(job));
        }
    }

    /// A job's lease was taken from its holder.
    pub(super) fn lease_taken(&mut self, job: &Job, lease: Option<Lease>, why: Taken) {
        self.taken.extend(lease.map(|lease| TakenLease { job: job.id.clone(), token: lease.token, why }));
    }

    /// Counts what goes through at `now`.
    pub(super) fn count(&mut self, flow: Flow, now: DateTime<Utc>) {
        self.flow.push((now, flow));
    }

    pub(super) fn tell(self, listener: &dyn StoreListener, meter: &Mutex<FlowMeter>) {
        if !self.flow.is_empty()
            && let Ok(mut meter) = meter.lock()
        {
            meter.0.extend(self.flow);
        }
        if !self.arrivals.is_empty() {
            listener.arrived(&self.arrivals);
        }
        if !self.taken.is_empty() {
            listener.taken(&self.taken);
        }
        listener.committed(&Committed { operations: 1, changes: self.changes, ..Committed::default() });
    }
}

/// What a listener is told of a queued job.
pub(super) fn arrival(job: &Job) -> Arrival {
    Arrival { queue: job.queue.clone(), command: job.command.clone(), run_at: job.run_at }
}

/// What went through this server, and when.
#[derive(Debug, Default)]
pub(super) struct FlowMeter(Vec<(DateTime<Utc>, Flow)>);

impl FlowMeter {
    /// What went through within the minute before `now`.
    pub(super) fn last_minute(&self, now: DateTime<Utc>) -> Flow {
        let recent = self.0.iter().filter(|(at, _)| *at <= now && now - *at < TimeDelta::minutes(1));
        recent.fold(Flow::default(), |sum, (_, flow)| Flow {
            claims: sum.claims + flow.claims,
            requeues: sum.requeues + flow.requeues,
        })
    }
}
