//! Policy files: text in, policy out.
//!
//! ```
//! let policy: reclaimer_policy::Policy = r#"
//!     [[rule]]
//!     name = "gitlab-outage"
//!     match = { status = "failed", error_type = "http_5xx", command = "PROJECT_*" }
//!     action = "requeue"
//!     max_recoveries = 20
//! "#.parse()?;
//! assert_eq!(policy.rules().count(), 6, "one, and the built-in ones behind it");
//!
//! let refused = reclaimer_policy::file::read("[default]\nmax_recoveries = 9\n", Default::default()).unwrap_err();
//! assert_eq!(refused.findings[0].to_string(), "1:2: unknown key `default`; did you mean `defaults`?");
//! # Ok::<(), reclaimer_policy::file::InvalidPolicy>(())
//! ```

mod backoff;
mod doubts;
mod finding;
mod reader;
mod rule;

use std::str::FromStr;

use toml::de::{DeTable, DeValue};

pub use finding::{Finding, InvalidPolicy};
use reader::Reader;
use rule::FileRule;

use crate::builtin::before_builtin;
use crate::limits::{LARGEST_FILE, LONGEST_TIME};
use crate::policy::{Defaults, InvalidRule, Policy};
use crate::rule::{Match, Rule};

/// A policy file that was read.
#[derive(Debug, Clone)]
pub struct Checked {
    /// The policy.
    pub policy: Policy,
    /// What its author probably did not mean, in the order of lines.
    pub warnings: Vec<Finding>,
}

/// The keys at the top of a file.
const TOP: [&str; 3] = ["builtin", "defaults", "rule"];

/// The keys of `[defaults]`.
const DEFAULTS: [&str; 4] = ["max_recoveries", "backoff", "poison_after", "look_again"];

/// Reads a policy file. What its `[defaults]` do not say is taken from `defaults`.
///
/// # Errors
/// Names everything that is wrong with the file, each with its place.
pub fn read(text: &str, defaults: Defaults) -> Result<Checked, InvalidPolicy> {
    let mut reader = Reader::new(text);
    if text.len() > LARGEST_FILE {
        let message = format!("a policy file has at most {} KiB", LARGEST_FILE / 1_024);
        return Err(InvalidPolicy { findings: vec![reader.finding(0, None, message)] });
    }
    let table = match DeTable::parse(text) {
        Ok(table) => table.into_inner(),
        Err(error) => {
            let at = error.span().map_or(0, |span| span.start);
            return Err(InvalidPolicy { findings: vec![reader.finding(at, None, error.message())] });
        }
    };
    reader.only(&table, "a policy file", &TOP, "");
    let builtin = reader.truth(&table, "builtin").unwrap_or(true);
    let defaults = read_defaults(&mut reader, &table, defaults);
    let rules = read_rules(&mut reader, &table);
    if !reader.is_content() {
        return Err(reader.refusal());
    }
    let own: Vec<Rule> = rules.iter().map(|one| one.rule.clone()).collect();
    let all = if builtin { before_builtin(own) } else { own };
    match Policy::new(all, defaults) {
        Ok(policy) => {
            let warnings = doubts::of(&reader, &rules, &policy, builtin);
            Ok(Checked { policy, warnings })
        }
        Err(invalid) => {
            for one in invalid {
                refuse_rule(&mut reader, &rules, one);
            }
            Err(reader.refusal())
        }
    }
}

fn read_defaults<'t>(reader: &mut Reader<'t>, top: &DeTable<'t>, otherwise: Defaults) -> Defaults {
    let Some(table) = reader.table(top, "defaults") else { return otherwise };
    reader.only(table, "[defaults]", &DEFAULTS, "defaults.");
    let second = std::time::Duration::from_secs(1);
    Defaults {
        max_recoveries: reader
            .whole(table, "max_recoveries", 0..=u32::MAX)
            .unwrap_or(otherwise.max_recoveries),
        backoff: backoff::read(reader, table).unwrap_or(otherwise.backoff),
        poison_after: reader.whole(table, "poison_after", 1..=u32::MAX).unwrap_or(otherwise.poison_after),
        look_again: reader.time(table, "look_again", second..=LONGEST_TIME).unwrap_or(otherwise.look_again),
    }
}

fn read_rules<'t>(reader: &mut Reader<'t>, top: &DeTable<'t>) -> Vec<FileRule> {
    let Some(value) = top.get("rule") else { return Vec::new() };
    let mut rules: Vec<FileRule> = Vec::new();
    let DeValue::Array(tables) = value.get_ref() else {
        reader.refuse(value.span().start, "rule", "rules are tables of a list, each under [[rule]]");
        return rules;
    };
    for table in tables {
        let DeValue::Table(fields) = table.get_ref() else {
            reader.refuse(table.span().start, "rule", "rules are tables of a list, each under [[rule]]");
            continue;
        };
        let Some(rule) = rule::read(reader, fields, table.span().start) else { continue };
        if let Some(earlier) = rules.iter().find(|other| other.rule.name == rule.rule.name) {
            let line = reader.place(earlier.name_at).0;
            let message = format!("there is a rule `{}` in line {line} already", rule.rule.name);
            reader.refuse(rule.name_at, "name", message);
        }
        rules.push(rule);
    }
    rules
}

/// Says of a rule that could not be compiled where it stands. Built-in rules can be: it is one of the file's.
fn refuse_rule(reader: &mut Reader<'_>, rules: &[FileRule], invalid: InvalidRule) {
    let own = rules.iter().find(|one| one.rule.name.as_str() == invalid.name);
    let at = own.map_or(0, |one| one.place_of(invalid.key));
    let InvalidRule { key, message, .. } = invalid;
    let message = if Match::KEYS.contains(&key) { format!("`{key}`: {message}") } else { message };
    reader.refuse_of(own.map(|one| &one.rule.name), at, key, message);
}

impl FromStr for Policy {
    type Err = InvalidPolicy;

    /// Reads a policy file with the built-in defaults.
    fn from_str(text: &str) -> Result<Self, InvalidPolicy> {
        read(text, Defaults::default()).map(|checked| checked.policy)
    }
}
