//! What the author of a policy file probably did not mean.

use reclaimer_domain::job::{Priority, Status};
use reclaimer_domain::name::RuleName;

use super::finding::Finding;
use super::reader::Reader;
use super::rule::FileRule;
use crate::builtin::builtin_rules;
use crate::policy::Policy;
use crate::rule::{Effect, Origin, Rule};
use crate::swallow::swallows;
use crate::words::one_of;

/// All doubts about a file's rules, in the order of lines.
pub(super) fn of(reader: &Reader<'_>, own: &[FileRule], policy: &Policy, builtin: bool) -> Vec<Finding> {
    let mut found = Vec::new();
    let mut say = |of: &FileRule, at: usize, key: &str, message: String| {
        let rule = Some(of.rule.name.clone());
        found.push(Finding { rule, ..reader.finding(at, Some(key), message) });
    };
    for one in own {
        if let Some((key, message)) = contradiction(&one.rule) {
            say(one, one.place_of(key), key, message);
        }
        for key in without_effect(&one.rule) {
            let at = one.keys.get(key).copied().unwrap_or(one.name_at);
            let action = one.rule.effect.as_str();
            say(one, at, key, format!("`{key}` has no effect with action = \"{action}\""));
        }
        if builtin && builtin_rules().iter().any(|other| other.name == one.rule.name) {
            let message =
                "it replaces the built-in rule of this name, in its place behind the file's other rules";
            say(one, one.name_at, "name", message.to_owned());
        }
    }
    let rules: Vec<&Rule> = policy.rules().collect();
    for (index, rule) in rules.iter().enumerate() {
        let Some(earlier) = rules[..index].iter().find(|earlier| swallows(&earlier.when, &rule.when)) else {
            continue;
        };
        // What swallows a built-in rule is said below, of the rule that does.
        if let Some(one) = own.iter().find(|one| one.rule.name == rule.name) {
            let message = format!("it never matches: {} takes every job that it would", named(earlier));
            say(one, one.name_at, "match", message);
        }
    }
    for one in own {
        let lost: Vec<&RuleName> = rules
            .iter()
            .skip_while(|rule| rule.name != one.rule.name)
            .filter(|rule| rule.origin == Origin::Builtin && swallows(&one.rule.when, &rule.when))
            .map(|rule| &rule.name)
            .collect();
        if !lost.is_empty() {
            let noun = if lost.len() == 1 { "the built-in rule" } else { "the built-in rules" };
            let message =
                format!("it takes every job of {noun} {}, and more", one_of(lost).replace(" or ", " and "));
            say(one, one.name_at, "match", message);
        }
    }
    found.sort_by_key(|finding| (finding.line, finding.column));
    found
}

/// A rule, and where it stands.
fn named(rule: &Rule) -> String {
    match rule.origin.line() {
        Some(line) => format!("rule `{}` in line {line}", rule.name),
        None => format!("the built-in rule `{}`", rule.name),
    }
}

/// Why no job can match at all: the key, and the sentence.
fn contradiction(rule: &Rule) -> Option<(&'static str, String)> {
    let when = &rule.when;
    match when.status {
        Some(Status::Failed) if !when.stuck.is_empty() => {
            return Some(("stuck", "it never matches: only a running job is stuck".to_owned()));
        }
        Some(Status::Failed | Status::Running) | None => {}
        Some(
            other @ (Status::Queued
            | Status::Finished
            | Status::Paused
            | Status::Cancelled
            | Status::Quarantined),
        ) => {
            let message =
                format!("it never matches: recovery looks at failed and running jobs, not at {other} ones");
            return Some(("status", message));
        }
    }
    let lowest = Priority::try_from(-20).ok();
    if when.priority_below.is_some() && when.priority_below == lowest {
        return Some(("priority_below", "it never matches: no priority is below -20".to_owned()));
    }
    None
}

/// The keys that only count when a job is queued again.
fn without_effect(rule: &Rule) -> Vec<&'static str> {
    if rule.effect == Effect::Requeue {
        return Vec::new();
    }
    let keys = [
        ("require", !rule.require.is_empty()),
        ("queue", rule.queue.is_some()),
        ("priority", rule.priority.is_some()),
        ("backoff", rule.backoff.is_some()),
        ("max_recoveries", rule.max_recoveries.is_some()),
        ("poison_after", rule.poison_after.is_some()),
    ];
    keys.into_iter().filter(|(_, is_set)| *is_set).map(|(key, _)| key).collect()
}
