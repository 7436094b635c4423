//! Jobs: what producers, workers and admins do with them.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};

use super::StoreError;
use super::discovery::{Discovery, DiscoveryAnswer};
use super::manual::{AdminAction, Administered, Bulk, BulkAnswer};
use crate::history::{Actor, JobEvent};
use crate::id::JobId;
use crate::job::report::Report;
use crate::job::{IllegalTransition, Job, LateResult, Lease, LeaseToken, NewJob, SpawnIntent, Status};
use crate::name::{AccountId, Command, QueueName, UniqueKey, WorkerId};

/// Keeps jobs.
///
/// # Contract
/// - J1 An answer is given only after what it says is durable.
/// - J2 Every change of a status goes through the transition table and is guarded in the statement that makes it: of
///   two callers racing on one job one wins, and the other gets the answer that fits the job as it then is.
/// - J3 Every change of a status leaves its events in the same transaction.
/// - J4 `create` does all or nothing. A job whose unique key a live job holds is not created; the answer names that one.
/// - J5 `claim` hands out queued jobs whose moment has come, of queues that are not paused, lower priority number
///   first, then by `run_at`, then by id; no job to two callers.
/// - J6 A row that cannot be read is set aside (`quarantined`, with an event that keeps what was unreadable) and never
///   hides others.
/// - J7 A report that does not come from the holder changes nothing but the history.
/// - J8 After a commit the listener is told of every job that became claimable, now or later, and of every lease that was
///   taken from its holder.
/// - J9 Reads never wait for writes.
/// - J10 A result that came after its sender had lost the job is kept, at most [`MAX_LATE_RESULTS`] of a job, and counts
///   from when a person accepts it, once.
/// - J11 After a commit the listener is told of every event that was appended, in order.
/// - J12 `report_all` does what its reports one after the other and then its claim would do, as one transaction: the claim
///   sees what they left, whatever became of each. Where it fails, nothing was done, unless
///   the outcome is unknown.
///
/// [`MAX_LATE_RESULTS`]: crate::job::MAX_LATE_RESULTS
#[async_trait]
pub trait JobStore: Send + Sync + std::fmt::Debug {
    /// Creates jobs.
    async fn create(&self, order: Create) -> Result<Created, StoreError>;

    /// Leases jobs to a worker.
    async fn claim(&self, claim: Claim) -> Result<Claimed, StoreError>;

