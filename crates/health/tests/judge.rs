//! Each indicator: what it says of what was seen.

#![expect(clippy::unwrap_used, reason = "in a test, what is not there fails it")]

use chrono::{DateTime, TimeDelta, Utc};
use reclaimer_health::{
    Breaker, BreakerState, Database, Figures, Health, Indicator, Limits, Link, LinkMode, Loop, Observations,
    Process, ProcessState, Queue, Recovery, Status, Worker, judge,
};
use reclaimer_testkit::noon;

/// So many seconds before the moment of the judgement.
fn ago(seconds: i64) -> DateTime<Utc> {
    noon() - TimeDelta::seconds(seconds)
}

/// A server that is well and has nothing to do.
fn well() -> Observations {
    Observations {
        database: Database { writable: true, latency_ms: Some(0.8), ..Database::default() },
        links: Vec::new(),
        workers: Vec::new(),
        processes: Vec::new(),
        recovery: recovery(),
        queues: Some(Vec::new()),
        stuck: 0,
        more_stuck: false,
        loops: Vec::new(),
    }
}

fn recovery() -> Recovery {
    Recovery {
        enabled: true,
        last_ended_at: Some(ago(5)),
        last_failure_at: None,
        last_failure: None,
        finished: 0,
        ended: 0,
        success_rate: None,
        counted_since: ago(3_600),
    }
}

fn link(mode: LinkMode) -> Link {
    Link {
        name: "crawler".into(),
        mode,
        connected: false,
        connections: 0,
        connection_failures: 0,
        last_error: None,
        away_since: None,
        next_attempt_at: None,
        last_heartbeat_at: None,
        breaker: None,
    }
}

fn worker() -> Worker {
    Worker {
        name: "w".into(),
        link: "crawler".into(),
        queue: None,
        paused: false,
        held: 0,
        connected_at: ago(600),
        last_heartbeat_at: ago(1),
        active_at: Some(ago(300)),
    }
}

fn queue(name: &str) -> Queue {
    Queue {
        name: name.into(),
        queued: 3,
        oldest_queued_at: Some(ago(120)),
        last_taken_at: Some(ago(130)),
        ..Queue::default()
    }
}

fn health(seen: Observations) -> Health {
    judge(seen, &Limits::default(), noon())
}

#[track_caller]
fn only(seen: Observations, kind: &str) -> Indicator {
    let health = health(seen);
    let mut found = health.indicators.into_iter().filter(|indicator| indicator.figures.kind() == kind);
    let one = found.next().unwrap();
    assert!(found.next().is_none(), "one of a kind");
    one
}

/// What the indicator of this kind says: its status, and whether its sentence has these words.
#[track_caller]
fn says(seen: Observations, kind: &str, status: Status, words: &str) -> Option<DateTime<Utc>> {
    let indicator = only(seen.clone(), kind);
    assert_eq!(indicator.status, status, "{indicator:?}");
    assert!(indicator.what.contains(words), "{indicator:?}");
    assert_eq!(health(seen).status, status, "the whole is as well as its worst part");
    indicator.since
}

#[test]
fn a_server_that_is_well_says_so() {
    let health = health(well());
    assert_eq!((health.status, health.at), (Status::Ok, noon()));
    let kinds: Vec<_> = health.indicators.iter().map(|indicator| indicator.figures.kind()).collect();
    assert_eq!(kinds, ["database", "recovery", "queues"]);
}

#[test]
fn only_a_database_that_cannot_be_written_is_down() {
    let database = |database| Observations { database, ..well() };
    says(well(), "database", Status::Ok, "in 0.8 ms");
    let full = Database {
        writable: false,
        code: Some("storage_unavailable".into()),
        reason: Some("disk full".into()),
        since: Some(ago(30)),
        ..Database::default()
    };
    assert_eq!(says(database(full), "database", Status::Down, "cannot be written: disk full"), Some(ago(30)));
    let low = Database {
        writable: true,
        code: Some("storage_low".into()),
        reason: Some("2 MiB left".into()),
        ..Database::default()
    };
    says(database(low), "database", Status::Degraded, "but: 2 MiB left");
}

