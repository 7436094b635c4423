//! `POST /api/admin/jobs/bulk`: one thing done to many jobs.

use axum::extract::State;
use reclaimer_domain::history::Actor;
use reclaimer_domain::job::Status;
use reclaimer_domain::name::{AccountId, Command, QueueName, WorkerId};
use reclaimer_domain::ports::{AdminAction, Bulk, JobFilter};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use utoipa::openapi::{ArrayBuilder, ObjectBuilder, OneOfBuilder, Schema, Type};

use crate::extract::{Body, Empty, Parameters, object, statuses, whole};
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

impl From<Action> for AdminAction {
    fn from(action: Action) -> Self {
        match action {
            Action::Retry => Self::Retry,
            Action::Cancel => Self::Cancel,
            Action::Pause => Self::Pause,
            Action::Resume => Self::Resume,
            Action::Release => Self::Release,
        }
    }
}

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct BulkAnswer {
    action: Action,
    dry_run: bool,
    /// Jobs to which it can be done.
    eligible: usize,
    /// Jobs to which it was done.
    done: usize,
    /// Jobs whose state forbids it.
    ineligible: usize,
    /// Whether the filter has more jobs than the limit.
    more: bool,
    items: Vec<BulkItem>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BulkItem {
    id: String,
    eligible: bool,
    /// Why nothing is done to it.
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<String>,
}

/// Do one thing to many jobs
///
/// Each on its own: what one job's state forbids stops no other. A dry run says what would be done.
#[utoipa::path(post, path = "/api/admin/jobs/bulk", tag = "admin", request_body = BulkRequest, responses(
    (status = 200, description = "What became of each", body = BulkAnswer),
    (status = 400, description = "The request is wrong", body = ProblemDocument),
))]
pub(crate) async fn bulk(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
    Body(request): Body<BulkRequest>,
) -> Result<axum::Json<BulkAnswer>, Problem> {
    let limit = request.limit.unwrap_or(DEFAULT);
    let Filter { status, queue, command, account_id, full_path, worker_id } = request.filter;
    let dry_run = request.dry_run.unwrap_or(false);
    let answer = app
        .jobs
        .administer_many(Bulk {
            filter: JobFilter { status, queue, command, account_id, full_path, worker_id },
            action: request.action.into(),
            limit,
            dry_run,
            actor: Actor::Admin,
            now: app.clock.now(),
        })
        .await?;
    let items: Vec<BulkItem> = answer
        .items
        .into_iter()
        .map(|item| BulkItem {
            id: item.id,
            eligible: item.refused.is_none(),
            reason: item.refused.map(|refused| refused.to_string()),
        })
        .collect();
    let eligible = items.iter().filter(|item| item.eligible).count();
    Ok(axum::Json(BulkAnswer {
        action: request.action,
        dry_run,
        eligible,
        done: if dry_run { 0 } else { eligible },
        ineligible: items.len() - eligible,
        more: answer.more,
        items,
    }))
}
