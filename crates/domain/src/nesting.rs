//! How deeply JSON from outside may be nested.

use serde_json::Value;

/// The deepest that a report or a payload may be nested, itself included: deeper JSON is refused by too many readers.
pub const MAX_DEPTH: usize = 64;

/// Whether JSON is nested deeper than [`MAX_DEPTH`].
#[must_use]
pub fn is_too_deep(value: &Value) -> bool {
    deeper_than(value, MAX_DEPTH)
}

fn deeper_than(value: &Value, levels: usize) -> bool {
    match value {
        Value::Array(items) => levels == 0 || items.iter().any(|item| deeper_than(item, levels - 1)),
        Value::Object(fields) => levels == 0 || fields.values().any(|field| deeper_than(field, levels - 1)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => false,
    }
}
