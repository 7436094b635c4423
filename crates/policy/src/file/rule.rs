//! `[[rule]]`.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not of the type asked for is refused, whatever it is"
)]

use std::collections::BTreeMap;
use std::time::Duration;

use reclaimer_domain::decision::{Requirement, StuckSign};
use reclaimer_domain::job::report::Retryable;
use reclaimer_domain::job::{Priority, Status};
use toml::de::{DeTable, DeValue};

use super::backoff;
use super::reader::{Reader, word};
use crate::limits::{LONGEST_PATTERN, LONGEST_REASON, LONGEST_TIME};
use crate::rule::{Effect, Match, Origin, Rule};
use crate::words::NOT_SAID;

/// The keys of a rule.
const KEYS: [&str; 10] = [
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

/// A rule, and where its parts stand in the file, in bytes.
#[derive(Debug)]
pub(super) struct FileRule {
    pub(super) rule: Rule,
    pub(super) name_at: usize,
    /// Of the rule's own keys.
    pub(super) keys: BTreeMap<String, usize>,
    /// Of the keys in its `match`.
    conditions: BTreeMap<String, usize>,
}

impl FileRule {
    /// Where a key of `match` stands, or else the rule.
    pub(super) fn place_of(&self, condition: &str) -> usize {
        self.conditions.get(condition).copied().unwrap_or(self.name_at)
    }
}

/// Reads a rule that begins at this byte; `None` where it has no name or no action that could be read.
pub(super) fn read<'t>(reader: &mut Reader<'t>, table: &DeTable<'t>, at: usize) -> Option<FileRule> {
    reader.rule = None;
    let name = required(reader, table, at, "name")
        .and_then(|key| reader.parsed(table, key, |text| text.parse().map_err(said)));
    reader.rule.clone_from(&name);
    let rule = read_named(reader, table, at, name);
    reader.rule = None;
    rule
}

fn read_named<'t>(
    reader: &mut Reader<'t>,
    table: &DeTable<'t>,
    at: usize,
    name: Option<reclaimer_domain::name::RuleName>,
) -> Option<FileRule> {
    reader.only(table, "a rule", &KEYS, "");
    let matched = reader.table(table, "match");
    let when = matched.map(|matched| read_match(reader, matched)).unwrap_or_default();
    let effect = required(reader, table, at, "action")
        .and_then(|key| reader.parsed(table, key, |text| word(&Effect::ALL, Effect::as_str, text)));
    let require = reader
        .list(table, "require", LONGEST_PATTERN, |text| word(&Requirement::ALL, Requirement::as_str, text));
    let queue = reader.parsed(table, "queue", |text| text.parse().map_err(said));
    let priority = priority(reader, table, "priority");
    let backoff = backoff::read(reader, table);
    let max_recoveries = reader.whole(table, "max_recoveries", 0..=u32::MAX);
    let poison_after = reader.whole(table, "poison_after", 1..=u32::MAX);
    let reason = reader.text(table, "reason", LONGEST_REASON);
    let name_at = table.get("name").map_or(at, |value| value.span().start);
    let origin = Origin::File { line: reader.place(name_at).0 };
    let rule = Rule {
        when,
        require,
        queue,
        priority,
        backoff,
        max_recoveries,
        poison_after,
        reason,
        origin,
        ..Rule::new(name?, effect?)
    };
    Some(FileRule { rule, name_at, keys: places(table), conditions: matched.map(places).unwrap_or_default() })
}

fn required(
    reader: &mut Reader<'_>,
    table: &DeTable<'_>,
    at: usize,
    key: &'static str,
) -> Option<&'static str> {
    if table.get(key).is_none() {
        reader.refuse(at, key, format!("a rule needs `{key}`"));
        return None;
    }
    Some(key)
}

fn read_match(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Match {
    reader.only(table, "`match`", &Match::KEYS, "match.");
    let plain = |text: &str| Ok(text.to_owned());
    Match {
        status: reader.parsed(table, "status", |text| word(&Status::ALL, Status::as_str, text)),
        retryable: retryable(reader, table),
        stuck: reader
            .list(table, "stuck", LONGEST_PATTERN, |text| word(&StuckSign::ALL, StuckSign::as_str, text)),
        attempt_at_least: reader.whole(table, "attempt_at_least", 0..=u32::MAX),
        older_than: reader.time(table, "older_than", Duration::ZERO..=LONGEST_TIME),
        priority_below: priority(reader, table, "priority_below"),
        queue: reader.list(table, "queue", LONGEST_PATTERN, |text| text.parse().map_err(said)),
        error_type: reader.list(table, "error_type", LONGEST_PATTERN, plain),
        command: reader.list(table, "command", LONGEST_PATTERN, plain),
        error_contains: reader.list(table, "error_contains", LONGEST_PATTERN, plain),
        error_regex: reader.text(table, "error_regex", LONGEST_PATTERN),
    }
}

fn priority(reader: &mut Reader<'_>, table: &DeTable<'_>, key: &str) -> Option<Priority> {
    reader.whole(table, key, -20_i64..=19).and_then(|number| Priority::try_from(number).ok())
}

fn retryable(reader: &mut Reader<'_>, table: &DeTable<'_>) -> Option<Retryable> {
    match table.get("retryable")?.get_ref() {
        DeValue::Boolean(true) => Some(Retryable::Yes),
        DeValue::Boolean(false) => Some(Retryable::No),
        DeValue::String(text) if text == NOT_SAID => Some(Retryable::AskPolicy),
        _ => {
            let at = table.get("retryable").map_or(0, |value| value.span().start);
            let message =
                format!("`retryable` is true, false, or \"{NOT_SAID}\" where the worker did not say");
            reader.refuse(at, "retryable", message);
            None
        }
    }
}

/// Where the keys of a table stand.
fn places(table: &DeTable<'_>) -> BTreeMap<String, usize> {
    table.keys().map(|key| (key.get_ref().to_string(), key.span().start)).collect()
}

fn said(error: reclaimer_domain::name::InvalidName) -> String {
    error.to_string()
}
