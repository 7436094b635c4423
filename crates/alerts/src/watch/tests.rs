use super::*;
use proptest::prelude::*;
use reclaimer_health::{Database, Figures, Indicator, Queues, Status};
use reclaimer_testkit::noon;

const SECOND: Duration = Duration::from_secs(1);

/// How the database is at a second; `None` = nothing is said of it.
fn health(second: u64, writable: bool) -> Health {
    let database = Database { writable, ..Database::default() };
    let indicator = Indicator {
        name: "database".to_owned(),
        status: Status::Down,
        what: "the disk is full".to_owned(),
        since: None,
        figures: Figures::Database(database),
    };
    Health {
        status: Status::Down,
        at: noon() + SECOND * u32::try_from(second).unwrap(),
        indicators: vec![indicator],
    }
}

fn rule() -> Rule {
    Rule { condition: Condition::DatabaseNotWritable, hold: SECOND * 30 }
}

fn terms() -> Terms {
    Terms { cooldown: SECOND * 600, resolve_after: SECOND * 60, remind_after: None }
}

/// What is told at each of these looks.
fn told(watch: &mut Watch, looks: impl IntoIterator<Item = (u64, bool)>) -> Vec<(u64, &'static str)> {
    let mut told = Vec::new();
    for (second, writable) in looks {
        let looked = watch.look(&health(second, writable), || format!("id-{second}"));
        assert!(looked.messages.is_empty() || looked.changed, "what is told is kept");
        told.extend(looked.messages.iter().map(|message| (second, message.event.as_str())));
    }
    told
}

#[test]
fn an_incident_is_told_once_and_its_end_once() {
    let mut watch = Watch::new(vec![rule()], terms());
    let looks = (0..10).map(|n| (n * 10, true)).chain((10..300).map(|n| (n * 10, false)));
    let looks = looks.chain((300..360).map(|n| (n * 10, true)));
    assert_eq!(told(&mut watch, looks), [(130, "opened"), (3_060, "resolved")]);
    assert_eq!(watch.incidents().count(), 1, "its cooldown runs");
    assert_eq!(told(&mut watch, [(3_660, true)]), []);
    assert_eq!(watch.incidents().count(), 0, "it is over for good");
}

#[test]
fn what_does_not_last_is_not_told() {
    let mut watch = Watch::new(vec![rule()], terms());
    assert_eq!(told(&mut watch, (0..100).map(|n| (n * 10, n % 3 == 2))), []);
}

#[test]
fn what_comes_and_goes_is_one_incident() {
    let mut watch = Watch::new(vec![Rule { hold: Duration::ZERO, ..rule() }], terms());
    assert_eq!(told(&mut watch, (0..100).map(|n| (n * 10, n % 2 == 1))), [(0, "opened")]);
}

#[test]
fn the_next_incident_waits_for_the_cooldown() {
    let mut watch = Watch::new(vec![rule()], terms());
    let away = |from: u64, to: u64| (from..to).map(|n| (n * 10, false));
    let back = |from: u64, to: u64| (from..to).map(|n| (n * 10, true));
    let looks = away(0, 10).chain(back(10, 20)).chain(away(20, 30)).chain(back(30, 40)).chain(away(40, 100));
    // Over at 160; told again no sooner than 600 seconds later, though it was away since 400.
    assert_eq!(told(&mut watch, looks), [(30, "opened"), (160, "resolved"), (760, "opened")]);
    let since = watch.incidents().next().unwrap().since;
    assert_eq!(since, noon() + SECOND * 400);
}

#[test]
fn reminders_come_when_they_are_asked_for() {
    let mut watch = Watch::new(vec![rule()], Terms { remind_after: Some(SECOND * 100), ..terms() });
    let expected = [(30, "opened"), (130, "reminder"), (230, "reminder")];
    assert_eq!(told(&mut watch, (0..30).map(|n| (n * 10, false))), expected);
}

#[test]
fn an_earlier_life_is_taken_up() {
    let mut earlier = Watch::new(vec![rule()], terms());
    told(&mut earlier, [(0, false), (30, false)]);
    let kept: Vec<Incident> = earlier.incidents().cloned().collect();
    let mut later = Watch::new(vec![rule()], terms());
    later.take_up(kept.clone());
    assert_eq!(told(&mut later, [(40, false), (100, false), (110, true), (170, true)]), [(170, "resolved")]);
    // The rules may have changed meanwhile.
    let mut without = Watch::new(Vec::new(), terms());
    without.take_up(kept);
    assert_eq!(without.incidents().count(), 0);
}

#[test]
fn what_cannot_be_told_changes_nothing() {
    let quarantined = |second: u64, count: Option<u64>| {
        let mut health = health(second, true);
        let queues = count.map(|quarantined| Queues { quarantined, ..Queues::default() });
        health.indicators[0].figures = Figures::Queues(queues);
        health
    };
    let rule = Rule { condition: Condition::QuarantinedAbove(0), hold: SECOND * 30 };
    let mut watch = Watch::new(vec![rule], Terms { cooldown: Duration::ZERO, ..terms() });
    let mut look = |second, count| {
        let looked = watch.look(&quarantined(second, count), || "id".to_owned());
        looked.messages.first().map(|message| message.event.as_str())
    };
    assert_eq!(look(0, Some(3)), None);
    assert_eq!(look(20, None), None);
    assert_eq!(look(30, Some(3)), Some("opened"));
    assert_eq!(look(100, None), None);
    assert_eq!(look(500, None), None);
    assert_eq!(look(510, Some(0)), None);
    assert_eq!(look(570, Some(0)), Some("resolved"));
}

proptest! {
    /// However a condition comes and goes, and however the clock steps: openings and ends take turns, and no two openings are
    /// nearer to each other than the cooldown.
    #[test]
    fn no_storm(looks in prop::collection::vec((0_u64..100, any::<bool>()), 1..200), steps_back in any::<bool>()) {
        let mut watch = Watch::new(vec![rule()], terms());
        let mut second = 10_000_u64;
        let looks: Vec<(u64, bool)> = looks.into_iter().map(|(step, writable)| {
            second = if steps_back && step == 99 { second.saturating_sub(50) } else { second + step };
            (second, writable)
        }).collect();
        let told = told(&mut watch, looks);
        for pair in told.windows(2) {
            prop_assert_ne!(pair[0].1, pair[1].1);
        }
        let openings: Vec<u64> = told.iter().filter(|(_, event)| *event == "opened").map(|(at, _)| *at).collect();
        for pair in openings.windows(2) {
            prop_assert!(pair[1] >= pair[0] + 600, "{:?}", told);
        }
    }
}
