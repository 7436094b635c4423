use reclaimer_domain::history::{Actor, EventKind, HistoryEntry};
use reclaimer_domain::ports::Change;

use super::*;
use crate::event::{Event, Flow, Stats};

fn change(id: i64, job: &str) -> Change {
    let entry = HistoryEntry {
        at: reclaimer_testkit::noon(),
        kind: EventKind::Claimed,
        from: None,
        to: None,
        actor: Actor::System,
        rule: None,
        reason: Some("a reason\nof two lines".to_owned()),
        detail: None,
    };
    Change {
        event_id: id,
        job: job.parse().unwrap(),
        queue: "q".parse().unwrap(),
        command: "c".parse().unwrap(),
        run_at: reclaimer_testkit::noon(),
        recoveries: 0,
        entry,
    }
}

fn stats() -> Event {
    Event::Stats(Stats { at: reclaimer_testkit::noon(), jobs: None, flow: Flow::default(), within_ms: 1_000 })
}

fn tell(ring: &mut Ring, ids: impl IntoIterator<Item = i64>) {
    for id in ids {
        ring.tell([Told::Change(&change(id, &format!("job-{id}")))]);
    }
}

fn all(ring: &Ring, mut number: u64, filter: &Filter, known: i64) -> String {
    let mut all = String::new();
    while let Read::Text(text, next) = ring.read(number, filter, known) {
        all.push_str(std::str::from_utf8(&text).unwrap());
        number = next;
    }
    all
}

fn ids(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.strip_prefix("id: ")).collect()
}

#[test]
fn an_event_is_one_block_of_the_stream() {
    let mut ring = Ring::new(7, 10_000);
    ring.tell([Told::Change(&change(12, "job-1"))]);
    let text = all(&ring, 1, &Filter::default(), 0);
    assert_eq!(
        text,
        "id: 12-00000007-1\nevent: job\ndata: {\"id\":12,\"jobId\":\"job-1\",\"queue\":\"q\",\"command\":\"c\",\
         \"at\":\"2026-01-05T12:00:00.000Z\",\"kind\":\"claimed\",\"from\":null,\"to\":null,\"actor\":\"system\",\
         \"reason\":\"a reason\\nof two lines\"}\n\n"
    );
}

#[test]
fn a_place_is_after_its_event() {
    let mut ring = Ring::new(7, 10_000);
    tell(&mut ring, [11, 12]);
    ring.tell([Told::Other(&stats())]);
    tell(&mut ring, [13]);
    let text = all(&ring, 1, &Filter::default(), 0);
    let ids = ids(&text);
    assert_eq!(ids, ["11-00000007-1", "12-00000007-2", "12-00000007-3", "13-00000007-4"]);
    for (index, id) in (2..).zip(ids) {
        let place: Place = id.parse().unwrap();
        assert_eq!(ring.after(&place), (index, false));
        assert_eq!(ring.job_before(index), place.job);
    }
    assert_eq!(ring.after(&"12".parse().unwrap()), (5, false), "whoever reads the history wants no old news");
    assert_eq!(ring.after(&"12-00000008-2".parse().unwrap()), (1, true), "another process told that");
    assert_eq!(ring.after(&"12-00000007-99".parse().unwrap()), (1, true));
}

#[test]
fn its_room_is_bounded_and_what_falls_out_is_known_to_be_missing() {
    let mut ring = Ring::new(7, 10_000);
    tell(&mut ring, 1..1_000);
    assert!(ring.used <= 10_000, "{}", ring.used);
    let first = ring.first();
    assert!(first > 900, "{first}");
    assert_eq!(ring.read(first - 1, &Filter::default(), 0), Read::Overtaken);
    assert_eq!(
        i64::try_from(first).unwrap(),
        ring.job_before(first) + 1,
        "events are told one a number here"
    );
    assert_eq!(ring.after(&"5-00000007-5".parse().unwrap()), (first, true));
    assert_eq!(ring.read(ring.next(), &Filter::default(), 0), Read::Nothing);
}

#[test]
fn a_group_is_one_piece_unless_it_is_large() {
    let mut ring = Ring::new(7, 1_000_000);
    let changes: Vec<Change> = (1..=1_000).map(|id| change(id, "job-1")).collect();
    ring.tell(changes.iter().map(Told::Change));
    assert!(ring.pieces.iter().all(|piece| piece.text.len() < PIECE + 1_000));
    assert_eq!(ids(&all(&ring, 1, &Filter::default(), 0)).len(), 1_000);
    assert_eq!(ids(&all(&ring, 500, &Filter::default(), 0)).len(), 501);
    let Read::Text(text, _) = ring.read(1, &Filter::default(), 0) else { panic!() };
    assert_eq!(text.as_ptr(), ring.pieces.front().unwrap().text.as_ptr(), "readers share it");
}

#[test]
fn a_filter_takes_what_was_asked_for() {
    let mut ring = Ring::new(7, 10_000);
    tell(&mut ring, [11, 12, 13]);
    ring.tell([Told::Other(&stats())]);
    let one = ["job-12".parse().unwrap()];
    let of = |filter: &Filter, known| {
        let text = all(&ring, 1, filter, known);
        ids(&text).into_iter().map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(of(&Filter::new(None, Some(&one)), 0), ["12-00000007-2", "13-00000007-4"]);
    assert_eq!(of(&Filter::new(Some(vec![Topic::Job]), Some(&one)), 0), ["12-00000007-2"]);
    assert_eq!(of(&Filter::new(Some(vec![Topic::Stats]), None), 0), ["13-00000007-4"]);
    assert_eq!(of(&Filter::default(), 12), ["13-00000007-3", "13-00000007-4"], "others are known");
}

#[test]
fn what_was_read_from_the_history_already_is_not_told_again() {
    let mut ring = Ring::new(7, 10_000);
    ring.begin_after(12);
    tell(&mut ring, [12, 13]);
    assert_eq!(ids(&all(&ring, 1, &Filter::default(), 0)), ["13-00000007-1"]);
}

#[test]
fn whoever_was_away_while_nobody_listened_knows_that_something_is_missing() {
    let mut ring = Ring::new(7, 10_000);
    tell(&mut ring, [1, 2]);
    ring.clear();
    ring.pass_over(50);
    let (number, missed) = ring.after(&"2-00000007-2".parse().unwrap());
    assert!(missed);
    assert_eq!(ring.job_before(number), 50);
    tell(&mut ring, [51]);
    assert_eq!(ring.job_before(number), 50);
    assert_eq!(ids(&all(&ring, number, &Filter::default(), 50)), ["51-00000007-4"]);
}
