//! A report as it comes from a worker, in all the shapes that workers send.
//!
//! Reading is strict about what decides (which job, which lease, which status) and lenient about the rest: unknown
//! fields are kept under `progress.extra`, up to [`MAX_EXTRA`] bytes.

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::area::{Area, MAX_PATH};
use crate::job::LeaseToken;
use crate::job::report::{Failure, Holder, Outcome, Report, Retryable};
use crate::name::{AreaKind, Quoted, WorkerId};
use crate::nesting::{MAX_DEPTH, is_too_deep};

/// The most bytes of JSON kept under `progress.extra`.
pub const MAX_EXTRA: usize = 16 * 1_024;

/// The most areas one report may carry.
pub const MAX_AREAS: usize = 10_000;

/// Every status a report may carry.
const STATUSES: [&str; 9] = [
    "started",
    "processing",
    "new_areas_discovered",
    "completed",
    "failed",
    "paused",
    "credential_expiry",
    "credential_renewal",
    "credential_resumed",
];

/// Keys that are merged into `progress` under their own name.
const SAID: [&str; 6] =
    ["processedItems", "totalItems", "currentDataType", "message", "itemsByType", "credentialStatus"];

/// Why a report cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum InvalidReport {
    /// It is not an object.
    #[error("a report is a JSON object, got {0}")]
    NotAnObject(&'static str),
    /// It is nested too deeply.
    #[error("the report is nested too deeply: at most {MAX_DEPTH} levels, itself included")]
    TooDeep,
    /// A field is missing.
    #[error("the report has no `{0}`")]
    Missing(&'static str),
    /// A field has the wrong type or value.
    #[error("`{field}` of the report: {reason}")]
    Field {
        /// Which.
        field: String,
        /// What is wrong, and what is allowed.
        reason: String,
    },
    /// The status is none that is known.
    #[error("unknown status `{found}`; a report's status is one of {}", Quoted(&STATUSES))]
    UnknownStatus {
        /// What it says.
        found: String,
    },
}

impl InvalidReport {
    /// The stable word for answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::UnknownStatus { .. } => "unknown_status",
            Self::NotAnObject(_) | Self::TooDeep | Self::Missing(_) | Self::Field { .. } => "invalid_report",
        }
    }
}

fn field(name: &str, reason: impl ToString) -> InvalidReport {
    InvalidReport::Field { field: name.to_owned(), reason: reason.to_string() }
}

/// Reads one report. `sender` is who sent it, as far as the connection tells; a `workerId` in the report comes first.
///
/// # Errors
/// [`InvalidReport`] names the first field that cannot be read.
pub fn read_report(value: Value, sender: Option<&WorkerId>) -> Result<Report, InvalidReport> {
    if is_too_deep(&value) {
        return Err(InvalidReport::TooDeep);
    }
    let Value::Object(mut object) = value else { return Err(InvalidReport::NotAnObject(kind_of(&value))) };
    let digest = hex::encode(&Sha256::digest(Value::Object(object.clone()).to_string())[..16]);

    let job = match (text(&mut object, "taskId")?, text(&mut object, "jobId")?) {
        (Some(task), Some(job)) if task != job => {
            return Err(field(
                "jobId",
                format!("`{job}` is not the taskId `{task}`; one report is about one job"),
            ));
        }
        (Some(id), _) | (None, Some(id)) => id.parse().map_err(|error| field("taskId", error))?,
        (None, None) => return Err(InvalidReport::Missing("taskId")),
    };
    let sender = match text(&mut object, "workerId")? {
        Some(name) => Some(name.parse().map_err(|error| field("workerId", error))?),
        None => sender.cloned(),
    };
    let holder = match (lease(&mut object)?, &sender) {
        (Some(token), _) => Holder::Lease(token),
        // The name of a caller that gave none is not its own: it proves nothing.
        (None, Some(worker)) if !worker.is_anonymous() => Holder::Worker(worker.clone()),
        (None, Some(_) | None) => return Err(InvalidReport::Missing("lease")),
    };
    let status = text(&mut object, "status")?.ok_or(InvalidReport::Missing("status"))?;
    let stamp = stamp(&mut object)?;
    let areas = areas(&mut object)?;
    let outcome = outcome(&status, &mut object)?;
    let (said, resume_state) = said(object, &outcome, stamp)?;
    Ok(Report {
        job,
        holder,
        sender,
        outcome,
        stamp,
        digest: stamp.map(|_| digest),
        said,
        resume_state,
        areas,
    })
}

