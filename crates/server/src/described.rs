//! Shapes that others write or read, described here for `openapi.json` alone. The tests below hold each to what is
//! really written.

#![expect(dead_code, reason = "nobody makes these: they are there to be described")]

use std::collections::BTreeMap;

use chrono::{DateTime, Utc};
use serde_json::Value;
use utoipa::ToSchema;

use crate::routes::{CreatedList, Order, ProvisioningFailure};
use crate::shapes::JobShape;

/// What `jobs/open` answers.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Opened {
    /// Jobs, each with its lease; none when there is none.
    Jobs(Vec<JobOnTheWire>),
    /// Why there are none, when provisioning failed; the header `x-reclaimer-error` has the same `errorType`.
    Failure(ProvisioningFailure),
}

/// A job as handed to a worker.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobOnTheWire {
    id: String,
    /// The same, under the name that older workers know.
    task_id: String,
    queue: String,
    /// What to do.
    command: String,
    /// What it is about.
    full_path: Option<String>,
    /// Whose credentials it needs.
    account_id: Option<String>,
    /// How often it has been leased, this time included.
    attempt: u32,
    /// How soon it runs: -20 (soonest) to 19.
    priority: i8,
    /// Its arguments.
    payload: Value,
    /// What was said about it before.
    progress: BTreeMap<String, Value>,
    /// The worker's own cursor from an earlier run.
    resume_state: Option<Value>,
    created_at: DateTime<Utc>,
    /// The job that created it.
    spawned_from: Option<String>,
    /// The span to go on from (W3C Trace Context); absent where the server records no traces.
    #[schema(nullable = false)]
    traceparent: Option<String>,
    /// Absent when the job was only looked at.
    #[schema(nullable = false)]
    lease: Option<Lease>,
    /// What to present to the provider; absent where nothing holds.
    #[schema(nullable = false)]
    credentials: Option<Credentials>,
    /// Where the account's provider answers, if the payload's `gitlabGraphQLUrl` says so.
    #[schema(nullable = false)]
    gitlab_api_url: Option<String>,
}

/// A lease as handed to its holder.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Lease {
    /// What every report must name.
    token: String,
    /// When it ends unless renewed.
    expires_at: DateTime<Utc>,
    /// Grows with every claim of the job and never goes back, so that third stores can fence too.
    epoch: u64,
}

/// Credentials as handed to a worker that holds the lease.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Credentials {
    access_token: String,
    /// Always `Bearer`.
    token_type: String,
    expires_at: Option<DateTime<Utc>>,
    provider_id: String,
}

/// An order: a job to create, or up to 1,000 of them.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Orders {
    /// One job.
    One(Box<Order>),
    /// Several, all or none.
    Many(Vec<Order>),
}

/// What became of an order.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Ordered {
    /// Of one job: the job.
    One(Box<JobShape>),
    /// Of an array: which are new, in its order.
    Many(CreatedList),
}

/// A report, or up to 1,000 of them.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Reports {
    /// One report.
    One(Box<Report>),
    /// Several, each on its own.
    Many(Vec<Report>),
}

/// What a worker says about a job it holds. It names the job and the lease; fields that are not here are kept under
/// `progress.extra`.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    /// The job.
    task_id: Option<String>,
    /// The same, in place of `taskId`.
    job_id: Option<String>,
    /// The token of the lease, or the object that came with the job. Without one the worker must be the job's holder.
    lease: Option<LeaseNamed>,
    /// Who reports.
    worker_id: Option<String>,
    /// In any case of letters.
    status: ReportStatus,
    /// When, by the worker's clock: tells a repetition, and older progress from newer.
    timestamp: Option<Moment>,
    /// Merged into the job's progress; an array here is one of areas.
    progress: Option<Value>,
    processed_items: Option<u64>,
    total_items: Option<u64>,
    current_data_type: Option<String>,
    message: Option<String>,
    items_by_type: Option<Value>,
    credential_status: Option<Value>,
    /// What was found; the jobs that each asks for are created where they are missing.
    areas: Option<Vec<Area>>,
    /// The worker's cursor, handed back when the job runs again.
    resume_state: Option<Value>,
    /// Of a failure: what went wrong, as text or as an object with `message` and `code`.
    error: Option<Value>,
    /// Of a failure: its kind, in `snake_case`.
    error_type: Option<String>,
    /// Of a failure: whether trying again can help; absent: recovery's rules decide.
    retryable: Option<bool>,
}

