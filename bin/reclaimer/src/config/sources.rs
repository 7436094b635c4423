//! Where settings are set: a file, the environment, flags. Each value carries the place where it stands.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use config::{Map, Value, ValueKind};
use toml::de::{DeTable, DeValue};

use super::keys::{KEYS, Key, Kind, SHORT, find, is_no_setting, nearest, variable};

/// Settings of one source, ready for the `config` crate.
#[derive(Debug, Clone)]
pub(super) struct Values(Map<String, Value>);

impl config::Source for Values {
    fn clone_into_box(&self) -> Box<dyn config::Source + Send + Sync> {
        Box::new(self.clone())
    }

    fn collect(&self) -> Result<Map<String, Value>, config::ConfigError> {
        Ok(self.0.clone())
    }
}

/// Reads a file; unknown keys are refused with their line.
pub(super) fn file(path: &Path) -> Result<Values> {
    let text = std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    parse(path, &text)
}

fn parse(path: &Path, text: &str) -> Result<Values> {
    let table = match DeTable::parse(text) {
        Ok(table) => table,
        Err(error) => {
            let line = error.span().map_or(1, |span| line_of(text, span.start));
            bail!("{}:{line}: {}", path.display(), error.message());
        }
    };
    let file = File { path, text };
    let mut values = Map::new();
    for (section, content) in table.get_ref() {
        let name = section.get_ref();
        match content.get_ref() {
            DeValue::Table(content) => {
                for (key, value) in content {
                    let name = format!("{name}.{}", key.get_ref());
                    file.put(&mut values, name, key.span().start, value.get_ref())?;
                }
            }
            // A section of which there are several.
            tables @ DeValue::Array(_) if find(&format!("{name}.{EACH}")).is_some() => {
                file.put(&mut values, format!("{name}.{EACH}"), section.span().start, tables)?;
            }
            _ => {
                let place = file.place(section.span().start);
                bail!("{place}: unknown key `{name}`; every key stands in a section, e.g. [server]");
            }
        }
    }
    Ok(Values(values))
}

/// The key of the tables that `[[section]]` makes.
const EACH: &str = "each";

struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn place(&self, offset: usize) -> String {
        format!("{}:{}", self.path.display(), line_of(self.text, offset))
    }

    fn put(
        &self,
        values: &mut Map<String, Value>,
        name: String,
        at: usize,
        value: &DeValue<'_>,
    ) -> Result<()> {
        let place = self.place(at);
        let Some(known) = find(&name) else { bail!("{place}: {}", unknown(&name)) };
        if let (Kind::Tables(fields), DeValue::Array(tables)) = (known.kind, value) {
            for table in tables {
                self.check_fields(&name, fields, table.get_ref())?;
            }
        }
        values.insert(name, self.value(value, &place));
        Ok(())
    }

    fn check_fields(&self, name: &str, fields: &[&str], table: &DeValue<'_>) -> Result<()> {
        let DeValue::Table(table) = table else { return Ok(()) };
        let unknown = table.keys().find(|key| !fields.contains(&key.get_ref().as_ref()));
        let Some(key) = unknown else { return Ok(()) };
        let hint = match nearest(key.get_ref(), fields.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => {
                let name = name.strip_suffix(&format!(".{EACH}")).unwrap_or(name);
                format!("[[{name}]] takes {}", fields.join(", "))
            }
        };
        bail!("{}: unknown key `{}`; {hint}", self.place(key.span().start), key.get_ref())
    }

    fn value(&self, value: &DeValue<'_>, place: &String) -> Value {
        let kind = match value {
            DeValue::String(text) => ValueKind::String(text.to_string()),
            DeValue::Integer(number) => {
                let parsed = i64::from_str_radix(number.as_str(), number.radix());
                parsed.map_or_else(|_| ValueKind::String(number.to_string()), ValueKind::I64)
            }
            DeValue::Float(number) => {
                let parsed = number.as_str().parse();
                parsed.map_or_else(|_| ValueKind::String(number.to_string()), ValueKind::Float)
            }
            DeValue::Boolean(truth) => ValueKind::Boolean(*truth),
            DeValue::Datetime(at) => ValueKind::String(at.to_string()),
            DeValue::Array(items) => {
                ValueKind::Array(items.iter().map(|item| self.value(item.get_ref(), place)).collect())
            }
            DeValue::Table(table) => ValueKind::Table(
                table
                    .iter()
                    .map(|(key, value)| (key.get_ref().to_string(), self.value(value.get_ref(), place)))
                    .collect(),
            ),
        };
        Value::new(Some(place), kind)
    }
}