    /// The jobs that a claim would get now, without claiming them.
    async fn peek(
        &self,
        queue: Option<QueueName>,
        command: Option<Command>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Vec<Job>, StoreError>;

    /// Applies one report, records its areas and spawns their missing jobs.
    async fn report(&self, order: ReportOrder) -> Result<ReportAnswer, StoreError>;

    /// Applies reports, and then leases jobs to the worker that made them.
    async fn report_all(&self, order: Reports) -> Result<Reported, StoreError>;

    /// Renews leases by token.
    async fn renew(&self, order: Renew) -> Result<Renewed, StoreError>;

    /// Takes leases back unworked.
    async fn release(&self, order: Release) -> Result<Released, StoreError>;

    /// The jobs that a worker holds, with their leases.
    async fn held_by(&self, worker: &WorkerId) -> Result<Vec<(JobId, Lease)>, StoreError>;

    /// Sets when leases end whose worker cannot be heard; answers how many of them still hold a job.
    async fn hold(&self, hold: Hold) -> Result<u32, StoreError>;

    /// Notes in `progress` that a queued job was to be started and its worker was away; false when it is not queued.
    async fn note_pending_start(&self, job: JobId, now: DateTime<Utc>) -> Result<bool, StoreError>;

    /// Queued jobs that wait to be started, in the order of their ids, up to `limit`.
    async fn pending_starts(&self, limit: u32) -> Result<Vec<(JobId, QueueName)>, StoreError>;

    /// Adds to a job's history what is known of its attempt; false when there is no such job.
    async fn testify(&self, evidence: Evidence) -> Result<bool, StoreError>;

    /// Starts discovery for an account: nothing when a job for it lives or one finished lately, otherwise the
    /// account's last discovery job queued again, or a new one.
    async fn discover(&self, order: Discovery) -> Result<DiscoveryAnswer, StoreError>;

    /// Does one thing to one job by hand.
    async fn administer(
        &self,
        id: JobId,
        action: AdminAction,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> Result<Applied<Administered>, StoreError>;

    /// Creates a new job like this finished or cancelled one, under the id `new`, spawned from it.
    async fn rerun(
        &self,
        id: JobId,
        new: JobId,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> Result<Applied<Box<Job>>, StoreError>;

    /// The late results of a job, in the order of their numbers; `None` when there is no such job.
    async fn late_results(&self, id: &JobId) -> Result<Option<Vec<LateResult>>, StoreError>;

    /// Makes a late result of a queued or quarantined job count, records its areas and spawns their missing jobs.
    async fn accept_late(&self, order: AcceptLate) -> Result<Applied<Box<Job>>, StoreError>;

    /// Does one thing to every job of a filter that allows it, or only says what would be done.
    async fn administer_many(&self, bulk: Bulk) -> Result<BulkAnswer, StoreError>;

    /// One job, or `None`.
    async fn job(&self, id: &JobId) -> Result<Option<JobRead>, StoreError>;

    /// Jobs of a filter, newest first, from before `cursor`. A store may end a page where it has looked at enough: it then
    /// has fewer jobs than asked for, or none, and still says where the next goes on.
    async fn jobs(
        &self,
        filter: JobFilter,
        cursor: Option<JobId>,
        limit: u32,
    ) -> Result<Page<JobRead, JobId>, StoreError>;

    /// A job's history, oldest first, from after `cursor`; `None` when there is no such job.
    async fn events(
        &self,
        id: &JobId,
        cursor: Option<i64>,
        limit: u32,
    ) -> Result<Option<Page<JobEvent, i64>>, StoreError>;

    /// Every queue that has jobs or was paused, with its number of jobs per state.
    async fn queues(&self) -> Result<Vec<QueueState>, StoreError>;

    /// Stops or restarts handing out the jobs of a queue.
    async fn pause_queue(&self, queue: QueueName, paused: bool, now: DateTime<Utc>)
    -> Result<(), StoreError>;

    /// Proves that the store can write and that its tables are the right ones.
    async fn probe(&self, now: DateTime<Utc>) -> Result<(), StoreError>;
}

/// A part of a list, and where the next part begins.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T, C> {
    /// The items.
    pub items: Vec<T>,
    /// The cursor of the next part; `None` at the end.
    pub next: Option<C>,
}

/// A job as read, or what could be read of it.
#[derive(Debug, Clone, PartialEq)]
pub enum JobRead {
    /// A whole row.
    Whole(Box<Job>),
    /// A row that cannot be read; recovery will set it aside.
    Broken(BrokenRow),
}

/// What could be read of a row that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BrokenRow {
    /// Its name as stored.
    pub id: String,
    /// Its status as stored.
    pub status: String,
    /// What is wrong with it.
    pub reason: String,
}

/// Something was done, or refused for a reason that the caller can act on.
#[derive(Debug, Clone, PartialEq)]
pub enum Applied<T> {
    /// It was done.
    Done(T),
    /// It was not; nothing changed.
    Refused(Refused),
}

/// Why something was not done to a job.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// There is no such job.
    #[error("there is no job `{0}`")]
    NoSuchJob(JobId),
    /// The transition table forbids it.
    #[error(transparent)]
    Illegal(#[from] IllegalTransition),
    /// The row cannot be read.
    #[error("the row of job `{id}` cannot be read: {reason}")]
    Broken {
        /// Which.
        id: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A live job holds the unique key that the new one would need.
    #[error("job `{holder}` is live and holds the unique key `{key}`")]
    KeyHeld {
        /// The key.
        key: UniqueKey,
        /// Who holds it.
        holder: JobId,
    },
    /// The job has no such late result.
    #[error("job `{job}` has no late result {number}")]
    NoSuchLateResult {
        /// The job.
        job: JobId,
        /// The number asked for.
        number: u32,
    },
    /// The late result was accepted before.
    #[error("late result {0} was accepted already")]
    AcceptedBefore(u32),
    /// Only a finished or cancelled job can be run again.
    #[error("a {0} job cannot be run again: only a finished or cancelled one can")]
    NotTerminal(Status),
}

impl Refused {
    /// The stable word for answers.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::NoSuchJob(_) => "unknown_job",
            Self::Illegal(_) => "illegal_transition",
            Self::Broken { .. } => "broken_row",
            Self::KeyHeld { .. } => "key_held",
            Self::NoSuchLateResult { .. } => "unknown_late_result",
            Self::AcceptedBefore(_) => "accepted_before",
            Self::NotTerminal(_) => "not_terminal",
        }
    }
}

