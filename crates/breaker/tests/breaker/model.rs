//! Any sequence of events, beside a model of the machine.

use proptest::collection::vec;
use proptest::prelude::*;
use reclaimer_breaker::machine::{Outcome, Ticket};
use reclaimer_breaker::{Command, Rate, Settings, SlowCalls, State, Window};

use crate::reference::Model;
use crate::rig::{Rig, millis};

/// Something that happens.
#[derive(Debug, Clone, Copy)]
enum Step {
    Acquire,
    /// One of the permits that are out is reported.
    Report(prop::sample::Index, Outcome),
    Wait(u64),
    Command(Command),
}

fn any_step() -> impl Strategy<Value = Step> {
    let outcome = prop_oneof![
        4 => Just(Outcome::Failure),
        3 => Just(Outcome::Success),
        2 => Just(Outcome::Abandoned),
    ];
    prop_oneof![
        8 => Just(Step::Acquire),
        8 => (any::<prop::sample::Index>(), outcome).prop_map(|(index, outcome)| Step::Report(index, outcome)),
        4 => (0_u64..400).prop_map(Step::Wait),
        1 => prop::sample::select(Command::ALL.as_slice()).prop_map(Step::Command),
    ]
}

fn any_rate() -> impl Strategy<Value = Rate> {
    let calls =
        (1_u32..8, 0_u32..4).prop_map(|(min_calls, more)| (Window::Calls(min_calls + more), min_calls));
    let time =
        (10_u64..1_000, 1_u32..5).prop_map(|(time, min_calls)| (Window::Time(millis(time)), min_calls));
    (prop_oneof![calls, time], 1_u32..=10).prop_map(|((window, min_calls), tenths)| Rate {
        window,
        min_calls,
        threshold: f64::from(tenths) / 10.0,
    })
}

fn any_settings() -> impl Strategy<Value = Settings> {
    let slow_calls = (1_u64..300, any_rate())
        .prop_map(|(slow_after, rate)| SlowCalls { slow_after: millis(slow_after), rate });
    let trips = (prop::option::of(1_u32..5), vec(any_rate(), 0..3), prop::option::of(slow_calls));
    let opening = (1_u64..300, 1.0_f64..3.0, 0_u64..900, 0.0_f64..0.9, 0_u64..600);
    let probing = (1_u32..4, 1_u32..4, 1_u32..4, 1_u64..400);
    (trips, opening, probing).prop_map(|(trips, opening, probing)| Settings {
        consecutive_failures: trips.0,
        failure_rates: trips.1,
        slow_calls: trips.2,
        open_for: millis(opening.0),
        open_factor: opening.1,
        max_open_for: millis(opening.0 + opening.2),
        jitter: opening.3,
        stable_after: millis(opening.4),
        probes: probing.0,
        probes_to_close: probing.1,
        max_abandoned_probes: probing.2,
        probe_timeout: millis(probing.3),
    })
}

/// Carries out a step, as far as it can be: a report needs a permit. Returns the number of the permit.
fn carry_out(rig: &mut Rig, out: &mut Vec<(usize, Ticket)>, given: &mut usize, step: Step) -> Option<usize> {
    match step {
        Step::Acquire => {
            let ticket = rig.acquire().ok()?;
            out.push((*given, ticket));
            *given += 1;
            Some(*given - 1)
        }
        Step::Report(index, outcome) => {
            if out.is_empty() {
                return None;
            }
            let (number, ticket) = out.swap_remove(index.index(out.len()));
            rig.report(ticket, outcome);
            Some(number)
        }
        Step::Wait(time) => {
            rig.wait(millis(time));
            None
        }
        Step::Command(command) => {
            rig.command(command);
            None
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn the_machine_does_what_the_model_does(
        settings in any_settings(),
        steps in vec(any_step(), 0..150),
        seed: u64,
    ) {
        let mut rig = Rig::seeded(settings.clone(), seed);
        let mut model = Model::new(settings);
        let (mut out, mut given) = (Vec::new(), 0);
        for step in steps {
            let told_before = rig.events.len();
            let number = carry_out(&mut rig, &mut out, &mut given, step);
            model.now = rig.now;
            let mut told = rig.events[told_before..].iter();
            model.pass_time(&mut told);
            match step {
                Step::Acquire => {
                    prop_assert_eq!(number.is_some(), model.lets_through());
                    if number.is_some() {
                        model.begin();
                    }
                }
                Step::Report(_, outcome) => {
                    if let Some(number) = number {
                        model.report(number, outcome, &mut told);
                    }
                }
                Step::Wait(_) => {}
                Step::Command(command) => model.command(command, &mut told),
            }
            prop_assert_eq!(told.next(), None);
            model.check(&rig.machine.snapshot());
        }
    }

    #[test]
    fn to_look_changes_nothing(settings in any_settings(), steps in vec(any_step(), 0..150), seed: u64) {
        let mut blind = Rig::seeded(settings.clone(), seed);
        let mut seeing = Rig::seeded(settings, seed);
        let (mut out, mut given) = (Vec::new(), 0);
        let (mut seen_out, mut seen_given) = (Vec::new(), 0);
        for step in steps {
            if let Step::Wait(time) = step {
                // One sees what time brings about as it happens, the other only when next something is done.
                for _ in 0..time {
                    seeing.wait(millis(1));
                }
                blind.now += millis(time);
            } else {
                carry_out(&mut blind, &mut out, &mut given, step);
                carry_out(&mut seeing, &mut seen_out, &mut seen_given, step);
            }
        }
        blind.look();
        prop_assert_eq!(blind.events, seeing.events);
        prop_assert_eq!(blind.machine.snapshot(), seeing.machine.snapshot());
    }

    /// However it was driven, left alone it comes to a state in which calls are let through, unless it was forced open.
    #[test]
    fn it_never_stays_shut(settings in any_settings(), steps in vec(any_step(), 0..150), seed: u64) {
        let mut rig = Rig::seeded(settings, seed);
        let (mut out, mut given) = (Vec::new(), 0);
        for step in steps {
            carry_out(&mut rig, &mut out, &mut given, step);
        }
        // Until a probe is overdue, and until the open time that follows is over.
        for _ in 0..2 {
            let Some(open) = rig.machine.refusal() else { break };
            let Some(after) = open.retry_after else {
                prop_assert_eq!(open.state, State::ForcedOpen);
                return Ok(());
            };
            rig.wait(after);
        }
        prop_assert!(rig.acquire().is_ok());
    }
}
