//! Jobs whose rows could not be read.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::Value;

use super::record::Job;
use super::status::Status;
use crate::history::{Actor, EventKind, HistoryEntry};
use crate::time::rfc3339;

impl Job {
    /// Sets aside, for a person, what could be salvaged of a job whose row cannot be read: nobody holds it any more, and
    /// nothing of its last lease counts. `from` is where it stood, if that could be read, `faults` says what is wrong
    /// with the row, and `stored` keeps what could not be read. The transition table has no say in it.
    pub fn set_aside(
        &mut self,
        from: Option<Status>,
        faults: &str,
        stored: Value,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> HistoryEntry {
        let reason = format!("its row could not be read: {faults}");
        self.status = Status::Quarantined;
        self.lease = None;
        self.ended_lease = None;
        self.report_stamp = None;
        self.report_digests.clear();
        self.longest_silence = Duration::ZERO;
        self.max_attempts = self.max_attempts.max(1);
        self.recover_after = None;
        self.updated_at = now;
        self.finished_at = Some(now);
        self.progress.insert("error".into(), reason.clone().into());
        self.progress.insert("errorType".into(), "broken_row".into());
        self.progress.insert("timestamp".into(), rfc3339(now).into());
        self.progress.insert("quarantineReason".into(), reason.into());
        let mut entry = self.entry(EventKind::SetAside, from, actor, now);
        entry.reason = Some(faults.to_owned());
        entry.detail = Some(stored);
        entry
    }
}
