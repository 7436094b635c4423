//! Discovery: looking anew at what an account can reach, by a job of its own.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::jobs::Refused;
use super::manual::AdminAction;
use crate::id::JobId;
use crate::job::{Job, NewJob, Reset, Status};
use crate::name::AccountId;
use crate::time::between;

/// An order to start discovery for an account.
#[derive(Debug, Clone, PartialEq)]
pub struct Discovery {
    /// The id of the job, should a new one be needed.
    pub id: JobId,
    /// The job, should a new one be needed; it names the account and the discovery command.
    pub job: NewJob,
    /// Nothing new when the last one finished within this time.
    pub fresh_for: Duration,
    /// When.
    pub now: DateTime<Utc>,
}

/// What becomes of an order to start discovery where there has been one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AfterLast {
    /// Nothing: it waits or runs.
    Live,
    /// Nothing: it finished lately.
    Fresh,
    /// It is queued again by this.
    Reset(AdminAction),
    /// It is followed by a new one, spawned from it.
    New,
}

impl Discovery {
    /// What becomes of it, given the account's last discovery job.
    #[must_use]
    pub fn after_last(&self, last: &Job) -> AfterLast {
        match last.status {
            Status::Queued | Status::Running => AfterLast::Live,
            Status::Finished if last.finished_at.is_some_and(|at| between(at, self.now) < self.fresh_for) => {
                AfterLast::Fresh
            }
            Status::Failed => AfterLast::Reset(AdminAction::Retry(Reset::ALL)),
            Status::Paused => AfterLast::Reset(AdminAction::Resume),
            Status::Quarantined => AfterLast::Reset(AdminAction::Release(Reset::ALL)),
            Status::Finished | Status::Cancelled => AfterLast::New,
        }
    }
}

/// What became of an order to start discovery.
#[derive(Debug, Clone, PartialEq)]
pub enum DiscoveryAnswer {
    /// One finished lately; nothing was done.
    Fresh(Box<Job>),
    /// One is waiting or running; nothing was done.
    Live(Box<Job>),
    /// The last one was queued again.
    Reset(Box<Job>),
    /// A new one was created.
    Created(Box<Job>),
    /// There is no such account.
    UnknownAccount(AccountId),
    /// The last one's row cannot be used, or a live job holds the unique key that a new one would need.
    Refused(Refused),
}
