//! The envelope dialect: who to whom, what kind, which key, and the payload.

mod write;

use std::borrow::Cow;
use std::time::Duration;

use reclaimer_domain::name::InvalidName;
use reclaimer_domain::secret::Secret;
use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::read::{bad_content, bad_frame, clip, fields, name, named, object};
use crate::message::{BadRequest, Heard, Inbound, JobRequest, RefreshRequest, Registration, Unreadable};

/// The longest that a request for jobs waits, in seconds.
const LONGEST_WAIT: f64 = 60.0;

/// Who speaks to whom.
#[derive(Debug, Clone)]
pub struct Envelope {
    /// Our id.
    pub id: String,
    /// What we are, in the payload of `register`.
    pub kind: String,
    /// Our process, in the payload of `register`.
    pub pid: u32,
    /// The worker's id.
    pub peer: String,
    /// The id that `START_JOB`, `PAUSE_CRAWLER` and `RESUME_CRAWLER` go to.
    pub command_peer: String,
}

#[derive(Deserialize)]
struct Frame<'a> {
    #[serde(borrow)]
    destination: Cow<'a, str>,
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(borrow, default)]
    payload: Option<&'a RawValue>,
}

impl Envelope {
    pub(super) fn read(&self, frame: &[u8]) -> Result<Heard, Unreadable> {
        let Frame { destination, r#type, key, payload } =
            serde_json::from_slice(frame).map_err(|error| bad_frame(&error))?;
        if destination != self.id && destination != "*" {
            return Ok(Heard::Foreign { destination: clip(&destination) });
        }
        let message = match (&*r#type, &*key) {
            ("heartbeat", _) => Inbound::Heartbeat,
            ("message", "registered") => registered(payload)?,
            ("jobRequest", "request_jobs") => {
                job_request(payload).map_or_else(Inbound::BadRequest, Inbound::JobRequest)
            }
            ("message" | "progressUpdate", "PROGRESS_UPDATE") => progress(payload)?,
            ("message", "jobUpdate") => job_update(payload)?,
            ("message", "statusUpdate") => Inbound::Status(Value::Object(object("statusUpdate", payload)?)),
            ("message", "JOB_FAILURE_LOGS") => failure_logs(payload)?,
            ("message", "TOKEN_REFRESH_REQUEST") => refresh_request(payload),
            ("message", "shutdown") => leaving(payload)?,
            (kind, key) => return Ok(Heard::Unknown { kind: format!("{} {}", clip(kind), clip(key)) }),
        };
        Ok(Heard::Message(message))
    }
}

/// The introduction: what of it cannot be read is as if it were not said, except for the protocol, which decides.
fn registered(payload: Option<&RawValue>) -> Result<Inbound, Unreadable> {
    const KIND: &str = "registered";
    let said = object(KIND, payload)?;
    match said.get("protocol").and_then(Value::as_u64) {
        // Whoever speaks a later one understands ours.
        Some(2..) => {}
        _ => return Err(bad_content(KIND, "`protocol` is 2")),
    }
    let texts = |key: &str| {
        let items = said.get(key).and_then(Value::as_array).into_iter().flatten();
        items.filter_map(Value::as_str).map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    let (mut leases, mut no_leases) = (Vec::new(), Vec::new());
    for lease in texts("leases") {
        match lease.parse() {
            Ok(lease) => leases.push(lease),
            Err(_) => no_leases.push(Secret::new(lease)),
        }
    }
    Ok(Inbound::Registered(Registration {
        worker: said.get("workerId").and_then(Value::as_str).and_then(|name| name.parse().ok()),
        features: texts("features"),
        capacity: said
            .get("capacity")
            .and_then(Value::as_u64)
            .map(|most| u32::try_from(most).unwrap_or(u32::MAX)),
        leases,
        no_leases,
    }))
}

/// The id of a request, as it came.
fn request_id(fields: &Map<String, Value>) -> Option<Value> {
    fields.get("requestId").filter(|id| id.is_string() || id.is_number()).cloned()
}

fn job_request(payload: Option<&RawValue>) -> Result<JobRequest, BadRequest> {
    match fields(payload) {
        Ok(fields) => wanted(&fields),
        Err(reason) => Err(bad_request(None, &reason)),
    }
}

/// What the fields of a request for jobs say.
fn wanted(fields: &Map<String, Value>) -> Result<JobRequest, BadRequest> {
    let read = || {
        let number = |key: &str| match fields.get(key) {
            None | Some(Value::Null) => Ok(None),
            Some(value) => value.as_f64().map(Some).ok_or_else(|| format!("`{key}` is a number")),
        };
        let commands = match fields.get("commands") {
            None | Some(Value::Null) => Vec::new(),
            Some(Value::Array(commands)) => commands
                .iter()
                .map(|command| {
                    let name = command.as_str().ok_or("`commands` is an array of texts")?;
                    name.parse().map_err(|error: InvalidName| format!("`commands`: {error}"))
                })
                .collect::<Result<_, String>>()?,
            Some(_) => return Err("`commands` is an array of texts".to_owned()),
        };
        Ok(JobRequest {
            request_id: request_id(fields),
            // What is out of range is held to it: the caller sees by the answer what it got.
            limit: number("limit")?.map(|limit| limit.clamp(0.0, f64::from(u32::MAX)) as u32),
            queue: named(fields, "queue")?,
            commands,
            wait: Duration::from_secs_f64(number("wait")?.unwrap_or(0.0).clamp(0.0, LONGEST_WAIT)),
            worker: named(fields, "workerId")?,
        })
    };
    read().map_err(|reason| bad_request(request_id(fields), &reason))
}

fn bad_request(request_id: Option<Value>, reason: &str) -> BadRequest {
    BadRequest::Jobs { request_id, reason: format!("the request for jobs cannot be read: {reason}") }
}

/// Progress, whose status and stamp may be missing.
fn progress(payload: Option<&RawValue>) -> Result<Inbound, Unreadable> {
    let mut report = object("PROGRESS_UPDATE", payload)?;
    report.entry("status").or_insert_with(|| "processing".into());
    let next = match report.get("next") {
        None | Some(Value::Null) => None,
        Some(Value::Object(fields)) => Some(wanted(fields)),
        Some(_) => Some(Err(bad_request(None, "`next` is an object"))),
    };
    Ok(Inbound::Report { report: Value::Object(report), next })
}

/// A report in short form.
fn job_update(payload: Option<&RawValue>) -> Result<Inbound, Unreadable> {
    let mut report = object("jobUpdate", payload)?;
    // Its `progress` is the worker's cursor; the one that is kept stays where it sends none.
    if let Some(cursor @ Value::Object(_)) = report.remove("progress") {
        report.entry("resumeState").or_insert(cursor);
    }
    Ok(Inbound::Report { report: Value::Object(report), next: None })
}

fn failure_logs(payload: Option<&RawValue>) -> Result<Inbound, Unreadable> {
    const KIND: &str = "JOB_FAILURE_LOGS";
    let detail = object(KIND, payload)?;
    let id = detail.get("jobId").or_else(|| detail.get("taskId")).and_then(Value::as_str);
    let job = name(KIND, id.ok_or_else(|| bad_content(KIND, "it names no `jobId`"))?)?;
    Ok(Inbound::FailureLogs { job, detail: Value::Object(detail) })
}

fn refresh_request(payload: Option<&RawValue>) -> Inbound {
    let read = |fields: &Map<String, Value>| {
        Ok(RefreshRequest::OfAccount {
            request_id: request_id(fields).ok_or("`requestId` is a text or a number")?,
            provider: named(fields, "providerId")?.ok_or("it names no `providerId`")?,
            account: named(fields, "accountId")?,
            user: match fields.get("userId") {
                None | Some(Value::Null) => None,
                Some(Value::String(user)) => Some(user.clone()),
                Some(_) => return Err("`userId` is a text".to_owned()),
            },
        })
    };
    let fields = fields(payload);
    match fields.as_ref().map_err(Clone::clone).and_then(read) {
        Ok(request) => Inbound::RefreshRequest(request),
        Err(reason) => {
            let reason = format!("the request for credentials cannot be read: {reason}");
            let subject = fields.ok().as_ref().and_then(request_id).unwrap_or_default();
            Inbound::BadRequest(BadRequest::Credentials { subject, reason })
        }
    }
}

fn leaving(payload: Option<&RawValue>) -> Result<Inbound, Unreadable> {
    let said = object("shutdown", payload)?;
    let reason = ["reason", "signal"].iter().find_map(|key| said.get(*key)?.as_str());
    Ok(Inbound::Leaving { reason: reason.map(clip) })
}

#[cfg(test)]
mod tests;
