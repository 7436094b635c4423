//! Every state and every event.

use reclaimer_breaker::machine::{Outcome, Ticket};
use reclaimer_breaker::{Command, State};

use crate::rig::{Rig, exact, seconds};

const EVENTS: [&str; 10] = [
    "acquire",
    "success",
    "failure",
    "dropped",
    "late report",
    "time",
    "force open",
    "force closed",
    "auto",
    "reset",
];

const STATES: [&str; 8] = [
    "closed",
    "closed, one failure short",
    "open",
    "half-open, a probe free",
    "half-open, all probes out",
    "half-open, one drop short",
    "forced open",
    "forced closed",
];

/// A machine in this state, a permit of its generation if there can be one, and one of an earlier generation.
fn given(state: &str) -> (Rig, Option<Ticket>, Ticket) {
    let mut rig = Rig::new(exact());
    let late = rig.acquire().unwrap();
    rig.command(Command::Reset);
    if state.starts_with("half-open") || state == "open" {
        rig.fail(5);
    }
    if state.starts_with("half-open") {
        rig.wait(seconds(30));
    }
    let mut permit = None;
    match state {
        "closed" => permit = rig.acquire().ok(),
        "closed, one failure short" => {
            for _ in 0..4 {
                rig.call(Outcome::Failure);
            }
            permit = rig.acquire().ok();
        }
        "half-open, all probes out" => permit = rig.acquire().ok(),
        "half-open, one drop short" => {
            for _ in 0..2 {
                rig.call(Outcome::Abandoned);
            }
            permit = rig.acquire().ok();
        }
        "forced open" => rig.command(Command::ForceOpen),
        "forced closed" => {
            rig.command(Command::ForceClosed);
            permit = rig.acquire().ok();
        }
        _ => {}
    }
    rig.events.clear();
    (rig, permit, late)
}

/// What an event brings about: the states that were entered, or the answer to whom asked.
fn cell(state: &str, event: &str) -> String {
    let (mut rig, permit, late) = given(state);
    let before = rig.state();
    let mut answer = None;
    let outcome = match event {
        "success" => Some(Outcome::Success),
        "failure" => Some(Outcome::Failure),
        "dropped" => Some(Outcome::Abandoned),
        _ => None,
    };
    match (event, outcome, permit) {
        ("acquire", ..) => {
            answer = Some(match rig.acquire() {
                Ok(ticket) if ticket.is_probe() => "probe",
                Ok(_) => "permit",
                Err(open) => {
                    assert_eq!(open.state, before);
                    "refused"
                }
            });
        }
        ("late report", ..) => rig.report(late, Outcome::Failure),
        ("time", ..) => rig.wait(seconds(86_400)),
        ("force open", ..) => rig.command(Command::ForceOpen),
        ("force closed", ..) => rig.command(Command::ForceClosed),
        ("auto", ..) => rig.command(Command::Auto),
        ("reset", ..) => rig.command(Command::Reset),
        (_, Some(outcome), Some(permit)) => rig.report(permit, outcome),
        (_, Some(_), None) => return "–".to_owned(),
        (_, None, _) => unreachable!("{event}"),
    }
    let entered: Vec<String> = rig.events.iter().map(|event| event.to.to_string()).collect();
    // Events are the whole story: each goes on where the one before ended.
    let told = rig.events.iter().fold(before, |state, event| {
        assert_eq!(event.from, state);
        event.to
    });
    assert_eq!(told, rig.state());
    match answer {
        Some(answer) => {
            assert!(entered.is_empty(), "to ask changes no state");
            answer.to_owned()
        }
        None if entered.is_empty() => "=".to_owned(),
        None => entered.join(", "),
    }
}

#[test]
fn the_documented_table_is_the_machine() {
    let mut table = vec![
        format!("| state \\ event | {} |", EVENTS.join(" | ")),
        format!("|---{}|", "|---".repeat(EVENTS.len())),
    ];
    for state in STATES {
        let cells = EVENTS.map(|event| cell(state, event));
        table.push(format!("| {state} | {} |", cells.join(" | ")));
    }
    let documented: Vec<&str> = include_str!("../../src/machine/mod.rs")
        .lines()
        .filter_map(|line| line.strip_prefix("//! ").filter(|line| line.starts_with('|')))
        .collect();
    assert_eq!(documented, table, "src/machine/mod.rs: put in\n{}", table.join("\n"));
}

#[test]
fn every_state_is_in_the_table() {
    for state in State::ALL {
        let (rig, ..) = given(&state.to_string().replace("half-open", "half-open, a probe free"));
        assert_eq!(rig.state(), state);
    }
}
