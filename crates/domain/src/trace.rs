//! The trace of a job, as W3C Trace Context has it.
//!
//! Its ids follow from what is known of the job, so that nothing has to be stored or handed on: whoever knows a job's id
//! knows its trace, after a restart and years later too.

use std::fmt;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use crate::id::{JobId, RunId};
use crate::job::LeaseToken;

/// Sixteen bytes that name a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TraceId(pub [u8; 16]);

/// Eight bytes that name a span of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId(pub [u8; 8]);

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

fn first<const N: usize>(parts: &[&str]) -> [u8; N] {
    let mut hash = Sha256::new();
    for part in parts {
        hash.update(part.as_bytes());
        // No id and no label has this byte, so that no two lists of parts are one text.
        hash.update([0]);
    }
    let mut taken = [0; N];
    taken.copy_from_slice(&hash.finalize()[..N]);
    taken
}

impl TraceId {
    /// The trace of a job.
    #[must_use]
    pub fn of_job(job: &JobId) -> Self {
        Self(first(&["job", job.as_str()]))
    }

    /// The trace of a recovery run.
    #[must_use]
    pub fn of_run(run: &RunId) -> Self {
        Self(first(&["run", run.as_str()]))
    }
}

impl SpanId {
    /// The creation of a job, under which all else is.
    #[must_use]
    pub fn of_creation(job: &JobId) -> Self {
        Self(first(&["created", job.as_str()]))
    }

    /// A claim of a job, by the fingerprint of its lease. What the worker does is under it, and what is said of it.
    #[must_use]
    pub fn of_claim(job: &JobId, lease: &str) -> Self {
        Self(first(&["claimed", job.as_str(), lease]))
    }

    /// Anything else that happened to a job, by the id of its event.
    #[must_use]
    pub fn of_event(job: &JobId, event: i64) -> Self {
        Self(first(&["event", job.as_str(), &event.to_string()]))
    }

    /// A recovery run.
    #[must_use]
    pub fn of_run(run: &RunId) -> Self {
        Self(first(&["run", run.as_str()]))
    }

    /// A request, by its id and the moment of its answer: callers may use an id again.
    #[must_use]
    pub fn of_request(request: &str, at: DateTime<Utc>) -> Self {
        Self(first(&["request", request, &at.timestamp_micros().to_string()]))
    }
}

/// The `traceparent` for whoever works on a job under this lease.
#[must_use]
pub fn traceparent(job: &JobId, lease: &LeaseToken) -> String {
    format!("00-{}-{}-01", TraceId::of_job(job), SpanId::of_claim(job, &lease.fingerprint()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ids_of_a_job_stay_what_they_are() {
        let job: JobId = "01ARZ3NDEKTSV4RRFFQ69G5FAV".parse().unwrap();
        let token = LeaseToken::from_bytes([7; 16]);
        insta::assert_snapshot!(traceparent(&job, &token), @"00-0b71076ac28d5c0216540654a139a965-f8869af6ab496be5-01");
    }

    #[test]
    fn different_things_have_different_ids() {
        let job = |id: &str| id.parse::<JobId>().unwrap();
        assert_ne!(TraceId::of_job(&job("a")), TraceId::of_job(&job("b")));
        assert_ne!(SpanId::of_event(&job("a1"), 1), SpanId::of_event(&job("a"), 11));
        assert_ne!(SpanId::of_claim(&job("a"), "x"), SpanId::of_claim(&job("a"), "y"));
        assert_ne!(SpanId::of_claim(&job("ab"), "c"), SpanId::of_claim(&job("a"), "bc"));
    }
}
