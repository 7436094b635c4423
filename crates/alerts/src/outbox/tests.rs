use super::*;
use proptest::prelude::*;
use reclaimer_domain::alert::{AlertEvent, Incident};
use reclaimer_testkit::{noon, seeded};

fn message(id: &str) -> AlertMessage {
    let incident = Incident {
        id: "i".to_owned(),
        rule: "r".to_owned(),
        subject: "s".to_owned(),
        what: "w".to_owned(),
        since: noon(),
        opened_at: noon(),
        told_at: noon(),
        resolved_at: None,
    };
    crate::watch::message(AlertEvent::Opened, incident, noon(), id.to_owned())
}

fn fates(outbox: &Outbox) -> Vec<(&str, &'static str)> {
    outbox.messages().map(|message| (message.id.as_str(), message.fate.as_str())).collect()
}

#[test]
fn messages_are_sent_in_order_until_they_are_taken() {
    let mut outbox = Outbox::default();
    outbox.push(message("a"));
    outbox.push(message("b"));
    outbox.failed("a", "HTTP 503".to_owned(), None, noon(), &mut seeded(1));
    let next = outbox.next().unwrap();
    assert_eq!((next.id.as_str(), next.attempts, next.last_error.as_deref()), ("a", 1, Some("HTTP 503")));
    assert!(next.next_attempt_at > noon());
    outbox.delivered("a");
    assert_eq!(outbox.next().unwrap().id, "b");
    assert_eq!(fates(&outbox), [("a", "delivered"), ("b", "waiting")]);
    // What is not there any more is nobody's.
    outbox.delivered("a");
    outbox.failed("a", String::new(), None, noon(), &mut seeded(1));
    assert_eq!(outbox.messages().count(), 2);
}

#[test]
fn a_message_of_yesterday_is_given_up() {
    let mut outbox = Outbox::default();
    outbox.push(message("a"));
    outbox.failed("a", "x".to_owned(), None, noon() + Duration::from_secs(86_399), &mut seeded(1));
    assert_eq!(fates(&outbox), [("a", "waiting")]);
    outbox.failed("a", "x".to_owned(), None, noon() + Duration::from_secs(86_400), &mut seeded(1));
    assert_eq!(fates(&outbox), [("a", "given_up")]);
    assert_eq!(outbox.next(), None);
    // Also one that was never tried.
    outbox.push(message("b"));
    assert!(!outbox.give_up_old(noon() + Duration::from_secs(86_399)));
    assert!(outbox.give_up_old(noon() + Duration::from_secs(86_400)));
    assert_eq!(fates(&outbox), [("a", "given_up"), ("b", "given_up")]);
}

#[test]
fn a_receiver_that_asks_for_time_gets_it_within_reason() {
    let pause = |asked| {
        let mut outbox = Outbox::default();
        outbox.push(message("a"));
        outbox.failed("a", String::new(), Some(Duration::from_secs(asked)), noon(), &mut seeded(1));
        between(noon(), outbox.next().unwrap().next_attempt_at).as_secs()
    };
    assert_eq!((pause(30), pause(86_400)), (30, 300));
}

#[test]
fn the_queue_is_bounded_and_the_oldest_go() {
    let mut outbox = Outbox::default();
    for number in 0..1_000 {
        outbox.push(message(&number.to_string()));
    }
    assert_eq!(outbox.waiting.len(), MOST_WAITING);
    assert_eq!(outbox.over.len(), MOST_OVER);
    assert_eq!(outbox.next().unwrap().id, "900");
    assert_eq!(outbox.over.back().unwrap().fate, MessageFate::GivenUp);
}

#[test]
fn an_earlier_life_comes_first() {
    let mut earlier = Outbox::default();
    earlier.push(message("a"));
    earlier.push(message("b"));
    earlier.delivered("a");
    let mut later = Outbox::default();
    later.push(message("c"));
    later.take_up(earlier.messages().cloned().collect());
    assert_eq!(fates(&later), [("a", "delivered"), ("b", "waiting"), ("c", "waiting")]);
}

proptest! {
    /// The pause grows, is never longer than the longest, and never less than half of what it grew to.
    #[test]
    fn pauses_grow_within_bounds(failures in 0_u32..100, seed in any::<u64>()) {
        let whole = Duration::from_secs(1_u64.checked_shl(failures.min(20)).unwrap()).min(LONGEST_PAUSE);
        let pause = pause(failures, &mut seeded(seed));
        prop_assert!(pause >= whole / 2 && pause <= whole, "{:?} of {:?}", pause, whole);
    }
}
