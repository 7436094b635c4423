//! Everything that may happen to a job, one function per thing.
//!
//! Each checks the transition table and its own guard, changes the record, and returns what history has to say. On an
//! error the record is as it was.

use std::time::Duration;

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::counter::{Counts, Reset};
use super::lease::{EndedLease, Lease, LeaseToken};
use super::record::{Job, Progress};
use super::report::{Failure, Holder, Outcome, Report, Retryable};
use super::status::{IllegalTransition, Status, StatusEvent};
use crate::history::{Actor, EventKind, HistoryEntry};
use crate::name::WorkerId;
use crate::ports::Evidence;
use crate::time::{after, between, millis_of, rfc3339};

/// The most characters of an error text that are kept.
pub const MAX_ERROR: usize = 16_384;

/// The most characters of a worker's reason for giving a job back that are kept.
pub const MAX_REASON: usize = 1_000;

/// The most bytes of JSON that `progress` may grow to by what workers say: history belongs in events, never in a growing
/// row.
pub const MAX_PROGRESS: usize = 64 * 1_024;

/// The most bytes of JSON that one piece of evidence may take.
pub const MAX_EVIDENCE: usize = 32 * 1_024;

/// Of reports with one timestamp, so many are remembered.
const MAX_DIGESTS: usize = 16;

/// A worker's timestamp further ahead of our clock than this orders nothing: it would make every later report look old.
const MAX_AHEAD: Duration = Duration::from_secs(300);

/// What a report came to.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It counts; these events belong to it (none for plain progress).
    Applied(Vec<HistoryEntry>),
    /// It was applied before under the same lease; nothing changed.
    Duplicate,
    /// It is progress that a newer report of the same lease has overtaken: a sign of life, and nothing more.
    Overtaken,
    /// The sender does not hold the job; nothing changed.
    Stale,
}

/// About how many bytes of JSON a value takes.
pub(super) fn json_size(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) => 5,
        Value::Number(_) => 8,
        Value::String(text) => text.len() + 2,
        Value::Array(items) => items.iter().map(|item| json_size(item) + 1).sum::<usize>() + 2,
        Value::Object(fields) => {
            fields.iter().map(|(key, value)| key.len() + 4 + json_size(value)).sum::<usize>() + 2
        }
    }
}

