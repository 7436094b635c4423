//! What both dialects read the same way.

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::message::Unreadable;

/// A frame that is not what the dialect calls one.
pub(super) fn bad_frame(error: &serde_json::Error) -> Unreadable {
    Unreadable::Frame(error.to_string())
}

/// Content that is not what its kind asks for.
pub(super) fn bad_content(kind: &'static str, reason: impl Display) -> Unreadable {
    Unreadable::Content { kind, reason: reason.to_string() }
}

/// Reads the content of a message.
pub(super) fn content<'a, T: Deserialize<'a>>(
    kind: &'static str,
    raw: Option<&'a RawValue>,
) -> Result<T, Unreadable> {
    let text = raw.map_or("{}", RawValue::get);
    serde_json::from_str(text).map_err(|error| bad_content(kind, error))
}

/// Reads the content of a message as an object, whatever is in it.
pub(super) fn object(kind: &'static str, raw: Option<&RawValue>) -> Result<Map<String, Value>, Unreadable> {
    content(kind, raw)
}

/// Reads a name.
pub(super) fn name<T: FromStr<Err: Display>>(kind: &'static str, text: &str) -> Result<T, Unreadable> {
    text.parse().map_err(|error| bad_content(kind, error))
}

/// At most 64 characters of a word that came from a peer.
pub(super) fn clip(text: &str) -> String {
    text.chars().take(64).collect()
}