/// How a report names its lease.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum LeaseNamed {
    /// The token.
    Token(String),
    /// The object that came with the job.
    Lease(Lease),
}

/// A moment.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Moment {
    /// RFC 3339.
    Text(DateTime<Utc>),
    /// Milliseconds since 1970.
    Millis(i64),
}

/// What a report says.
#[derive(ToSchema)]
#[serde(rename_all = "snake_case")]
pub(crate) enum ReportStatus {
    Started,
    Processing,
    NewAreasDiscovered,
    Completed,
    Failed,
    Paused,
    CredentialExpiry,
    CredentialRenewal,
    CredentialResumed,
}

/// Something that was found.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Area {
    full_path: String,
    /// E.g. `group` or `project`.
    r#type: String,
    name: Option<String>,
    external_id: Option<String>,
}

/// The report of a recovery cycle.
#[derive(ToSchema)]
pub(crate) struct RecoveryReport {
    /// False only where the cycle itself could not run.
    success: bool,
    /// `failed`, `stuck` or `comprehensive`.
    r#type: String,
    result: RecoveryResult,
    /// One line for people.
    message: String,
}

/// The numbers and the decisions of a recovery cycle.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoveryResult {
    /// Jobs queued again.
    recovered_jobs: u32,
    /// Jobs that should have been, and could not.
    failed_recoveries: u32,
    /// Jobs looked at and not changed.
    skipped_jobs: u32,
    /// One line per job that could not be recovered, beginning with its id.
    errors: Vec<String>,
    /// Jobs set aside for a person.
    quarantined_jobs: u32,
    run_id: String,
    /// `startup`, `periodic`, `manual` or `lease_watch`.
    trigger: String,
    /// Whether nothing was changed, by request.
    dry_run: bool,
    duration_ms: u64,
    /// The policy that decided; absent from reports of versions that did not keep it.
    #[schema(nullable = false)]
    policy_hash: Option<String>,
    /// Whether it stopped with work left, which the next cycle takes up.
    more: bool,
    /// Every decision, in order.
    decisions: Vec<RecoveryDecision>,
}

/// One decision of a recovery cycle.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoveryDecision {
    job_id: String,
    /// `requeue`, `quarantine`, `skip` or `leave`.
    action: String,
    /// By which rule.
    #[schema(nullable = false)]
    rule: Option<String>,
    /// Why, in one sentence.
    reason: String,
    /// When a job that is queued again may run.
    #[schema(nullable = false)]
    run_at: Option<DateTime<Utc>>,
    /// The queue that a job goes into which changes it.
    #[schema(nullable = false)]
    queue: Option<String>,
    /// The priority that a job gets which changes it.
    #[schema(nullable = false)]
    priority: Option<i8>,
    /// When a job that is not is looked at again.
    #[schema(nullable = false)]
    look_again_at: Option<DateTime<Utc>>,
}

/// How many jobs were decided about alike.
#[derive(ToSchema)]
pub(crate) struct RecoveryCount {
    /// `requeue`, `quarantine`, `skip` or `leave`.
    action: String,
    /// By which rule.
    #[schema(nullable = false)]
    rule: Option<String>,
    /// The reason of the first of them; those of the others may differ from it in their numbers.
    reason: String,
    jobs: u32,
}

/// A past recovery cycle.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoveryRun {
    run_id: String,
    r#type: String,
    trigger: String,
    started_at: DateTime<Utc>,
    /// Null while it runs, or when its server died with it.
    finished_at: Option<DateTime<Utc>>,
    report: Option<RecoveryReport>,
}

