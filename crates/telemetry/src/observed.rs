//! What is looked at only when somebody asks.

use std::sync::atomic::AtomicU64;

use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;
use reclaimer_domain::ports::QueueState;
use reclaimer_health::{BreakerState, Figures, Health, Status};

use crate::catalogue;
use crate::labels::{Bounded, Indicator, Link, Place, Queue, Version, Worker};
use crate::tally::seconds_since;

/// What was seen of a server at one moment.
#[derive(Debug, Clone, Copy)]
pub struct Observed<'a> {
    /// How it is doing.
    pub health: &'a Health,
    /// Its queues; empty where they could not be read.
    pub queues: &'a [QueueState],
    /// How many operations wait to be written.
    pub waiting: usize,
    /// The moment.
    pub now: DateTime<Utc>,
}

type Gauges<L> = Family<L, Gauge>;

/// Series of one moment, made anew for each answer, so that none outlives what it is about.
#[derive(Debug, Default)]
struct Series {
    jobs: Gauges<Place>,
    oldest: Family<Queue, Gauge<f64, AtomicU64>>,
    stuck: Gauge,
    breaker: Gauges<Link>,
    transitions: Family<Link, Counter>,
    failures: Gauges<Link>,
    connected: Gauges<Link>,
    restarts: Family<Worker, Counter>,
    queue_depth: Gauge,
    health: Gauge,
    indicators: Gauges<Indicator>,
    build: Gauges<Version>,
}

impl Observed<'_> {
    /// A registry of what was seen.
    pub(crate) fn registry(&self, queues: &Bounded, version: &'static str) -> Registry {
        let series = Series::default();
        self.fill(&series, queues);
        series.build.get_or_create(&Version { version }).set(1);
        let mut registry = Registry::default();
        catalogue::JOBS.register(&mut registry, series.jobs);
        catalogue::OLDEST_QUEUED.register(&mut registry, series.oldest);
        catalogue::STUCK.register(&mut registry, series.stuck);
        catalogue::BREAKER_STATE.register(&mut registry, series.breaker);
        catalogue::BREAKER_TRANSITIONS.register(&mut registry, series.transitions);
        catalogue::LINK_FAILURES.register(&mut registry, series.failures);
        catalogue::LINK_CONNECTED.register(&mut registry, series.connected);
        catalogue::WORKER_RESTARTS.register(&mut registry, series.restarts);
        catalogue::QUEUE_DEPTH.register(&mut registry, series.queue_depth);
        catalogue::HEALTH.register(&mut registry, series.health);
        catalogue::INDICATOR.register(&mut registry, series.indicators);
        catalogue::BUILD.register(&mut registry, series.build);
        registry
    }

    fn fill(&self, series: &Series, queues: &Bounded) {
        for state in self.queues {
            let queue = || queues.fold(state.name.as_str()).to_owned();
            for (status, jobs) in &state.jobs {
                let place = Place { queue: queue(), status: status.as_str() };
                series.jobs.get_or_create(&place).inc_by(whole(*jobs));
            }
            let waited = state.oldest_queued.map_or(0.0, |at| seconds_since(at, self.now));
            let oldest = series.oldest.get_or_create_owned(&Queue { queue: queue() });
            oldest.set(oldest.get().max(waited));
        }
        series.queue_depth.set(i64::try_from(self.waiting).unwrap_or(i64::MAX));
        series.health.set(number(self.health.status));
        for indicator in &self.health.indicators {
            match &indicator.figures {
                Figures::Link(link) => {
                    let name = Link { link: link.name.clone() };
                    series.connected.get_or_create(&name).set(i64::from(link.connected));
                    series.failures.get_or_create(&name).set(whole(link.connection_failures));
                    if let Some(breaker) = &link.breaker {
                        series.breaker.get_or_create(&name).set(match breaker.state {
                            BreakerState::Closed | BreakerState::ForcedClosed => 0,
                            BreakerState::HalfOpen => 1,
                            BreakerState::Open | BreakerState::ForcedOpen => 2,
                        });
                        series.transitions.get_or_create(&name).inc_by(breaker.transitions);
                    }
                }
                Figures::Process(process) => {
                    let worker = Worker { worker: process.worker.clone() };
                    series.restarts.get_or_create(&worker).inc_by(process.restarts);
                }
                Figures::Queues(Some(queues)) => _ = series.stuck.set(whole(queues.stuck)),
                // There may be any number of them, and their names come and go.
                Figures::Worker(_) | Figures::Queue(_) if indicator.status == Status::Ok => continue,
                _ => {}
            }
            let key = Indicator { kind: indicator.figures.kind(), name: indicator.name.clone() };
            let worst = series.indicators.get_or_create_owned(&key);
            worst.set(worst.get().max(number(indicator.status)));
        }
    }
}

fn whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

fn number(status: Status) -> i64 {
    match status {
        Status::Ok => 0,
        Status::Degraded => 1,
        Status::Down => 2,
    }
}
