//! The built-in rules: the cases every operator meets first.

use std::time::Duration;

use reclaimer_domain::decision::{Requirement, StuckSign};
use reclaimer_domain::job::Status;
use reclaimer_domain::job::report::Retryable;
use reclaimer_domain::name::RuleName;

use crate::backoff::{Backoff, Jitter, Kind};
use crate::policy::{Defaults, Policy};
use crate::rule::{Effect, Match, Origin, Rule};

impl Default for Defaults {
    fn default() -> Self {
        Self {
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

impl Policy {
    /// The [built-in rules](builtin_rules) with the default limits.
    #[must_use]
    pub fn builtin() -> Self {
        Self::builtin_with(Defaults::default())
    }

    /// The [built-in rules](builtin_rules) with these limits.
    #[must_use]
    pub fn builtin_with(defaults: Defaults) -> Self {
        match Self::new(builtin_rules(), defaults) {
            Ok(policy) => policy,
            Err(invalid) => unreachable!("the built-in rules are sound: {invalid:?}"),
        }
    }
}

/// The built-in rules:
///
/// 1. `retryable`: a failed job that its worker marked retryable;
/// 2. `unknown-data-type`: a failed job whose error speaks of an unknown `DataType` mapping (fixed by a release);
/// 3. `missing-account-data`: … of missing account data;
/// 4. `missing-access-token`: … of a missing or expired access token (may have been refreshed since);
/// 5. `stuck`: a running job that is stuck.
///
/// Rules 2 to 4 are for failures whose worker did not say whether trying again can help.
#[must_use]
pub fn builtin_rules() -> Vec<Rule> {
    vec![
        failed(
            "retryable",
            Match { retryable: Some(Retryable::Yes), ..Match::default() },
            &[Requirement::AccountValid],
        ),
        failed("unknown-data-type", speaks_of(&["unknown datatype mapping"]), &[Requirement::AccountValid]),
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
            when: Match { status: Some(Status::Running), stuck: StuckSign::ALL.to_vec(), ..Match::default() },
            backoff: Some(Backoff::NONE),
            ..built_in("stuck")
        },
    ]
}

/// These rules and then the built-in ones; a rule that has the name of a built-in one takes its place instead.
#[must_use]
pub fn before_builtin(rules: Vec<Rule>) -> Vec<Rule> {
    let mut builtin = builtin_rules();
    let mut all = Vec::with_capacity(rules.len() + builtin.len());
    for rule in rules {
        match builtin.iter_mut().find(|other| other.name == rule.name) {
            Some(replaced) => *replaced = rule,
            None => all.push(rule),
        }
    }
    all.append(&mut builtin);
    all
}

fn built_in(name: &'static str) -> Rule {
    match name.parse::<RuleName>() {
        Ok(name) => Rule { origin: Origin::Builtin, ..Rule::new(name, Effect::Requeue) },
        Err(error) => unreachable!("a plain word is a name: {error}"),
    }
}

fn failed(name: &'static str, when: Match, require: &[Requirement]) -> Rule {
    Rule { when: Match { status: Some(Status::Failed), ..when }, require: require.to_vec(), ..built_in(name) }
}

fn speaks_of(phrases: &[&str]) -> Match {
    Match {
        error_contains: phrases.iter().map(|&phrase| phrase.to_owned()).collect(),
        retryable: Some(Retryable::AskPolicy),
        ..Match::default()
    }
}
