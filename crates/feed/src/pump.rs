//! The beat of the feed: it wakes readers, counts each second, and looks at what does not tell of itself.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::{Clock, JobStore};
use reclaimer_domain::time::millis_of;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::event::{BreakerChange, Event, Stats, WorkerChange, WorkerOf};
use crate::feed::Feed;

/// Readers are woken at most so often: what happens within is told at once.
const TOGETHER: Duration = Duration::from_millis(20);

/// Statistics come so often.
const EACH: Duration = Duration::from_secs(1);

/// After the last reader went, events are kept for so many seconds: a browser that lost its connection comes back.
const LINGERS: u32 = 60;

/// Links and workers as they are now.
pub trait Fleet: Send + Sync + fmt::Debug {
    /// Looks at all of them.
    fn look(&self) -> Sight;
}

/// Links and workers at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Sight {
    /// The breakers, by their links' names.
    pub breakers: BTreeMap<String, Breaker>,
    /// The workers, by what they are and their names, each with its state.
    pub workers: BTreeMap<WorkerKey, &'static str>,
}

/// A breaker as it is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker {
    /// Its state.
    pub state: &'static str,
    /// How many attempts failed in a row.
    pub consecutive_failures: u32,
    /// When the next probe may be made.
    pub next_probe_at: Option<DateTime<Utc>>,
}

/// Whose state it is.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum WorkerKey {
    /// A connection's.
    Connection {
        /// Over which link.
        link: String,
        /// The worker's name.
        worker: String,
    },
    /// A supervised process's.
    Process(String),
}

/// Keeps the feed going.
#[derive(Debug)]
pub struct Pump {
    feed: Arc<Feed>,
    jobs: Arc<dyn JobStore>,
    fleet: Arc<dyn Fleet>,
    clock: Arc<dyn Clock>,
}

impl Pump {
    /// Puts it together.
    #[must_use]
    pub fn new(
        feed: Arc<Feed>,
        jobs: Arc<dyn JobStore>,
        fleet: Arc<dyn Fleet>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { feed, jobs, fleet, clock }
    }

    /// Runs until `shutdown` is cancelled. While nobody listens it does nothing.
    pub async fn run(self, shutdown: CancellationToken) {
        loop {
            tokio::select! {
                () = self.feed.news.notified() => {}
                () = shutdown.cancelled() => return,
            }
            let ended = shutdown.run_until_cancelled(self.while_heard()).await;
            if ended.is_none() {
                return;
            }
        }
    }

    /// Until nobody has listened for a while.
    async fn while_heard(&self) {
        let mut seen = self.fleet.look();
        let mut each = interval(EACH);
        each.set_missed_tick_behavior(MissedTickBehavior::Delay);
        each.reset();
        let mut since = Instant::now();
        let mut alone = 0;
        self.wake();
        loop {
            tokio::select! {
                () = self.feed.news.notified() => {
                    self.wake();
                    sleep(TOGETHER).await;
                }
                now = each.tick() => {
                    {
                        let mut heard = self.feed.heard();
                        alone = if heard.readers == 0 { alone + 1 } else { 0 };
                        if alone > LINGERS {
                            return heard.rest();
                        }
                    }
                    let look = self.fleet.look();
                    for event in changes(&seen, &look, self.clock.now()) {
                        self.feed.tell(&event);
                    }
                    seen = look;
                    let within = now.saturating_duration_since(since);
                    since = now;
                    self.count(within).await;
                }
            }
        }
    }

    /// Wakes the readers. It is not done by whoever tells: with many readers it takes a while.
    fn wake(&self) {
        let next = self.feed.heard().ring.next();
        self.feed.next.send_replace(next);
    }

    async fn count(&self, within: Duration) {
        let queues = timeout(EACH, self.jobs.queues()).await.ok().and_then(Result::ok);
        let jobs = queues.map(|queues| {
            let counts = queues.iter().flat_map(|queue| &queue.jobs);
            let of = |status| counts.clone().filter(|(it, _)| *it == status).map(|(_, jobs)| jobs).sum();
            Status::ALL.into_iter().map(|status| (status, of(status))).collect()
        });
        let flow = std::mem::take(&mut self.feed.heard().flow);
        let (at, within_ms) = (self.clock.now(), millis_of(within));
        self.feed.tell(&Event::Stats(Stats { at, jobs, flow, within_ms }));
    }
}

/// What changed between two looks.
fn changes(before: &Sight, now: &Sight, at: DateTime<Utc>) -> Vec<Event> {
    let breakers = now.breakers.iter().filter_map(|(link, breaker)| {
        let from = before.breakers.get(link).map_or("closed", |before| before.state);
        let Breaker { state: to, consecutive_failures, next_probe_at } = *breaker;
        let changed = BreakerChange { link: link.clone(), at, from, to, consecutive_failures, next_probe_at };
        (from != to).then_some(Event::Breaker(changed))
    });
    let gone = before.workers.keys().filter(|key| !now.workers.contains_key(key));
    let workers = now.workers.keys().chain(gone).filter_map(|key| {
        let (from, to) = (before.workers.get(key).copied(), now.workers.get(key).copied());
        let (name, of, link) = match key {
            WorkerKey::Connection { link, worker } => (worker, WorkerOf::Connection, Some(link.clone())),
            WorkerKey::Process(name) => (name, WorkerOf::Process, None),
        };
        (from != to).then(|| Event::Worker(WorkerChange { name: name.clone(), of, at, link, from, to }))
    });
    breakers.chain(workers).collect()
}

#[cfg(test)]
mod tests;