fn outcome(status: &str, object: &mut Map<String, Value>) -> Result<Outcome, InvalidReport> {
    let lower = status.to_lowercase();
    Ok(match lower.as_str() {
        "started" | "processing" | "new_areas_discovered" | "credential_renewal" | "credential_resumed" => {
            Outcome::Progress
        }
        "completed" => Outcome::Completed,
        "paused" => Outcome::Paused,
        "failed" => Outcome::Failed(failure(object, None)?),
        "credential_expiry" => Outcome::Failed(failure(object, Some("credential_expired"))?),
        _ => return Err(InvalidReport::UnknownStatus { found: status.chars().take(64).collect() }),
    })
}

fn failure(object: &mut Map<String, Value>, kind: Option<&str>) -> Result<Failure, InvalidReport> {
    let told = object.remove("error").unwrap_or(Value::Null);
    let mut error_type = kind.map(ToOwned::to_owned);
    if let Some(said) = text(object, "errorType")? {
        error_type.get_or_insert(said);
    }
    let error = match told {
        Value::Null => match object.get("message").and_then(Value::as_str) {
            Some(message) => message.to_owned(),
            None => "the worker gave no reason".to_owned(),
        },
        Value::String(text) => text,
        Value::Object(parts) => {
            if error_type.is_none() {
                let kind = ["errorType", "type", "code"].iter().find_map(|key| parts.get(*key)?.as_str());
                error_type = kind.map(ToOwned::to_owned);
            }
            match ["message", "error"].iter().find_map(|key| parts.get(*key)?.as_str()) {
                Some(message) => message.to_owned(),
                None => Value::Object(parts).to_string(),
            }
        }
        other @ (Value::Bool(_) | Value::Number(_) | Value::Array(_)) => other.to_string(),
    };
    let retryable = match object.remove("retryable") {
        None | Some(Value::Null) if kind.is_some() => Retryable::Yes,
        None | Some(Value::Null) => Retryable::AskPolicy,
        Some(Value::Bool(true)) => Retryable::Yes,
        Some(Value::Bool(false)) => Retryable::No,
        Some(other) => return Err(field("retryable", format!("true or false, got {}", kind_of(&other)))),
    };
    Ok(Failure { error, error_type: error_type.map(|kind| snake_case(&kind)), retryable })
}

/// What is merged into `progress`, and the resume state.
fn said(
    mut object: Map<String, Value>,
    outcome: &Outcome,
    stamp: Option<DateTime<Utc>>,
) -> Result<(Map<String, Value>, Option<Value>), InvalidReport> {
    let mut said = Map::new();
    let counters = match object.remove("progress") {
        Some(Value::Object(counters)) => Some(counters),
        None | Some(Value::Null) => None,
        Some(other) => {
            return Err(field(
                "progress",
                format!("an object or an array of areas, got {}", kind_of(&other)),
            ));
        }
    };
    let mut resume_state = object.remove("resumeState").filter(|state| !state.is_null());
    if let Some(counters) = counters {
        if resume_state.is_none() && *outcome == Outcome::Paused {
            resume_state = Some(Value::Object(counters));
        } else {
            said.extend(counters.into_iter().filter(|(key, _)| !RESERVED.contains(&key.as_str())));
        }
    }
    for key in SAID {
        if let Some(value) = object.remove(key) {
            said.insert(key.to_owned(), value);
        }
    }
    if let Some(stamp) = stamp {
        said.insert("workerTimestamp".to_owned(), crate::time::rfc3339(stamp).into());
    }
    if !object.is_empty() {
        let extra = Value::Object(object);
        let size = extra.to_string().len();
        let kept = if size <= MAX_EXTRA {
            extra
        } else {
            serde_json::json!({ "dropped": format!("{size} bytes of other fields; at most {MAX_EXTRA} are kept") })
        };
        said.insert("extra".to_owned(), kept);
    }
    Ok((said, resume_state))
}

/// Keys of `progress` that Reclaimer writes and a worker's counters cannot.
const RESERVED: [&str; 14] = [
    "error",
    "errorType",
    "retryable",
    "timestamp",
    "recoveryAttempt",
    "recoveryCount",
    "recoveryRule",
    "previousError",
    "resetReason",
    "resetTimestamp",
    "previousStatus",
    "quarantineReason",
    "pendingStart",
    "lastStartAttempt",
];

fn text(object: &mut Map<String, Value>, key: &'static str) -> Result<Option<String>, InvalidReport> {
    match object.remove(key) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text)),
        Some(other) => Err(field(key, format!("a text, got {}", kind_of(&other)))),
    }
}