/// When recovery runs by itself, and how it went lately.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RecoverySchedule {
    enabled: bool,
    startup_delay_ms: u64,
    interval_ms: u64,
    lease_check_ms: u64,
    drain_pause_ms: u64,
    batch_size: u32,
    /// When the next comprehensive run starts by itself.
    next_run_at: Option<DateTime<Utc>>,
    /// Whether a cycle runs in this process now.
    running: bool,
    last_ended_at: Option<DateTime<Utc>>,
    /// How many cycles of this process could not run.
    failures: u64,
    last_failure: Option<RecoveryFailure>,
}

/// A recovery cycle that could not run.
#[derive(ToSchema)]
pub(crate) struct RecoveryFailure {
    at: DateTime<Utc>,
    code: String,
    error: String,
}

/// Something wrong or doubtful in a policy file.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PolicyFinding {
    /// The line, from 1.
    line: u32,
    /// The character in that line, from 1.
    column: u32,
    /// The rule it is about.
    #[schema(nullable = false)]
    rule: Option<String>,
    /// The key it is about.
    #[schema(nullable = false)]
    key: Option<String>,
    /// What is wrong, what is allowed, what was probably meant.
    message: String,
}

/// Why a job is where it is, and what recovery would do with it now.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct JobExplanation {
    job_id: String,
    /// Where it stands.
    status: String,
    /// The moment that all of this is about.
    at: DateTime<Utc>,
    /// The policy in force.
    policy_hash: String,
    /// The whole in one sentence.
    summary: String,
    /// What would be decided now; absent for a job that recovery has nothing to decide about. A delay that is drawn by
    /// chance comes out differently each time.
    #[schema(nullable = false)]
    decision: Option<RecoveryDecision>,
    /// The rules that were tried, in order, up to the first that matched.
    rules: Vec<TriedRule>,
    /// The rules behind it.
    not_tried: Vec<String>,
    /// The budgets of the job under the rule that matched.
    budgets: Vec<JobBudget>,
    /// What that rule requires.
    requirements: Vec<TestedRequirement>,
    /// When recovery looks at the job next, at the latest.
    next_look: NextLook,
    /// What recovery last said of the job; absent when it never looked at it, or the history is pruned.
    #[schema(nullable = false)]
    on_record: Option<OnRecord>,
}

/// A rule that was tried.
#[derive(ToSchema)]
pub(crate) struct TriedRule {
    name: String,
    /// Whether all of its conditions hold.
    matched: bool,
    /// None = it matches every job.
    conditions: Vec<TestedCondition>,
}

/// A condition that was looked at.
#[derive(ToSchema)]
pub(crate) struct TestedCondition {
    /// Its key in policy files.
    key: String,
    /// What it asks for.
    expected: String,
    /// What was found.
    actual: String,
    holds: bool,
}

/// A requirement that was looked at.
#[derive(ToSchema)]
pub(crate) struct TestedRequirement {
    /// Its word in policy files.
    key: String,
    /// What was found.
    actual: String,
    holds: bool,
}

/// What a job may still cost.
#[derive(ToSchema)]
pub(crate) struct JobBudget {
    /// `lease_losses`, `attempts` or `recoveries`.
    kind: String,
    /// How much is used, the present loss included.
    used: u32,
    /// How much there is; from there on the job is quarantined.
    most: u32,
}

/// When recovery looks at a job next.
#[derive(ToSchema)]
pub(crate) struct NextLook {
    /// `null` = not by itself.
    at: Option<DateTime<Utc>>,
    /// Why then, or why not at all.
    why: String,
}

/// What recovery said of a job.
#[derive(ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct OnRecord {
    at: DateTime<Utc>,
    /// `not_recovered`, `recovered`, `reclaimed`, `quarantined` or `set_aside`.
    kind: String,
    run_id: String,
    #[schema(nullable = false)]
    rule: Option<String>,
    #[schema(nullable = false)]
    reason: Option<String>,
    #[schema(nullable = false)]
    policy_hash: Option<String>,
}
