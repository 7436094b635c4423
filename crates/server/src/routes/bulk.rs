//! `POST /api/admin/jobs/bulk`: one thing done to many jobs.

use axum::extract::State;
use reclaimer_domain::history::Actor;
use reclaimer_domain::job::{Counter, Counts, Reset, Status};
use reclaimer_domain::name::{AccountId, Command, QueueName, WorkerId};
use reclaimer_domain::ports::{self, AdminAction, Bulk, JobFilter};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};

use super::admin_jobs::chosen;
use crate::code;
use crate::extract::{Body, Empty, Parameters, object, some_text, statuses, whole};
use crate::problem::{Problem, ProblemDocument};
use crate::state::App;

/// Jobs of one request unless asked otherwise, and at most.
const DEFAULT: u32 = 100;
const MOST: i64 = 1_000;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct BulkRequest {
    /// Which jobs; all that is set must hold.
    #[serde(deserialize_with = "object")]
    filter: Filter,
    /// What is done to each.
    action: Action,
    /// At most so many, oldest first; 1 to 1,000.
    #[serde(default, deserialize_with = "whole::<_, _, 1, MOST>")]
    #[schema(minimum = 1, maximum = 1_000, default = 100)]
    limit: Option<u32>,
    /// For `retry` and `release`: the counters that begin again, as for one job.
    #[schema(value_type = Option<Vec<String>>, example = json!(["attempts", "lease_losses"]))]
    reset: Option<Vec<Counter>>,
    /// Only say what would be done.
    dry_run: Option<bool>,
}

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Filter {
    /// One state or several.
    #[serde(default, deserialize_with = "statuses")]
    #[schema(schema_with = one_or_many_statuses)]
    status: Vec<Status>,
    #[schema(value_type = Option<String>)]
    queue: Option<QueueName>,
    #[schema(value_type = Option<String>)]
    command: Option<Command>,
    #[schema(value_type = Option<String>)]
    account_id: Option<AccountId>,
    full_path: Option<String>,
    #[schema(value_type = Option<String>)]
    worker_id: Option<WorkerId>,
    /// With this in their id, command, path or error; ASCII letters in any case.
    #[serde(default, deserialize_with = "some_text")]
    text: Option<String>,
}

fn one_or_many_statuses() -> Schema {
    let one =
        || ObjectBuilder::new().schema_type(Type::String).enum_values(Some(Status::ALL.map(Status::as_str)));
    OneOfBuilder::new().item(one()).item(ArrayBuilder::new().items(one())).into()
}

#[derive(Debug, Clone, Copy, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
enum Action {
    Retry,
    Cancel,
    Pause,
    Resume,
    Release,
}

impl Action {
    fn admin(self, reset: Option<Vec<Counter>>) -> Result<AdminAction, Problem> {
        let action = match self {
            Self::Retry => return Ok(AdminAction::Retry(chosen(reset, Reset::ALL))),
            Self::Release => return Ok(AdminAction::Release(chosen(reset, Reset::RELEASE))),
            Self::Cancel => AdminAction::Cancel,
            Self::Pause => AdminAction::Pause,
            Self::Resume => AdminAction::Resume,
        };
        match reset {
            None => Ok(action),
            Some(_) => Err(Problem::bad_request(
                code::INVALID_REQUEST,
                "`reset`: only `retry` and `release` set counters back; leave it out",
            )),
        }
    }
}

/// What was done, or would be. A dry run and the real one answer the same, as long as nobody else changes the jobs.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkAnswer {
    action: Action,
    dry_run: bool,
    /// Jobs of the filter whose state allows it.
    eligible: u64,
    /// Jobs of the filter whose state forbids it.
    ineligible: u64,
    /// Why, by state.
    reasons: Vec<ReasonShape>,
    /// Jobs to which it was done.
    done: usize,
    /// Eligible jobs to which it could not be done all the same: their items say why.
    refused: usize,
    /// Whether eligible jobs were left because of the limit.
    more: bool,
    /// The eligible jobs that were looked at, oldest first.
    items: Vec<BulkItem>,
}

/// Why something cannot be done to the jobs of one state.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct ReasonShape {
    /// Their state.
    status: String,
    /// How many of them there are.
    count: u64,
    /// Whom it can be done to.
    reason: String,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkItem {
    id: String,
    eligible: bool,
    /// Why nothing is done to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
    /// The counters that begin again, and what each stood at.
    #[serde(skip_serializing_if = "Counts::is_empty")]
    #[schema(value_type = Option<Object>)]
    reset: Counts,
}

impl From<ports::BulkItem> for BulkItem {
    fn from(item: ports::BulkItem) -> Self {
        let (reason, reset) = match item.outcome {
            Ok(reset) => (None, reset),
            Err(refused) => (Some(refused.to_string()), Counts::new()),
        };
        Self { id: item.id, eligible: reason.is_none(), reason, reset }
    }
}

/// Do one thing to many jobs
///
/// Each on its own: what one job's state forbids stops no other. A dry run says what would be done.
#[utoipa::path(post, path = "/api/admin/jobs/bulk", tag = "admin", request_body = BulkRequest, responses(
    (status = 200, description = "How many jobs it is for, and what became of those looked at", body = BulkAnswer),
    (status = 400, description = "The request is wrong", body = ProblemDocument),
))]
pub(crate) async fn bulk(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
    Body(request): Body<BulkRequest>,
) -> Result<axum::Json<BulkAnswer>, Problem> {
    let limit = request.limit.unwrap_or(DEFAULT);
    let Filter { status, queue, command, account_id, full_path, worker_id, text } = request.filter;
    let dry_run = request.dry_run.unwrap_or(false);
    let answer = app
        .jobs
        .administer_many(Bulk {
            filter: JobFilter { status, queue, command, account_id, full_path, worker_id, text },
            action: request.action.admin(request.reset)?,
            limit,
            dry_run,
            actor: Actor::Admin,
            now: app.clock.now(),
        })
        .await?;
    let items: Vec<BulkItem> = answer.items.into_iter().map(BulkItem::from).collect();
    let refused = items.iter().filter(|item| !item.eligible).count();
    let reason =
        |they: ports::Ineligible| ReasonShape { status: they.status, count: they.count, reason: they.reason };
    Ok(axum::Json(BulkAnswer {
        action: request.action,
        dry_run,
        eligible: answer.eligible,
        ineligible: answer.ineligible.iter().map(|they| they.count).sum(),
        reasons: answer.ineligible.into_iter().map(reason).collect(),
        done: if dry_run { 0 } else { items.len() - refused },
        refused,
        more: answer.more,
        items,
    }))
}
