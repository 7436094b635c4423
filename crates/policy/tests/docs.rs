//! The example file of the documentation is a policy, and a complete one.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use reclaimer_domain::account::AccountState;
use reclaimer_domain::decision::{Action, Requirement};
use reclaimer_domain::time::before;
use reclaimer_policy::file::read;
use reclaimer_policy::{Defaults, Effect, Jitter, Match, Policy, StuckLimits, Subject};
use reclaimer_testkit::{JobBuilder, a_job, noon, seeded};

/// The file in docs/recovery.md that begins with its own name.
fn example() -> String {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/recovery.md")).unwrap();
    let begin = page.find("# policy.toml\n").unwrap();
    let end = begin + page[begin..].find("```").unwrap();
    page[begin..end].to_owned()
}

#[test]
fn the_example_is_a_policy_without_a_doubt() {
    let checked = read(&example(), Defaults::default()).unwrap();
    assert_eq!(checked.warnings, []);
    let own = checked.policy.rules().filter(|rule| rule.origin.line().is_some()).count();
    assert_eq!(checked.policy.rules().count(), own + 5, "the built-in rules stand behind it");
    assert_eq!(*checked.policy.defaults(), Defaults::default(), "it says what holds anyway");
}

#[test]
fn the_example_has_every_key_and_word_there_is() {
    let example = example();
    let rule = [
        "name",
        "match",
        "require",
        "action",
        "queue",
        "priority",
        "backoff",
        "max_recoveries",
        "poison_after",
        "reason",
    ];
    let defaults = ["builtin", "defaults", "look_again", "kind", "base", "factor", "delay", "cap", "jitter"];
    for key in rule.into_iter().chain(defaults).chain(Match::KEYS) {
        assert!(example.contains(&format!("{key} =")) || example.contains(&format!("[{key}]")), "{key}");
    }
    let effects = Effect::ALL.map(Effect::as_str);
    let jitters = Jitter::ALL.map(Jitter::as_str);
    let needs = Requirement::ALL.map(Requirement::as_str);
    for word in effects.into_iter().chain(jitters).chain(needs).chain(["fixed", "linear", "exponential"]) {
        assert!(example.contains(&format!("\"{word}\"")), "{word}");
    }
}

#[test]
fn the_example_decides_what_it_says() {
    let policy: Policy = example().parse().unwrap();
    let decided = |job: JobBuilder, account: AccountState| {
        let job = job.build();
        let sign = StuckLimits::default().sign(&job, noon());
        let decision = policy.decide(&Subject { job: &job, account: &account, sign }, noon(), &mut seeded(7));
        let queue = match &decision.action {
            Action::Requeue { queue, .. } => queue.as_ref().map(ToString::to_string),
            Action::Quarantine | Action::Skip { .. } | Action::Leave { .. } => None,
        };
        (decision.rule.map(|rule| rule.to_string()).unwrap_or_default(), decision.action.as_str(), queue)
    };
    let alone = |job| {
        let (rule, action, queue) = decided(job, AccountState::NotNeeded);
        format!("{rule}: {action}{}", queue.map(|queue| format!(" in {queue}")).unwrap_or_default())
    };
    let lost =
        |attempt, losses| a_job().held_by("w").leased_until(noon()).attempt(attempt, 9).lost_leases(losses);
    assert_eq!(alone(lost(1, 0)), "stuck: requeue");
    assert_eq!(alone(lost(2, 1)), "big-memory: requeue in big-memory");
    assert_eq!(alone(lost(3, 2).queue("big-memory")), "in-big-memory: requeue");
    assert_eq!(alone(lost(4, 3).queue("big-memory")), "in-big-memory: quarantine");
    let failed = |error: &str| a_job().failed_with(error);
    assert_eq!(alone(failed("503").error_type("http_5xx").command("PROJECT_A")), "provider-outage: requeue");
    assert_eq!(alone(failed("Revoked by its owner")), "revoked: quarantine");
    assert_eq!(alone(failed("boom").retryable().priority(-15)), "urgent: requeue");
    let old = before(noon(), Duration::from_secs(90_000));
    assert_eq!(alone(failed("boom").queue("mails").finished_at(old)), "stale-reports: leave");
    assert_eq!(alone(failed("boom").not_retryable()), ": leave");
    let token = || failed("HTTP 401").account("a");
    let account = || "a".parse().unwrap();
    assert_eq!(decided(token(), AccountState::Invalid(account())), ("token-refreshed".into(), "skip", None));
    assert_eq!(decided(token(), AccountState::Valid(account())), ("token-refreshed".into(), "requeue", None));
}