impl Job {
    pub(super) fn entry(
        &self,
        kind: EventKind,
        from: Option<Status>,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> HistoryEntry {
        HistoryEntry {
            at: now,
            kind,
            from,
            to: Some(self.status),
            actor,
            rule: None,
            reason: None,
            detail: None,
        }
    }

    /// What history says about the job's creation.
    #[must_use]
    pub fn created(&self, actor: Actor) -> HistoryEntry {
        let mut entry = self.entry(EventKind::Created, None, actor, self.created_at);
        entry.detail = self.spawned_from.as_ref().map(|parent| json!({ "spawnedFrom": parent }));
        entry
    }

    /// Leases the job to `worker` for `lease_for`. The caller has checked that `run_at` has come and that the queue
    /// is not paused.
    ///
    /// # Errors
    /// When the job is not queued.
    pub fn claim(
        &mut self,
        worker: &WorkerId,
        token: LeaseToken,
        lease_for: Duration,
        now: DateTime<Utc>,
    ) -> Result<HistoryEntry, IllegalTransition> {
        let from = self.status;
        self.status = from.after(StatusEvent::Claim)?;
        self.attempt = self.attempt.saturating_add(1);
        self.lease_epoch += 1;
        self.progress.remove("pendingStart");
        let mut entry = self.entry(EventKind::Claimed, Some(from), Actor::Worker(worker.clone()), now);
        entry.detail = Some(json!({ "lease": token.fingerprint(), "attempt": self.attempt }));
        self.lease =
            Some(Lease { worker: worker.clone(), token, expires_at: after(now, lease_for), excused: false });
        self.report_stamp = None;
        self.report_digests.clear();
        self.longest_silence = Duration::ZERO;
        self.started_at = Some(now);
        self.finished_at = None;
        self.updated_at = now;
        Ok(entry)
    }

    /// Applies a worker's report. A report that ends the attempt ends the lease; any other renews it. The worker's own
    /// timestamps tell a repetition, and older progress from newer; an end counts whatever its timestamp says, because
    /// no decision trusts a worker's clock.
    ///
    /// # Errors
    /// When the transition table forbids it; cannot happen while a lease exists on running jobs alone.
    pub fn report(
        &mut self,
        report: &Report,
        lease_for: Duration,
        now: DateTime<Utc>,
    ) -> Result<Verdict, IllegalTransition> {
        let held = |lease: &&Lease| self.status == Status::Running && report.holder.holds(lease);
        let Some(lease) = self.lease.as_ref().filter(held).cloned() else {
            return Ok(if self.repeats_its_end(report) { Verdict::Duplicate } else { Verdict::Stale });
        };
        if let (Some(stamp), Some(last)) = (report.stamp, self.report_stamp) {
            if stamp == last
                && report.digest.as_ref().is_some_and(|digest| self.report_digests.contains(digest))
            {
                return Ok(Verdict::Duplicate);
            }
            if stamp < last && report.outcome == Outcome::Progress {
                self.renew(lease_for, true, now);
                return Ok(Verdict::Overtaken);
            }
        }
        let (from, actor) = (self.status, Actor::Worker(lease.worker.clone()));
        let (event, kind) = match &report.outcome {
            Outcome::Progress => {
                self.hear(report, now);
                self.renew(lease_for, true, now);
                return Ok(Verdict::Applied(Vec::new()));
            }
            Outcome::Completed => (StatusEvent::Finish, EventKind::Finished),
            Outcome::Failed(_) => (StatusEvent::Fail, EventKind::Failed),
            Outcome::Paused => (StatusEvent::Suspend, EventKind::Paused),
        };
        self.status = from.after(event)?;
        self.hear(report, now);
        self.end_lease(self.status);
        self.finished_at = Some(now);
        let mut entry = self.entry(kind, Some(from), actor.clone(), now);
        entry.detail = Some(json!({
            "lease": lease.token.fingerprint(),
            "attempt": self.attempt,
            "ranMs": millis_of(self.started_at.map_or(Duration::ZERO, |began| between(began, now))),
            "longestSilenceMs": millis_of(self.longest_silence),
        }));
        let mut entries = vec![entry];
        match &report.outcome {
            Outcome::Failed(failure) => {
                self.write_failure(failure, now);
                entries[0].reason = self.error().map(ToOwned::to_owned);
                // What a policy may ask of a failure stays answerable after the next one.
                if let Some(detail) = &mut entries[0].detail {
                    for key in ["errorType", "retryable"] {
                        if let Some(said) = self.progress.get(key) {
                            detail[key] = said.clone();
                        }
                    }
                }
                if self.attempt >= self.max_attempts {
                    entries.push(self.use_up_attempts(actor, now)?);
                }
            }
            Outcome::Completed => self.forget_failure(),
            // A pause is no failure: only failed attempts use up what the job may have.
            Outcome::Paused => self.attempt = self.attempt.saturating_sub(1),
            Outcome::Progress => {}
        }
        Ok(Verdict::Applied(entries))
    }

    pub(super) fn forget_failure(&mut self) {
        for key in ["error", "errorType", "retryable"] {
            self.progress.remove(key);
        }
        self.resume_state = None;
    }

    fn hear(&mut self, report: &Report, now: DateTime<Utc>) {
        self.merge_progress(&report.said);
        if let Some(stamp) = report.stamp.filter(|stamp| *stamp <= after(now, MAX_AHEAD)) {
            if self.report_stamp != Some(stamp) {
                self.report_digests.clear();
            }
            self.report_stamp = Some(stamp);
            self.report_digests.extend(report.digest.clone());
            let surplus = self.report_digests.len().saturating_sub(MAX_DIGESTS);
            self.report_digests.drain(..surplus);
        }
        if let Some(state) = &report.resume_state {
            self.resume_state = Some(state.clone());
        }
        self.lease_losses = 0;
        self.mention(now);
    }

    /// Somebody says something about it.
    fn mention(&mut self, now: DateTime<Utc>) {
        self.longest_silence = self.longest_silence.max(between(self.updated_at, now));
        self.updated_at = now;
    }

    pub(super) fn merge_progress(&mut self, said: &Progress) {
        let kept = self.progress.iter().filter(|(key, _)| !said.contains_key(*key));
        let size: usize = kept.chain(said).map(|(key, value)| key.len() + 4 + json_size(value)).sum();
        if size <= MAX_PROGRESS {
            self.progress.extend(said.clone());
        } else {
            let dropped = format!("a report: with it, progress would hold more than {MAX_PROGRESS} bytes");
            self.progress.insert("dropped".into(), dropped.into());
        }
    }

    pub(super) fn write_failure(&mut self, failure: &Failure, now: DateTime<Utc>) {
        let error: String = failure.error.chars().take(MAX_ERROR).collect();
        self.progress.insert("error".into(), error.into());
        self.progress.insert("timestamp".into(), rfc3339(now).into());
        match &failure.error_type {
            Some(kind) => self.progress.insert("errorType".into(), kind.clone().into()),
            None => self.progress.remove("errorType"),
        };
        match failure.retryable {
            Retryable::Yes => self.progress.insert("retryable".into(), true.into()),
            Retryable::No => self.progress.insert("retryable".into(), false.into()),
            Retryable::AskPolicy => self.progress.remove("retryable"),
        };
    }

    pub(super) fn use_up_attempts(
        &mut self,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> Result<HistoryEntry, IllegalTransition> {
        let from = self.status;
        self.status = from.after(StatusEvent::Quarantine)?;
        let mut entry = self.entry(EventKind::Quarantined, Some(from), actor, now);
        entry.reason = Some(match self.max_attempts {
            1 => "its only attempt failed".to_owned(),
            all => format!("all {all} attempts failed"),
        });
        Ok(entry)
    }

    fn end_lease(&mut self, became: Status) {
        if let Some(lease) = self.lease.take() {
            self.ended_lease = Some(EndedLease { worker: lease.worker, token: lease.token, became });
        }
    }

    fn repeats_its_end(&self, report: &Report) -> bool {
        let Some(ended) = &self.ended_lease else { return false };
        let same_holder = match &report.holder {
            Holder::Lease(token) => ended.token == *token,
            Holder::Worker(worker) => ended.worker == *worker,
        };
        let same_end = match report.outcome {
            Outcome::Completed => ended.became == Status::Finished,
            Outcome::Failed(_) => ended.became == Status::Failed,
            Outcome::Paused => ended.became == Status::Paused,
            Outcome::Progress => false,
        };
        same_holder && same_end
    }

    /// Renews the lease. `named` says that the sign was about this very job, not about its worker in general: only
    /// then is the job itself known to live, and `updated_at` touched. Does nothing without a lease.
    pub fn renew(&mut self, lease_for: Duration, named: bool, now: DateTime<Utc>) {
        if let Some(lease) = &mut self.lease {
            lease.expires_at = lease.expires_at.max(after(now, lease_for));
            lease.excused = false;
            if named {
                self.mention(now);
            }
        }
    }

    /// Whether anything was said about the job itself since it was handed out: that its worker lives says nothing about
    /// whether the job ever reached it.
    #[must_use]
    pub fn is_heard_of(&self) -> bool {
        self.report_stamp.is_some() || self.started_at.is_none_or(|at| self.updated_at > at)
    }

    /// Sets when the lease ends unless its worker is heard again, and whether losing it would be nobody's fault. Does
    /// nothing without a lease.
    pub fn hold_lease(&mut self, until: Option<DateTime<Utc>>, excused: bool) {
        if let Some(lease) = &mut self.lease {
            lease.expires_at = until.unwrap_or(lease.expires_at);
            lease.excused |= excused;
        }
    }

    /// Notes that the job was to be started and its worker was away; false when it is not queued.
    pub fn note_pending_start(&mut self, now: DateTime<Utc>) -> bool {
        let queued = self.status == Status::Queued;
        if queued {
            self.progress.insert("pendingStart".into(), true.into());
            self.progress.insert("lastStartAttempt".into(), rfc3339(now).into());
        }
        queued
    }

    /// What history says about evidence on the present attempt.
    #[must_use]
    pub fn evidence(&self, evidence: Evidence) -> HistoryEntry {
        let Evidence { actor, reason, detail, now, .. } = evidence;
        let mut entry = self.entry(EventKind::Evidence, Some(self.status), actor, now);
        entry.reason = Some(reason.chars().take(MAX_REASON).collect());
        entry.detail = Some(if json_size(&detail) <= MAX_EVIDENCE {
            detail
        } else {
            json!({ "dropped": format!("evidence of more than {MAX_EVIDENCE} bytes") })
        });
        entry
    }

    /// Takes the job back from a holder that returns it unworked; it costs no attempt. With a `delay` it is not
    /// handed out again before that has passed.
    ///
    /// # Errors
    /// When the job is not running.
    pub fn give_back(
        &mut self,
        reason: Option<String>,
        delay: Duration,
        now: DateTime<Utc>,
    ) -> Result<HistoryEntry, IllegalTransition> {
        let from = self.status;
        self.status = from.after(StatusEvent::GiveBack)?;
        let lease = self.lease.take();
        let actor = lease.as_ref().map_or(Actor::System, |lease| Actor::Worker(lease.worker.clone()));
        self.attempt = self.attempt.saturating_sub(1);
        self.run_at = after(now, delay);
        self.updated_at = now;
        let mut entry = self.entry(EventKind::Released, Some(from), actor, now);
        entry.reason = reason.map(|reason| reason.chars().take(MAX_REASON).collect());
        entry.detail = Some(json!({ "lease": lease.map(|lease| lease.token.fingerprint()) }));
        Ok(entry)
    }

    /// Queues a failed job again at once; the counters of `reset` begin again. Answers what those stood at, too.
    ///
    /// # Errors
    /// When the job has not failed.
    pub fn retry(
        &mut self,
        reset: Reset,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> Result<(HistoryEntry, Counts), IllegalTransition> {
        self.requeue_by_hand(StatusEvent::Retry, EventKind::Retried, reset, actor, now)
    }

    /// Queues a quarantined job again at once; the counters of `reset` begin again. Answers what those stood at, too.
    ///
    /// # Errors
    /// When the job is not quarantined.
    pub fn unquarantine(
        &mut self,
        reset: Reset,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> Result<(HistoryEntry, Counts), IllegalTransition> {
        self.requeue_by_hand(StatusEvent::Unquarantine, EventKind::Unquarantined, reset, actor, now)
    }

    fn requeue_by_hand(
        &mut self,
        event: StatusEvent,
        kind: EventKind,
        reset: Reset,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> Result<(HistoryEntry, Counts), IllegalTransition> {
        let from = self.status;
        self.status = from.after(event)?;
        self.run_at = now;
        self.recover_after = None;
        self.finished_at = None;
        self.updated_at = now;
        let stood_at = reset.apply(self);
        let mut entry = self.entry(kind, Some(from), actor, now);
        entry.detail = Some(json!({ "reset": stood_at }));
        Ok((entry, stood_at))
    }

    /// Keeps a queued job from being taken.
    ///
    /// # Errors
    /// When the job is not queued.
    pub fn hold(&mut self, actor: Actor, now: DateTime<Utc>) -> Result<HistoryEntry, IllegalTransition> {
        let from = self.status;
        self.status = from.after(StatusEvent::Hold)?;
        self.updated_at = now;
        Ok(self.entry(EventKind::Paused, Some(from), actor, now))
    }

    /// Lets a paused job go on: at once, or when its `run_at` comes.
    ///
    /// # Errors
    /// When the job is not paused.
    pub fn resume(&mut self, actor: Actor, now: DateTime<Utc>) -> Result<HistoryEntry, IllegalTransition> {
        let from = self.status;
        self.status = from.after(StatusEvent::Resume)?;
        self.run_at = self.run_at.max(now);
        self.finished_at = None;
        self.updated_at = now;
        Ok(self.entry(EventKind::Resumed, Some(from), actor, now))
    }

    /// Gives the job up. A running one is taken from its holder, who learns of it at its next sign of life.
    ///
    /// # Errors
    /// When the job is finished or cancelled already.
    pub fn cancel(&mut self, actor: Actor, now: DateTime<Utc>) -> Result<HistoryEntry, IllegalTransition> {
        let from = self.status;
        self.status = from.after(StatusEvent::Cancel)?;
        let print = self.lease.as_ref().map(|lease| lease.token.fingerprint());
        self.end_lease(Status::Cancelled);
        self.finished_at = Some(now);
        self.updated_at = now;
        let mut entry = self.entry(EventKind::Cancelled, Some(from), actor, now);
        entry.detail = print.map(|print| json!({ "lease": print }));
        Ok(entry)
    }
}

impl Holder {
    fn holds(&self, lease: &Lease) -> bool {
        match self {
            Self::Lease(token) => lease.token == *token,
            Self::Worker(worker) => lease.worker == *worker,
        }
    }
}
