//! The envelope dialect: who to whom, what kind, which key, and the payload.

mod write;

use std::borrow::Cow;
use std::time::Duration;

use reclaimer_domain::name::{AccountId, Command, ProviderId, QueueName, WorkerId};
use serde::Deserialize;
use serde_json::Value;
use serde_json::value::RawValue;

use super::read::{bad_content, bad_frame, clip, content, name, object};
use crate::message::{Heard, Inbound, JobRequest, RefreshRequest, Registration, Unreadable};

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
            ("jobRequest", "request_jobs") => job_request(payload)?,
            ("message" | "progressUpdate", "PROGRESS_UPDATE") => progress(payload)?,
            ("message", "jobUpdate") => job_update(payload)?,
            ("message", "statusUpdate") => Inbound::Status(Value::Object(object("statusUpdate", payload)?)),
            ("message", "JOB_FAILURE_LOGS") => failure_logs(payload)?,
            ("message", "TOKEN_REFRESH_REQUEST") => refresh_request(payload)?,
            ("message", "shutdown") => leaving(payload)?,
            (kind, key) => return Ok(Heard::Unknown { kind: format!("{} {}", clip(kind), clip(key)) }),
        };
        Ok(Heard::Message(message))
    }
}

fn registered(payload: Option<&RawValue>) -> Result<Inbound, Unreadable> {
    const KIND: &str = "registered";

    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload {
        worker_id: Option<WorkerId>,
        protocol: u32,
        #[serde(default)]
        features: Vec<String>,
        capacity: Option<u32>,
        #[serde(default)]
        leases: Vec<String>,
    }

    let Payload { worker_id, protocol, features, capacity, leases } = content(KIND, payload)?;
    if protocol != 2 {
        return Err(bad_content(KIND, format!("`protocol` is 2, got {protocol}")));
    }
    let leases = leases.iter().map(|lease| name(KIND, lease)).collect::<Result<_, _>>()?;
    Ok(Inbound::Registered(Registration { worker: worker_id, features, capacity, leases }))
}

fn job_request(payload: Option<&RawValue>) -> Result<Inbound, Unreadable> {
    const KIND: &str = "request_jobs";

    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase", default)]
    struct Payload {
        request_id: Option<Value>,
        limit: Option<u32>,
        queue: Option<QueueName>,
        commands: Vec<Command>,
        wait: Option<f64>,
        worker_id: Option<WorkerId>,
    }

    let Payload { request_id, limit, queue, commands, wait, worker_id } = content(KIND, payload)?;
    let wait = wait.unwrap_or(0.0);
    if !(0.0..=LONGEST_WAIT).contains(&wait) {
        return Err(bad_content(KIND, format!("`wait` is 0 to {LONGEST_WAIT} seconds, got {wait}")));
    }
    let request_id = match request_id {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text),
        Some(other) => Some(other.to_string()),
    };
    let wait = Duration::from_secs_f64(wait);
    Ok(Inbound::JobRequest(JobRequest { request_id, limit, queue, commands, wait, worker: worker_id }))
}

/// Progress, whose status and stamp may be missing.
fn progress(payload: Option<&RawValue>) -> Result<Inbound, Unreadable> {
    let mut report = object("PROGRESS_UPDATE", payload)?;
    report.entry("status").or_insert_with(|| "processing".into());
    Ok(Inbound::Report(Value::Object(report)))
}

/// A report in short form.
fn job_update(payload: Option<&RawValue>) -> Result<Inbound, Unreadable> {
    let mut report = object("jobUpdate", payload)?;
    // Its `progress` is the worker's cursor; the one that is kept stays where it sends none.
    if let Some(cursor @ Value::Object(_)) = report.remove("progress") {
        report.entry("resumeState").or_insert(cursor);
    }
    Ok(Inbound::Report(Value::Object(report)))
}

fn failure_logs(payload: Option<&RawValue>) -> Result<Inbound, Unreadable> {
    const KIND: &str = "JOB_FAILURE_LOGS";
    let detail = object(KIND, payload)?;
    let id = detail.get("jobId").or_else(|| detail.get("taskId")).and_then(Value::as_str);
    let job = name(KIND, id.ok_or_else(|| bad_content(KIND, "it names no `jobId`"))?)?;
    Ok(Inbound::FailureLogs { job, detail: Value::Object(detail) })
}

fn refresh_request(payload: Option<&RawValue>) -> Result<Inbound, Unreadable> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Payload {
        request_id: String,
        provider_id: ProviderId,
        account_id: Option<AccountId>,
        user_id: Option<String>,
    }

    let Payload { request_id, provider_id, account_id, user_id } = content("TOKEN_REFRESH_REQUEST", payload)?;
    Ok(Inbound::RefreshRequest(RefreshRequest::OfAccount {
        request_id,
        provider: provider_id,
        account: account_id,
        user: user_id,
    }))
}

fn leaving(payload: Option<&RawValue>) -> Result<Inbound, Unreadable> {
    let said = object("shutdown", payload)?;
    let reason = ["reason", "signal"].iter().find_map(|key| said.get(*key)?.as_str());
    Ok(Inbound::Leaving { reason: reason.map(clip) })
}

#[cfg(test)]
mod tests;
