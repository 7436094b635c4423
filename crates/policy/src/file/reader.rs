//! Reads values from TOML, and gathers what is wrong with them instead of stopping at the first.

#![expect(
    clippy::wildcard_enum_match_arm,
    reason = "what is not of the type asked for is refused, whatever it is"
)]

use std::ops::RangeInclusive;
use std::time::Duration;

use reclaimer_domain::name::{Quoted, RuleName};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::finding::{Finding, InvalidPolicy};
use crate::limits::MOST_ENTRIES;
use crate::words;

/// A TOML value and where it stands.
pub(super) type Value<'t> = Spanned<DeValue<'t>>;

/// Reads one file.
#[derive(Debug)]
pub(super) struct Reader<'t> {
    text: &'t str,
    /// The rule that is being read.
    pub(super) rule: Option<RuleName>,
    refused: Vec<Finding>,
}

impl<'t> Reader<'t> {
    pub(super) fn new(text: &'t str) -> Self {
        Self { text, rule: None, refused: Vec::new() }
    }

    /// Whether nothing was refused so far.
    pub(super) fn is_content(&self) -> bool {
        self.refused.is_empty()
    }

    /// All that was refused.
    pub(super) fn refusal(mut self) -> InvalidPolicy {
        self.refused.sort_by_key(|finding| (finding.line, finding.column));
        InvalidPolicy { findings: self.refused }
    }

    /// Line and column of a byte of the file, from 1.
    pub(super) fn place(&self, at: usize) -> (u32, u32) {
        let before = &self.text[..self.text.floor_char_boundary(at)];
        let line = before.bytes().filter(|byte| *byte == b'\n').count() + 1;
        let start = before.rfind('\n').map_or(0, |end| end + 1);
        let column = before[start..].chars().count() + 1;
        let number = |number: usize| u32::try_from(number).unwrap_or(u32::MAX);
        (number(line), number(column))
    }

    /// Something about this place.
    pub(super) fn finding(&self, at: usize, key: Option<&str>, message: impl Into<String>) -> Finding {
        let (line, column) = self.place(at);
        let key = key.map(ToOwned::to_owned);
        Finding { line, column, rule: self.rule.clone(), key, message: message.into() }
    }

    /// Refuses a value.
    pub(super) fn refuse(&mut self, at: usize, key: &str, message: impl Into<String>) {
        self.refused.push(self.finding(at, Some(key), message));
    }

    /// Refuses a value of this rule.
    pub(super) fn refuse_of(
        &mut self,
        rule: Option<&RuleName>,
        at: usize,
        key: &str,
        message: impl Into<String>,
    ) {
        let finding = Finding { rule: rule.cloned(), ..self.finding(at, Some(key), message) };
        self.refused.push(finding);
    }

    /// Refuses keys that are none of these; `path` stands before them in what is said.
    pub(super) fn only(&mut self, table: &DeTable<'_>, what: &str, known: &[&str], path: &str) {
        for key in table.keys().filter(|key| !known.contains(&key.get_ref().as_ref())) {
            let unknown = key.get_ref();
            let message = match nearest(unknown, known) {
                Some(meant) => format!("unknown key `{unknown}`; did you mean `{meant}`?"),
                None => format!("unknown key `{unknown}`; {what} takes {}", Quoted(known)),
            };
            self.refuse(key.span().start, &format!("{path}{unknown}"), message);
        }
    }

    fn wrong(&mut self, key: &str, value: &Value<'_>, allowed: &str) {
        self.refuse(value.span().start, key, format!("`{key}` is {allowed}, got {}", found(value.get_ref())));
    }

