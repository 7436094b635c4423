//! What opens a circuit, for how long, and what closes it.

use std::time::Duration;

use reclaimer_breaker::machine::Outcome::{Abandoned, Failure, Success};
use reclaimer_breaker::{Command, Rate, Reason, Settings, SlowCalls, State, Window};

use crate::rig::{Rig, exact, millis, seconds};

/// Says why the circuit last changed.
fn reason(rig: &Rig) -> String {
    rig.events.last().map(|event| event.reason.to_string()).unwrap_or_default()
}

#[test]
fn only_failures_in_a_row_count_as_such() {
    let mut rig = Rig::new(exact());
    for outcome in
        [Failure, Failure, Failure, Failure, Success, Failure, Failure, Failure, Failure, Abandoned]
    {
        rig.call(outcome);
    }
    assert_eq!(rig.state(), State::Closed);
    assert_eq!(rig.machine.snapshot().consecutive_failures, 4);
    rig.fail(1);
    assert_eq!(reason(&rig), "5 calls in a row failed");
    rig.wait(seconds(30));
    assert_eq!(
        rig.machine.snapshot().consecutive_failures,
        5,
        "while it is not closed, it is to be seen why"
    );
    rig.call(Success);
    assert_eq!(rig.machine.snapshot().consecutive_failures, 0);
}

#[test]
fn a_rate_of_failures_over_calls_opens_it_once_there_are_enough() {
    let rate = Rate { window: Window::Calls(6), min_calls: 4, threshold: 0.5 };
    let settings = Settings { consecutive_failures: None, failure_rates: vec![rate], ..exact() };
    let mut rig = Rig::new(settings);
    for outcome in [Failure, Failure, Failure] {
        rig.call(outcome);
    }
    assert_eq!(rig.state(), State::Closed, "three calls are too few");
    rig.call(Success);
    assert_eq!((rig.state(), reason(&rig)), (State::Open, "3 of the last 4 calls failed".to_owned()));
}

#[test]
fn old_calls_leave_the_window_of_calls() {
    let rate = Rate { window: Window::Calls(4), min_calls: 4, threshold: 0.5 };
    let mut rig = Rig::new(Settings { failure_rates: vec![rate], ..exact() });
    for outcome in [Failure, Success, Success, Success, Success, Failure, Success, Success, Success, Failure]
    {
        rig.call(outcome);
    }
    assert_eq!(rig.state(), State::Closed);
    rig.fail(1);
    assert_eq!(reason(&rig), "2 of the last 4 calls failed");
}

#[test]
fn a_rate_of_failures_over_time_opens_it() {
    let rate = Rate { window: Window::Time(seconds(10)), min_calls: 3, threshold: 0.6 };
    let mut rig = Rig::new(Settings { failure_rates: vec![rate], ..exact() });
    rig.call(Failure);
    rig.call(Failure);
    rig.wait(seconds(10));
    rig.call(Success);
    rig.call(Failure);
    assert_eq!(rig.state(), State::Closed, "the first two are out of the window");
    rig.wait(seconds(8));
    rig.fail(1);
    assert_eq!(reason(&rig), "2 of 3 calls within 10s failed");
}

#[test]
fn slow_calls_open_it_and_keep_it_open() {
    let rate = Rate { window: Window::Calls(10), min_calls: 2, threshold: 1.0 };
    let slow_calls = Some(SlowCalls { slow_after: seconds(2), rate });
    let mut rig = Rig::new(Settings { slow_calls, ..exact() });
    let call_for = |rig: &mut Rig, time| {
        let ticket = rig.acquire().unwrap();
        rig.now += time;
        rig.report(ticket, Success);
    };
    call_for(&mut rig, seconds(2));
    assert_eq!(rig.machine.snapshot().slow_calls.unwrap().rate(), Some(1.0));
    call_for(&mut rig, seconds(3));
    assert_eq!((rig.state(), reason(&rig)), (State::Open, "2 of the last 2 calls were slow".to_owned()));
    rig.wait(seconds(30));
    call_for(&mut rig, seconds(2));
    assert_eq!((rig.state(), reason(&rig)), (State::Open, "a probe was slow".to_owned()));
    rig.wait(seconds(45));
    call_for(&mut rig, millis(1_999));
    assert_eq!((rig.state(), reason(&rig)), (State::Closed, "a probe succeeded".to_owned()));
    call_for(&mut rig, seconds(2));
    assert_eq!(rig.state(), State::Closed, "what was slow before it opened is forgotten");
}

#[test]
fn the_open_time_grows_with_each_failed_probe_and_starts_anew_once_stable() {
    let mut rig = Rig::new(exact());
    let mut times = vec![rig.fail(5)];
    for _ in 0..7 {
        rig.wait(*times.last().unwrap());
        times.push(rig.fail(1));
    }
    let in_millis: Vec<u128> = times.iter().map(Duration::as_millis).collect();
    assert_eq!(in_millis, [30_000, 45_000, 67_500, 101_250, 151_875, 227_812, 300_000, 300_000]);

    rig.wait(seconds(300));
    rig.call(Success);
    rig.wait(seconds(60) - millis(1));
    assert_eq!(rig.machine.snapshot().openings, 8);
    assert_eq!(rig.fail(5), seconds(300), "closed, but not for long enough");

    rig.wait(seconds(300));
    rig.call(Success);
    rig.wait(seconds(60));
    assert_eq!(rig.machine.snapshot().openings, 0);
    assert_eq!(rig.fail(5), seconds(30));
}

