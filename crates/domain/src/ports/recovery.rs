//! What the recovery engine needs from a store.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::{BrokenRow, Page, Refused, StoreError};
use crate::account::AccountState;
use crate::decision::Decision;
use crate::history::{Actor, JobEvent};
use crate::id::{JobId, RunId};
use crate::job::{Job, LeaseToken, NotUndone, Status};
use crate::name::{AccountId, Command, QueueName};
use crate::recovery::{CycleRunning, RecoveryType, RunRecord, RunReport, Trigger};

/// Finds jobs to recover and applies decisions about them.
///
/// # Contract
/// - R1 `candidates` pages in a fixed order, failed jobs first, and leaves out jobs whose `recover_after` lies
///   ahead, unless asked for them.
/// - R2 Rows that cannot be read are reported by `candidates` (never hidden, never an error) and set aside by `set_aside`.
/// - R3 `apply` applies each decision on its own, and only if the job still is as it was `Seen`; otherwise it answers
///   that the race was lost, and changes nothing.
/// - R4 Between `begin` and `end` no other cycle begins in the same database, unless `hold_for` passed.
/// - R5 The history says each reason for not recovering a job once, not once per cycle; what another policy decides is
///   said again.
/// - R6 What `apply` changed can be put back by `undo` until somebody starts or changes the job; once.
/// - R7 `replay` gives back what happened, in order, up to `last_event`; the event of a decision keeps what that [`Saw`](crate::saw::Saw).
#[async_trait]
pub trait RecoveryStore: Send + Sync + std::fmt::Debug {
    /// Takes the one place for a cycle, for at most `hold_for`.
    async fn begin(
        &self,
        run: RunId,
        hold_for: Duration,
        now: DateTime<Utc>,
    ) -> Result<Result<(), CycleRunning>, StoreError>;

    /// Gives the place back, and keeps the record of the run when there is one to keep.
    async fn end(&self, run: RunId, record: Option<RunRecord>) -> Result<(), StoreError>;

    /// Jobs that a cycle should look at.
    async fn candidates(&self, search: Search) -> Result<Candidates, StoreError>;

    /// Applies decisions; one answer per decision, in order.
    async fn apply(
        &self,
        run: RunId,
        decisions: Vec<Planned>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Outcome>, StoreError>;

    /// Sets unreadable rows aside; answers how many it changed.
    async fn set_aside(
        &self,
        rows: Vec<BrokenRow>,
        run: RunId,
        now: DateTime<Utc>,
    ) -> Result<u32, StoreError>;

    /// Extends every running job's lease that ends before `until` to that moment, and excuses its loss until its worker
    /// is heard again: what our own absence asks for. Answers how many leases it changed.
    async fn grant_grace(&self, until: DateTime<Utc>) -> Result<u32, StoreError>;

    /// Shifts every running job's lease by as much as the wall clock jumped.
    async fn shift_leases(&self, by: chrono::Duration) -> Result<u32, StoreError>;

    /// How many jobs were claimed, and queued again by recovery, within the minute before `now`, as far as this
    /// process knows.
    async fn flow(&self, now: DateTime<Utc>) -> Result<Flow, StoreError>;

    /// What is known of one job at one moment; `None` when there is no such job.
    async fn case(&self, id: &JobId, now: DateTime<Utc>) -> Result<Option<Case>, StoreError>;

    /// The events of all jobs from `since` on, in the order in which they happened, from after `cursor`, each with what
    /// never changes of its job.
    async fn replay(
        &self,
        since: DateTime<Utc>,
        cursor: Option<i64>,
        limit: u32,
    ) -> Result<HistoryPage, StoreError>;

    /// The id of the last event of all; 0 when there is none.
    async fn last_event(&self) -> Result<i64, StoreError>;

    /// Runs, newest first, from before `cursor`.
    async fn runs(&self, cursor: Option<RunId>, limit: u32) -> Result<Page<RunRecord, RunId>, StoreError>;

    /// One run, or `None`.
    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError>;

    /// Puts back what a run changed, as far as nothing has happened to it since, or only says what would be put back.
    async fn undo(&self, order: Undo) -> Result<Undone, StoreError>;
}

/// Told of recovery runs by whoever carries them out, as they happen: it must be quick and never wait. `()` takes no
/// notice.
pub trait RunListener: Send + Sync + std::fmt::Debug {
    /// A run begins. Each one that does also ends.
    fn begun(&self, run: &RunBegun);

    /// A run ended, and is on record if it is worth one.
    fn ended(&self, report: &RunReport, at: DateTime<Utc>);
}

impl RunListener for () {
    fn begun(&self, _: &RunBegun) {}

