use reclaimer_domain::account::Standing;
use reclaimer_domain::job::NewJob;
use reclaimer_domain::job::report::Retryable;
use reclaimer_policy::Policy;
use reclaimer_policy::replay::{Fate, Forecast, Simulation, Verdict};
use reclaimer_testkit::seeded;

use crate::tape::{Tape, policy};

const NOTHING: &str = "builtin = false";
const OUTAGES: &str = r#"
    builtin = false
    [[rule]]
    name = "outage"
    match = { status = "failed", error_contains = "503" }
    action = "requeue"
"#;

fn simulate(tape: &Tape, policy: &Policy) -> Forecast {
    let mut simulation = Simulation::new(policy);
    let mut rng = seeded(1);
    for event in &tape.events {
        simulation.event(event, &mut rng);
    }
    simulation.finish()
}

#[test]
fn a_rule_that_would_have_recovered_what_was_left_shows_each_job_and_how_it_ended() {
    let mut tape = Tape::new();
    tape.claim().fail("HTTP 503", None, Retryable::AskPolicy).pass(1);
    tape.recover(&policy(NOTHING), Standing::NotNeeded).pass(9).retry().claim().finish();
    tape.next_job("b", NewJob::of("PROJECT".parse().unwrap()));
    tape.claim().fail("no such project", None, Retryable::AskPolicy).pass(1);
    tape.recover(&policy(NOTHING), Standing::NotNeeded);

    let forecast = simulate(&tape, &policy(OUTAGES));
    assert_eq!((forecast.cases, forecast.differing, forecast.undecided), (2, 1, 0));
    let difference = &forecast.differences[0];
    assert_eq!(difference.job_id.as_str(), "a");
    assert_eq!((difference.really.action, difference.instead.action), (Verdict::Leave, Verdict::Requeue));
    assert_eq!(difference.instead.rule.as_deref(), Some("outage"));
    assert_eq!(difference.then, Fate::TakenUp, "a person queued it again");
    let outage = forecast.rules.iter().find(|rule| rule.rule.as_deref() == Some("outage")).unwrap();
    assert_eq!((outage.requeued, outage.really_requeued), (1, 0));
    let none = forecast.rules.iter().find(|rule| rule.rule.is_none()).unwrap();
    assert_eq!((none.left, none.cases()), (1, 1));
}

#[test]
fn recovered_jobs_are_followed_to_their_end() {
    let outages = policy(OUTAGES);
    let mut tape = Tape::new();
    for (name, ends_well) in [("b", true), ("c", false), ("d", true)] {
        tape.next_job(name, NewJob::of("PROJECT".parse().unwrap()));
        tape.claim().fail("HTTP 503", None, Retryable::AskPolicy).pass(1);
        tape.recover(&outages, Standing::NotNeeded).claim();
        if ends_well {
            tape.finish();
        } else {
            tape.fail("no such project", None, Retryable::AskPolicy);
        }
    }
    let forecast = simulate(&tape, &outages);
    assert_eq!((forecast.cases, forecast.undecided, forecast.differing), (3, 1, 0));
    let rule = &forecast.rules[0];
    assert_eq!((rule.requeued, rule.really_requeued, rule.then_finished, rule.then_failed), (3, 3, 2, 1));
}

#[test]
fn a_case_that_had_to_wait_comes_out_with_its_last_decision() {
    let policy = policy(
        r#"
        builtin = false
        [[rule]]
        name = "all"
        require = ["account_valid"]
        action = "requeue"
        "#,
    );
    let mut tape = Tape::new();
    let account_id = Some("42".parse().unwrap());
    tape.next_job("b", NewJob { account_id, ..NewJob::of("PROJECT".parse().unwrap()) });
    tape.claim().fail("e", None, Retryable::AskPolicy).pass(1);
    tape.recover(&policy, Standing::Invalid).pass(600).recover(&policy, Standing::Valid).claim().finish();
    let forecast = simulate(&tape, &policy);
    assert_eq!((forecast.cases, forecast.differing), (1, 0));
    assert_eq!((forecast.rules[0].requeued, forecast.rules[0].then_finished), (1, 1));
}

#[test]
fn to_wait_for_room_in_the_budget_is_no_decision_of_a_policy() {
    let outages = policy(OUTAGES);
    let mut tape = Tape::new();
    tape.claim().fail("HTTP 503", None, Retryable::AskPolicy).pass(1);
    assert!(tape.hold_back(&outages));
    tape.pass(60).recover(&outages, Standing::NotNeeded);
    let forecast = simulate(&tape, &outages);
    assert_eq!((forecast.cases, forecast.differing), (1, 0));
}

#[test]
fn what_recovery_never_looked_at_is_undecided() {
    let mut tape = Tape::new();
    tape.claim().fail("e", None, Retryable::AskPolicy).retry().claim().fail("e", None, Retryable::AskPolicy);
    let forecast = simulate(&tape, &policy(NOTHING));
    assert_eq!((forecast.cases, forecast.undecided), (0, 2));
}

#[test]
fn a_lost_job_is_a_case_of_its_own() {
    let builtin = policy("");
    let mut tape = Tape::new();
    tape.claim().pass(90).recover(&builtin, Standing::NotNeeded).claim();
    tape.pass(90).recover(&builtin, Standing::NotNeeded).claim().finish();
    let stern = policy(
        r#"
        [[rule]]
        name = "lost-is-lost"
        match = { stuck = ["lease_expired"] }
        action = "quarantine"
        "#,
    );
    let same = simulate(&tape, &builtin);
    assert_eq!((same.cases, same.differing), (2, 0));
    let forecast = simulate(&tape, &stern);
    assert_eq!((forecast.cases, forecast.differing), (2, 2));
    let fates: Vec<Fate> = forecast.differences.iter().map(|it| it.then).collect();
    assert_eq!(fates, [Fate::FailedAgain, Fate::Finished]);
}
