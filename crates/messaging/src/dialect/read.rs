//! What both dialects read the same way.

use std::fmt::Display;
use std::str::FromStr;

use serde::Deserialize;
use serde_json::error::Category;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::message::{Reason, Unreadable};

/// A frame that is not what the dialect calls one.
pub(super) fn bad_frame(error: &serde_json::Error) -> Unreadable {
    Unreadable::Frame(bad_json(error))
}

/// Content that is not what its kind asks for, for a reason that repeats nothing of it.
pub(super) fn bad_content(kind: &'static str, reason: impl Display) -> Unreadable {
    let reason = reason.to_string();
    Unreadable::Content { kind, reason: Reason { without_content: reason.clone(), for_sender: reason } }
}

/// The parser's messages repeat what they are about.
fn bad_json(error: &serde_json::Error) -> Reason {
    let kind = match error.classify() {
        Category::Data => "a field of the wrong type or value, or none that is needed",
        Category::Syntax | Category::Eof => "no JSON",
        Category::Io => "not all of it can be read",
    };
    let without_content = format!("{kind}, at column {}", error.column());
    Reason { for_sender: error.to_string(), without_content }
}

/// The fields of a request, for which its sender waits: where they are no object, there are none.
pub(super) fn fields(raw: Option<&RawValue>) -> Result<Map<String, Value>, String> {
    match raw.map(RawValue::get).map(serde_json::from_str) {
        None | Some(Ok(Value::Null)) => Ok(Map::new()),
        Some(Ok(Value::Object(fields))) => Ok(fields),
        Some(Ok(_)) => Err("it is no object".to_owned()),
        Some(Err(error)) => Err(error.to_string()),
    }
}

/// A field that is a text, and a name of its kind.
pub(super) fn named<T: FromStr<Err: Display>>(
    fields: &Map<String, Value>,
    key: &str,
) -> Result<Option<T>, String> {
    match fields.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => text.parse().map(Some).map_err(|error| format!("`{key}`: {error}")),
        Some(_) => Err(format!("`{key}` is a text")),
    }
}

/// Reads the content of a message.
pub(super) fn content<'a, T: Deserialize<'a>>(
    kind: &'static str,
    raw: Option<&'a RawValue>,
) -> Result<T, Unreadable> {
    let text = raw.map_or("{}", RawValue::get);
    serde_json::from_str(text).map_err(|error| Unreadable::Content { kind, reason: bad_json(&error) })
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
