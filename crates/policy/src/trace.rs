//! A decision with everything that led to it.

use chrono::{DateTime, Utc};
use reclaimer_domain::decision::Decision;
use reclaimer_domain::name::RuleName;
use serde::{Deserialize, Serialize};

use crate::budget::{Budget, budgets};
use crate::policy::{Policy, Subject};
use crate::rule::Effect;

/// A decision with everything that led to it. Made by the very code that decides, which is asked to show its work.
#[derive(Debug, Clone, PartialEq)]
pub struct Trace {
    /// The rules that were tried, in order; the last one is the one that matched, if any did.
    pub tried: Vec<TriedRule>,
    /// The rules behind it, which nobody asked.
    pub not_tried: Vec<RuleName>,
    /// The budgets of the job under the rule that matched, where it wants to queue the job again.
    pub budgets: Vec<Budget>,
    /// What that rule requires.
    pub requirements: Vec<TestedRequirement>,
    /// The decision.
    pub decision: Decision,
}

/// A rule that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TriedRule {
    /// Its name.
    pub name: RuleName,
    /// Whether all of its conditions hold.
    pub matched: bool,
    /// Its conditions; none = it matches every job.
    pub conditions: Vec<Tested>,
}

/// A condition that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Tested {
    /// Its key in policy files.
    pub key: String,
    /// What it asks for.
    pub expected: String,
    /// What was found.
    pub actual: String,
    /// Whether it holds.
    pub holds: bool,
}

/// A requirement that was looked at.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TestedRequirement {
    /// Its word in policy files.
    pub key: String,
    /// What was found.
    pub actual: String,
    /// Whether it holds.
    pub holds: bool,
}

impl Policy {
    /// Decides as [`Policy::decide`] does, and shows the work. With an equal generator the decision is equal.
    pub fn trace<R: rand::Rng + ?Sized>(
        &self,
        subject: &Subject<'_>,
        now: DateTime<Utc>,
        rng: &mut R,
    ) -> Trace {
        let facts = self.facts(subject, now);
        let mut tried = Vec::new();
        let matched = self.first_match(&facts, |compiled, matched| {
            let conditions = compiled.conditions.iter().map(|condition| condition.test(&facts)).collect();
            tried.push(TriedRule { name: compiled.rule.name.clone(), matched, conditions });
        });
        let requeues = matched.filter(|rule| rule.effect == Effect::Requeue);
        let requirements = requeues.map(|rule| rule.require.as_slice()).unwrap_or_default();
        Trace {
            not_tried: self.rules().skip(tried.len()).map(|rule| rule.name.clone()).collect(),
            tried,
            budgets: requeues
                .map(|rule| budgets(rule, self.defaults(), subject).collect())
                .unwrap_or_default(),
            requirements: requirements
                .iter()
                .map(|requirement| {
                    let holds = requirement.holds(subject.account);
                    let actual =
                        if holds { "it holds".to_owned() } else { requirement.unmet(subject.account) };
                    TestedRequirement { key: requirement.as_str().to_owned(), actual, holds }
                })
                .collect(),
            decision: self.conclude(matched, subject, now, rng),
        }
    }
}
