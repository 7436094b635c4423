use super::*;
use reclaimer_health::{Database, LinkMode, Loop, Process, Queue, Queues, Recovery, Status};
use reclaimer_testkit::noon;

fn health(indicators: Vec<(&str, Figures)>) -> Health {
    let indicators = indicators.into_iter().map(|(name, figures)| Indicator {
        name: name.to_owned(),
        status: Status::Degraded,
        what: format!("what is said of {name}"),
        since: None,
        figures,
    });
    Health { status: Status::Degraded, at: noon(), indicators: indicators.collect() }
}

fn found(condition: Condition, health: &Health) -> Vec<Firing> {
    find(condition, health, &Restarts::default()).unwrap().firing
}

fn ago(seconds: u64) -> DateTime<Utc> {
    before(noon(), Duration::from_secs(seconds))
}

#[test]
fn a_breaker_counts_while_it_does_not_conduct_by_itself() {
    let link = |state, connected| Link {
        name: "crawler".to_owned(),
        mode: LinkMode::Dial,
        connected,
        connections: 0,
        connection_failures: 9,
        last_error: Some("connection refused".to_owned()),
        away_since: Some(ago(90)),
        next_attempt_at: None,
        last_heartbeat_at: None,
        breaker: Some(Breaker {
            state,
            since: ago(5),
            transitions: 3,
            consecutive_failures: 7,
            next_probe_at: None,
        }),
    };
    for state in [BreakerState::Open, BreakerState::HalfOpen] {
        let found =
            found(Condition::BreakerOpen, &health(vec![("crawler", Figures::Link(link(state, false)))]));
        let what = "link `crawler` is not reached: its breaker has opened after 7 failures in a row; last: \
                    connection refused";
        let expected = Firing { subject: "crawler".to_owned(), what: what.to_owned(), since: Some(ago(5)) };
        assert_eq!(found, [expected], "{state:?}");
    }
    for state in [BreakerState::Closed, BreakerState::ForcedOpen, BreakerState::ForcedClosed] {
        let health = health(vec![("crawler", Figures::Link(link(state, true)))]);
        let found = find(Condition::BreakerOpen, &health, &Restarts::default());
        assert_eq!(found, Some(Findings::default()), "{state:?}");
    }
    // As at a start, before enough attempts failed.
    let health = health(vec![("crawler", Figures::Link(link(BreakerState::Closed, false)))]);
    let unsure = BTreeSet::from(["crawler".to_owned()]);
    let found = find(Condition::BreakerOpen, &health, &Restarts::default());
    assert_eq!(found, Some(Findings { firing: Vec::new(), unsure }));
}

#[test]
fn what_cannot_be_read_cannot_be_told() {
    let health = health(vec![("queues", Figures::Queues(None))]);
    for condition in [Condition::QuarantinedAbove(0), Condition::OldestQueuedAbove(Duration::ZERO)] {
        assert_eq!(find(condition, &health, &Restarts::default()), None);
    }
    assert_eq!(found(Condition::DatabaseNotWritable, &health), []);
}

#[test]
fn queues_are_judged_by_what_they_hold() {
    let queues = Queues { quarantined: 11, oldest_queued_at: Some(ago(100)), ..Queues::default() };
    let health = health(vec![("queues", Figures::Queues(Some(queues)))]);
    let quarantined = found(Condition::QuarantinedAbove(10), &health);
    assert_eq!(quarantined[0].what, "11 jobs are quarantined and wait for a person");
    assert_eq!(found(Condition::QuarantinedAbove(11), &health), []);
    let oldest = found(Condition::OldestQueuedAbove(Duration::from_secs(99)), &health);
    assert_eq!(oldest[0].what, "a job has been due for 100 s and nobody took it");
    assert_eq!(oldest[0].since, Some(ago(100)));
    assert_eq!(found(Condition::OldestQueuedAbove(Duration::from_secs(100)), &health), []);
    // Where the queue is known it is named.
    let mut health = health;
    let queue = |name: &str, paused| Queue {
        name: name.to_owned(),
        paused,
        queued: 1,
        oldest_queued_at: Some(ago(100)),
        running: 0,
        failed: 0,
        quarantined: 0,
        last_taken_at: None,
    };
    for queue in [queue("held", true), queue("slow", false)] {
        let mut indicator = health.indicators[0].clone();
        indicator.figures = Figures::Queue(queue);
        health.indicators.push(indicator);
    }
    let oldest = found(Condition::OldestQueuedAbove(Duration::from_secs(99)), &health);
    assert_eq!(oldest[0].what, "a job in queue `slow` has been due for 100 s and nobody took it");
}

