//! A report as it comes from a worker, in all the shapes that workers send.
//!
//! Reading is strict about what decides (which job, which lease, which status) and lenient about the rest: unknown
//! fields are kept under `progress.extra`, up to [`MAX_EXTRA`] bytes.

mod areas;

use chrono::{DateTime, Utc};
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

use crate::job::LeaseToken;
use crate::job::report::{Failure, Holder, Outcome, Report, Retryable};
use crate::name::{Quoted, WorkerId};
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
    read(value, sender, &mut Faults { tolerated: false, met: Vec::new() })
}

/// Reads what can be read of one report whose sender learns of no error, and could not mend it: fields that decide
/// nothing are left out where they cannot be read, and told.
///
/// # Errors
/// When it cannot be told which job it is about, who holds that, or what became of it.
pub fn salvage_report(
    value: Value,
    sender: Option<&WorkerId>,
) -> Result<(Report, Vec<InvalidReport>), InvalidReport> {
    let mut faults = Faults { tolerated: true, met: Vec::new() };
    Ok((read(value, sender, &mut faults)?, faults.met))
}

/// So many faults of one report are told.
const MOST_FAULTS: usize = 8;

/// Fields that decide nothing and cannot be read.
struct Faults {
    tolerated: bool,
    met: Vec<InvalidReport>,
}

impl Faults {
    fn met(&mut self, fault: InvalidReport) -> Result<(), InvalidReport> {
        if !self.tolerated {
            return Err(fault);
        }
        if self.met.len() < MOST_FAULTS {
            self.met.push(fault);
        }
        Ok(())
    }

    /// What was read, or nothing.
    fn or_nothing<T>(&mut self, read: Result<Option<T>, InvalidReport>) -> Result<Option<T>, InvalidReport> {
        read.or_else(|fault| self.met(fault).map(|()| None))
    }
}

fn read(value: Value, sender: Option<&WorkerId>, faults: &mut Faults) -> Result<Report, InvalidReport> {
    if is_too_deep(&value) {
        return Err(InvalidReport::TooDeep);
    }
    let Value::Object(mut object) = value else { return Err(InvalidReport::NotAnObject(kind_of(&value))) };
    // Of what has no stamp nobody tells a repetition by it.
    let digest = object
        .contains_key("timestamp")
        .then(|| hex::encode(&Sha256::digest(Value::Object(object.clone()).to_string())[..16]));

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
    let stamp = faults.or_nothing(stamp(&mut object))?;
    let areas = areas::areas(&mut object, faults)?;
    let outcome = outcome(&status, &mut object, faults)?;
    let (said, resume_state) = said(object, &outcome, stamp);
    Ok(Report { job, holder, sender, outcome, stamp, digest: stamp.and(digest), said, resume_state, areas })
}

fn outcome(
    status: &str,
    object: &mut Map<String, Value>,
    faults: &mut Faults,
) -> Result<Outcome, InvalidReport> {
    let lower = status.to_lowercase();
    Ok(match lower.as_str() {
        "started" | "processing" | "new_areas_discovered" | "credential_renewal" | "credential_resumed" => {
            Outcome::Progress
        }
        "completed" => Outcome::Completed,
        "paused" => Outcome::Paused,
        "failed" => Outcome::Failed(failure(object, None, faults)?),
        "credential_expiry" => Outcome::Failed(failure(object, Some("credential_expired"), faults)?),
        _ => return Err(InvalidReport::UnknownStatus { found: status.chars().take(64).collect() }),
    })
}

fn failure(
    object: &mut Map<String, Value>,
    kind: Option<&str>,
    faults: &mut Faults,
) -> Result<Failure, InvalidReport> {
    let told = object.remove("error").unwrap_or(Value::Null);
    let mut error_type = kind.map(ToOwned::to_owned);
    if let Some(said) = faults.or_nothing(text(object, "errorType"))? {
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
    let said = match object.remove("retryable") {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Bool(said)) => Ok(Some(said)),
        Some(other) => Err(field("retryable", format!("true or false, got {}", kind_of(&other)))),
    };
    let retryable = match faults.or_nothing(said)? {
        Some(true) => Retryable::Yes,
        Some(false) => Retryable::No,
        None if kind.is_some() => Retryable::Yes,
        None => Retryable::AskPolicy,
    };
    Ok(Failure { error, error_type: error_type.map(|kind| snake_case(&kind)), retryable })
}

/// What is merged into `progress`, and the resume state.
fn said(
    mut object: Map<String, Value>,
    outcome: &Outcome,
    stamp: Option<DateTime<Utc>>,
) -> (Map<String, Value>, Option<Value>) {
    let mut said = Map::new();
    let counters = match object.remove("progress") {
        Some(Value::Object(counters)) => Some(counters),
        None | Some(Value::Null) => None,
        // Neither counters nor a cursor, e.g. a percentage: a field like any other.
        Some(other) => {
            object.insert("progress".to_owned(), other);
            None
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
    (said, resume_state)
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
mod tests;