/// An order to create jobs.
#[derive(Debug, Clone, PartialEq)]
pub struct Create {
    /// The ids and orders, in the order of the answer.
    pub jobs: Vec<(JobId, NewJob)>,
    /// Makes the whole order repeatable.
    pub idempotency: Option<Idempotency>,
    /// Who creates them.
    pub actor: Actor,
    /// When.
    pub now: DateTime<Utc>,
}

/// A key under which an order is carried out once, kept for a day.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    /// The caller's key.
    pub key: String,
    /// A digest of the order, which tells a repetition from another order under the same key.
    pub digest: String,
}

/// What became of an order to create jobs.
#[derive(Debug, Clone, PartialEq)]
pub enum Created {
    /// Done, one answer per job in the order given. `replayed` says that it had been done before under the same key.
    Done {
        /// The answers.
        jobs: Vec<CreatedJob>,
        /// Of an order of exactly one job, that job as it is now; `None` where it was deleted since.
        single: Option<Box<Job>>,
        /// Whether this is the answer of an earlier, equal order.
        replayed: bool,
    },
    /// Another order was carried out under the same idempotency key; nothing was created.
    KeyReused,
    /// A job names an account that does not exist; nothing was created.
    UnknownAccount {
        /// The position of that job.
        index: usize,
        /// What it names.
        account: AccountId,
    },
    /// A job names a parent that does not exist; nothing was created.
    UnknownParent {
        /// The position of that job.
        index: usize,
        /// What it names.
        parent: JobId,
    },
}

/// What became of one job of an order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CreatedJob {
    /// The new job, or the live one that holds its unique key.
    pub id: JobId,
    /// Whether it is new.
    pub created: bool,
}

/// A worker asks for jobs.
#[derive(Debug, Clone)]
pub struct Claim {
    /// Who asks.
    pub worker: WorkerId,
    /// Only of this queue.
    pub queue: Option<QueueName>,
    /// Only of these commands; empty = of any.
    pub commands: Vec<Command>,
    /// Only this very job.
    pub only: Option<JobId>,
    /// One fresh token per job wanted: at most so many jobs are leased.
    pub tokens: Vec<LeaseToken>,
    /// How long each lease holds.
    pub lease_for: Duration,
    /// When.
    pub now: DateTime<Utc>,
}

/// What a claim got.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claimed {
    /// The jobs, each running and leased.
    pub jobs: Vec<Job>,
    /// When the next job of the claim's kind falls due, if one waits for its moment.
    pub next_due: Option<DateTime<Utc>>,
}

/// A report and what may follow from it.
#[derive(Debug, Clone, PartialEq)]
pub struct ReportOrder {
    /// The report.
    pub report: Report,
    /// Jobs to spawn for its areas where they are missing.
    pub spawn: Vec<SpawnIntent>,
    /// How long a renewed lease holds.
    pub lease_for: Duration,
    /// When.
    pub now: DateTime<Utc>,
}

/// Reports of one worker, and what it wants next.
#[derive(Debug, Clone)]
pub struct Reports {
    /// In their order. Shared, so that whoever orders can do so again, one by one, where the store refuses them together.
    pub reports: Arc<[ReportOrder]>,
    /// Jobs to lease once they are applied.
    pub next: Option<Claim>,
}

/// What became of reports, and what was leased then.
#[derive(Debug, Clone, PartialEq)]
pub struct Reported {
    /// One per report, in their order.
    pub answers: Vec<ReportAnswer>,
    /// What the claim got, if there was one.
    pub next: Option<Claimed>,
}

