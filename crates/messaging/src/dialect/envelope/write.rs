//! Messages as envelopes.

use chrono::{DateTime, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::name::{AccountId, Command, ProviderId};
use reclaimer_domain::time::{millis, millis_option};
use reclaimer_domain::wire::{Credentials, JobOnTheWire, LeaseOnTheWire};
use serde::Serialize;
use serde_json::{Value, json};

use super::Envelope;
use crate::message::{Fresh, JobsError, Outbound, Receipt, RefreshRequest};

/// The additions that we know, told in `register`.
const FEATURES: [&str; 5] = ["lease", "cancel", "reattach", "ack", "next"];

#[derive(Serialize)]
struct Frame<'a, P> {
    origin: &'a str,
    destination: &'a str,
    r#type: &'static str,
    key: &'static str,
    payload: P,
    /// Milliseconds since 1970.
    timestamp: i64,
}

/// A job that was not asked for.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct StartJob<'a> {
    r#type: &'static str,
    job_id: &'a JobId,
    full_path: Option<&'a str>,
    command: &'a Command,
    account_id: Option<&'a AccountId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    branch: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<&'a Value>,
    #[serde(skip_serializing_if = "Option::is_none")]
    to: Option<&'a Value>,
    /// The worker's own cursor, under its old name.
    progress: &'a Value,
    attempt: u32,
    payload: &'a Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    lease: Option<&'a LeaseOnTheWire>,
    #[serde(skip_serializing_if = "Option::is_none")]
    credentials: Option<&'a Credentials>,
}

impl Envelope {
    pub(in crate::dialect) fn write(
        &self,
        message: &Outbound,
        now: DateTime<Utc>,
        out: &mut Vec<u8>,
    ) -> bool {
        let frame = Writer { envelope: self, now, out };
        match message {
            Outbound::Register => frame.command(
                "register",
                json!({ "id": self.id, "pid": self.pid, "type": self.kind, "protocol": 2, "features": FEATURES }),
            ),
            Outbound::Heartbeat => {
                frame.put(&self.peer, "heartbeat", "heartbeat", json!({ "timestamp": now.timestamp_millis() }));
            }
            Outbound::Jobs(jobs) => frame.put(&self.peer, "jobResponse", "jobs_available", jobs),
            Outbound::JobsError(error) => frame.put(&self.peer, "jobResponse", "jobs_error", jobs_error(error)),
            Outbound::StartJob(job) => {
                let job = start_job(job);
                frame.put(&self.command_peer, "command", "START_JOB", job);
            }
            Outbound::Pause => {
                frame.put(&self.command_peer, "command", "PAUSE_CRAWLER", json!({ "type": "PAUSE_CRAWLER" }));
            }
            Outbound::Resume => {
                frame.put(&self.command_peer, "command", "RESUME_CRAWLER", json!({ "type": "RESUME_CRAWLER" }));
            }
            Outbound::CancelJob { job, lease, reason } => {
                frame.command("CANCEL_JOB", about("CANCEL_JOB", Some(job), lease, reason));
            }
            Outbound::LeaseLost { job, lease, reason } => {
                frame.command("LEASE_LOST", about("LEASE_LOST", job.as_ref(), lease, reason));
            }
            Outbound::Reattached { job, lease, expires_at } => {
                #[derive(Serialize)]
                #[serde(rename_all = "camelCase")]
                struct Reattached<'a> {
                    lease: &'a str,
                    job_id: &'a JobId,
                    #[serde(with = "millis")]
                    expires_at: DateTime<Utc>,
                }
                let payload = Reattached { lease: lease.expose(), job_id: job, expires_at: *expires_at };
                frame.put(&self.peer, "message", "reattached", payload);
            }
            Outbound::NotReattached { lease } => {
                frame.put(&self.peer, "message", "lost", json!({ "lease": lease.expose() }));
            }
            Outbound::Receipt(receipt) => frame.receipt(receipt),
            Outbound::Shutdown { reason } => {
                frame.command("SHUTDOWN", json!({ "type": "SHUTDOWN", "reason": reason }));
            }
            Outbound::Refreshed(answer) => {
                let RefreshRequest::OfAccount { request_id, .. } = &answer.request else { return false };
                let outcome = answer.outcome.as_ref().map_err(String::as_str);
                frame.put(&self.peer, "message", "TOKEN_REFRESH_RESPONSE", refreshed(request_id, outcome));
            }
            Outbound::NoCredentials { subject, reason } => {
                let answer = refreshed(subject, Err(reason));
                frame.put(&self.peer, "message", "TOKEN_REFRESH_RESPONSE", answer);
            }
        }
        true
    }
}

