//! The settings in force, for people: each with its source, secrets masked.

use serde::Serialize;
use serde_json::Value;

use super::keys::KEYS;
use super::load::Loaded;
use super::sources::is_variable;

/// One setting.
#[derive(Debug, Serialize)]
pub(crate) struct Shown {
    pub(crate) key: &'static str,
    pub(crate) value: String,
    pub(crate) source: String,
    /// What it is for, as Markdown.
    pub(crate) meaning: &'static str,
}

/// Every setting, in the order of the reference page.
pub(crate) fn shown(loaded: &Loaded) -> anyhow::Result<Vec<Shown>> {
    let mut settings = serde_json::to_value(&loaded.settings)?;
    mask(&mut settings);
    let mut values: std::collections::BTreeMap<String, Value> = flatten(&settings).into_iter().collect();
    let address = loaded.settings.database.address(&loaded.settings.server.data_dir);
    values.insert("database.url".to_owned(), address.into());
    Ok(KEYS
        .iter()
        .map(|key| {
            let source = match loaded.places.get(key.name) {
                None => "default".to_owned(),
                Some(place) if is_variable(place, key.name) => format!("environment {place}"),
                Some(place) => place.clone(),
            };
            let value = values.get(key.name).map(display).unwrap_or_default();
            Shown { key: key.name, value, source, meaning: key.meaning }
        })
        .collect())
}

const MASKED: &str = "***";

/// Hides what must not be seen.
fn mask(value: &mut Value) {
    match value {
        Value::Object(fields) => {
            for (name, field) in fields {
                match field {
                    // Workers are often given their secrets by their environment.
                    Value::Object(variables) if name == "env" => {
                        variables.values_mut().for_each(|value| *value = MASKED.into());
                    }
                    Value::String(secret) if name == "client_secret" => *secret = MASKED.to_owned(),
                    _ => mask(field),
                }
            }
        }
        Value::Array(items) => items.iter_mut().for_each(mask),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Sections and keys as `section.key`.
pub(super) fn flatten(settings: &Value) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (section, fields) in settings.as_object().into_iter().flatten() {
        for (key, value) in fields.as_object().into_iter().flatten() {
            flat.push((format!("{section}.{key}"), value.clone()));
        }
    }
    flat
}

/// A value as it would be written in the environment.
pub(super) fn display(value: &Value) -> String {
    match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.iter().all(|item| !item.is_object()) => {
            items.iter().map(display).collect::<Vec<_>>().join(",")
        }
        other => other.to_string(),
    }
}
