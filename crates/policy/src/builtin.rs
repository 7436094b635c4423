//! The built-in rules: the cases every operator meets first.

use std::time::Duration;

use reclaimer_domain::decision::{Requirement, StuckSign};
use reclaimer_domain::job::Status;
use reclaimer_domain::job::report::Retryable;
use reclaimer_domain::name::RuleName;

use crate::backoff::{Backoff, Jitter, Kind};
use crate::policy::Policy;
use crate::rule::{Effect, Match, Rule};

impl Policy {
    /// The built-in rules with the default limits:
    ///
    /// 1. `retryable`: a failed job that its worker marked retryable;
    /// 2. `unknown-data-type`: a failed job whose error speaks of an unknown `DataType` mapping (fixed by a release);
    /// 3. `missing-account-data`: … of missing account data;
    /// 4. `missing-access-token`: … of a missing or expired access token (may have been refreshed since);
    /// 5. `stuck`: a running job that is stuck.
    ///
    /// Rules 2 to 4 are for failures whose worker did not say whether trying again can help.
    #[must_use]
    pub fn builtin() -> Self {
        Self {
            rules: vec![
                failed(
                    "retryable",
                    Match { retryable: Some(Retryable::Yes), ..Match::default() },
                    &[Requirement::AccountValid],
                ),
                failed(
                    "unknown-data-type",
                    speaks_of(&["unknown datatype mapping"]),
                    &[Requirement::AccountValid],
                ),
                failed(
                    "missing-account-data",
                    speaks_of(&["missing account data"]),
                    &[Requirement::AccountPresent, Requirement::AccountValid],
                ),
                failed(
                    "missing-access-token",
                    speaks_of(&[
                        "missing access token",
                        "expired access token",
                        "access token expired",
                        "access token has expired",
                        "access token is expired",
                        "access token was expired",
                    ]),
                    &[Requirement::AccountPresent, Requirement::AccountValid],
                ),
                Rule {
                    name: name_of("stuck"),
                    when: Match {
                        status: Some(Status::Running),
                        stuck: StuckSign::ALL.to_vec(),
                        ..Match::default()
                    },
                    require: Vec::new(),
                    effect: Effect::Requeue,
                    backoff: Some(Backoff::NONE),
                    max_recoveries: None,
                    priority: None,
                    reason: None,
                },
            ],
            max_recoveries: 5,
            backoff: Backoff {
                kind: Kind::Exponential { base: Duration::from_secs(30), factor: 2.0 },
                cap: Duration::from_secs(3_600),
                jitter: Jitter::Full,
            },
            poison_after: 3,
            look_again: Duration::from_secs(300),
        }
    }
}

fn name_of(word: &'static str) -> RuleName {
    match word.parse() {
        Ok(name) => name,
        Err(error) => unreachable!("a plain word is a name: {error}"),
    }
}

fn speaks_of(phrases: &[&str]) -> Match {
    Match {
        error_contains: phrases.iter().map(|&phrase| phrase.to_owned()).collect(),
        retryable: Some(Retryable::AskPolicy),
        ..Match::default()
    }
}

fn failed(name: &'static str, when: Match, require: &[Requirement]) -> Rule {
    Rule {
        name: name_of(name),
        when: Match { status: Some(Status::Failed), ..when },
        require: require.to_vec(),
        effect: Effect::Requeue,
        backoff: None,
        max_recoveries: None,
        priority: None,
        reason: None,
    }
}