struct Writer<'a> {
    envelope: &'a Envelope,
    now: DateTime<Utc>,
    out: &'a mut Vec<u8>,
}

impl Writer<'_> {
    fn command(self, key: &'static str, payload: Value) {
        let peer = &self.envelope.peer;
        self.put(peer, "command", key, payload);
    }

    fn receipt(self, receipt: &Receipt) {
        let Receipt { task, lease, outcome } = receipt;
        let peer = &self.envelope.peer;
        match outcome {
            Ok(()) => self.put(peer, "message", "ack", json!({ "taskId": task, "lease": lease })),
            Err((code, message)) => {
                let payload = json!({ "taskId": task, "lease": lease, "code": code, "message": message });
                self.put(peer, "message", "nack", payload);
            }
        }
    }

    fn put(self, destination: &str, r#type: &'static str, key: &'static str, payload: impl Serialize) {
        let origin = &self.envelope.id;
        let timestamp = self.now.timestamp_millis();
        let frame = Frame { origin, destination, r#type, key, payload, timestamp };
        let start = self.out.len();
        match serde_json::to_writer(&mut *self.out, &frame) {
            Ok(()) => self.out.push(b'\n'),
            // Every payload is made of texts, numbers and maps with text keys; should one not be, nothing half goes out.
            Err(_) => self.out.truncate(start),
        }
    }
}

fn jobs_error(error: &JobsError) -> Value {
    json!({
        "error": error.message,
        "requestId": error.request_id,
        "message": error.message,
        "errorType": error.error_type,
        "retryable": error.retryable,
        "retryAfterMs": u64::try_from(error.retry_after.as_millis()).unwrap_or(u64::MAX),
    })
}

fn start_job(job: &JobOnTheWire) -> StartJob<'_> {
    static NOTHING: Value = Value::Null;
    let argument = |name: &str| job.payload.get(name).filter(|value| !value.is_null());
    StartJob {
        r#type: "START_JOB",
        job_id: &job.id,
        full_path: job.full_path.as_deref(),
        command: &job.command,
        account_id: job.account_id.as_ref(),
        branch: argument("branch"),
        from: argument("from"),
        to: argument("to"),
        progress: job.resume_state.as_ref().unwrap_or(&NOTHING),
        attempt: job.attempt,
        payload: &job.payload,
        lease: job.lease.as_ref(),
        credentials: job.credentials.as_ref(),
    }
}

fn about(kind: &str, job: Option<&JobId>, lease: &LeaseToken, reason: &str) -> Value {
    json!({ "type": kind, "jobId": job, "lease": lease.expose(), "reason": reason })
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Refreshed<'a> {
    request_id: &'a Value,
    success: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    access_token: Option<&'a str>,
    #[serde(with = "millis_option", skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime<Utc>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    refresh_token: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_id: Option<&'a ProviderId>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<&'a str>,
}

fn refreshed<'a>(request_id: &'a Value, outcome: Result<&'a Fresh, &'a str>) -> Refreshed<'a> {
    let fresh = outcome.ok();
    Refreshed {
        request_id,
        success: fresh.is_some(),
        access_token: fresh.map(|fresh| fresh.access_token.expose()),
        expires_at: fresh.and_then(|fresh| fresh.expires_at),
        refresh_token: fresh.and_then(|fresh| fresh.refresh_token.as_ref()).map(|token| token.expose()),
        provider_id: fresh.map(|fresh| &fresh.provider),
        error: outcome.err(),
    }
}