/// The lease: its token, or the object that came with the job.
fn lease(object: &mut Map<String, Value>) -> Result<Option<LeaseToken>, InvalidReport> {
    let token = match object.remove("lease") {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(token)) => token,
        Some(Value::Object(mut lease)) => match lease.remove("token") {
            Some(Value::String(token)) => token,
            _ => return Err(field("lease", "an object needs its `token`")),
        },
        Some(other) => return Err(field("lease", format!("the token as text, got {}", kind_of(&other)))),
    };
    token.parse().map(Some).map_err(|error| field("lease", error))
}

/// A timestamp as RFC 3339 text or as milliseconds since 1970.
fn stamp(object: &mut Map<String, Value>) -> Result<Option<DateTime<Utc>>, InvalidReport> {
    let allowed = "an RFC 3339 timestamp or milliseconds since 1970";
    match object.remove("timestamp") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => {
            let at = text.parse::<DateTime<Utc>>();
            at.map(Some).map_err(|_| field("timestamp", format!("{allowed}, got `{}`", clip(&text))))
        }
        Some(Value::Number(number)) => {
            let at = number.as_i64().and_then(DateTime::from_timestamp_millis);
            at.map(Some).ok_or_else(|| field("timestamp", format!("{allowed}, got `{number}`")))
        }
        Some(other) => Err(field("timestamp", format!("{allowed}, got {}", kind_of(&other)))),
    }
}