#[test]
fn a_crawler_that_is_away_is_degraded_and_never_down() {
    let links = |link| Observations { links: vec![link], ..well() };
    let dialled = || Link {
        away_since: Some(ago(90)),
        last_error: Some("no such file".into()),
        ..link(LinkMode::Dial)
    };
    let breaker = |state| {
        Some(Breaker {
            state,
            since: ago(60),
            transitions: 1,
            consecutive_failures: 5,
            next_probe_at: Some(ago(-30)),
        })
    };

    says(links(link(LinkMode::Listen)), "link", Status::Ok, "nobody is connected");
    let connected = Link { connected: true, last_heartbeat_at: Some(ago(3)), ..link(LinkMode::Dial) };
    says(links(connected), "link", Status::Ok, "last heard of 3 s ago");
    let waits = Link { next_attempt_at: Some(ago(-5)), breaker: breaker(BreakerState::Closed), ..dialled() };
    let since =
        says(links(waits), "link", Status::Degraded, "not connected (no such file); tried again at 2026");
    assert_eq!(since, Some(ago(90)));
    let open = Link { breaker: breaker(BreakerState::Open), ..dialled() };
    says(
        links(open),
        "link",
        Status::Degraded,
        "open after 5 failures in a row (no such file); tried again at",
    );
    let forced = Link { breaker: breaker(BreakerState::ForcedOpen), ..dialled() };
    says(links(forced), "link", Status::Degraded, "forced open until");
    let probing = Link { breaker: breaker(BreakerState::HalfOpen), ..dialled() };
    says(links(probing), "link", Status::Degraded, "not connected");
}

#[test]
fn a_link_that_nobody_dials_any_more_is_found() {
    let breaker = |state, since, next_probe_at| {
        Some(Breaker { state, since, transitions: 1, consecutive_failures: 5, next_probe_at })
    };
    let seen = |breaker| {
        let link = Link { next_attempt_at: Some(ago(61)), breaker, ..link(LinkMode::Dial) };
        Observations { links: vec![link], ..well() }
    };
    for overdue in [
        None,
        breaker(BreakerState::Closed, ago(900), None),
        breaker(BreakerState::Open, ago(200), Some(ago(90))),
        breaker(BreakerState::HalfOpen, ago(70), Some(ago(0))),
    ] {
        says(seen(overdue), "link", Status::Degraded, "nobody dials link `crawler` any more");
    }
    let patient = breaker(BreakerState::Open, ago(200), Some(ago(-60)));
    says(seen(patient), "link", Status::Degraded, "is open after 5 failures");
    let probing = breaker(BreakerState::HalfOpen, ago(5), Some(ago(0)));
    says(seen(probing), "link", Status::Degraded, "is not connected");
}

#[test]
fn a_worker_that_lives_but_takes_nothing_is_deaf() {
    let seen = |worker: Worker, queue: Queue| Observations {
        workers: vec![worker],
        queues: Some(vec![queue]),
        ..well()
    };
    let deaf = seen(worker(), queue("q"));
    let since = says(
        deaf,
        "worker",
        Status::Degraded,
        "has asked for nothing for 2 min, while jobs wait in queue `q`",
    );
    assert_eq!(since, Some(ago(120)), "since when there has been work for it");

    let fine = [
        ("it works", Worker { held: 1, ..worker() }, queue("q")),
        ("it is not to take any", Worker { paused: true, ..worker() }, queue("q")),
        ("it asked just now", Worker { active_at: Some(ago(59)), ..worker() }, queue("q")),
        ("it has only come", Worker { active_at: None, connected_at: ago(59), ..worker() }, queue("q")),
        ("its link serves another queue", Worker { queue: Some("other".into()), ..worker() }, queue("q")),
        ("the queue is paused", worker(), Queue { paused: true, ..queue("q") }),
        ("nothing is due", worker(), Queue { oldest_queued_at: None, ..queue("q") }),
        ("the work has only come", worker(), Queue { oldest_queued_at: Some(ago(59)), ..queue("q") }),
    ];
    for (why, worker, queue) in fine {
        assert_eq!(only(seen(worker, queue), "worker").status, Status::Ok, "{why}");
    }
}

#[test]
fn processes_run_restart_or_are_given_up() {
    let seen = |state, restarts, last_end: Option<&str>| {
        let process = Process {
            name: "w-1".into(),
            worker: "w".into(),
            state,
            restarts,
            last_end: last_end.map(ToOwned::to_owned),
            starts_at: None,
        };
        Observations { processes: vec![process], ..well() }
    };
    let end = Some("exited with code 1");
    says(seen(ProcessState::Running, 3, end), "process", Status::Ok, "runs");
    says(seen(ProcessState::Restarting, 0, None), "process", Status::Ok, "is being started");
    says(
        seen(ProcessState::Restarting, 1, end),
        "process",
        Status::Degraded,
        "started again; it last exited with",
    );
    says(
        seen(ProcessState::Exhausted, 5, end),
        "process",
        Status::Degraded,
        "given up; it last exited with code 1; mend",
    );
    says(seen(ProcessState::Ended, 0, end), "process", Status::Ok, "not meant to run");
}