/// An order to make a late result count.
#[derive(Debug, Clone, PartialEq)]
pub struct AcceptLate {
    /// Of which job.
    pub job: JobId,
    /// Which of its late results.
    pub number: u32,
    /// Jobs to spawn for its areas where they are missing.
    pub spawn: Vec<SpawnIntent>,
    /// Who accepts it.
    pub actor: Actor,
    /// When.
    pub now: DateTime<Utc>,
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq)]
pub enum ReportAnswer {
    /// It counts.
    Applied {
        /// The job's status now.
        status: Status,
        /// When the lease now ends, if it goes on.
        expires_at: Option<DateTime<Utc>>,
        /// How many jobs were spawned.
        spawned: u32,
    },
    /// It was applied before; nothing changed.
    Duplicate {
        /// The job's status.
        status: Status,
    },
    /// The sender does not hold the job; nothing changed, and the history says that it tried.
    Stale {
        /// The job's status.
        status: Status,
    },
    /// It cannot be applied.
    Refused(Refused),
}

/// Signs of life.
#[derive(Debug, Clone)]
pub struct Renew {
    /// The leases meant, each naming one job.
    pub leases: Vec<LeaseToken>,
    /// Whether the sign was about these very jobs, and not about their worker in general: only then are the jobs
    /// themselves known to live.
    pub named: bool,
    /// How long a renewed lease holds.
    pub lease_for: Duration,
    /// When.
    pub now: DateTime<Utc>,
}

/// What became of signs of life.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Renewed {
    /// These go on.
    pub renewed: Vec<(JobId, Lease)>,
    /// Nobody holds a job by these any more.
    pub lost: Vec<LeaseToken>,
    /// The jobs of these were cancelled meanwhile.
    pub cancelled: Vec<(JobId, LeaseToken)>,
}

/// Leases whose worker cannot be heard, held on until it is known what became of it.
#[derive(Debug, Clone)]
pub struct Hold {
    /// Which.
    pub leases: Vec<LeaseToken>,
    /// When they end unless their worker is heard again; `None` = as they are.
    pub until: Option<DateTime<Utc>>,
    /// Whether losing them is nobody's fault.
    pub excused: bool,
}

/// What somebody knows of a job's present attempt beside what its worker reports.
#[derive(Debug, Clone, PartialEq)]
pub struct Evidence {
    /// Which job.
    pub job: JobId,
    /// Who says it.
    pub actor: Actor,
    /// In one sentence.
    pub reason: String,
    /// All of it.
    pub detail: serde_json::Value,
    /// When.
    pub now: DateTime<Utc>,
}

/// Leases given back unworked.
#[derive(Debug, Clone)]
pub struct Release {
    /// Which.
    pub leases: Vec<LeaseToken>,
    /// Why, if the worker says.
    pub reason: Option<String>,
    /// Not to be handed out again before this has passed.
    pub delay: Duration,
    /// When.
    pub now: DateTime<Utc>,
}

/// What became of leases given back.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Released {
    /// These jobs are queued again.
    pub released: Vec<(JobId, LeaseToken)>,
    /// Nobody held a job by these any more.
    pub lost: Vec<LeaseToken>,
}

/// Which jobs a list or a bulk action is about. Everything that is set must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobFilter {
    /// Any of these; empty = any.
    pub status: Vec<Status>,
    /// Of this queue.
    pub queue: Option<QueueName>,
    /// Of this command.
    pub command: Option<Command>,
    /// Of this account.
    pub account_id: Option<AccountId>,
    /// About this path.
    pub full_path: Option<String>,
    /// Held by this worker.
    pub worker_id: Option<WorkerId>,
    /// With this in its id, command or path, or in the error that its worker told; ASCII letters in any case.
    pub text: Option<String>,
}

/// One queue.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QueueState {
    /// Its name.
    pub name: QueueName,
    /// Whether its jobs are handed out.
    pub paused: bool,
    /// How many jobs it has in each state that occurs.
    pub jobs: Vec<(Status, u64)>,
    /// The earliest `run_at` of its queued jobs, which may lie ahead.
    pub oldest_queued: Option<DateTime<Utc>>,
}
