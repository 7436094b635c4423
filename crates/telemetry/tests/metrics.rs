//! What is counted, as a parser of the format reads it.

#![expect(clippy::unwrap_used, clippy::panic, reason = "in a test, what is not there fails it")]

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use prometheus_parse::{Scrape, Value};
use reclaimer_domain::history::{Actor, EventKind, HistoryEntry};
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::{Change, Committed, QueueState, RunListener, StoreListener};
use reclaimer_domain::recovery::{RecoveryType, RunReport, RunResult, Trigger};
use reclaimer_health::{
    Breaker, BreakerState, Database, Limits, Link, LinkMode, Observations, Process, ProcessState, Queue,
    Recovery, judge,
};
use reclaimer_telemetry::{METRICS, Metrics, Observed};
use reclaimer_testkit::noon;
use serde_json::json;

/// So many seconds before the moment of the scrape.
fn ago(seconds: i64) -> DateTime<Utc> {
    noon() - TimeDelta::seconds(seconds)
}

fn entry(kind: EventKind, actor: Actor) -> HistoryEntry {
    HistoryEntry { at: noon(), kind, from: None, to: None, actor, rule: None, reason: None, detail: None }
}

fn change(entry: HistoryEntry, recoveries: u32) -> Change {
    Change {
        event_id: 1,
        job: "J".parse().unwrap(),
        queue: "q".parse().unwrap(),
        command: "c".parse().unwrap(),
        run_at: ago(7),
        recoveries,
        entry,
    }
}

fn recovery() -> Actor {
    Actor::Recovery("R".parse().unwrap())
}

fn worker() -> Actor {
    Actor::Worker("w".parse().unwrap())
}

fn tell(metrics: &Metrics, changes: Vec<Change>) {
    let took = Duration::from_millis(3);
    metrics.committed(&Committed { operations: 5, took, changes });
}

/// A server with one of everything.
fn seen() -> Observations {
    Observations {
        database: Database { writable: true, ..Database::default() },
        links: vec![Link {
            name: "crawler".into(),
            mode: LinkMode::Dial,
            connected: false,
            connections: 0,
            connection_failures: 6,
            last_error: None,
            away_since: None,
            next_attempt_at: None,
            last_heartbeat_at: None,
            breaker: Some(Breaker {
                state: BreakerState::Open,
                since: ago(3),
                transitions: 4,
                consecutive_failures: 5,
                next_probe_at: None,
            }),
        }],
        workers: Vec::new(),
        processes: ["w-1", "w-2"].map(process).into(),
        recovery: Recovery {
            enabled: true,
            last_ended_at: None,
            last_failure_at: None,
            last_failure: None,
            finished: 0,
            ended: 0,
            success_rate: None,
            counted_since: ago(9),
        },
        queues: Some(vec![Queue { name: "q".into(), ..Queue::default() }]),
        stuck: 3,
        more_stuck: false,
        loops: Vec::new(),
    }
}

fn process(name: &str) -> Process {
    Process {
        name: name.into(),
        worker: "w".into(),
        state: ProcessState::Running,
        restarts: 2,
        last_end: None,
        starts_at: None,
    }
}

fn queue(name: &str, oldest_queued: Option<DateTime<Utc>>) -> QueueState {
    let jobs = vec![(Status::Queued, 2), (Status::Finished, 1)];
    QueueState { name: name.parse().unwrap(), paused: false, jobs, oldest_queued }
}

fn scrape_of(metrics: &Metrics, queues: &[QueueState]) -> Scrape {
    let health = judge(seen(), &Limits::default(), noon());
    let text = metrics.render(&Observed { health: &health, queues, waiting: 9, now: noon() }).unwrap();
    Scrape::parse(text.lines().map(|line| Ok(line.to_owned()))).unwrap()
}

fn scrape(metrics: &Metrics) -> Scrape {
    scrape_of(metrics, &[queue("q", Some(ago(12)))])
}

/// The series of a metric by their labels, written `a=b,c=d`.
fn series(scrape: &Scrape, name: &str) -> BTreeMap<String, f64> {
    let of_name = scrape.samples.iter().filter(|sample| sample.metric == name);
    let labels = |sample: &prometheus_parse::Sample| {
        let mut labels: Vec<String> =
            sample.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        labels.sort();
        labels.join(",")
    };
    let number = |value: &Value| match value {
        Value::Counter(number) | Value::Gauge(number) | Value::Untyped(number) => *number,
        Value::Histogram(_) | Value::Summary(_) => panic!("{name} is no single number"),
    };
    of_name.map(|sample| (labels(sample), number(&sample.value))).collect()
}

/// How many values a histogram counted, and their sum.
fn counted(scrape: &Scrape, name: &str) -> (f64, f64) {
    let sum = |end: &str| series(scrape, &format!("{name}{end}")).values().sum();
    (sum("_count"), sum("_sum"))
}

fn map<const N: usize>(series: [(&str, f64); N]) -> BTreeMap<String, f64> {
    series.into_iter().map(|(labels, number)| (labels.to_owned(), number)).collect()
}