#[test]
fn recovery_that_does_not_run_or_does_not_help_is_found() {
    let seen = |recovery| Observations { recovery, ..well() };
    let counted = |finished: u64, ended: u64| Recovery {
        finished,
        ended,
        success_rate: Some(finished as f64 / ended as f64),
        ..recovery()
    };
    says(seen(recovery()), "recovery", Status::Ok, "no recovered job has ended");
    says(seen(counted(9, 10)), "recovery", Status::Ok, "9 of 10 recovered jobs");
    says(seen(counted(4, 10)), "recovery", Status::Degraded, "only 4 of 10 recovered jobs");
    says(seen(counted(0, 9)), "recovery", Status::Ok, "0 of 9");
    says(seen(Recovery { enabled: false, ..recovery() }), "recovery", Status::Ok, "when somebody asks");
    let failed =
        Recovery { last_failure_at: Some(ago(2)), last_failure: Some("disk full".into()), ..recovery() };
    assert_eq!(
        says(seen(failed.clone()), "recovery", Status::Degraded, "could not run: disk full"),
        Some(ago(2))
    );
    let since = Recovery { last_ended_at: Some(ago(1)), ..failed };
    says(seen(since), "recovery", Status::Ok, "recovery runs");
}

#[test]
fn jobs_that_nobody_looks_after_are_found() {
    let seen = |stuck, more_stuck| Observations { stuck, more_stuck, ..well() };
    says(seen(2, false), "queues", Status::Degraded, "2 running jobs lost their lease");
    says(seen(100, true), "queues", Status::Degraded, "100 or more running jobs");
    says(Observations { queues: None, ..well() }, "queues", Status::Degraded, "cannot be read");
}

#[test]
fn queues_are_added_up() {
    let queues = vec![
        Queue { quarantined: 2, failed: 1, running: 4, ..queue("a") },
        Queue { paused: true, oldest_queued_at: Some(ago(9_000)), ..queue("b") },
    ];
    let indicator = only(Observations { queues: Some(queues), ..well() }, "queues");
    assert_eq!(indicator.status, Status::Ok);
    assert_eq!(
        indicator.what,
        "6 jobs wait, 4 run, 1 failed, 2 are quarantined; quarantined ones wait for a person"
    );
    let Figures::Queues(Some(total)) = indicator.figures else { panic!("no totals") };
    assert_eq!((total.queues, total.paused, total.queued), (2, 1, 6));
    assert_eq!(total.oldest_queued_at, Some(ago(120)), "of queues that are not paused");
}

#[test]
fn a_queue_in_which_nothing_moves_is_found_and_one_that_is_only_long_is_not() {
    let seen = |queue| Observations { queues: Some(vec![queue]), ..well() };
    let old = Queue { queued: 90_000, oldest_queued_at: Some(ago(7_200)), ..queue("q") };
    let moves = Queue { last_taken_at: Some(ago(599)), ..old.clone() };
    says(seen(moves), "queue", Status::Ok, "90000 jobs wait");
    let still = Queue { last_taken_at: Some(ago(600)), ..old.clone() };
    assert_eq!(says(seen(still), "queue", Status::Degraded, "none was taken for 10 min"), Some(ago(600)));
    let fresh = Queue { oldest_queued_at: Some(ago(599)), last_taken_at: Some(ago(90_000)), ..old.clone() };
    says(seen(fresh), "queue", Status::Ok, "jobs wait");
    let paused = Queue { paused: true, last_taken_at: Some(ago(90_000)), ..old };
    says(seen(paused), "queue", Status::Ok, "is paused; 90000 jobs wait");
}

#[test]
fn a_loop_that_stopped_turning_is_found() {
    let turning = |overdue_by_ms| Observations {
        loops: vec![Loop { name: "recovery".into(), silent_for_ms: 90_000, overdue_by_ms }],
        ..well()
    };
    says(turning(None), "loop", Status::Ok, "turns");
    let since = says(turning(Some(60_000)), "loop", Status::Degraded, "`recovery` has not turned for 90 s");
    assert_eq!(since, Some(ago(90)));
}

#[test]
fn of_many_queues_those_in_trouble_come_first() {
    let mut queues: Vec<_> = (0..500).map(|number| queue(&format!("q{number}"))).collect();
    queues[400].last_taken_at = Some(ago(9_000));
    queues[400].oldest_queued_at = Some(ago(9_000));
    let health = health(Observations { queues: Some(queues), ..well() });
    let shown: Vec<_> =
        health.indicators.iter().filter(|indicator| indicator.figures.kind() == "queue").collect();
    assert_eq!((shown.len(), shown[0].name.as_str(), shown[1].name.as_str()), (100, "q400", "q0"));
}

#[test]
fn what_is_written_reads_back() {
    let seen = Observations {
        links: vec![link(LinkMode::Dial)],
        workers: vec![worker()],
        queues: Some(vec![queue("q")]),
        loops: vec![Loop { name: "retention".into(), silent_for_ms: 1, overdue_by_ms: None }],
        ..well()
    };
    let health = health(seen);
    let text = serde_json::to_value(&health).unwrap();
    assert_eq!(text["status"], "degraded");
    assert_eq!(text["indicators"][0]["kind"], "database");
    assert_eq!(text["indicators"][0]["figures"]["latencyMs"], 0.8);
    assert_eq!(serde_json::from_value::<Health>(text).unwrap(), health);
}
