//! What the assertions about policies say when they do not hold.

use std::time::Duration;

use reclaimer_domain::account::Standing;
use reclaimer_domain::decision::Requirement;
use reclaimer_testkit::{PolicyTest, a_job};

fn said(assertion: impl FnOnce() + std::panic::UnwindSafe) -> String {
    let Err(panic) = std::panic::catch_unwind(assertion) else { return "it holds".to_owned() };
    panic.downcast_ref::<String>().cloned().unwrap_or_default()
}

fn policy() -> PolicyTest {
    PolicyTest::of(include_str!("policy.toml"))
}

#[test]
fn a_failure_shows_every_rule_that_was_tried() {
    let text = said(|| {
        policy().on(a_job().command("GROUP").failed_with("HTTP 503")).is_requeued_by("outage");
    });
    assert!(text.starts_with("the job should be queued again by `outage`\nbut: leave by no rule"), "{text}");
    for line in ["rule `outage` does not match", "✓ status failed: failed", "✗ command `PROJECT_*`: GROUP"]
    {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn each_question_can_be_answered_by_no() {
    let failed = || a_job().account("42").failed_with("no token of the account");
    let case = |account| policy().on(failed()).account(account).trace();
    assert!(case(Standing::Valid).is_some());
    assert!(said(|| policy().on(failed()).is_left()).contains("requeue by token"));
    assert!(said(|| policy().on(failed()).is_left_by("token")).contains("requeue by token"));
    assert!(said(|| policy().on(failed()).is_quarantined_by("token")).contains("set aside by `token`"));
    assert!(said(|| policy().on(failed()).is_none_of_its_business()).contains("none of recovery's"));
    let waits = said(|| policy().on(failed()).waits_for(Requirement::AccountValid, "token"));
    assert!(waits.contains("✓ requires account_valid"), "{waits}");
    let requeued = || policy().on(failed()).is_requeued_by("token");
    assert!(said(|| drop(requeued().after(Duration::from_secs(9)))).contains("after 9 s, not after 0 s"));
    assert!(
        said(|| drop(requeued().into_queue("slow"))).contains("put into queue `slow`, not left in its own")
    );
    assert!(said(|| drop(requeued().with_priority(3))).contains("given priority 3, not -5"));
    let later = said(|| {
        let lost = policy();
        drop(
            lost.on(a_job().failed_with("x").retryable()).is_requeued_by("retryable").within(Duration::ZERO),
        );
    });
    assert!(later.contains("within 0 s"), "{later}");
    assert!(said(|| policy().on(a_job()).is_left()).contains("has not failed and is not stuck"));
}

#[test]
fn what_is_said_of_a_delay_holds_however_chance_falls() {
    let built_in = PolicyTest::of("");
    // Anything from nothing to thirty seconds.
    let requeued = || built_in.on(a_job().failed_with("x").retryable()).is_requeued_by("retryable");
    requeued().within(Duration::from_secs(30));
    let lucky = said(|| drop(requeued().within(Duration::from_secs(29))));
    assert!(lucky.contains("within 29 s, not after up to 30 s"), "{lucky}");
    let exact = said(|| drop(requeued().after(Duration::from_secs(30))));
    assert!(exact.contains("after 30 s, not after 0 s to 30 s"), "{exact}");
}

#[test]
fn a_failure_shows_what_is_left_of_the_budgets() {
    let spent = || a_job().command("PROJECT_ISSUES").failed_with("x").error_type("http_5xx").recovered(20);
    let text = said(|| drop(policy().on(spent()).is_requeued_by("outage")));
    for line in ["✓ budget attempts: 1 of 5 used", "✗ budget recoveries: 20 of 20 used"] {
        assert!(text.contains(line), "{line} in {text}");
    }
}

#[test]
fn a_policy_that_is_none_or_doubtful_can_be_refused() {
    let wrong = said(|| drop(PolicyTest::of("[[rule]]\nname = \"x\"\naction = \"stay\"\n")));
    assert!(wrong.contains("`action`"), "{wrong}");
    let twice = "[[rule]]\nname = \"a\"\naction = \"leave\"\n[[rule]]\nname = \"b\"\naction = \"leave\"\n";
    assert!(said(|| drop(PolicyTest::of(twice).without_warnings())).contains("never matches"));
}
