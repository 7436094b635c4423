//! Where the API tells of its requests, and where it gets the metrics that it shows.

use std::fmt;
use std::time::Duration;

use async_trait::async_trait;
use axum::http::HeaderName;
use reclaimer_domain::id::JobId;

/// Counts and records requests, and writes all metrics of the server.
#[async_trait]
pub trait MetricsSource: Send + Sync + fmt::Debug {
    /// A request was answered.
    fn answered(&self, request: &Answered<'_>);

    /// All metrics as they stand, or were a moment ago. Answers within seconds even where nothing else does.
    ///
    /// # Errors
    /// Only where one cannot be written, which is a defect.
    async fn page(&self) -> Result<MetricsPage, fmt::Error>;
}

/// A request that was answered.
#[derive(Debug, Clone, Copy)]
pub struct Answered<'a> {
    /// Its id.
    pub id: &'a str,
    /// Its method.
    pub method: &'a str,
    /// The template of its path, of which there are a few dozen; `-` where it has none.
    pub route: &'a str,
    /// The answer's status.
    pub status: u16,
    /// How long it took.
    pub took: Duration,
    /// Which span of the caller's it belongs to, as the caller says.
    pub traceparent: Option<&'a str>,
    /// The jobs that it created.
    pub created: &'a [JobId],
}

/// Where a caller that records traces names its span (W3C Trace Context).
pub(crate) const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");

/// The jobs that a traced request created, beside its answer.
#[derive(Debug, Clone)]
pub(crate) struct CreatedJobs(pub(crate) Vec<JobId>);

/// All metrics, written out.
#[derive(Debug)]
pub struct MetricsPage {
    /// The media type of the format.
    pub content_type: &'static str,
    /// The text.
    pub text: String,
}
