//! Undoing what a recovery run did to a job.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::record::Job;
use super::status::{IllegalTransition, Status, StatusEvent};
use crate::history::{Actor, EventKind, HistoryEntry};
use crate::id::RunId;
use crate::time::after;

/// For how long recovery does not look again at a failed job that was put back, so that it does not at once do again
/// what a person undid.
pub(super) const REST_AFTER_UNDO: Duration = Duration::from_secs(3_600);

/// Why what a run did to a job is not undone.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotUndone {
    /// A worker has taken it since.
    #[error("it was started since, and is {0} now")]
    Started(Status),
    /// Something else has happened to it since.
    #[error("it was changed since, and is {0} now")]
    Changed(Status),
    /// Its row cannot be read.
    #[error("its row cannot be read: {0}")]
    Broken(String),
    /// The transition table forbids it.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
}

impl Job {
    /// Puts the job back to what it was `before` a recovery run changed it at `recovered_at`: state, queue, priority, counters,
    /// `progress`, moments, lease. Recovery does not look at it again at once: a lease that it gets back holds for at
    /// least `grace`, in which its worker may be heard; a failed job rests for an hour.
    ///
    /// # Errors
    /// When the job has been started or changed since; it is left as it is.
    pub fn undo_recovery(
        &mut self,
        before: Self,
        recovered_at: DateTime<Utc>,
        run: &RunId,
        grace: Duration,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> Result<HistoryEntry, NotUndone> {
        if self.lease_epoch != before.lease_epoch {
            return Err(NotUndone::Started(self.status));
        }
        if self.updated_at != recovered_at {
            return Err(NotUndone::Changed(self.status));
        }
        let from = self.status;
        let event =
            if before.status == Status::Running { StatusEvent::Unreclaim } else { StatusEvent::Unrecover };
        self.status = from.after(event)?;
        self.queue = before.queue;
        self.priority = before.priority;
        self.progress = before.progress;
        self.attempt = before.attempt;
        self.recoveries = before.recoveries;
        self.lease_losses = before.lease_losses;
        self.run_at = before.run_at;
        self.updated_at = before.updated_at;
        self.finished_at = before.finished_at;
        self.lease = before.lease;
        let rest = match &mut self.lease {
            Some(lease) => {
                lease.expires_at = lease.expires_at.max(after(now, grace));
                grace
            }
            None => REST_AFTER_UNDO,
        };
        self.recover_after = Some(after(now, rest));
        let mut entry = self.entry(EventKind::Undone, Some(from), actor, now);
        entry.reason = Some(format!("recovery run {run} was undone"));
        Ok(entry)
    }
}
