use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::super::model::Event;
use super::super::model::Key;
use super::super::seen::{
    Breaker, DecisionCount, Fleet, Health, Indicator, JobEvent, Link, Queue, Snapshot, Worker,
};
use super::*;

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(1_800_000_000 + second, 0).unwrap()
}

fn snapshot() -> Snapshot {
    let jobs = [("failed", 2), ("running", 1), ("finished", 7)];
    let queue = Queue {
        name: "default".to_owned(),
        paused: true,
        jobs: jobs.map(|(state, count)| (state.to_owned(), count)).into(),
    };
    let job = |id: &str, error: &str| Job {
        id: id.to_owned(),
        status: "failed".to_owned(),
        queue: "default".to_owned(),
        command: "CRAWL".to_owned(),
        full_path: Some("/a".to_owned()),
        attempt: 3,
        updated_at: Some(at(-90)),
        progress: serde_json::json!({ "error": error }),
        ..Job::default()
    };
    Snapshot {
        at: at(0),
        health: Health {
            status: "degraded".to_owned(),
            indicators: [("ok", "the database takes writes"), ("degraded", "link crawler: nobody answers")]
                .map(|(status, what)| Indicator { status: status.to_owned(), what: what.to_owned() })
                .into(),
        },
        queues: vec![queue],
        fleet: Fleet {
            links: vec![Link {
                name: "crawler".to_owned(),
                connection_failures: 5,
                last_error: Some("connection refused".to_owned()),
                breaker: Some(Breaker { state: "open".to_owned() }),
                ..Link::default()
            }],
            workers: vec![Worker {
                id: "w-1".to_owned(),
                link: "crawler".to_owned(),
                state: "paused".to_owned(),
                last_heard_at: Some(at(-3)),
                leases: 1,
            }],
            ..Fleet::default()
        },
        runs: vec![Run {
            trigger: "periodic".to_owned(),
            started_at: Some(at(-60)),
            finished_at: Some(at(-59)),
            message: Some("Job recovery completed: 1 recovered".to_owned()),
            counts: vec![DecisionCount {
                action: "requeue".to_owned(),
                rule: Some("outage".to_owned()),
                reason: "the site was down".to_owned(),
                jobs: 4,
            }],
        }],
        jobs: vec![
            job("01JOB0000000000000000000AA", "HTTP 503"),
            job("01JOB0000000000000000000BB", "a\u{1b}[2Jb\u{202e}"),
        ],
        state: Some(Status::Failed),
    }
}

fn screen(model: &mut Model, width: u16, height: u16) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    terminal.draw(|frame| draw(frame, model)).unwrap();
    terminal.backend().to_string()
}

fn model() -> Model {
    Model::new("http://127.0.0.1:7400/".to_owned(), snapshot())
}

#[track_caller]
fn shows(screen: &str, parts: &[&str]) {
    for part in parts {
        assert!(screen.contains(part), "{part} is missing:\n{screen}");
    }
}

#[test]
fn a_wide_terminal_shows_everything_at_once() {
    let mut model = model();
    model.update(Event::Seen(Box::new(Snapshot { at: at(1), ..snapshot() })));
    let screen = screen(&mut model, 140, 40);
    shows(
        &screen,
        &[
            "http://127.0.0.1:7400/",
            "08:00:01 UTC  live, degraded",
            "failed 2",
            "finished 7",
            "stopped queues: default",
            "finished/s 0",
            "← failed → 2 of 2",
            "0000AA",
            "CRAWL /a",
            "HTTP 503",
            "1m",
            "! link crawler: nobody answers",
            "link crawler: 0 connections, breaker open, 5 failed",
            "connection refused",
            "worker w-1 paused on crawler: 1 job, heard 4s ago",
            "periodic",
            "4 × requeue by outage: the site was down",
            "? help",
        ],
    );
    assert!(!screen.contains("takes writes"), "what is well needs no words");
    assert!(!screen.contains(['\u{1b}', '\u{202e}']), "what a job says steers no terminal");
    shows(&screen, &["a\u{fffd}[2Jb\u{fffd}"]);
}

#[test]
fn a_small_terminal_shows_the_pane_that_has_the_focus() {
    let mut model = model();
    let jobs = screen(&mut model, 60, 16);
    shows(&jobs, &["HTTP 503"]);
    assert!(!jobs.contains("breaker open"), "{jobs}");
    model.update(Event::Key(Key::NextPane));
    shows(&screen(&mut model, 60, 16), &["breaker open"]);
    model.update(Event::Key(Key::NextPane));
    shows(&screen(&mut model, 60, 16), &["by outage"]);
    // However little there is, nothing breaks.
    for (width, height) in [(1, 1), (20, 3), (5, 40), (300, 2)] {
        for overlay in [None, Some(Overlay::Help)] {
            model.overlay = overlay;
            screen(&mut model, width, height);
        }
    }
}

#[test]
fn what_lies_over_it_can_be_read_to_its_end() {
    let mut model = model();
    model.update(Event::Key(Key::Character('?')));
    shows(&screen(&mut model, 110, 30), &["Keys", "recover now"]);
    model.update(Event::Key(Key::Escape));
    model.update(Event::Preview(Ok("would be 3 recovered".to_owned())));
    shows(&screen(&mut model, 110, 30), &["would be 3 recovered", "y = yes"]);
    model.update(Event::Key(Key::Character('n')));

    let event = |number: u32| JobEvent {
        at: Some(at(0)),
        kind: "not_recovered".to_owned(),
        actor: "recovery".to_owned(),
        rule: Some("final".to_owned()),
        reason: Some(format!("look number {number}")),
    };
    let events = (0..100).map(event).collect();
    let why = "it stays failed: no rule takes it up".to_owned();
    let story = Story { job: snapshot().jobs.remove(0), why, next: "never".to_owned(), events };
    model.update(Event::Told(Ok(Box::new(story))));
    shows(&screen(&mut model, 110, 30), &["no rule takes it up", "next look: never", "look number 99"]);
    model.update(Event::Key(Key::End));
    let end = screen(&mut model, 110, 30);
    shows(&end, &["look number 0"]);
    // One step back from the end is one line, however far the key went beyond it.
    model.update(Event::Key(Key::Up));
    assert_ne!(screen(&mut model, 110, 30), end);
}

#[test]
fn trouble_and_refusals_are_seen() {
    let mut model = model();
    model.update(Event::Lost("the server cannot be reached".to_owned()));
    model.update(Event::Done(Err("job x: it is running".to_owned())));
    shows(
        &screen(&mut model, 120, 30),
        &["not live: the server cannot be reached", "job x: it is running", "HTTP 503"],
    );
}
