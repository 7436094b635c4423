//! The recovery policy: a pure function from a job, its account, the signs of its being stuck, time and chance to a
//! decision.
//!
//! A [`Policy`] is a list of [`Rule`]s; the first whose conditions all hold decides. Before a rule may queue a job again,
//! the job's budgets must allow it (else it is quarantined) and the rule's requirements must hold (else it is skipped
//! and looked at again later).

use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::account::AccountState;
use reclaimer_domain::decision::{Action, Decision, PolicyHash, StuckSign, Unmet};
use reclaimer_domain::job::{Job, Status};
use reclaimer_domain::time::after;
use serde::Serialize;
use sha2::{Digest, Sha256};

use crate::backoff::Backoff;
use crate::budget::budgets;
use crate::condition::{Condition, Facts};
use crate::limits::{MOST_RULES, SEEN_OF_ERROR};
use crate::patterns::{Gathered, Patterns};
use crate::rule::{Effect, Rule};
use crate::{reason, words};

/// What a decision is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The job.
    pub job: &'a Job,
    /// The state of the account it names.
    pub account: &'a AccountState,
    /// Why it counts as stuck, for a running job; see [`StuckLimits::sign`](crate::StuckLimits::sign).
    pub sign: Option<StuckSign>,
}

impl Subject<'_> {
    /// Whether the loss of the job is nobody's fault, so that no budget pays for it.
    pub(crate) fn is_excused(&self) -> bool {
        self.job.lease.as_ref().is_some_and(|lease| lease.excused)
    }
}

/// What holds where a rule does not say otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Defaults {
    /// How often a failed job is recovered.
    pub max_recoveries: u32,
    /// The delay before a recovered job runs.
    pub backoff: Backoff,
    /// Leases lost in a row without a report until a job counts as poison.
    pub poison_after: u32,
    /// When a job that was skipped or left is looked at again.
    #[serde(with = "words::time")]
    pub look_again: Duration,
}

/// Rules, compiled, with the limits that hold for all of them.
#[derive(Debug, Clone)]
pub struct Policy {
    rules: Vec<Compiled>,
    defaults: Defaults,
    patterns: Patterns,
    hash: PolicyHash,
}

/// A rule and its conditions.
#[derive(Debug, Clone)]
pub(crate) struct Compiled {
    pub(crate) rule: Rule,
    pub(crate) conditions: Vec<Condition>,
}

/// A rule that cannot be one.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("rule `{name}`: `{key}`: {message}")]
pub struct InvalidRule {
    /// Its place among the rules, from 0.
    pub index: usize,
    /// Its name.
    pub name: String,
    /// The key that is wrong.
    pub key: &'static str,
    /// What is wrong with it, and what is allowed.
    pub message: String,
}

impl Policy {
    /// Compiles rules. They are tried in this order; the first that matches decides.
    ///
    /// # Errors
    /// Names every glob and pattern that is none or too large. More than [`MOST_RULES`] rules are too many.
    pub fn new(rules: Vec<Rule>, defaults: Defaults) -> Result<Self, Vec<InvalidRule>> {
        let hash = hash(&rules, &defaults);
        let mut gathered = Gathered::default();
        let (mut compiled, mut invalid) = (Vec::with_capacity(rules.len()), Vec::new());
        let refuse = |index, rule: &Rule, key, message| InvalidRule {
            index,
            name: rule.name.to_string(),
            key,
            message,
        };
        for (index, rule) in rules.into_iter().enumerate() {
            if index == MOST_RULES {
                let message = format!("a policy has at most {MOST_RULES} rules");
                invalid.push(refuse(index, &rule, "name", message));
                break;
            }
            match Condition::of(&rule.when, &mut gathered) {
                Ok(conditions) => compiled.push(Compiled { rule, conditions }),
                Err((key, message)) => invalid.push(refuse(index, &rule, key, message)),
            }
        }
        if !invalid.is_empty() {
            return Err(invalid);
        }
        match gathered.compile() {
            Ok(patterns) => Ok(Self { rules: compiled, defaults, patterns, hash }),
            // Each alone is small enough: it is the last one that is too much.
            Err(message) => {
                let asks = |one: &Compiled| {
                    one.rule.when.error_regex.is_some() || !one.rule.when.error_contains.is_empty()
                };
                let last = compiled.iter().enumerate().rev().find(|(_, one)| asks(one));
                Err(last.map(|(index, one)| refuse(index, &one.rule, "match", message)).into_iter().collect())
            }
        }
    }

