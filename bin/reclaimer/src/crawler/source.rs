//! Where jobs come from and reports go to: the HTTP API, or a link.

use std::path::Path;
use std::time::Duration;

use anyhow::Result;
use serde_json::Value;
use url::Url;

use super::api::Api;
use super::link::Link;

/// How long a request for jobs waits for one to appear.
pub(super) const WAIT_SECONDS: u64 = 20;
/// A server that restarts is asked again so often, each time after a pause.
pub(super) const TRIES: u32 = 20;
pub(super) const PAUSE: Duration = Duration::from_millis(500);

/// One of the two ways.
#[derive(Debug)]
pub(super) enum Source {
    Http(Api),
    Link(Box<Link>),
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Reported {
    /// It counts.
    Applied,
    /// It counted before.
    Duplicate,
    /// The job is somebody else's now.
    Stale,
}

impl Reported {
    /// The word for whoever listens.
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::Applied => "applied",
            Self::Duplicate => "duplicate",
            Self::Stale => "refused",
        }
    }
}

impl Source {
    pub(super) fn http(server: Url, token: String, worker: String) -> Result<Self> {
        Api::new(server, token, worker).map(Self::Http)
    }

    pub(super) fn link(path: &Path, worker: String) -> Self {
        Self::Link(Box::new(Link::new(path, worker)))
    }

    /// One job, when there is one; none when provisioning is out of order for the moment.
    pub(super) async fn open(&mut self, queue: &str) -> Result<Vec<Value>> {
        match self {
            Self::Http(api) => api.open(queue).await,
            Self::Link(link) => link.open(queue).await,
        }
    }

    /// Reports on a job.
    pub(super) async fn report(&mut self, job: &Value, report: Value) -> Result<Reported> {
        match self {
            Self::Http(api) => api.report(job, report).await,
            Self::Link(link) => link.report(job, report).await,
        }
    }

    /// Reports on a job and hangs up before there is an answer.
    pub(super) async fn report_and_hang_up(&mut self, job: &Value, report: Value) {
        match self {
            Self::Http(api) => api.report_and_hang_up(job, report).await,
            Self::Link(link) => link.report_and_hang_up(job, report).await,
        }
    }

    /// Does something that takes its time.
    pub(super) async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        match self {
            Self::Http(_) => work.await,
            Self::Link(link) => link.beat_during(work).await,
        }
    }
}

/// A report with the job and the lease it is about.
pub(super) fn with_lease(job: &Value, mut report: Value) -> Value {
    report["taskId"] = job["id"].clone();
    report["lease"] = job["lease"]["token"].clone();
    report
}