#[test]
fn the_database_and_the_loops_say_themselves_what_is_wrong() {
    let database = |writable| {
        health(vec![("database", Figures::Database(Database { writable, ..Database::default() }))])
    };
    assert_eq!(found(Condition::DatabaseNotWritable, &database(false))[0].what, "what is said of database");
    assert_eq!(found(Condition::DatabaseNotWritable, &database(true)), []);

    let turning =
        |overdue| Loop { name: "recovery".to_owned(), silent_for_ms: 9_000, overdue_by_ms: overdue };
    let stopped =
        found(Condition::LoopStopped, &health(vec![("recovery", Figures::Loop(turning(Some(2_000))))]));
    assert_eq!(stopped[0].since, Some(ago(2)));
    let waits = Figures::Loop(turning(Some(2_000)));
    let away = Figures::Database(Database::default());
    let waiting = find(
        Condition::LoopStopped,
        &health(vec![("recovery", waits), ("database", away)]),
        &Restarts::default(),
    );
    let unsure = BTreeSet::from(["recovery".to_owned()]);
    assert_eq!(waiting, Some(Findings { firing: Vec::new(), unsure }), "it may wait for the database alone");
    assert_eq!(found(Condition::LoopStopped, &health(vec![("recovery", Figures::Loop(turning(None)))])), []);
}

#[test]
fn few_ends_say_nothing_of_recovery() {
    let recovery = |finished, ended: u64, hours: u64| Recovery {
        enabled: true,
        last_ended_at: None,
        last_failure_at: None,
        last_failure: None,
        finished,
        ended,
        success_rate: Some(
            f64::from(u32::try_from(finished).unwrap()) / f64::from(u32::try_from(ended).unwrap()),
        ),
        counted_since: ago(hours * 3_600),
    };
    let found = |finished, ended, hours| {
        let health = health(vec![("recovery", Figures::Recovery(recovery(finished, ended, hours)))]);
        find(Condition::RecoverySuccessBelow(0.5), &health, &Restarts::default()).map(|it| it.firing.len())
    };
    assert_eq!((found(4, 10, 1), found(5, 10, 1)), (Some(1), Some(0)));
    assert_eq!((found(0, 9, 1), found(0, 9, 23)), (None, Some(0)), "a new server cannot tell");
}

#[test]
fn restarts_are_counted_within_their_time() {
    let within = Duration::from_secs(60);
    let condition = Condition::WorkerRestartsAbove { restarts: 2, within };
    let mut restarts = Restarts::default();
    let mut unsure = Vec::new();
    let mut look = |second: u64, count, state| {
        let process = Process {
            name: "w-1".to_owned(),
            worker: "w".to_owned(),
            state,
            restarts: count,
            last_end: Some("exited with 1".to_owned()),
            starts_at: None,
        };
        let mut health = health(vec![("w-1", Figures::Process(process))]);
        health.at = noon() + Duration::from_secs(second);
        restarts.note(&health, within);
        let mut found = find(condition, &health, &restarts).unwrap();
        if found.unsure.contains("w") {
            unsure.push(second);
        }
        found.firing.pop().map(|firing| firing.what)
    };
    // What was before the first look is not known to have been lately.
    assert_eq!(look(0, 50, ProcessState::Running), None);
    assert_eq!(look(10, 52, ProcessState::Running), None);
    let often = look(20, 53, ProcessState::Running).unwrap();
    assert_eq!(often, "process `w-1` was started again 3 times within 60 s; it last exited with 1");
    assert!(look(69, 53, ProcessState::Running).is_some());
    assert_eq!(look(80, 53, ProcessState::Running), None, "long ago");
    // A new server counts anew.
    assert_eq!(look(90, 1, ProcessState::Running), None);
    assert!(look(91, 1, ProcessState::Exhausted).is_some(), "whoever is given up needs a person");
    assert_eq!(unsure, [0, 10], "the time before is not known");
}

#[test]
fn what_kills_all_processes_of_a_worker_is_one_incident() {
    let process = |name: &str, worker: &str| Process {
        name: name.to_owned(),
        worker: worker.to_owned(),
        state: ProcessState::Exhausted,
        restarts: 5,
        last_end: None,
        starts_at: None,
    };
    let processes = [("a-1", "a"), ("b-1", "b"), ("a-2", "a"), ("a-3", "a")];
    let health =
        health(processes.map(|(name, worker)| (name, Figures::Process(process(name, worker)))).into());
    let within = Duration::from_secs(60);
    let found = found(Condition::WorkerRestartsAbove { restarts: 9, within }, &health);
    let said: Vec<(&str, &str)> = found.iter().map(|it| (it.subject.as_str(), it.what.as_str())).collect();
    let of_a = "what is said of a-1; so it is with 2 others of worker `a`";
    assert_eq!(said, [("a", of_a), ("b", "what is said of b-1")]);
}
