//! The areas of a report, in all their shapes.

use serde_json::{Map, Value};

use super::{Faults, InvalidReport, MAX_AREAS, clip_to, field, kind_of};
use crate::area::{Area, MAX_PATH};
use crate::name::AreaKind;

/// Areas in `areas`, in `progress` as an array, or as numbered keys at the top level or in `progress`.
pub(super) fn areas(
    object: &mut Map<String, Value>,
    faults: &mut Faults,
) -> Result<Vec<Area>, InvalidReport> {
    let mut found = Vec::new();
    match object.remove("areas") {
        None | Some(Value::Null) => {}
        Some(Value::Array(items)) => found.extend(items),
        Some(other) => faults.met(field("areas", format!("an array, got {}", kind_of(&other))))?,
    }
    match object.get_mut("progress") {
        Some(Value::Array(items)) => {
            found.append(items);
            object.remove("progress");
        }
        Some(Value::Object(progress)) => found.extend(numbered(progress)),
        _ => {}
    }
    found.extend(numbered(object));
    if found.len() > MAX_AREAS {
        faults.met(field("areas", format!("at most {MAX_AREAS} in one report, got {}", found.len())))?;
        found.truncate(MAX_AREAS);
    }
    let mut areas = Vec::with_capacity(found.len());
    for (index, item) in found.into_iter().enumerate() {
        match area(index, item) {
            Ok(area) => areas.push(area),
            Err(fault) => faults.met(fault)?,
        }
    }
    Ok(areas)
}

fn numbered(object: &mut Map<String, Value>) -> Vec<Value> {
    (0..).map_while(|number: u32| object.remove(&number.to_string())).collect()
}

fn area(index: usize, item: Value) -> Result<Area, InvalidReport> {
    let at = |key: &str| format!("areas[{index}].{key}");
    let Value::Object(mut item) = item else {
        return Err(field(&format!("areas[{index}]"), format!("an object, got {}", kind_of(&item))));
    };
    let mut first =
        |keys: &[&str]| keys.iter().find_map(|key| item.remove(*key).filter(|value| !value.is_null()));
    let full_path = match first(&["fullPath", "full_path", "path"]) {
        Some(Value::String(path)) if crate::job::is_path(&path) => path,
        Some(_) => {
            return Err(field(
                &at("fullPath"),
                format!("1 to {MAX_PATH} characters without control characters"),
            ));
        }
        None => return Err(field(&at("fullPath"), "missing")),
    };
    let kind = match first(&["type", "kind"]) {
        Some(Value::String(kind)) => {
            kind.to_lowercase().parse::<AreaKind>().map_err(|error| field(&at("type"), error))?
        }
        Some(other) => return Err(field(&at("type"), format!("a text, got {}", kind_of(&other)))),
        None => return Err(field(&at("type"), "missing; e.g. `group` or `project`")),
    };
    let words = |value: Option<Value>| match value {
        Some(Value::String(text)) => Some(clip_to(&text, MAX_PATH)),
        Some(Value::Number(number)) => Some(number.to_string()),
        _ => None,
    };
    let external_id = words(first(&["externalId", "external_id", "gitlabId", "gitlab_id", "id"]));
    let name = words(first(&["name"]));
    Ok(Area { full_path, external_id, name, kind })
}
