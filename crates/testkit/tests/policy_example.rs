//! The worked example of `docs/testing-policies.md`.

use std::time::Duration;

use reclaimer_domain::account::Standing;
use reclaimer_domain::decision::Requirement;
use reclaimer_testkit::{PolicyTest, a_job};

#[test]
fn the_policy_does_what_we_mean() {
    let policy = PolicyTest::of(include_str!("policy.toml")).without_warnings();
    let outage = || a_job().command("PROJECT_ISSUES").failed_with("HTTP 503").error_type("http_5xx");
    policy.on(outage()).is_requeued_by("outage").within(Duration::from_secs(30));
    policy.on(outage().recovered(20)).is_quarantined_by("outage");
    policy.on(outage().command("GROUP")).is_left();

    let token = || a_job().account("42").failed_with("no token of the account");
    policy.on(token()).is_requeued_by("token").after(Duration::ZERO).with_priority(-5);
    policy.on(token()).account(Standing::Invalid).waits_for(Requirement::AccountValid, "token");

    let silent = || a_job().held_by("crawler-1");
    policy.on(silent()).is_none_of_its_business();
    policy.on(silent()).after(Duration::from_secs(60)).is_requeued_by("big-memory").into_queue("big-memory");
}
