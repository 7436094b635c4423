//! What a session wants done, and why it ends.

use reclaimer_domain::id::JobId;
use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::job::report::Report;
use reclaimer_domain::name::WorkerId;
use reclaimer_domain::ports::{Renewed, ReportAnswer, StoreError, Taken};
use reclaimer_domain::wire::{InvalidReport, JobOnTheWire};
use reclaimer_provisioning::{HeldJob, Want};
use serde_json::Value;
use tokio::time::Instant;

use crate::message::{Fresh, JobsError, Outbound, RefreshRequest};
use crate::offers::Ticket;

/// What a session wants done.
#[derive(Debug)]
pub(crate) enum Effect {
    /// Say this.
    Send(Outbound),
    /// Lease jobs; answered by [`Done::Claimed`].
    Claim {
        /// Repeated in an answer that is an error.
        request_id: Option<Value>,
        /// What is wanted.
        want: Want,
    },
    /// Lease the job of an offer; answered by [`Done::Took`].
    Take(Ticket),
    /// A job was leased to be started: its offer is settled once that has reached the worker.
    Started {
        /// Its lease.
        lease: LeaseToken,
        /// Its offer.
        ticket: Ticket,
    },
    /// Give up every [`Effect::Claim`] and [`Effect::Take`] that is not answered; none will be.
    StopClaiming,
    /// Apply a report; answered by [`Done::Reported`], in the order of the reports.
    Report {
        /// The report.
        report: Box<Report>,
        /// How its receipt names it.
        subject: Subject,
        /// What of it could not be read, and is left out.
        left_out: Vec<InvalidReport>,
        /// Jobs to lease with it.
        next: Option<Next>,
    },
    /// Say this when all that was reported before is applied.
    InTurn(Box<Done>),
    /// Get credentials; answered by [`Done::Refreshed`].
    Refresh {
        /// Which.
        request: RefreshRequest,
        /// Where it is not empty: only if one of these jobs is of the account.
        among: Vec<JobId>,
    },
    /// See which of these leases, held until now by another connection of the worker, still hold; answered by
    /// [`Done::TookOver`].
    TakeOver(Vec<LeaseToken>),
    /// Renew leases because their worker lives; answered by [`Done::Kept`].
    Keep(Vec<LeaseToken>),
    /// See which of these leases are still held; answered by [`Done::Reattached`].
    Reattach(Vec<LeaseToken>),
    /// See what the peer's process holds from before; answered by [`Done::Adopted`].
    Adopt(WorkerId),
    /// Give leases back, at nobody's cost.
    Release {
        /// Which.
        leases: Vec<LeaseToken>,
        /// Why.
        reason: String,
    },
    /// End leases whose worker has forgotten them; recovery decides about their jobs.
    Abandon(Vec<LeaseToken>),
    /// Keep evidence about a job.
    Testify {
        /// Which job.
        job: JobId,
        /// What its worker logged.
        detail: Value,
    },
    /// Say in the log that what was sent about a job is not kept.
    Decline {
        /// Which job.
        job: JobId,
        /// Why.
        reason: &'static str,
    },
    /// End.
    Close(Closed),
}

/// Jobs that a worker wants with the receipt of a report.
#[derive(Debug, PartialEq)]
pub(crate) struct Next {
    /// Repeated in an answer that is an error.
    pub(crate) request_id: Option<Value>,
    /// What is wanted. It waits for jobs to appear only when the report has its receipt.
    pub(crate) want: Want,
}

/// How a receipt names the report it is for: as the report named it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Subject {
    pub(crate) task: Option<String>,
    pub(crate) lease: Option<String>,
}

/// What became of an effect.
#[derive(Debug)]
pub(crate) enum Done {
    Claimed {
        request_id: Option<Value>,
        limit: u32,
        outcome: Result<Vec<JobOnTheWire>, StoreError>,
    },
    /// The job of an offer was not to be had.
    NotTaken,
    /// The job of an offer was leased.
    Took {
        job: Box<JobOnTheWire>,
        ticket: Ticket,
    },
    Reported {
        subject: Subject,
        held: Option<LeaseToken>,
        outcome: Result<ReportAnswer, StoreError>,
        /// What became of the jobs that were wanted with it.
        next: Option<(Next, Result<Vec<JobOnTheWire>, JobsError>)>,
    },
    /// This is said behind the receipts of what was reported before.
    Answered(Outbound),
    /// Credentials were asked for; what was reported before decides whose the worker may have.
    Asked {
        request: RefreshRequest,
        at: Instant,
    },
    Refreshed {
        request: RefreshRequest,
        outcome: Result<Fresh, String>,
        at: Instant,
    },
    /// The worker sent what it logged about a failure; what was reported before decides whether that is kept.
    Logged {
        job: JobId,
        detail: Value,
    },
    Kept(Result<Renewed, StoreError>),
    Reattached {
        asked: Vec<LeaseToken>,
        outcome: Result<Renewed, StoreError>,
    },
    Adopted {
        worker: WorkerId,
        outcome: Result<Vec<HeldJob>, StoreError>,
    },
    TookOver {
        asked: Vec<LeaseToken>,
        outcome: Result<Vec<HeldJob>, StoreError>,
    },
    /// The worker has forgotten what it held before so many requests for jobs.
    Forgot {
        before: u64,
    },
    /// A report could not be read.
    Refused {
        subject: Subject,
        code: String,
        message: String,
    },
    /// The worker leaves.
    Left {
        reason: String,
    },
    /// Nothing to say about it.
    Nothing,
}

/// What others ask of a session.
#[derive(Debug)]
pub(crate) enum Command {
    /// Take no more jobs.
    Pause,
    /// Take jobs again.
    Resume,
    /// Finish what is held, and leave.
    Finish {
        /// Why.
        reason: String,
    },
    /// Start this job, if it still waits.
    Offer(Ticket),
    /// These leases of another connection of the same process are this one's now.
    Inherit(Vec<LeaseToken>),
    /// A lease was taken from its holder.
    Taken {
        /// The job it held.
        job: JobId,
        /// Which.
        token: LeaseToken,
        /// Why.
        why: Taken,
    },
}

/// Why a session ended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Closed {
    /// The peer closed the connection.
    #[error("the peer closed the connection")]
    Peer,
    /// The peer said that it leaves, and left.
    #[error("the worker left in order")]
    Left,
    /// Nothing valid was heard since the connection was made.
    #[error("nothing valid was heard since the connection was made")]
    Mute,
    /// Nothing was heard for too long.
    #[error("nothing was heard for too long")]
    Silent,
    /// Too much of what was heard was no message.
    #[error("too much of what was heard was no message: {0}")]
    Rubbish(&'static str),
    /// The peer takes nothing in.
    #[error("the peer takes nothing in")]
    Stalled,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(String),
    /// The link was forced open.
    #[error("the link was cut by hand")]
    Cut,
    /// The server ends.
    #[error("the server ends")]
    ServerEnds,
}