    /// The rules, in the order in which they are tried.
    pub fn rules(&self) -> impl ExactSizeIterator<Item = &Rule> + Clone {
        self.rules.iter().map(|compiled| &compiled.rule)
    }

    /// What holds where a rule does not say otherwise.
    #[must_use]
    pub fn defaults(&self) -> &Defaults {
        &self.defaults
    }

    /// Tells this policy from others: equal rules in the same order under equal defaults have equal hashes, wherever
    /// they were written.
    #[must_use]
    pub fn hash(&self) -> PolicyHash {
        self.hash
    }

    /// Decides what becomes of one job. Total: every job gets a decision.
    pub fn decide<R: rand::Rng + ?Sized>(
        &self,
        subject: &Subject<'_>,
        now: DateTime<Utc>,
        rng: &mut R,
    ) -> Decision {
        let facts = Facts::new(subject, now, &self.patterns);
        let matched = self.first_match(&facts, |_, _| ());
        self.conclude(matched, subject, now, rng)
    }

    /// What is known of a job, as this policy's conditions see it.
    pub(crate) fn facts<'a>(&'a self, subject: &Subject<'a>, now: DateTime<Utc>) -> Facts<'a> {
        Facts::new(subject, now, &self.patterns)
    }

    /// The first rule whose conditions all hold. Each rule that was tried is shown, with whether it matched.
    pub(crate) fn first_match<'a>(
        &'a self,
        facts: &Facts<'_>,
        mut tried: impl FnMut(&'a Compiled, bool),
    ) -> Option<&'a Rule> {
        for compiled in &self.rules {
            let matches = compiled.conditions.iter().all(|condition| condition.holds(facts));
            tried(compiled, matches);
            if matches {
                return Some(&compiled.rule);
            }
        }
        None
    }

    /// What becomes of a job that this rule matched, or none.
    pub(crate) fn conclude<R: rand::Rng + ?Sized>(
        &self,
        matched: Option<&Rule>,
        subject: &Subject<'_>,
        now: DateTime<Utc>,
        rng: &mut R,
    ) -> Decision {
        let until = after(now, self.defaults.look_again);
        let decision = |action, reason| Decision {
            action,
            rule: matched.map(|rule| rule.name.clone()),
            reason,
            sign: subject.sign,
            account: subject.account.standing(),
            policy: self.hash,
        };
        let Some(rule) = matched else {
            return decision(Action::Leave { until }, reason::no_rule(subject));
        };
        match rule.effect {
            Effect::Leave => decision(Action::Leave { until }, reason::of(rule, subject)),
            Effect::Quarantine => decision(Action::Quarantine, reason::of(rule, subject)),
            Effect::Requeue => {
                if let Some(spent) = budgets(rule, &self.defaults, subject).find(|budget| budget.is_spent()) {
                    return decision(Action::Quarantine, spent.reason());
                }
                if let Some(unmet) = rule.require.iter().find(|need| !need.holds(subject.account)) {
                    let reason = unmet.unmet(subject.account);
                    return decision(Action::Skip { unmet: Unmet::Requirement(*unmet), until }, reason);
                }
                let job = subject.job;
                let delay = rule.backoff.unwrap_or(self.defaults.backoff).delay(job.recoveries, rng);
                // A delay counts from the failure: one that has passed already holds nobody up.
                let since = job.finished_at.filter(|_| job.status == Status::Failed).unwrap_or(now);
                let run_at = after(since.min(now), delay).max(now);
                let (priority, queue) = (rule.priority, rule.queue.clone());
                decision(Action::Requeue { run_at, priority, queue }, reason::of(rule, subject))
            }
        }
    }
}

/// The SHA-256 of the canonical form: the version of that form, the defaults, and the rules in order, as JSON. How much
/// of an error patterns see is part of what a policy means.
fn hash(rules: &[Rule], defaults: &Defaults) -> PolicyHash {
    let canonical = serde_json::json!({
        "version": 1, "seen_of_error": SEEN_OF_ERROR, "defaults": defaults, "rules": rules,
    });
    PolicyHash::of(Sha256::digest(canonical.to_string().as_bytes()).into())
}
