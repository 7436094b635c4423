//! What is counted as it happens.

use chrono::{DateTime, Utc};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;
use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::{Change, Committed};
use reclaimer_domain::time::between;

use crate::catalogue;
use crate::labels::{Answer, Bounded, Decided, Outcome, Run};

/// From a tenth of a millisecond to ten seconds.
const COMMIT_SECONDS: [f64; 14] =
    [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1.0, 2.5, 10.0];

/// To as many as a group holds.
const GROUP_SIZES: [f64; 10] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0];

/// From a millisecond to a day.
const WAIT_SECONDS: [f64; 14] =
    [0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 30.0, 60.0, 600.0, 3_600.0, 86_400.0];

/// From a millisecond to the longest that a run may take, and more.
const RUN_SECONDS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 10.0, 30.0];

/// From half a millisecond to the longest wait for jobs.
const REQUEST_SECONDS: [f64; 14] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 5.0, 30.0, 60.0];

/// A histogram for each answer.
type Requests = Family<Answer, Histogram, fn() -> Histogram>;

/// Everything that is counted.
#[derive(Debug)]
pub(crate) struct Tally {
    claimed: Counter,
    claim_wait: Histogram,
    finished: Counter,
    failed: Counter,
    paused: Counter,
    stale: Counter,
    recovered_finished: Counter,
    recovered_ended: Counter,
    decided: Family<Decided, Counter>,
    rules: Bounded,
    runs: Family<Run, Counter>,
    run_seconds: Histogram,
    requests: Requests,
    commit: Histogram,
    group_size: Histogram,
}

impl Tally {
    /// Nothing has happened yet.
    pub(crate) fn new(registry: &mut Registry) -> Self {
        let reported: Family<Outcome, Counter> = Family::default();
        let outcome = |outcome| reported.get_or_create_owned(&Outcome { outcome });
        let tally = Self {
            claimed: Counter::default(),
            claim_wait: Histogram::new(WAIT_SECONDS),
            finished: outcome("finished"),
            failed: outcome("failed"),
            paused: outcome("paused"),
            stale: Counter::default(),
            recovered_finished: Counter::default(),
            recovered_ended: Counter::default(),
            decided: Family::default(),
            rules: Bounded::default(),
            runs: Family::default(),
            run_seconds: Histogram::new(RUN_SECONDS),
            requests: Family::new_with_constructor(|| Histogram::new(REQUEST_SECONDS)),
            commit: Histogram::new(COMMIT_SECONDS),
            group_size: Histogram::new(GROUP_SIZES),
        };
        catalogue::CLAIMED.register(registry, tally.claimed.clone());
        catalogue::REPORTED.register(registry, reported);
        catalogue::STALE_REPORTS.register(registry, tally.stale.clone());
        catalogue::CLAIM_WAIT.register(registry, tally.claim_wait.clone());
        catalogue::RECOVERY_RUNS.register(registry, tally.runs.clone());
        catalogue::RECOVERY_JOBS.register(registry, tally.decided.clone());
        catalogue::RECOVERY_DURATION.register(registry, tally.run_seconds.clone());
        catalogue::RECOVERED_FINISHED.register(registry, tally.recovered_finished.clone());
        catalogue::RECOVERED_ENDED.register(registry, tally.recovered_ended.clone());
        catalogue::HTTP_REQUESTS.register(registry, tally.requests.clone());
        catalogue::COMMIT.register(registry, tally.commit.clone());
        catalogue::GROUP_SIZE.register(registry, tally.group_size.clone());
        tally
    }

    pub(crate) fn committed(&self, group: &Committed) {
        self.commit.observe(group.took.as_secs_f64());
        self.group_size.observe(group.operations as f64);
        for change in &group.changes {
            self.changed(change);
        }
    }

    fn changed(&self, change: &Change) {
        let entry = &change.entry;
        let by_worker = matches!(entry.actor, Actor::Worker(_));
        match entry.kind {
            EventKind::Claimed => {
                self.claimed.inc();
                self.claim_wait.observe(between(change.run_at, entry.at).as_secs_f64());
            }
            EventKind::Finished => _ = self.finished.inc(),
            EventKind::Failed => _ = self.failed.inc(),
            EventKind::Paused if by_worker => _ = self.paused.inc(),
            EventKind::StaleReport => _ = self.stale.inc(),
            EventKind::Recovered | EventKind::Reclaimed => self.decided("requeue", change),
            EventKind::Quarantined | EventKind::SetAside if matches!(entry.actor, Actor::Recovery(_)) => {
                self.decided("quarantine", change);
            }
            EventKind::NotRecovered => self.decided("leave", change),
            _ => {}
        }
        if change.recoveries > 0 {
            match entry.kind {
                EventKind::Finished | EventKind::LateAccepted => {
                    self.recovered_finished.inc();
                    self.recovered_ended.inc();
                }
                EventKind::Quarantined | EventKind::SetAside => _ = self.recovered_ended.inc(),
                _ => {}
            }
        }
    }

    fn decided(&self, action: &'static str, change: &Change) {
        let rule = change.entry.rule.as_ref().map_or("none", |rule| self.rules.fold(rule.as_str()));
        let decided = Decided { action, rule: rule.to_owned(), cause: cause(change) };
        self.decided.get_or_create(&decided).inc();
    }

    pub(crate) fn run_ended(
        &self,
        trigger: &'static str,
        kind: &'static str,
        completed: bool,
        took: std::time::Duration,
    ) {
        let outcome = if completed { "completed" } else { "failed" };
        self.runs.get_or_create(&Run { trigger, r#type: kind, outcome }).inc();
        self.run_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn answered(&self, route: &str, status: u16, took: std::time::Duration) {
        // Some readers of the format take a brace in a value for the end of the labels: `/jobs/{id}` becomes `/jobs/:id`.
        let route = match route.contains('{') {
            true => route.replace("{*", "*").replace('{', ":").replace('}', ""),
            false => route.to_owned(),
        };
        let answer = Answer { route, status };
        self.requests.get_or_create(&answer).observe(took.as_secs_f64());
    }
}

/// What had gone wrong with a job that recovery decided about.
fn cause(change: &Change) -> &'static str {
    let entry = &change.entry;
    if entry.kind == EventKind::SetAside {
        return "unreadable";
    }
    if entry.from == Some(Status::Failed) {
        return "failed";
    }
    let sign = entry.detail.as_ref().and_then(|detail| detail.get("sign")?.as_str());
    match sign {
        Some("lease_expired") => "lease_expired",
        Some("no_update") => "no_update",
        Some("timeout") => "timeout",
        _ => "stuck",
    }
}

/// How long ago that is, in seconds.
pub(crate) fn seconds_since(at: DateTime<Utc>, now: DateTime<Utc>) -> f64 {
    between(at, now).as_secs_f64()
}