    /// A table.
    pub(super) fn table<'v>(&mut self, table: &'v DeTable<'t>, key: &str) -> Option<&'v DeTable<'t>> {
        let value = table.get(key)?;
        match value.get_ref() {
            DeValue::Table(table) => Some(table),
            _ => {
                self.wrong(key, value, "a table");
                None
            }
        }
    }

    /// `true` or `false`.
    pub(super) fn truth(&mut self, table: &DeTable<'_>, key: &str) -> Option<bool> {
        let value = table.get(key)?;
        match value.get_ref() {
            DeValue::Boolean(truth) => Some(*truth),
            _ => {
                self.wrong(key, value, "true or false");
                None
            }
        }
    }

    /// A whole number within bounds.
    pub(super) fn whole<T>(&mut self, table: &DeTable<'_>, key: &str, bounds: RangeInclusive<T>) -> Option<T>
    where
        T: TryFrom<i64> + PartialOrd + std::fmt::Display,
    {
        let value = table.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => i64::from_str_radix(number.as_str(), number.radix()).ok(),
            _ => None,
        };
        let number =
            number.and_then(|number| T::try_from(number).ok()).filter(|found| bounds.contains(found));
        if number.is_none() {
            let (least, most) = (bounds.start(), bounds.end());
            self.wrong(key, value, &format!("a whole number from {least} to {most}"));
        }
        number
    }

    /// A number within bounds.
    pub(super) fn number(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        bounds: RangeInclusive<f64>,
    ) -> Option<f64> {
        let value = table.get(key)?;
        let number = match value.get_ref() {
            DeValue::Integer(number) => number.to_string().parse().ok(),
            DeValue::Float(number) => number.as_str().parse().ok(),
            _ => None,
        };
        let number = number.filter(|number| bounds.contains(number));
        if number.is_none() {
            let (least, most) = (bounds.start(), bounds.end());
            self.wrong(key, value, &format!("a number from {least} to {most}"));
        }
        number
    }

    /// A length of time within bounds.
    pub(super) fn time(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        bounds: RangeInclusive<Duration>,
    ) -> Option<Duration> {
        let value = table.get(key)?;
        let length = match value.get_ref() {
            DeValue::String(text) => humantime::parse_duration(text).ok(),
            _ => None,
        };
        let length = length.filter(|length| bounds.contains(length));
        if length.is_none() {
            let (least, most) = (words::time(*bounds.start()), words::time(*bounds.end()));
            self.wrong(
                key,
                value,
                &format!("a length of time, e.g. \"90s\" or \"2h 30m\", from {least} to {most}"),
            );
        }
        length
    }

    /// A text of 1 to so many characters.
    pub(super) fn text(&mut self, table: &DeTable<'_>, key: &str, most: usize) -> Option<String> {
        self.text_of(key, table.get(key)?, most)
    }

    fn text_of(&mut self, key: &str, value: &Value<'_>, most: usize) -> Option<String> {
        if let DeValue::String(text) = value.get_ref()
            && (1..=most).contains(&text.chars().count())
        {
            return Some(text.to_string());
        }
        self.wrong(key, value, &format!("a text of 1 to {most} characters"));
        None
    }

    /// A text or a list of texts, each read by `parse`; empty where there is none.
    pub(super) fn list<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        most: usize,
        mut parse: impl FnMut(&str) -> Result<T, String>,
    ) -> Vec<T> {
        let Some(value) = table.get(key) else { return Vec::new() };
        let items = match value.get_ref() {
            DeValue::Array(items) if items.is_empty() || items.len() > MOST_ENTRIES => {
                self.wrong(key, value, &format!("a text or a list of 1 to {MOST_ENTRIES} texts"));
                return Vec::new();
            }
            DeValue::Array(items) => items.iter().collect(),
            _ => vec![value],
        };
        let mut read = Vec::with_capacity(items.len());
        for item in items {
            let Some(text) = self.text_of(key, item, most) else { continue };
            match parse(&text) {
                Ok(one) => read.push(one),
                Err(message) => self.refuse(item.span().start, key, format!("`{key}`: {message}")),
            }
        }
        read
    }

    /// A text read by `parse`.
    pub(super) fn parsed<T>(
        &mut self,
        table: &DeTable<'_>,
        key: &str,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> Option<T> {
        let value = table.get(key)?;
        let DeValue::String(text) = value.get_ref() else {
            self.wrong(key, value, "a text");
            return None;
        };
        let read = parse(text).map_err(|message| {
            self.refuse(value.span().start, key, format!("`{key}`: {message}"));
        });
        read.ok()
    }
}

/// One of a few words; another is refused with the nearest.
pub(super) fn word<T: Copy>(all: &[T], as_str: impl Fn(T) -> &'static str, text: &str) -> Result<T, String> {
    if let Some(found) = all.iter().copied().find(|one| as_str(*one) == text) {
        return Ok(found);
    }
    let known: Vec<&str> = all.iter().map(|one| as_str(*one)).collect();
    let hint = nearest(text, &known).map(|meant| format!("; did you mean `{meant}`?")).unwrap_or_default();
    Err(format!("one of {}, got `{}`{hint}", Quoted(&known), words::short(text)))
}

/// The known word nearest to an unknown one, where one is near enough to have been meant.
fn nearest<'k>(unknown: &str, known: &[&'k str]) -> Option<&'k str> {
    let near = known.iter().map(|name| (strsim::damerau_levenshtein(unknown, name), *name));
    let (distance, name) = near.min_by_key(|(distance, _)| *distance)?;
    (distance <= 2.max(name.len() / 3)).then_some(name)
}

/// A value as it was found.
fn found(value: &DeValue<'_>) -> String {
    match value {
        DeValue::String(text) => format!("\"{}\"", words::short(text)),
        DeValue::Integer(number) => number.to_string(),
        DeValue::Float(number) => number.to_string(),
        DeValue::Boolean(truth) => truth.to_string(),
        DeValue::Datetime(moment) => moment.to_string(),
        DeValue::Array(items) if items.is_empty() => "an empty list".to_owned(),
        DeValue::Array(items) => format!("a list of {}", items.len()),
        DeValue::Table(_) => "a table".to_owned(),
    }
}
