//! The flat dialect: a type, a job where it is about one, and data.
//!
//! Crawlers of this dialect report failures and discoveries under names of their own; they are read as the reports that
//! everybody sends. They count braces without regard to strings, so braces and non-ASCII characters are escaped in what
//! goes out.

mod entity;
mod write;

use std::borrow::Cow;

use serde::Deserialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

pub use entity::{EntityTypes, UnknownEntity};

use super::read::{bad_content, bad_frame, clip, object};
use crate::message::{BadRequest, Heard, Inbound, JobRequest, RefreshRequest, Unreadable};

/// What a link of this dialect needs to know.
#[derive(Debug, Clone, Default)]
pub struct Flat {
    /// Which jobs can be said at all, and how.
    pub entities: EntityTypes,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Frame<'a> {
    #[serde(borrow)]
    r#type: Cow<'a, str>,
    #[serde(default)]
    timestamp: Value,
    #[serde(default)]
    job_id: Value,
    #[serde(borrow, default)]
    data: Option<&'a RawValue>,
}

impl Flat {
    pub(super) fn read(&self, frame: &[u8]) -> Result<Heard, Unreadable> {
        let frame: Frame<'_> = serde_json::from_slice(frame).map_err(|error| bad_frame(&error))?;
        let message = match &*frame.r#type {
            "heartbeat" => Inbound::Heartbeat,
            "job_request" => {
                let commands = self.entities.commands().cloned().collect();
                Inbound::JobRequest(JobRequest { commands, ..JobRequest::default() })
            }
            "job_started" => frame.report("job_started", "started", started)?,
            "job_progress" => frame.report("job_progress", "processing", progress)?,
            "job_completed" => frame.report("job_completed", "completed", completed)?,
            "job_failed" => frame.report("job_failed", "failed", failed)?,
            "jobs_discovered" => frame.report("jobs_discovered", "new_areas_discovered", discovered)?,
            "discovery" => frame.report("discovery", "new_areas_discovered", entities)?,
            "token_refresh_request" => match frame.job_id.as_str().and_then(|job| job.parse().ok()) {
                Some(job) => Inbound::RefreshRequest(RefreshRequest::OfJob(job)),
                None => Inbound::BadRequest(BadRequest::Credentials {
                    subject: frame.job_id,
                    reason: "the request for credentials names no job as `jobId`".to_owned(),
                }),
            },
            other => return Ok(Heard::Unknown { kind: clip(other) }),
        };
        Ok(Heard::Message(message))
    }
}

/// Takes what a message carries over into a report.
type Translation = fn(Map<String, Value>, &mut Map<String, Value>) -> Result<(), String>;

impl Frame<'_> {
    fn job(&self, kind: &'static str) -> Result<&str, Unreadable> {
        self.job_id.as_str().ok_or_else(|| bad_content(kind, "it names no `jobId`"))
    }

    /// The report that this message is.
    fn report(&self, kind: &'static str, status: &str, read: Translation) -> Result<Inbound, Unreadable> {
        let mut report = Map::new();
        report.insert("jobId".to_owned(), self.job(kind)?.into());
        report.insert("status".to_owned(), status.into());
        report.insert("timestamp".to_owned(), self.timestamp.clone());
        read(object(kind, self.data)?, &mut report).map_err(|reason| bad_content(kind, reason))?;
        Ok(Inbound::Report { report: Value::Object(report), next: None })
    }
}

/// Moves what is there from the data of a message into a report, under another name.
fn carry(data: &mut Map<String, Value>, report: &mut Map<String, Value>, names: &[(&str, &str)]) {
    for (from, to) in names {
        if let Some(value) = data.remove(*from).filter(|value| !value.is_null()) {
            report.insert((*to).to_owned(), value);
        }
    }
}

/// What is left goes into `progress`.
fn rest(data: Map<String, Value>, report: &mut Map<String, Value>) {
    if !data.is_empty() {
        report.insert("progress".to_owned(), Value::Object(data));
    }
}

