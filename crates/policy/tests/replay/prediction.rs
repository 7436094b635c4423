//! What a policy is predicted to do with what happened under it is what it did.

use std::sync::LazyLock;

use proptest::prelude::*;
use proptest::sample::select;
use reclaimer_domain::account::Standing;
use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::job::report::Retryable;
use reclaimer_domain::job::{NewJob, Status};
use reclaimer_policy::Policy;
use reclaimer_policy::replay::{RuleForecast, Simulation};
use reclaimer_testkit::seeded;

use crate::tape::{Tape, policy};

/// The policies of the golden files.
static POLICIES: LazyLock<Vec<Policy>> = LazyLock::new(|| {
    let files = [
        "",
        include_str!("../golden/big-memory.toml"),
        include_str!("../golden/by-queue.toml"),
        include_str!("../golden/final-errors.toml"),
        include_str!("../golden/outage.toml"),
        include_str!("../golden/patience.toml"),
        include_str!("../golden/tight-budgets.toml"),
        include_str!("../golden/token-refreshed.toml"),
    ];
    files.map(policy).into()
});

#[derive(Debug, Clone)]
enum Step {
    Another { command: &'static str, with_account: bool },
    Claim,
    Finish,
    Fail { error: &'static str, kind: Option<&'static str>, retryable: Retryable },
    Pass(i64),
    Recover(Standing),
    HoldBack,
    Retry,
}

fn step() -> impl Strategy<Value = Step> {
    let commands = select(vec!["PROJECT_ISSUES", "GROUP_MEMBERS", "GROUP_PROJECT_DISCOVERY"]);
    let errors = select(vec!["Missing access token", "HTTP 503", "invalid_grant", "out of memory", "boom"]);
    let kinds = select(vec![None, Some("http_5xx"), Some("credential_missing")]);
    let retryable = select(vec![Retryable::Yes, Retryable::No, Retryable::AskPolicy]);
    let standing = select(vec![Standing::Missing, Standing::Invalid, Standing::Valid]);
    prop_oneof![
        1 => (commands, any::<bool>())
            .prop_map(|(command, with_account)| Step::Another { command, with_account }),
        6 => Just(Step::Claim),
        1 => Just(Step::Finish),
        4 => (errors, kinds, retryable)
            .prop_map(|(error, kind, retryable)| Step::Fail { error, kind, retryable }),
        3 => select(vec![1, 90, 4_000, 90_000]).prop_map(Step::Pass),
        8 => standing.prop_map(Step::Recover),
        1 => Just(Step::HoldBack),
        1 => Just(Step::Retry),
    ]
}

proptest! {
    #[test]
    fn a_policy_is_predicted_to_do_what_it_did(
        chosen in 0..POLICIES.len(),
        steps in proptest::collection::vec(step(), 1..80),
    ) {
        let policy = &POLICIES[chosen];
        let mut tape = Tape::new();
        let mut held_back = 0;
        for (number, step) in steps.into_iter().enumerate() {
            let status = tape.job.status;
            match (step, status) {
                (Step::Another { command, with_account }, _) => {
                    let account_id = with_account.then(|| "42".parse().unwrap());
                    let order = NewJob { account_id, ..NewJob::of(command.parse().unwrap()) };
                    tape.next_job(&format!("job-{number}"), order);
                }
                (Step::Claim, Status::Queued) => drop(tape.claim()),
                (Step::Finish, Status::Running) => drop(tape.finish()),
                (Step::Fail { error, kind, retryable }, Status::Running) => {
                    tape.fail(error, kind, retryable);
                }
                (Step::Pass(seconds), _) => drop(tape.pass(seconds)),
                (Step::Recover(standing), _) => drop(tape.recover(policy, standing)),
                (Step::HoldBack, Status::Failed) => {
                    held_back += u64::from(tape.hold_back(policy));
                }
                (Step::Retry, Status::Failed) => drop(tape.retry()),
                _ => {}
            }
        }
        let mut simulation = Simulation::new(policy);
        let mut rng = seeded(9);
        for event in &tape.events {
            simulation.event(event, &mut rng);
        }
        let forecast = simulation.finish();
        let instead: Vec<_> = forecast.differences.iter().map(|it| (&it.really, &it.instead)).collect();
        prop_assert_eq!(forecast.differing, 0, "{:?}", instead);
        let count = |kinds: &[EventKind]| {
            let by_recovery = |actor: &Actor| matches!(actor, Actor::Recovery(_));
            let entries = tape.events.iter().map(|it| &it.event.entry);
            entries.filter(|it| by_recovery(&it.actor) && kinds.contains(&it.kind)).count() as u64
        };
        let sum = |of: fn(&RuleForecast) -> u64| forecast.rules.iter().map(of).sum::<u64>();
        let requeued = count(&[EventKind::Recovered, EventKind::Reclaimed]);
        // A job that had to wait for room may never have got it.
        prop_assert!((requeued..=requeued + held_back).contains(&sum(|rule| rule.requeued)));
        prop_assert_eq!(sum(|rule| rule.quarantined), count(&[EventKind::Quarantined]));
    }
}
