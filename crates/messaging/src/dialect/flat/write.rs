//! Messages in the flat dialect: in one line, with braces and non-ASCII characters in strings escaped.

use std::io::{self, Write};

use chrono::{DateTime, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::time::rfc3339;
use reclaimer_domain::wire::JobOnTheWire;
use serde::Serialize;
use serde_json::Value;
use serde_json::ser::{Formatter, Serializer};

use super::Flat;
use crate::message::{Fresh, Outbound, RefreshRequest};

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Frame<D> {
    r#type: &'static str,
    timestamp: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    /// As it was named.
    job_id: Option<Value>,
    data: D,
}

#[derive(Serialize)]
struct Jobs<'a> {
    jobs: Vec<SimpleJob<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct SimpleJob<'a> {
    id: &'a JobId,
    entity_type: &'a str,
    entity_id: &'a str,
    gitlab_url: &'a str,
    access_token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    resume_state: Option<&'a Value>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refreshed<'a> {
    access_token: &'a str,
    expires_at: String,
    refresh_successful: bool,
}

impl Flat {
    pub(in crate::dialect) fn write(
        &self,
        message: &Outbound,
        now: DateTime<Utc>,
        out: &mut Vec<u8>,
    ) -> bool {
        match message {
            Outbound::Jobs(jobs) => {
                let jobs = jobs.iter().filter_map(|job| self.simple(job)).collect();
                put(
                    out,
                    &Frame {
                        r#type: "job_response",
                        timestamp: rfc3339(now),
                        job_id: None,
                        data: Jobs { jobs },
                    },
                );
            }
            // A crawler of this dialect knows no error: it asks again by itself.
            Outbound::JobsError(_) => {
                let data = Jobs { jobs: Vec::new() };
                put(out, &Frame { r#type: "job_response", timestamp: rfc3339(now), job_id: None, data });
            }
            Outbound::Refreshed(answer) => {
                let RefreshRequest::OfJob(job) = &answer.request else { return false };
                refreshed(out, now, job.as_str().into(), answer.outcome.as_ref().ok());
            }
            Outbound::NoCredentials { subject, .. } => refreshed(out, now, subject.clone(), None),
            Outbound::Register
            | Outbound::Heartbeat
            | Outbound::StartJob(_)
            | Outbound::Pause
            | Outbound::Resume
            | Outbound::CancelJob { .. }
            | Outbound::LeaseLost { .. }
            | Outbound::Reattached { .. }
            | Outbound::NotReattached { .. }
            | Outbound::Receipt(_)
            | Outbound::Shutdown { .. } => return false,
        }
        true
    }

    fn simple<'a>(&'a self, job: &'a JobOnTheWire) -> Option<SimpleJob<'a>> {
        Some(SimpleJob {
            id: &job.id,
            entity_type: self.entities.of(&job.command)?,
            entity_id: match (&job.full_path, &job.account_id) {
                (Some(path), _) => path,
                (None, Some(account)) => account.as_str(),
                (None, None) => "",
            },
            gitlab_url: job.gitlab_api_url.as_deref().unwrap_or_default(),
            access_token: job.credentials.as_ref().map_or("", |credentials| &credentials.access_token),
            resume_state: job.resume_state.as_ref(),
        })
    }
}

/// Credentials for a job, or that there are none.
fn refreshed(out: &mut Vec<u8>, now: DateTime<Utc>, job: Value, fresh: Option<&Fresh>) {
    // Both texts must be there for the crawler to take it for a success.
    let expires_at =
        fresh.map(|fresh| fresh.expires_at.map_or_else(|| "9999-12-31T23:59:59.000Z".to_owned(), rfc3339));
    let data = Refreshed {
        access_token: fresh.map_or("", |fresh| fresh.access_token.expose()),
        expires_at: expires_at.unwrap_or_default(),
        refresh_successful: fresh.is_some(),
    };
    put(out, &Frame { r#type: "token_refresh_response", timestamp: rfc3339(now), job_id: Some(job), data });
}

fn put(out: &mut Vec<u8>, frame: &impl Serialize) {
    let start = out.len();
    match frame.serialize(&mut Serializer::with_formatter(&mut *out, Plain)) {
        Ok(()) => out.push(b'\n'),
        // Every frame is made of texts, numbers and maps with text keys; should one not be, nothing half goes out.
        Err(_) => out.truncate(start),
    }
}

/// Compact JSON whose strings hold neither braces nor anything but ASCII.
struct Plain;

impl Formatter for Plain {
    fn write_string_fragment<W: ?Sized + Write>(&mut self, writer: &mut W, fragment: &str) -> io::Result<()> {
        let mut units = [0; 2];
        let mut plain = 0;
        for (at, c) in fragment.char_indices() {
            if c.is_ascii() && c != '{' && c != '}' && c != '\u{7f}' {
                continue;
            }
            writer.write_all(&fragment.as_bytes()[plain..at])?;
            for unit in c.encode_utf16(&mut units) {
                write!(writer, "\\u{unit:04x}")?;
            }
            plain = at + c.len_utf8();
        }
        writer.write_all(&fragment.as_bytes()[plain..])
    }
}