    fn ended(&self, _: &RunReport, _: DateTime<Utc>) {}
}

/// The beginning of a recovery run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunBegun {
    /// Its name.
    pub run: RunId,
    /// What it looks at.
    pub kind: RecoveryType,
    /// What set it off.
    pub trigger: Trigger,
    /// Whether it changes nothing, by request.
    pub dry_run: bool,
    /// When.
    pub at: DateTime<Utc>,
}

/// A part of the events of all jobs.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct HistoryPage {
    /// The events.
    pub items: Vec<Recorded>,
    /// The cursor of the next part; `None` at the end.
    pub next: Option<i64>,
    /// How much of the whole has been read with this part, from 0 to 1, by the places of the events in their order.
    pub read: f64,
}

/// An event, with what never changes of its job.
#[derive(Debug, Clone, PartialEq)]
pub struct Recorded {
    /// What happened.
    pub event: JobEvent,
    /// The queue of the job, as it is now.
    pub queue: QueueName,
    /// Its command.
    pub command: Command,
    /// The account that it names.
    pub account_id: Option<AccountId>,
    /// After so many failed attempts it is quarantined.
    pub max_attempts: u32,
}

/// An order to undo a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Undo {
    /// Which run.
    pub run: RunId,
    /// Only say what would be put back.
    pub dry_run: bool,
    /// For how long a job that was running gets its lease back.
    pub grace: Duration,
    /// Who undoes it.
    pub actor: Actor,
    /// When.
    pub now: DateTime<Utc>,
}

/// What became of an order to undo a run. A dry run and the real one give the same answer, as long as nobody else
/// changes the jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Undone {
    /// The jobs that are as they were before it, and their state.
    pub undone: Vec<(JobId, Status)>,
    /// The others, and why they are left alone.
    pub left: Vec<(JobId, NotUndone)>,
}

/// Which jobs to look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Search {
    /// Failed, running, or both.
    pub kind: RecoveryType,
    /// Of the running jobs only those whose lease has expired.
    pub expired_leases_only: bool,
    /// Also jobs whose `recover_after` lies ahead.
    pub resting: bool,
    /// Running jobs without an update since before this may be stuck; `None` = silence never counts.
    pub silent_since: Option<DateTime<Utc>>,
    /// Where the last page ended: the id and status of its last job.
    pub after: Option<(Status, JobId)>,
    /// At most so many.
    pub limit: u32,
    /// The moment the cycle decides for.
    pub now: DateTime<Utc>,
}

/// A page of jobs to look at.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Candidates {
    /// The jobs, with the state of their accounts.
    pub jobs: Vec<Candidate>,
    /// Rows that cannot be read.
    pub broken: Vec<BrokenRow>,
    /// Whether more follow.
    pub more: bool,
}

/// A job to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Candidate {
    /// The job.
    pub job: Job,
    /// The state of the account it names.
    pub account: AccountState,
}

/// What is known of a job: what an explanation is made of.
#[derive(Debug, Clone, PartialEq)]
pub enum Case {
    /// A whole row.
    Whole {
        /// The job, with the state of its account.
        candidate: Box<Candidate>,
        /// Its latest events, oldest first.
        history: Vec<JobEvent>,
    },
    /// A row that cannot be read.
    Broken(BrokenRow),
}

/// A decision about a job, and what it was based on.
#[derive(Debug, Clone, PartialEq)]
pub struct Planned {
    /// Which job.
    pub job: JobId,
    /// How it looked.
    pub seen: Seen,
    /// What was decided.
    pub decision: Decision,
}

/// How a job looked when it was decided about. A worker that reports or renews in between changes it, and wins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Seen {
    /// Its status.
    pub status: Status,
    /// Its lease: token and end.
    pub lease: Option<(LeaseToken, DateTime<Utc>)>,
    /// Its last update.
    pub updated_at: DateTime<Utc>,
}

impl Seen {
    /// How this job looks.
    #[must_use]
    pub fn of(job: &Job) -> Self {
        Self {
            status: job.status,
            lease: job.lease.as_ref().map(|lease| (lease.token.clone(), lease.expires_at)),
            updated_at: job.updated_at,
        }
    }
}

/// What became of one decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied.
    Applied,
    /// The job has moved on; nothing was changed.
    LostRace {
        /// Its status now; `None` when it is gone.
        found: Option<Status>,
    },
    /// It could not be applied.
    Refused(Refused),
}

/// What went through in the last minute.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Flow {
    /// Jobs claimed.
    pub claims: u64,
    /// Jobs queued again by recovery.
    pub requeues: u64,
}

impl RunRecord {
    /// Puts a record together.
    #[must_use]
    pub fn ended(
        kind: RecoveryType,
        trigger: Trigger,
        started_at: DateTime<Utc>,
        finished_at: DateTime<Utc>,
        report: RunReport,
    ) -> Self {
        let run_id = report.result.run_id.clone();
        Self { run_id, kind, trigger, started_at, finished_at: Some(finished_at), report: Some(report) }
    }
}
