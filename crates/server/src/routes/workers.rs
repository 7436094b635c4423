//! `/api/admin/workers` and `/api/admin/links`.

use axum::extract::State;
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::code;
use crate::extract::{Body, Empty, Id, MaybeBody, Parameters};
use crate::fleet::{BreakerOrder, FleetError, FleetView};
use crate::problem::{Problem, ProblemDocument};
use crate::state::App;

impl From<FleetError> for Problem {
    fn from(error: FleetError) -> Self {
        let (status, code) = match error {
            FleetError::UnknownWorker(_) => (StatusCode::NOT_FOUND, code::UNKNOWN_WORKER),
            FleetError::UnknownLink(_) => (StatusCode::NOT_FOUND, code::UNKNOWN_LINK),
            FleetError::NotSupervised(_) => (StatusCode::CONFLICT, code::NOT_SUPERVISED),
            FleetError::NoBreaker(_) => (StatusCode::CONFLICT, code::NO_BREAKER),
        };
        Self::new(status, code, error.to_string())
    }
}

/// List links, workers and processes
///
/// Links with their breakers, the workers connected to them, and the supervised processes. Workers that call over HTTP
/// are not connected to anything, and are seen by the jobs they hold.
#[utoipa::path(get, path = "/api/admin/workers", tag = "admin", responses(
    (status = 200, description = "All of them", body = FleetView),
))]
pub(crate) async fn list(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
) -> axum::Json<FleetView> {
    axum::Json(app.fleet.view())
}

/// What was done to a worker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkerPaused {
    worker: String,
    paused: bool,
}

fn set(app: &App, worker: String, paused: bool) -> Result<axum::Json<WorkerPaused>, Problem> {
    app.fleet.set_paused(&worker, paused)?;
    Ok(axum::Json(WorkerPaused { worker, paused }))
}

/// Give a worker no more jobs
///
/// What it holds it may finish. It is told so where its link can say it, and stays paused when it connects anew; a restart
/// of the server forgets it.
#[utoipa::path(post, path = "/api/admin/workers/{worker}/pause", tag = "admin",
    params(("worker" = String, Path, description = "The worker, or its process")),
    request_body(content = Option<Empty>, description = "Nothing, or an empty object"), responses(
    (status = 200, description = "It is paused", body = WorkerPaused),
    (status = 404, description = "There is no such worker", body = ProblemDocument),
))]
pub(crate) async fn pause(
    State(app): State<App>,
    Id(worker): Id<String>,
    Parameters(Empty {}): Parameters<Empty>,
    MaybeBody(Empty {}): MaybeBody<Empty>,
) -> Result<axum::Json<WorkerPaused>, Problem> {
    set(&app, worker, true)
}

/// Give a worker jobs again
#[utoipa::path(post, path = "/api/admin/workers/{worker}/resume", tag = "admin",
    params(("worker" = String, Path, description = "The worker, or its process")),
    request_body(content = Option<Empty>, description = "Nothing, or an empty object"), responses(
    (status = 200, description = "It is not paused", body = WorkerPaused),
    (status = 404, description = "There is no such worker", body = ProblemDocument),
))]
pub(crate) async fn resume(
    State(app): State<App>,
    Id(worker): Id<String>,
    Parameters(Empty {}): Parameters<Empty>,
    MaybeBody(Empty {}): MaybeBody<Empty>,
) -> Result<axum::Json<WorkerPaused>, Problem> {
    set(&app, worker, false)
}

/// What was ordered for a worker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct WorkerRestarts {
    worker: String,
    restarts: bool,
}

/// Start a supervised worker afresh
///
/// What runs is asked to finish first; what was given up runs again.
#[utoipa::path(post, path = "/api/admin/workers/{worker}/restart", tag = "admin",
    params(("worker" = String, Path, description = "The worker of the configuration, or one of its processes")),
    request_body(content = Option<Empty>, description = "Nothing, or an empty object"), responses(
    (status = 202, description = "It is ordered", body = WorkerRestarts),
    (status = 404, description = "There is no such worker", body = ProblemDocument),
    (status = 409, description = "Nobody here supervises it", body = ProblemDocument),
))]
pub(crate) async fn restart(
    State(app): State<App>,
    Id(worker): Id<String>,
    Parameters(Empty {}): Parameters<Empty>,
    MaybeBody(Empty {}): MaybeBody<Empty>,
) -> Result<(StatusCode, axum::Json<WorkerRestarts>), Problem> {
    app.fleet.restart(&worker)?;
    Ok((StatusCode::ACCEPTED, axum::Json(WorkerRestarts { worker, restarts: true })))
}

/// What to do with a breaker.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct BreakerRequest {
    /// `reset`: close, and forget all that was counted; `forced_open`: refuse everything, and cut the connection there
    /// is; `auto`: take a force away.
    state: BreakerOrder,
}

/// What was done to a breaker.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct BreakerSet {
    link: String,
    state: BreakerOrder,
}

/// Reset or force a link's breaker
#[utoipa::path(post, path = "/api/admin/links/{link}/breaker", tag = "admin",
    params(("link" = String, Path, description = "The link")), request_body = BreakerRequest, responses(
    (status = 200, description = "It is done", body = BreakerSet),
    (status = 400, description = "The state is none", body = ProblemDocument),
    (status = 404, description = "There is no such link", body = ProblemDocument),
    (status = 409, description = "Workers connect to it by themselves; it has no breaker", body = ProblemDocument),
))]
pub(crate) async fn breaker(
    State(app): State<App>,
    Id(link): Id<String>,
    Parameters(Empty {}): Parameters<Empty>,
    Body(BreakerRequest { state }): Body<BreakerRequest>,
) -> Result<axum::Json<BreakerSet>, Problem> {
    app.fleet.order(&link, state)?;
    Ok(axum::Json(BreakerSet { link, state }))
}