#[test]
fn every_metric_there_is_is_on_the_list_and_has_its_labels() {
    let metrics = Metrics::new("1.2.3");
    metrics.answered("/healthz", 200, Duration::from_millis(1));
    let decided = HistoryEntry { from: Some(Status::Failed), ..entry(EventKind::Recovered, recovery()) };
    tell(&metrics, vec![change(decided, 1)]);
    metrics.ended(&report(true, false), noon());
    let scrape = scrape(&metrics);

    let base = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
        ends.unwrap_or(name).to_owned()
    };
    let mut found: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for sample in &scrape.samples {
        let labels = sample.labels.keys().filter(|key| *key != "le").cloned();
        found.entry(base(&sample.metric)).or_default().extend(labels);
    }
    let listed: BTreeMap<String, BTreeSet<String>> = METRICS
        .iter()
        .map(|metric| (metric.name.to_owned(), metric.labels.iter().map(|&label| label.to_owned()).collect()))
        .collect();
    assert_eq!(found, listed);
    for metric in METRICS {
        assert_eq!(scrape.docs[metric.name], format!("{}.", metric.help), "{}", metric.name);
    }
}

#[test]
fn claims_and_reports_are_counted() {
    let metrics = Metrics::new("1");
    tell(
        &metrics,
        vec![
            change(entry(EventKind::Created, Actor::Producer), 0),
            change(entry(EventKind::Claimed, worker()), 0),
            change(entry(EventKind::Finished, worker()), 0),
            change(entry(EventKind::Paused, worker()), 0),
            change(entry(EventKind::Paused, Actor::Admin), 0),
            change(entry(EventKind::StaleReport, worker()), 0),
        ],
    );
    let scrape = scrape(&metrics);
    assert_eq!(series(&scrape, "reclaimer_jobs_claimed_total"), map([("", 1.0)]));
    let reported = map([("outcome=failed", 0.0), ("outcome=finished", 1.0), ("outcome=paused", 1.0)]);
    assert_eq!(series(&scrape, "reclaimer_jobs_reported_total"), reported);
    assert_eq!(series(&scrape, "reclaimer_stale_reports_total"), map([("", 1.0)]));
    assert_eq!(counted(&scrape, "reclaimer_claim_wait_seconds"), (1.0, 7.0));
    assert_eq!(counted(&scrape, "reclaimer_store_commit_seconds"), (1.0, 0.003));
    assert_eq!(counted(&scrape, "reclaimer_store_group_size"), (1.0, 5.0));
}

#[test]
fn recovery_is_counted_by_action_rule_and_cause() {
    let metrics = Metrics::new("1");
    let by = |kind, from, rule: Option<&str>, sign: Option<&str>| {
        let detail = sign.map(|sign| json!({ "sign": sign }));
        let rule = rule.map(|rule| rule.parse().unwrap());
        change(HistoryEntry { from: Some(from), rule, detail, ..entry(kind, recovery()) }, 1)
    };
    tell(
        &metrics,
        vec![
            by(EventKind::Recovered, Status::Failed, Some("retryable"), None),
            by(EventKind::Reclaimed, Status::Running, Some("stuck"), Some("lease_expired")),
            by(EventKind::Reclaimed, Status::Running, Some("stuck"), Some("timeout")),
            by(EventKind::Quarantined, Status::Running, Some("poison"), Some("no_update")),
            by(EventKind::NotRecovered, Status::Failed, None, None),
            by(EventKind::SetAside, Status::Queued, None, None),
            change(entry(EventKind::Quarantined, Actor::Admin), 0),
        ],
    );
    let expected = map([
        ("action=leave,cause=failed,rule=none", 1.0),
        ("action=quarantine,cause=no_update,rule=poison", 1.0),
        ("action=quarantine,cause=unreadable,rule=none", 1.0),
        ("action=requeue,cause=failed,rule=retryable", 1.0),
        ("action=requeue,cause=lease_expired,rule=stuck", 1.0),
        ("action=requeue,cause=timeout,rule=stuck", 1.0),
    ]);
    assert_eq!(series(&scrape(&metrics), "reclaimer_recovery_jobs_total"), expected);
}

#[test]
fn what_became_of_recovered_jobs_is_counted() {
    let metrics = Metrics::new("1");
    tell(
        &metrics,
        vec![
            change(entry(EventKind::Finished, worker()), 0),
            change(entry(EventKind::Finished, worker()), 1),
            change(entry(EventKind::LateAccepted, Actor::Admin), 2),
            change(entry(EventKind::Quarantined, recovery()), 3),
            change(entry(EventKind::Cancelled, Actor::Admin), 3),
        ],
    );
    let scrape = scrape(&metrics);
    assert_eq!(series(&scrape, "reclaimer_recovered_finished_total"), map([("", 2.0)]));
    assert_eq!(series(&scrape, "reclaimer_recovered_ended_total"), map([("", 3.0)]));
}

