//! The shared handle: permits, the clock, the listener.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, OnceLock};

use rand::SeedableRng;
use rand::rngs::StdRng;
use reclaimer_breaker::{Breaker, Command, Deps, Event, InvalidSettings, Settings, State};

use crate::rig::{breaker, exact, seconds};

fn fail(breaker: &Breaker, times: u32) {
    for _ in 0..times {
        breaker.try_acquire().unwrap().failure();
    }
}

fn to(log: &Mutex<Vec<Event>>) -> Vec<State> {
    log.lock().unwrap().iter().map(|event| event.to).collect()
}

#[test]
fn settings_that_contradict_themselves_are_refused() {
    let settings = Settings { probes: 0, ..Settings::default() };
    let refused = Breaker::try_new(settings, Deps::new(StdRng::seed_from_u64(1))).unwrap_err();
    assert_eq!(refused, InvalidSettings::Zero("probes"));
}

#[test]
fn clones_are_handles_of_one_breaker() {
    let (breaker, hands, log) = breaker(exact());
    let other = breaker.clone();
    fail(&breaker, 3);
    fail(&other, 2);
    assert!(breaker.check().is_err());
    hands.advance(seconds(30));
    let probe = other.try_acquire().unwrap();
    assert!(probe.is_probe());
    assert!(breaker.try_acquire().is_err());
    probe.success();
    assert_eq!(to(&log), [State::Open, State::HalfOpen, State::Closed]);
}

#[test]
fn a_dropped_probe_gives_its_place_back() {
    let (breaker, hands, _) = breaker(exact());
    fail(&breaker, 5);
    hands.advance(seconds(30));
    let probe = breaker.try_acquire().unwrap();
    breaker.try_acquire().unwrap_err();
    drop(probe);
    assert_eq!(breaker.snapshot().probes_abandoned, 1);
    breaker.try_acquire().unwrap().success();
    assert_eq!(breaker.snapshot().state, State::Closed);
}

#[test]
fn to_check_reserves_nothing() {
    let (breaker, hands, _) = breaker(exact());
    fail(&breaker, 5);
    hands.advance(seconds(30));
    breaker.check().unwrap();
    breaker.check().unwrap();
    assert_eq!(breaker.snapshot().probes_in_flight, 0);
}

#[test]
fn orders_are_carried_out() {
    let (breaker, _, log) = breaker(exact());
    breaker.force_open();
    breaker.auto();
    breaker.force_closed();
    breaker.auto();
    breaker.reset();
    breaker.command(Command::ForceOpen);
    assert_eq!(
        to(&log),
        [
            State::ForcedOpen,
            State::HalfOpen,
            State::ForcedClosed,
            State::Closed,
            State::Closed,
            State::ForcedOpen,
        ]
    );
}

/// Its listener may use the breaker, and hears of what it does so after what it is told of now.
#[test]
fn a_listener_may_use_the_breaker() {
    let heard: Arc<Mutex<Vec<(State, State)>>> = Arc::default();
    let itself: Arc<OnceLock<Breaker>> = Arc::default();
    let (log, handle) = (Arc::clone(&heard), Arc::clone(&itself));
    let listener = move |event: &Event| {
        let breaker = handle.get().unwrap();
        if event.to == State::Open {
            breaker.force_closed();
        }
        log.lock().unwrap().push((event.to, breaker.snapshot().state));
    };
    let deps = Deps { listener: Some(Arc::new(listener)), ..Deps::new(StdRng::seed_from_u64(1)) };
    let breaker = Breaker::try_new(exact(), deps).unwrap();
    itself.set(breaker.clone()).unwrap();
    fail(&breaker, 5);
    let heard = heard.lock().unwrap();
    assert_eq!(*heard, [(State::Open, State::ForcedClosed), (State::ForcedClosed, State::ForcedClosed)]);
}

#[test]
fn a_listener_that_panics_hears_of_the_next_transition() {
    let heard: Arc<Mutex<Vec<State>>> = Arc::default();
    let log = Arc::clone(&heard);
    let listener = move |event: &Event| {
        log.lock().unwrap().push(event.to);
        assert!(event.to != State::ForcedOpen, "the listener is broken");
    };
    let deps = Deps { listener: Some(Arc::new(listener)), ..Deps::new(StdRng::seed_from_u64(1)) };
    let breaker = Breaker::try_new(exact(), deps).unwrap();
    assert!(catch_unwind(AssertUnwindSafe(|| breaker.force_open())).is_err());
    breaker.reset();
    assert!(breaker.try_acquire().is_ok());
    // The log's own lock was given back before the panic.
    assert_eq!(*heard.lock().unwrap(), [State::ForcedOpen, State::Closed]);
}

#[tokio::test(start_paused = true)]
async fn its_clock_is_that_of_tokio_unless_it_gets_another() {
    let breaker = Breaker::try_new(exact(), Deps::new(StdRng::seed_from_u64(1))).unwrap();
    fail(&breaker, 5);
    let open = breaker.try_acquire().unwrap_err();
    tokio::time::sleep(open.retry_after.unwrap()).await;
    assert!(breaker.try_acquire().unwrap().is_probe());
}
