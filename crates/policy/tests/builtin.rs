//! The cases every operator meets first, in the words that workers use.

use reclaimer_domain::account::AccountState;
use reclaimer_domain::decision::Action;
use reclaimer_policy::{Policy, Subject};
use reclaimer_testkit::{a_job, noon, seeded};

/// The rule that queues a job again which failed with this, if any.
fn rule(error: &str) -> Option<String> {
    let job = a_job().failed_with(error).build();
    let account = AccountState::Valid("a".parse().ok()?);
    let subject = Subject { job: &job, account: &account, sign: None };
    let decision = Policy::builtin().decide(&subject, noon(), &mut seeded(7));
    matches!(decision.action, Action::Requeue { .. }).then_some(decision.rule?.to_string())
}

#[test]
fn an_access_token_that_has_expired_is_known_however_it_is_said() {
    for error in [
        "Missing access token for account 42",
        "Access token expired",
        "expired access token",
        "401: the access token has expired",
        "Your access token is expired.",
        "access token was expired at 12:00",
    ] {
        assert_eq!(rule(error).as_deref(), Some("missing-access-token"), "{error}");
    }
    assert_eq!(rule("the refresh token has expired"), None, "only a person can help");
}