#[test]
fn open_times_are_spread() {
    let mut rig = Rig::new(Settings::default());
    let mut times = Vec::new();
    for _ in 0..200 {
        times.push(rig.fail(5));
        rig.command(Command::Reset);
    }
    assert!(times.iter().all(|time| (seconds(24)..=seconds(36)).contains(time)));
    assert!(times.iter().min().unwrap() < &seconds(25) && times.iter().max().unwrap() > &seconds(35));
}

#[test]
fn it_says_when_to_come_back() {
    let mut rig = Rig::new(exact());
    rig.fail(5);
    rig.wait(seconds(10));
    let open = rig.acquire().unwrap_err();
    assert_eq!((open.retry_at, open.retry_after), (Some(seconds(30)), Some(seconds(20))));
    assert_eq!(open.to_string(), "the circuit is open; try again in 20.0s");

    rig.wait(seconds(20));
    let probe = rig.acquire().unwrap();
    rig.wait(seconds(5));
    let open = rig.acquire().unwrap_err();
    assert_eq!(open.retry_after, Some(seconds(25)), "when the probe is overdue");
    assert_eq!(open.to_string(), "the circuit is half-open; try again in 25.0s");
    rig.report(probe, Success);

    rig.command(Command::ForceOpen);
    let open = rig.acquire().unwrap_err();
    assert_eq!((open.retry_at, open.retry_after), (None, None));
    assert_eq!(open.to_string(), "the circuit is forced open; it stays so until it is ordered otherwise");
}

#[test]
fn an_overdue_probe_has_failed_when_it_was_due() {
    let mut rig = Rig::new(exact());
    rig.fail(5);
    rig.wait(seconds(30));
    let probe = rig.acquire().unwrap();
    rig.wait(seconds(31));
    let event = rig.events.last().unwrap();
    assert_eq!((event.reason, event.to), (Reason::ProbeOverdue, State::Open));
    assert_eq!((event.at, event.next_probe_at), (seconds(60), Some(seconds(105))));
    rig.report(probe, Success);
    assert_eq!(rig.state(), State::Open, "it came too late");
}

#[test]
fn as_many_probes_as_allowed_and_as_many_successes_as_needed() {
    let settings = Settings { probes: 2, probes_to_close: 3, ..exact() };
    let mut rig = Rig::new(settings);
    rig.fail(5);
    rig.wait(seconds(30));
    let first = rig.acquire().unwrap();
    let second = rig.acquire().unwrap();
    rig.acquire().unwrap_err();
    rig.report(first, Success);
    let third = rig.acquire().unwrap();
    rig.report(second, Success);
    let snapshot = rig.machine.snapshot();
    assert_eq!((snapshot.probes_in_flight, snapshot.probes_succeeded), (1, 2));
    assert_eq!(snapshot.state, State::HalfOpen);
    rig.report(third, Success);
    assert_eq!((rig.state(), reason(&rig)), (State::Closed, "3 probes succeeded".to_owned()));
}

#[test]
fn three_abandoned_probes_open_it_again() {
    let mut rig = Rig::new(exact());
    rig.fail(5);
    rig.wait(seconds(30));
    rig.call(Abandoned);
    rig.call(Abandoned);
    assert_eq!(rig.machine.snapshot().probes_abandoned, 2);
    rig.call(Abandoned);
    assert_eq!((rig.state(), reason(&rig)), (State::Open, "3 probes were given up".to_owned()));
    rig.wait(seconds(45));
    rig.call(Abandoned);
    assert_eq!(rig.state(), State::HalfOpen, "each half-open counts for itself");
}

#[test]
fn forced_closed_counts_and_forgets() {
    let mut rig = Rig::new(exact());
    rig.command(Command::ForceClosed);
    for _ in 0..9 {
        rig.call(Failure);
    }
    assert_eq!((rig.state(), rig.machine.snapshot().consecutive_failures), (State::ForcedClosed, 9));
    rig.command(Command::Auto);
    assert_eq!((rig.state(), rig.machine.snapshot().consecutive_failures), (State::Closed, 0));
}

#[test]
fn a_reset_forgets_the_growth_and_other_orders_do_not() {
    let mut rig = Rig::new(exact());
    rig.fail(5);
    rig.command(Command::ForceOpen);
    rig.command(Command::Auto);
    assert_eq!(rig.fail(1), seconds(45));
    rig.command(Command::Reset);
    assert_eq!(rig.fail(5), seconds(30));
}

#[test]
fn time_that_goes_back_stands_still() {
    let mut rig = Rig::new(exact());
    rig.wait(seconds(100));
    rig.now = seconds(50);
    rig.call(Failure);
    assert_eq!(rig.machine.snapshot().at, seconds(100));
    for _ in 0..4 {
        rig.call(Failure);
    }
    assert_eq!(rig.machine.snapshot().next_probe_at, Some(seconds(130)));
}
