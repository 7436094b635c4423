//! What is said over a link, whatever the dialect.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::name::{AccountId, Command, ProviderId, QueueName, WorkerId};
use reclaimer_domain::secret::Secret;
use reclaimer_domain::wire::JobOnTheWire;
use serde_json::Value;

/// A frame, read.
#[derive(Debug, PartialEq)]
pub enum Heard {
    /// A message for us.
    Message(Inbound),
    /// A message for somebody else.
    Foreign {
        /// For whom.
        destination: String,
    },
    /// A message of a kind that is none; it has no effect.
    Unknown {
        /// Its kind.
        kind: String,
    },
}

/// Why a frame cannot be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not what the dialect calls a frame.
    #[error("the frame cannot be read: {0}")]
    Frame(Reason),
    /// It is a frame, but its content is not what its kind asks for.
    #[error("a message `{kind}` cannot be read: {reason}")]
    Content {
        /// Its kind.
        kind: &'static str,
        /// What is wrong with it.
        reason: Reason,
    },
}

impl Unreadable {
    /// What the log may hear of it: nothing that was in it, which may be secret.
    #[must_use]
    pub fn without_content(&self) -> String {
        match self {
            Self::Frame(reason) => format!("the frame cannot be read: {}", reason.without_content),
            Self::Content { kind, reason } => {
                format!("a message `{kind}` cannot be read: {}", reason.without_content)
            }
        }
    }
}

/// Why something cannot be read, for its sender and for others.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{for_sender}")]
pub struct Reason {
    /// With what was in it.
    pub(crate) for_sender: String,
    /// Without.
    pub(crate) without_content: String,
}

/// What a worker says.
#[derive(Debug, PartialEq)]
pub enum Inbound {
    /// Who it is and what it can; protocol 2.
    Registered(Registration),
    /// It lives.
    Heartbeat,
    /// It wants jobs.
    JobRequest(JobRequest),
    /// It reports on a job.
    Report {
        /// In the shape of [`reclaimer_domain::wire::read_report`].
        report: Value,
        /// The next jobs that it wants with the receipt, if it knows how to ask for them: what its field `next` says.
        next: Option<Result<JobRequest, BadRequest>>,
    },
    /// How it is doing; shown.
    Status(Value),
    /// What it logged about a failure; kept as evidence.
    FailureLogs {
        /// About which job.
        job: JobId,
        /// All of it.
        detail: Value,
    },
    /// It needs fresh credentials.
    RefreshRequest(RefreshRequest),
    /// It asks for something in words that cannot be read, and waits for an answer.
    BadRequest(BadRequest),
    /// It leaves in order.
    Leaving {
        /// Why, where it says.
        reason: Option<String>,
    },
}

/// What a worker of protocol 2 says of itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Registration {
    /// Its name; the connection's own where it gives none.
    pub worker: Option<WorkerId>,
    /// Which additions it knows.
    pub features: Vec<String>,
    /// How many jobs it runs at once; `None` = it does not say.
    pub capacity: Option<u32>,
    /// Leases that it still holds, from before the connection.
    pub leases: Vec<LeaseToken>,
    /// What it named as leases and can be none.
    pub no_leases: Vec<Secret>,
}

/// What a worker wants.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct JobRequest {
    /// Repeated in an answer that is an error, as it came: a text or a number.
    pub request_id: Option<Value>,
    /// At most so many; `None` = as many as the dialect hands out at once.
    pub limit: Option<u32>,
    /// Only of this queue.
    pub queue: Option<QueueName>,
    /// Only of these commands; empty = any.
    pub commands: Vec<Command>,
    /// How long to wait for one to appear.
    pub wait: Duration,
    /// Who asks, where that is said here.
    pub worker: Option<WorkerId>,
}

/// Whose credentials a worker needs.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum RefreshRequest {
    /// An account's; the answer names the request.
    OfAccount {
        /// What the answer is matched by, as it came: a text or a number.
        request_id: Value,
        /// Of which provider.
        provider: ProviderId,
        /// Which account; a request that does not say gets none.
        account: Option<AccountId>,
        /// Whose it is, where that is said; an account of another user is then refused.
        user: Option<String>,
    },
    /// Those of a job's account; the answer names the job.
    OfJob(JobId),
}

/// A request that cannot be read. Whoever sent it waits for an answer all the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum BadRequest {
    /// For jobs.
    Jobs {
        /// Its id, where it has one.
        request_id: Option<Value>,
        /// What is wrong with it.
        reason: String,
    },
    /// For credentials.
    Credentials {
        /// What the answer is matched by, as it came: the id of the request, or the job.
        subject: Value,
        /// What is wrong with it.
        reason: String,
    },
}

/// What we say.
#[derive(Debug)]
pub enum Outbound {
    /// Who we are, first on each connection.
    Register,
    /// We live.
    Heartbeat,
    /// Jobs, each with its lease; none when none waits.
    Jobs(Vec<JobOnTheWire>),
    /// Why there are no jobs, and when to ask again.
    JobsError(JobsError),
    /// A job that was not asked for.
    StartJob(Box<JobOnTheWire>),
    /// Take no more jobs.
    Pause,
    /// Take jobs again.
    Resume,
    /// A job was given up.
    CancelJob {
        /// Which.
        job: JobId,
        /// The lease that ended.
        lease: LeaseToken,
        /// Why.
        reason: String,
    },
    /// A lease is gone: its job is somebody else's matter now.
    LeaseLost {
        /// Which job, where it is known.
        job: Option<JobId>,
        /// Which lease.
        lease: LeaseToken,
        /// Why.
        reason: String,
    },
    /// A lease from before the connection is held again.
    Reattached {
        /// Which job.
        job: JobId,
        /// Which lease.
        lease: LeaseToken,
        /// When it ends unless renewed.
        expires_at: DateTime<Utc>,
    },
    /// A lease from before the connection is somebody else's, or nobody's.
    NotReattached {
        /// Which lease, as it was named.
        lease: Secret,
    },
    /// What became of a report.
    Receipt(Receipt),
    /// The server ends.
    Shutdown {
        /// Why.
        reason: String,
    },
    /// Credentials, or why there are none.
    Refreshed(RefreshAnswer),
    /// Why there are no credentials for whoever asked in words that cannot be read.
    NoCredentials {
        /// What the answer is matched by, as it came.
        subject: Value,
        /// Why.
        reason: String,
    },
}

/// Why there are no jobs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobsError {
    /// The request's id, as it came.
    pub request_id: Option<Value>,
    /// What is wrong.
    pub message: String,
    /// The stable word for programs.
    pub error_type: &'static str,
    /// Whether asking again can help.
    pub retryable: bool,
    /// When to ask again.
    pub retry_after: Duration,
}

/// What became of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Which job it was about, as the report names it.
    pub task: Option<String>,
    /// By which lease, as the report names it.
    pub lease: Option<String>,
    /// `Ok` when it counts or counted before; otherwise the stable word and the reason.
    pub outcome: Result<(), (String, String)>,
}

/// The answer to a [`RefreshRequest`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RefreshAnswer {
    /// What was asked for.
    pub request: RefreshRequest,
    /// The credentials, or why there are none.
    pub outcome: Result<Fresh, String>,
}

/// Fresh credentials.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fresh {
    /// What to present.
    pub access_token: Secret,
    /// When it ends; `None` = not known.
    pub expires_at: Option<DateTime<Utc>>,
    /// What a new one is asked for with; only where a link is set to send it.
    pub refresh_token: Option<Secret>,
    /// Where they count.
    pub provider: ProviderId,
}