fn line_of(text: &str, offset: usize) -> usize {
    text.bytes().take(offset).filter(|byte| *byte == b'\n').count() + 1
}

fn unknown(name: &str) -> String {
    match nearest(name, KEYS.iter().map(|key| key.name)) {
        Some(meant) => format!("unknown key `{name}`; did you mean `{meant}`?"),
        None => {
            let section = name.split('.').next().unwrap_or_default();
            let prefix = format!("{section}.");
            let mut known: Vec<&str> = KEYS.iter().filter_map(|key| key.name.strip_prefix(&prefix)).collect();
            if known.is_empty() {
                known = KEYS.iter().filter_map(|key| key.name.split('.').next()).collect();
                known.dedup();
                return format!("unknown section [{section}]; there are {}", known.join(", "));
            }
            format!("unknown key `{name}`; [{section}] takes {}", known.join(", "))
        }
    }
}

/// Reads the variables `RECLAIMER_<SECTION>__<KEY>`, and under them the short ones.
pub(super) fn environment(variables: impl Iterator<Item = (String, String)>) -> Result<Values> {
    let (mut values, mut short) = (Map::new(), Map::new());
    for (variable_name, text) in variables {
        if let Some((_, name)) = SHORT.iter().find(|(short, _)| *short == variable_name) {
            if let Some(known) = find(name) {
                short.insert((*name).to_owned(), of_short(known, &text, &variable_name)?);
            }
            continue;
        }
        let Some(rest) = variable_name.strip_prefix("RECLAIMER_") else { continue };
        if is_no_setting(rest) {
            continue;
        }
        let Some((section, key)) = rest.split_once("__") else { bail!(unknown_variable(&variable_name)) };
        let name = format!("{}.{}", section.to_lowercase(), key.to_lowercase());
        let Some(known) = find(&name) else { bail!("{variable_name}: {}", unknown(&name)) };
        values.insert(name, plain(known.kind, &text, &variable_name)?);
    }
    short.extend(values);
    Ok(Values(short))
}

/// A slip of the pen in a variable's name would leave its setting at the default, without a word.
fn unknown_variable(name: &str) -> String {
    let known: Vec<String> = KEYS.iter().map(|key| variable(key.name)).collect();
    let hint = match nearest(name, known.iter().map(String::as_str)) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => "settings are called RECLAIMER_<SECTION>__<KEY>, `reclaimer config` lists them".to_owned(),
    };
    format!("{name}: there is no such setting; {hint}")
}

/// What a short name means in older set-ups: `SUPERVISED` is true only when it says so; a word that may be meant so is
/// refused.
fn of_short(known: &Key, text: &str, place: &str) -> Result<Value> {
    match known.name {
        "supervisor.enabled" => {
            let truth = match text.to_ascii_lowercase().as_str() {
                "true" => true,
                "false" | "" | "0" | "no" | "off" => false,
                _ => bail!("{place}: `true` or `false` is needed, got `{text}`"),
            };
            Ok(Value::new(Some(&place.to_owned()), ValueKind::Boolean(truth)))
        }
        _ => plain(known.kind, text, place),
    }
}

/// A text from the environment or a flag.
fn plain(kind: Kind, text: &str, place: &str) -> Result<Value> {
    let origin = place.to_owned();
    Ok(match kind {
        Kind::One => Value::new(Some(&origin), ValueKind::String(text.to_owned())),
        Kind::List => {
            let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
            let items = items.map(|item| Value::new(Some(&origin), ValueKind::String(item.to_owned())));
            Value::new(Some(&origin), ValueKind::Array(items.collect()))
        }
        Kind::Tables(_) => bail!("{place}: a list of tables cannot be set there; write it in reclaimer.toml"),
    })
}

/// What flags set.
pub(super) fn flags(data: Option<&PathBuf>, listen: &[String]) -> Values {
    let mut values = Map::new();
    if let Some(data) = data {
        let value = ValueKind::String(data.display().to_string());
        values.insert("server.data_dir".to_owned(), Value::new(Some(&"--data".to_owned()), value));
    }
    if !listen.is_empty() {
        let origin = "--listen".to_owned();
        let items = listen.iter().map(|item| Value::new(Some(&origin), ValueKind::String(item.clone())));
        values
            .insert("server.listen".to_owned(), Value::new(Some(&origin), ValueKind::Array(items.collect())));
    }
    Values(values)
}

impl Values {
    /// The keys that are set, and where.
    pub(super) fn places(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value.origin().unwrap_or_default()))
    }
}

/// Where a variable's value comes from, for `reclaimer config`.
pub(super) fn is_variable(place: &str, name: &str) -> bool {
    place == variable(name) || SHORT.contains(&(place, name))
}
