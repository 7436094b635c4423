//! `POST /api/jobs/discovery`: starts discovery for an account.

use axum::extract::State;
use axum::http::StatusCode;
use reclaimer_domain::job::Priority;
use reclaimer_domain::name::{AccountId, QueueName};
use reclaimer_domain::ports::DiscoveryAnswer;
use reclaimer_provisioning::DiscoveryOptions;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::ToSchema;

use crate::code;
use crate::extract::{Body, Empty, Parameters};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::JobShape;
use crate::state::App;

#[derive(Debug, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct DiscoveryRequest {
    /// For whom.
    #[schema(value_type = String)]
    account_id: AccountId,
    /// The queue of a new job.
    #[schema(value_type = Option<String>)]
    queue: Option<QueueName>,
    /// The arguments of a new job.
    #[schema(value_type = Option<Object>)]
    payload: Option<Value>,
    /// The priority of a new job.
    #[schema(value_type = Option<i8>)]
    priority: Option<Priority>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct DiscoveryShape {
    /// `created`, `reset` (the last one is queued again), `live` (one waits or runs) or `fresh` (one finished lately).
    outcome: &'static str,
    /// The account's discovery job.
    job: Box<JobShape>,
}

/// Start discovery for an account
///
/// Nothing new when one finished within `discovery.fresh_for` or lives; otherwise the account's last discovery job is
/// queued again, or a new one created.
#[utoipa::path(post, path = "/api/jobs/discovery", tag = "producer", request_body = DiscoveryRequest, responses(
    (status = 201, description = "A new job", body = DiscoveryShape),
    (status = 200, description = "An existing job", body = DiscoveryShape),
    (status = 400, description = "The request is wrong", body = ProblemDocument),
    (status = 422, description = "There is no such account", body = ProblemDocument),
    (status = 503, description = "The store cannot; ask again", body = ProblemDocument),
))]
pub(crate) async fn discover(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
    Body(request): Body<DiscoveryRequest>,
) -> Result<(StatusCode, axum::Json<DiscoveryShape>), Problem> {
    let options = DiscoveryOptions {
        queue: request.queue.unwrap_or_default(),
        payload: request.payload,
        priority: request.priority.unwrap_or_default(),
    };
    let (status, outcome, job) = match app.provisioning.discover(request.account_id, options).await? {
        DiscoveryAnswer::Created(job) => (StatusCode::CREATED, "created", job),
        DiscoveryAnswer::Reset(job) => (StatusCode::OK, "reset", job),
        DiscoveryAnswer::Live(job) => (StatusCode::OK, "live", job),
        DiscoveryAnswer::Fresh(job) => (StatusCode::OK, "fresh", job),
        DiscoveryAnswer::UnknownAccount(account) => {
            let detail =
                format!("there is no account `{account}`; set it with PUT /api/admin/accounts/{account}");
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code::UNKNOWN_ACCOUNT, detail));
        }
        DiscoveryAnswer::Refused(refused) => return Err(refused.into()),
    };
    if matches!(outcome, "created" | "reset") {
        app.fleet.offer(job.id.clone(), job.queue.clone()).await;
    }
    Ok((status, axum::Json(DiscoveryShape { outcome, job: Box::new((*job).into()) })))
}