fn report(success: bool, dry_run: bool) -> RunReport {
    RunReport {
        success,
        kind: RecoveryType::Stuck,
        result: RunResult {
            recovered_jobs: 0,
            failed_recoveries: 0,
            skipped_jobs: 0,
            errors: Vec::new(),
            quarantined_jobs: 0,
            run_id: "R".parse().unwrap(),
            trigger: Trigger::LeaseWatch,
            dry_run,
            duration_ms: 250,
            policy_hash: None,
            more: false,
            decisions: Vec::new(),
        },
        message: String::new(),
    }
}

#[test]
fn runs_are_counted_and_dry_ones_are_not() {
    let metrics = Metrics::new("1");
    for (success, dry_run) in [(true, false), (false, false), (true, true)] {
        metrics.ended(&report(success, dry_run), noon());
    }
    let scrape = scrape(&metrics);
    let expected = map([
        ("outcome=completed,trigger=lease_watch,type=stuck", 1.0),
        ("outcome=failed,trigger=lease_watch,type=stuck", 1.0),
    ]);
    assert_eq!(series(&scrape, "reclaimer_recovery_runs_total"), expected);
    assert_eq!(counted(&scrape, "reclaimer_recovery_duration_seconds"), (2.0, 0.5));
}

#[test]
fn what_is_seen_is_written() {
    let scrape = scrape(&Metrics::new("1.2.3"));
    let jobs = map([("queue=q,status=finished", 1.0), ("queue=q,status=queued", 2.0)]);
    assert_eq!(series(&scrape, "reclaimer_jobs"), jobs);
    assert_eq!(series(&scrape, "reclaimer_job_oldest_queued_seconds"), map([("queue=q", 12.0)]));
    assert_eq!(series(&scrape, "reclaimer_jobs_stuck"), map([("", 3.0)]));
    let of_link = |number| map([("link=crawler", number)]);
    assert_eq!(series(&scrape, "reclaimer_breaker_state"), of_link(2.0));
    assert_eq!(series(&scrape, "reclaimer_breaker_transitions_total"), of_link(4.0));
    assert_eq!(series(&scrape, "reclaimer_link_connection_failures"), of_link(6.0));
    assert_eq!(series(&scrape, "reclaimer_link_connected"), of_link(0.0));
    assert_eq!(series(&scrape, "reclaimer_worker_restarts_total"), map([("worker=w", 4.0)]));
    assert_eq!(series(&scrape, "reclaimer_store_queue_depth"), map([("", 9.0)]));
    assert_eq!(series(&scrape, "reclaimer_health_status"), map([("", 1.0)]));
    let indicators = series(&scrape, "reclaimer_indicator_status");
    assert_eq!((indicators["kind=link,name=crawler"], indicators["kind=database,name=database"]), (1.0, 0.0));
    assert!(!indicators.contains_key("kind=queue,name=q"), "a queue that is well has no series of its own");
    assert_eq!(series(&scrape, "reclaimer_build_info"), map([("version=1.2.3", 1.0)]));
}

#[test]
fn however_many_queues_there_are_their_series_are_bounded_and_nothing_is_lost() {
    let queues: Vec<QueueState> =
        (0..300).map(|number| queue(&format!("q{number}"), Some(ago(number)))).collect();
    let metrics = Metrics::new("1");
    for _ in 0..2 {
        let scrape = scrape_of(&metrics, &queues);
        let jobs = series(&scrape, "reclaimer_jobs");
        assert_eq!(jobs.len(), 101 * 2);
        assert!((jobs.values().sum::<f64>() - 900.0).abs() < f64::EPSILON);
        assert!((jobs["queue=other,status=queued"] - 400.0).abs() < f64::EPSILON);
        let oldest = series(&scrape, "reclaimer_job_oldest_queued_seconds");
        assert!((oldest["queue=other"] - 299.0).abs() < f64::EPSILON, "the oldest of all others");
    }
}

#[test]
fn requests_are_told_apart_by_the_template_of_their_route() {
    let metrics = Metrics::new("1");
    metrics.answered("/api/jobs/{id}/events", 200, Duration::from_millis(1));
    metrics.answered("/docs/{*page}", 404, Duration::from_millis(1));
    let expected =
        map([("route=/api/jobs/:id/events,status=200", 1.0), ("route=/docs/*page,status=404", 1.0)]);
    assert_eq!(series(&scrape(&metrics), "reclaimer_http_request_seconds_count"), expected);
}

#[test]
fn names_from_outside_break_no_line() {
    let metrics = Metrics::new("1");
    let mut of_link = seen();
    of_link.links[0].name = "a\"b\\c\nd".into();
    let health = judge(of_link, &Limits::default(), noon());
    let text = metrics.render(&Observed { health: &health, queues: &[], waiting: 9, now: noon() }).unwrap();
    assert!(text.contains("reclaimer_link_connected{link=\"a\\\"b\\\\c\\nd\"} 0"), "{text}");
    assert!(text.lines().all(|line| line.starts_with("reclaimer_") || line.starts_with("# ")), "{text}");
}