/// Areas in `areas`, in `progress` as an array, or as numbered keys at the top level or in `progress`.
fn areas(object: &mut Map<String, Value>) -> Result<Vec<Area>, InvalidReport> {
    let mut found = Vec::new();
    match object.remove("areas") {
        None | Some(Value::Null) => {}
        Some(Value::Array(items)) => found.extend(items),
        Some(other) => return Err(field("areas", format!("an array, got {}", kind_of(&other)))),
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
        return Err(field("areas", format!("at most {MAX_AREAS} in one report, got {}", found.len())));
    }
    found.into_iter().enumerate().map(|(index, item)| area(index, item)).collect()
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

fn snake_case(text: &str) -> String {
    let mut out = String::new();
    let mut joint = false;
    for c in text.chars().take(128) {
        if c.is_alphanumeric() {
            let starts_word = c.is_uppercase() && out.chars().last().is_some_and(|last| last.is_lowercase());
            if (joint || starts_word) && !out.is_empty() {
                out.push('_');
            }
            out.extend(c.to_lowercase());
            joint = false;
        } else {
            joint = true;
        }
    }
    out
}

fn clip(text: &str) -> String {
    clip_to(text, 64)
}

fn clip_to(text: &str, most: usize) -> String {
    text.chars().take(most).collect()
}

/// What a JSON value is, for messages.
fn kind_of(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(_) => "a number",
        Value::String(_) => "a text",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn read(value: Value) -> Report {
        read_report(value, None).unwrap()
    }

    fn refusal(value: Value) -> String {
        read_report(value, None).unwrap_err().to_string()
    }

    #[test]
    fn statuses_come_in_any_case() {
        let of = |status: &str| read(json!({"taskId": "J", "lease": "t", "status": status})).outcome;
        assert_eq!(of("COMPLETED"), Outcome::Completed);
        assert_eq!(of("Processing"), Outcome::Progress);
        assert_eq!(of("paused"), Outcome::Paused);
        assert!(matches!(of("failed"), Outcome::Failed(_)));
    }

    #[test]
    fn a_failure_comes_as_text_or_object() {
        let of = |more: Value| {
            let mut report = json!({"jobId": "J", "lease": {"token": "t"}, "status": "failed"});
            report.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            match read(report).outcome {
                Outcome::Failed(failure) => failure,
                other => panic!("{other:?}"),
            }
        };
        let told = of(json!({"error": "no", "errorType": "HttpError", "retryable": true}));
        assert_eq!(told.error, "no");
        assert_eq!(told.error_type.as_deref(), Some("http_error"));
        assert_eq!(told.retryable, Retryable::Yes);
        let object = of(json!({"error": {"message": "gone", "code": "E-404"}}));
        assert_eq!((object.error.as_str(), object.error_type.as_deref()), ("gone", Some("e_404")));
        assert_eq!(object.retryable, Retryable::AskPolicy);
        assert_eq!(of(json!({})).error, "the worker gave no reason");
    }

    #[test]
    fn an_expired_credential_is_a_recoverable_failure() {
        let report =
            read(json!({"taskId": "J", "lease": "t", "status": "credential_expiry", "error": "401"}));
        let Outcome::Failed(failure) = report.outcome else { panic!() };
        assert_eq!(failure.error_type.as_deref(), Some("credential_expired"));
        assert_eq!(failure.retryable, Retryable::Yes);
    }

    #[test]
    fn areas_come_in_all_their_shapes() {
        let a = json!({"fullPath": "g/a", "type": "project", "gitlabId": 7, "name": "A"});
        let b = json!({"full_path": "g", "type": "GROUP"});
        for report in [
            json!({"taskId": "J", "lease": "t", "status": "new_areas_discovered", "areas": [a, b]}),
            json!({"taskId": "J", "lease": "t", "status": "new_areas_discovered", "progress": [a, b]}),
            json!({"taskId": "J", "lease": "t", "status": "new_areas_discovered", "0": a, "1": b}),
            json!({"taskId": "J", "lease": "t", "status": "processing", "progress": {"0": a, "1": b}}),
        ] {
            let report = read(report);
            assert_eq!(report.areas.len(), 2);
            assert_eq!(report.areas[0].external_id.as_deref(), Some("7"));
            assert_eq!(report.areas[1].kind.as_str(), "group");
            assert!(!report.said.contains_key("extra"), "{:?}", report.said);
        }
    }

    #[test]
    fn progress_is_merged_but_cannot_forge_recovery_data() {
        let report = read(json!({
            "taskId": "J", "lease": "t", "status": "processing", "processedItems": 3,
            "progress": {"page": 2, "recoveryCount": 99, "retryable": true}, "resumeState": {"cursor": "c"}, "other": 1
        }));
        assert_eq!(
            report.said,
            *json!({"page": 2, "processedItems": 3, "extra": {"other": 1}}).as_object().unwrap()
        );
        assert_eq!(report.resume_state, Some(json!({"cursor": "c"})));
    }

    #[test]
    fn a_pause_without_a_resume_state_takes_the_progress_for_one() {
        let report = read(json!({"taskId": "J", "lease": "t", "status": "paused", "progress": {"page": 2}}));
        assert_eq!(report.resume_state, Some(json!({"page": 2})));
    }

    #[test]
    fn too_many_other_fields_are_dropped_and_said() {
        let report =
            read(json!({"taskId": "J", "lease": "t", "status": "started", "blob": "x".repeat(MAX_EXTRA)}));
        assert!(report.said["extra"]["dropped"].as_str().unwrap().contains("bytes of other fields"));
    }

    #[test]
    fn a_report_is_nested_only_so_deep() {
        let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!({ "x": inner }));
        let report = |levels| json!({"taskId": "J", "lease": "t", "status": "started", "x": nested(levels)});
        assert!(read_report(report(MAX_DEPTH - 1), None).is_ok());
        assert!(refusal(report(MAX_DEPTH)).contains("nested too deeply: at most 64 levels"));
    }

    #[test]
    fn what_is_wrong_is_named() {
        assert_eq!(refusal(json!([])), "a report is a JSON object, got an array");
        assert_eq!(refusal(json!({"lease": "t"})), "the report has no `taskId`");
        assert_eq!(refusal(json!({"taskId": "J"})), "the report has no `lease`");
        assert_eq!(refusal(json!({"taskId": "J", "lease": "t"})), "the report has no `status`");
        assert_eq!(refusal(json!({"taskId": "J", "workerId": "http:x"})), "the report has no `lease`");
        assert!(
            refusal(json!({"taskId": "J", "jobId": "K", "lease": "t"})).contains("`K` is not the taskId `J`")
        );
        assert!(refusal(json!({"taskId": 7})).contains("`taskId` of the report: a text, got a number"));
        let unknown = refusal(json!({"taskId": "J", "lease": "t", "status": "done"}));
        assert!(
            unknown.starts_with("unknown status `done`; a report's status is one of `started`"),
            "{unknown}"
        );
        let area = json!({"taskId": "J", "lease": "t", "status": "started", "areas": [{"type": "group"}]});
        assert!(refusal(area).contains("areas[0].fullPath"));
    }

    #[test]
    fn the_workers_page_names_every_status_and_field() {
        let page = include_str!("../../../../docs/worker-http.md");
        for word in STATUSES.iter().chain(&SAID) {
            assert!(page.contains(&format!("`{word}`")), "docs/worker-http.md: {word} is missing");
        }
    }

    #[test]
    fn timestamps_come_as_text_or_milliseconds() {
        let of = |at: Value| {
            read(json!({"taskId": "J", "lease": "t", "status": "started", "timestamp": at})).stamp.unwrap()
        };
        assert_eq!(of(json!("2026-01-05T14:20:00Z")), of(json!(1_767_622_800_000_u64)));
        assert!(
            refusal(json!({"taskId": "J", "lease": "t", "status": "x", "timestamp": "soon"}))
                .contains("`soon`")
        );
    }
}
