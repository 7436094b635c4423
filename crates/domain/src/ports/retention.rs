//! What keeping only so much needs from a store.

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::StoreError;

/// Removes what has been kept for long enough.
///
/// # Contract
/// - T1 A finished or cancelled job that ended at or before its moment is removed; no other job is.
/// - T2 A removed job's history stays until its own time has come, and is still given back by `replay`.
/// - T3 An event older than its moment is removed, but for those of jobs that are not over.
/// - T4 One call removes a bounded number of rows, and says whether and where to go on.
#[async_trait]
pub trait RetentionStore: Send + Sync + std::fmt::Debug {
    /// Removes some of what has been kept for long enough.
    async fn prune(&self, order: Prune) -> Result<Pruned, StoreError>;
}

/// What has been kept for long enough. `None` = nothing of its kind.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Prune {
    /// Finished jobs that ended at or before this.
    pub finished: Option<DateTime<Utc>>,
    /// Cancelled jobs that ended at or before this.
    pub cancelled: Option<DateTime<Utc>>,
    /// Events, and records of recovery runs, from before this.
    pub events: Option<DateTime<Utc>>,
    /// Where to go on among the events: what the call before answered.
    pub from: Option<i64>,
    /// Look at no more than so many rows of each kind.
    pub limit: u32,
    /// When.
    pub now: DateTime<Utc>,
}

/// What was removed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Pruned {
    /// Jobs.
    pub jobs: u32,
    /// Events.
    pub events: u32,
    /// Where to go on among the events; `None` = all have been looked at.
    pub next: Option<i64>,
    /// Whether there may be more jobs.
    pub more_jobs: bool,
}
