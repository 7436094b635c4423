//! `backoff = { … }`.

use std::time::Duration;

use toml::de::DeTable;

use super::reader::{Reader, word};
use crate::backoff::{Backoff, Jitter, Kind};
use crate::limits::LONGEST_TIME;

/// What a backoff may be, and the keys that each takes beside `kind`, `cap` and `jitter`.
#[derive(Debug, Clone, Copy)]
enum Word {
    Fixed,
    Linear,
    Exponential,
}

impl Word {
    const ALL: [Self; 3] = [Self::Fixed, Self::Linear, Self::Exponential];

    fn as_str(self) -> &'static str {
        match self {
            Self::Fixed => "fixed",
            Self::Linear => "linear",
            Self::Exponential => "exponential",
        }
    }

    fn keys(self) -> &'static [&'static str] {
        match self {
            Self::Fixed => &["kind", "delay", "cap", "jitter"],
            Self::Linear => &["kind", "base", "cap", "jitter"],
            Self::Exponential => &["kind", "base", "factor", "cap", "jitter"],
        }
    }
}

/// The cap of a backoff that grows, where none is written.
const CAP: Duration = Duration::from_secs(3_600);

/// The growth of an exponential backoff, where none is written.
const FACTOR: f64 = 2.0;

/// Reads `backoff` of a table.
pub(super) fn read<'t>(reader: &mut Reader<'t>, outer: &DeTable<'t>) -> Option<Backoff> {
    let at = outer.get("backoff")?.span().start;
    let table = reader.table(outer, "backoff")?;
    if table.get("kind").is_none() {
        let message = "`backoff` needs a `kind`: one of `fixed`, `linear`, `exponential`";
        reader.refuse(at, "backoff.kind", message);
        return None;
    }
    let kind = reader.parsed(table, "kind", |text| word(&Word::ALL, Word::as_str, text))?;
    let what = format!("a {} backoff", kind.as_str());
    reader.only(table, &what, kind.keys(), "backoff.");
    let any = Duration::ZERO..=LONGEST_TIME;
    let first_key = if matches!(kind, Word::Fixed) { "delay" } else { "base" };
    if table.get(first_key).is_none() {
        reader.refuse(at, &format!("backoff.{first_key}"), format!("{what} needs a `{first_key}`"));
    }
    let first = reader.time(table, first_key, any.clone());
    let factor = reader.number(table, "factor", 1.0..=1_000.0).unwrap_or(FACTOR);
    let cap = reader.time(table, "cap", any);
    let jitter = reader.parsed(table, "jitter", |text| word(&Jitter::ALL, Jitter::as_str, text));
    let first = first?;
    let (kind, cap_otherwise, jitter_otherwise) = match kind {
        Word::Fixed => (Kind::Fixed { delay: first }, first, Jitter::None),
        Word::Linear => (Kind::Linear { base: first }, CAP.max(first), Jitter::Full),
        Word::Exponential => (Kind::Exponential { base: first, factor }, CAP.max(first), Jitter::Full),
    };
    Some(Backoff { kind, cap: cap.unwrap_or(cap_otherwise), jitter: jitter.unwrap_or(jitter_otherwise) })
}
