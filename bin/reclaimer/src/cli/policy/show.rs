//! `reclaimer policy show`.

use anyhow::Result;
use serde_json::Value;

use crate::cli::output::{Output, cell};

/// Shows the policy in force, as the server answered.
pub(super) fn show(view: &Value, output: Output) -> Result<()> {
    if output.is_json() {
        return output.json(view);
    }
    let rows = view["rules"].as_array().into_iter().flatten().zip(1..).map(|(rule, place)| {
        let origin = match &rule["line"] {
            Value::Null => cell(&rule["origin"]),
            line => format!("line {line}"),
        };
        let kept = ["name", "match", "action", "origin", "line"];
        let rest = rule.as_object().into_iter().flatten().filter(|(key, _)| !kept.contains(&key.as_str()));
        let does = std::iter::once(cell(&rule["action"])).chain(rest.map(|(key, value)| pair(key, value)));
        let asks: Vec<String> =
            rule["match"].as_object().into_iter().flatten().map(|(key, value)| pair(key, value)).collect();
        let asks = if asks.is_empty() { "every job".to_owned() } else { asks.join("\n") };
        vec![place.to_string(), cell(&rule["name"]), origin, asks, does.collect::<Vec<_>>().join("\n")]
    });
    output.table(&["", "rule", "from", "matches", "does"], rows)?;
    let file = match &view["file"] {
        Value::Null => "no file: the built-in rules alone".to_owned(),
        file => cell(file),
    };
    output.text(&format!(
        "policy {} of {file}, in force since {}",
        cell(&view["hash"]),
        cell(&view["since"])
    ))?;
    for (key, value) in view["defaults"].as_object().into_iter().flatten() {
        output.text(&format!("default: {}", pair(key, value)))?;
    }
    for warning in view["warnings"].as_array().into_iter().flatten() {
        let rule = warning["rule"].as_str().map(|rule| format!("rule `{rule}`: ")).unwrap_or_default();
        output.text(&format!("warning: line {}: {rule}{}", warning["line"], cell(&warning["message"])))?;
    }
    let refused = &view["refused"];
    if !refused.is_null() {
        let (at, message) = (cell(&refused["at"]), cell(&refused["message"]));
        output.text(&format!("refused at {at}, so that this policy stayed in force: {message}"))?;
    }
    Ok(())
}

/// `key = value`, as in a policy file.
fn pair(key: &str, value: &Value) -> String {
    format!("{} = {}", cell(&key.into()), inline(value))
}

/// A value as TOML writes it within a line.
fn inline(value: &Value) -> String {
    match value {
        Value::Object(fields) => {
            let fields: Vec<String> = fields.iter().map(|(key, value)| pair(key, value)).collect();
            format!("{{ {} }}", fields.join(", "))
        }
        Value::Array(items) => format!("[{}]", items.iter().map(inline).collect::<Vec<_>>().join(", ")),
        Value::String(text) => format!("\"{}\"", cell(&text.as_str().into())),
        Value::Null | Value::Bool(_) | Value::Number(_) => cell(value),
    }
}
