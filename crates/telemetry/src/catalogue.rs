//! Every metric there is: its name, its labels, and what it means.

use std::fmt;

use prometheus_client::registry::{Metric as Registered, Registry};

/// What kind of thing a metric is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Only grows while the server lives.
    Counter,
    /// Stands where it stands.
    Gauge,
    /// Counts values by their size.
    Histogram,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Counter => "counter",
            Self::Gauge => "gauge",
            Self::Histogram => "histogram",
        })
    }
}

/// One metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Metric {
    /// Its name, as it is written.
    pub name: &'static str,
    /// What kind of thing it is.
    pub kind: Kind,
    /// What tells its series apart.
    pub labels: &'static [&'static str],
    /// What it means, in one sentence.
    pub help: &'static str,
}

const fn counter(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Counter, labels, help }
}

const fn gauge(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Gauge, labels, help }
}

const fn histogram(name: &'static str, labels: &'static [&'static str], help: &'static str) -> Metric {
    Metric { name, kind: Kind::Histogram, labels, help }
}

pub(crate) const JOBS: Metric = gauge("reclaimer_jobs", &["queue", "status"], "Jobs by queue and status");
pub(crate) const OLDEST_QUEUED: Metric = gauge(
    "reclaimer_job_oldest_queued_seconds",
    &["queue"],
    "For how long the job has been due that has waited longest; 0 when none is",
);
pub(crate) const STUCK: Metric = gauge(
    "reclaimer_jobs_stuck",
    &[],
    "Running jobs that lost their lease a minute ago or more and are not looked after by recovery; at most 100 are counted",
);
pub(crate) const CLAIMED: Metric =
    counter("reclaimer_jobs_claimed_total", &[], "Jobs handed to workers, each time one is");
pub(crate) const REPORTED: Metric = counter(
    "reclaimer_jobs_reported_total",
    &["outcome"],
    "Reports by which a worker ended an attempt: finished, failed or paused",
);
pub(crate) const STALE_REPORTS: Metric = counter(
    "reclaimer_stale_reports_total",
    &[],
    "Reports refused because their sender did not hold the job any more: zombies",
);
pub(crate) const CLAIM_WAIT: Metric =
    histogram("reclaimer_claim_wait_seconds", &[], "From the moment a job was due until a worker had it");
pub(crate) const RECOVERY_RUNS: Metric = counter(
    "reclaimer_recovery_runs_total",
    &["trigger", "type", "outcome"],
    "Recovery runs that were no dry runs; outcome is completed or failed",
);
pub(crate) const RECOVERY_JOBS: Metric = counter(
    "reclaimer_recovery_jobs_total",
    &["action", "rule", "cause"],
    "Decisions of recovery that changed a job or its history; action is requeue, quarantine or leave; cause is failed, \
     lease_expired, no_update, timeout, stuck or unreadable",
);
pub(crate) const RECOVERY_DURATION: Metric = histogram(
    "reclaimer_recovery_duration_seconds",
    &[],
    "How long recovery runs took that were no dry runs",
);
pub(crate) const RECOVERED_FINISHED: Metric = counter(
    "reclaimer_recovered_finished_total",
    &[],
    "Jobs that recovery had queued again and that went on to finish",
);
pub(crate) const RECOVERED_ENDED: Metric = counter(
    "reclaimer_recovered_ended_total",
    &[],
    "Jobs that recovery had queued again and that came to an end: finished or quarantined",
);
pub(crate) const BREAKER_STATE: Metric = gauge(
    "reclaimer_breaker_state",
    &["link"],
    "Where the breaker of a link stands: 0 closed, 1 half-open, 2 open; forced ones as what they are forced to",
);
pub(crate) const BREAKER_TRANSITIONS: Metric =
    counter("reclaimer_breaker_transitions_total", &["link"], "How often the breaker of a link has turned");
pub(crate) const LINK_FAILURES: Metric = gauge(
    "reclaimer_link_connection_failures",
    &["link"],
    "How often connecting to a link has failed since the server started",
);
pub(crate) const LINK_CONNECTED: Metric =
    gauge("reclaimer_link_connected", &["link"], "1 while a worker is heard over a link, otherwise 0");
pub(crate) const WORKER_RESTARTS: Metric = counter(
    "reclaimer_worker_restarts_total",
    &["worker"],
    "How often the supervised processes of a worker were started again",
);
pub(crate) const HTTP_REQUESTS: Metric = histogram(
    "reclaimer_http_request_seconds",
    &["route", "status"],
    "How long requests took, by the template of their route, as in `/api/jobs/:id`; `jobs/open` includes the wait for jobs",
);
pub(crate) const COMMIT: Metric = histogram(
    "reclaimer_store_commit_seconds",
    &[],
    "How long a group of writes took, from its beginning until it was durable",
);
pub(crate) const GROUP_SIZE: Metric =
    histogram("reclaimer_store_group_size", &[], "How many operations became durable together");
pub(crate) const QUEUE_DEPTH: Metric = gauge(
    "reclaimer_store_queue_depth",
    &[],
    "How many operations wait to be written, beside those that are being written",
);
pub(crate) const HEALTH: Metric =
    gauge("reclaimer_health_status", &[], "How the server is doing: 0 ok, 1 degraded, 2 down");
pub(crate) const INDICATOR: Metric = gauge(
    "reclaimer_indicator_status",
    &["kind", "name"],
    "How one indicator of `GET /api/health` stands: 0 ok, 1 degraded, 2 down; workers and queues only while they are not \
     well",
);
pub(crate) const BUILD: Metric =
    gauge("reclaimer_build_info", &["version"], "1, and the version of the server as a label");

/// All of them, in the order of the reference page.
pub const METRICS: &[Metric] = &[
    JOBS,
    OLDEST_QUEUED,
    STUCK,
    CLAIMED,
    REPORTED,
    STALE_REPORTS,
    CLAIM_WAIT,
    RECOVERY_RUNS,
    RECOVERY_JOBS,
    RECOVERY_DURATION,
    RECOVERED_FINISHED,
    RECOVERED_ENDED,
    BREAKER_STATE,
    BREAKER_TRANSITIONS,
    LINK_FAILURES,
    LINK_CONNECTED,
    WORKER_RESTARTS,
    HTTP_REQUESTS,
    COMMIT,
    GROUP_SIZE,
    QUEUE_DEPTH,
    HEALTH,
    INDICATOR,
    BUILD,
];

impl Metric {
    /// Has a registry write this metric.
    pub(crate) fn register(&self, registry: &mut Registry, metric: impl Registered) {
        // The encoder adds the end of a counter's name, and the full stop behind the sentence.
        registry.register(self.name.strip_suffix("_total").unwrap_or(self.name), self.help, metric);
    }
}
