//! What the domain needs from outside, as traits by use. Adapters implement them; the binary wires them.
//!
//! Every store port can fail with [`StoreError`]. A *refusal* (a stale lease, an unknown account) is not an error: it
//! is one of the answers of its operation.

mod accounts;
mod alerts;
mod discovery;
mod error;
mod jobs;
mod manual;
mod recovery;
mod retention;

pub use accounts::{AccountStore, FreshCredentials, IssueError, TokenIssuer};
pub use alerts::AlertStore;
pub use discovery::{AfterLast, Discovery, DiscoveryAnswer};
pub use error::{Cause, StoreError};
pub use jobs::{
    AcceptLate, Applied, BrokenRow, Claim, Claimed, Create, Created, CreatedJob, Evidence, Hold, Idempotency,
    JobFilter, JobRead, JobStore, Page, QueueState, Refused, Release, Released, Renew, Renewed, ReportAnswer,
    ReportOrder, Reported, Reports,
};
pub use manual::{AdminAction, Administered, Bulk, BulkAnswer, BulkItem, Ineligible};
pub use recovery::{
    Candidate, Candidates, Case, Flow, HistoryPage, Outcome, Planned, Recorded, RecoveryStore, RunBegun,
    RunListener, Search, Seen, Undo, Undone,
};
pub use retention::{Prune, Pruned, RetentionStore};

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::history::HistoryEntry;
use crate::id::JobId;
use crate::job::LeaseToken;
use crate::name::{Command, QueueName};

/// Tells the time that is stored. Waiting is another matter: the runtime's timers do that.
pub trait Clock: Send + Sync + std::fmt::Debug {
    /// The present moment.
    fn now(&self) -> DateTime<Utc>;
}

/// Told by a store, after its commit, what others wait for, so that nobody has to poll.
pub trait StoreListener: Send + Sync + std::fmt::Debug {
    /// These jobs may be taken, each from its moment on.
    fn arrived(&self, arrivals: &[Arrival]);

    /// These leases were taken from their holders.
    fn taken(&self, leases: &[TakenLease]);

    /// A group of operations became durable. Called from the thread that writes: it must be quick and never wait.
    fn committed(&self, group: &Committed);
}

/// A group of operations that became durable together.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Committed {
    /// How many operations it had.
    pub operations: usize,
    /// From its beginning to the end of its commit.
    pub took: Duration,
    /// What it appended to the history, in order.
    pub changes: Vec<Change>,
}

/// Something that happened to a job.
#[derive(Debug, Clone, PartialEq)]
pub struct Change {
    /// The id of its event; ids grow in the order in which things happened.
    pub event_id: i64,
    /// To which job.
    pub job: JobId,
    /// The job's queue, after it.
    pub queue: QueueName,
    /// The job's command.
    pub command: Command,
    /// From when on the job may be taken, or might have been.
    pub run_at: DateTime<Utc>,
    /// How often recovery queued it again.
    pub recoveries: u32,
    /// What happened.
    pub entry: HistoryEntry,
}

/// A job that waits for a worker.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arrival {
    /// Its queue.
    pub queue: QueueName,
    /// Its command.
    pub command: Command,
    /// From when on it may be taken.
    pub run_at: DateTime<Utc>,
}

/// A lease that ended without its holder's doing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TakenLease {
    /// The job it held.
    pub job: JobId,
    /// Its token.
    pub token: LeaseToken,
    /// Why.
    pub why: Taken,
}

/// Why a lease was taken from its holder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// Recovery got the job back.
    Reclaimed,
    /// A person gave the job up.
    Cancelled,
}