fn started(data: Map<String, Value>, report: &mut Map<String, Value>) -> Result<(), String> {
    rest(data, report);
    Ok(())
}

fn progress(mut data: Map<String, Value>, report: &mut Map<String, Value>) -> Result<(), String> {
    let names = [
        ("processed", "processedItems"),
        ("total", "totalItems"),
        ("entityType", "currentDataType"),
        ("message", "message"),
        ("itemCounts", "itemsByType"),
        ("resumeState", "resumeState"),
    ];
    carry(&mut data, report, &names);
    rest(data, report);
    Ok(())
}

fn completed(mut data: Map<String, Value>, report: &mut Map<String, Value>) -> Result<(), String> {
    carry(&mut data, report, &[("message", "message"), ("finalCounts", "itemsByType")]);
    rest(data, report);
    Ok(())
}

fn failed(mut data: Map<String, Value>, report: &mut Map<String, Value>) -> Result<(), String> {
    let recoverable = data.remove("isRecoverable").and_then(|value| value.as_bool());
    let expired = is_refused_token(&data, recoverable);
    match recoverable {
        _ if expired => {
            report.insert("status".to_owned(), "credential_expiry".into());
        }
        Some(recoverable) => {
            report.insert("retryable".to_owned(), recoverable.into());
        }
        None => {}
    }
    carry(
        &mut data,
        report,
        &[("error", "error"), ("errorType", "errorType"), ("partialCounts", "itemsByType")],
    );
    if recoverable != Some(false) {
        carry(&mut data, report, &[("resumeState", "resumeState")]);
    }
    rest(data, report);
    Ok(())
}

/// Whether a failure is that the provider refused the token, which a fresh one mends. The crawler calls such a failure
/// unrecoverable. What the provider answered comes before what the text says.
fn is_refused_token(data: &Map<String, Value>, recoverable: Option<bool>) -> bool {
    let status = data.get("context").and_then(|context| context.get("httpStatus"));
    if let Some(status) = status.filter(|status| !status.is_null()) {
        return status.as_u64() == Some(401) || status.as_str() == Some("401");
    }
    let error = data.get("error").and_then(Value::as_str).unwrap_or_default().to_lowercase();
    let words: Vec<&str> =
        error.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()).collect();
    // The digits alone may be a part of anything; behind such a word they are a status.
    let says_status =
        words.windows(2).any(|pair| matches!(pair[0], "http" | "status" | "code") && pair[1] == "401");
    words.contains(&"unauthorized") || (says_status && recoverable != Some(false))
}

/// Areas found: whatever is neither a group nor a project is none.
fn discovered(mut data: Map<String, Value>, report: &mut Map<String, Value>) -> Result<(), String> {
    let Some(Value::Array(jobs)) = data.remove("discovered_jobs") else {
        return Err("`discovered_jobs` is an array".to_owned());
    };
    let areas = jobs.into_iter().filter_map(|job| {
        let kind = match job.get("job_type")?.as_str()? {
            "crawl_group" => "group",
            "crawl_project" => "project",
            _ => return None,
        };
        Some(json!({
            "fullPath": job.get("namespace_path"),
            "externalId": job.get("entity_id"),
            "name": job.get("entity_name"),
            "type": kind,
        }))
    });
    report.insert("areas".to_owned(), Value::Array(areas.collect()));
    Ok(())
}

fn entities(mut data: Map<String, Value>, report: &mut Map<String, Value>) -> Result<(), String> {
    let kind = data.remove("entityType").unwrap_or_default();
    let Some(Value::Array(entities)) = data.remove("entities") else {
        return Err("`entities` is an array".to_owned());
    };
    let areas = entities.into_iter().map(|entity| {
        json!({
            "fullPath": entity.get("path"),
            "externalId": entity.get("id"),
            "name": entity.get("name"),
            "type": kind,
        })
    });
    report.insert("areas".to_owned(), Value::Array(areas.collect()));
    Ok(())
}

#[cfg(test)]
mod tests;
