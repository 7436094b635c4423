//! Whether the process lives, whether it can serve, how it is doing, and what it counted.

use std::time::Duration;

use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use reclaimer_health::Health;
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

use crate::code;
use crate::extract::{Empty, Parameters};
use crate::problem::{Problem, ProblemDocument};
use crate::state::App;

/// A probe that takes longer has its answer.
const PATIENCE: Duration = Duration::from_secs(2);

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Status {
    /// `ok` or `ready`.
    status: &'static str,
}

/// Whether the process lives
#[utoipa::path(get, path = "/healthz", tag = "health", security(()), responses((status = 200, description = "It does", body = Status)))]
pub(crate) async fn healthz(Parameters(Empty {}): Parameters<Empty>) -> axum::Json<Status> {
    axum::Json(Status { status: "ok" })
}

/// Whether it can serve
///
/// Proves that the database can be written and has the right tables.
#[utoipa::path(get, path = "/readyz", tag = "health", security(()), responses(
    (status = 200, description = "It can", body = Status),
    (status = 503, description = "It cannot, and why", body = ProblemDocument),
))]
pub(crate) async fn readyz(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
) -> Result<axum::Json<Status>, Problem> {
    match tokio::time::timeout(PATIENCE, app.probe()).await {
        Ok(Ok(())) => Ok(axum::Json(Status { status: "ready" })),
        Ok(Err(error)) => {
            let problem = Problem::from(error);
            Err(Problem { status: StatusCode::SERVICE_UNAVAILABLE, ..problem })
        }
        Err(_) => {
            let detail = format!("the database did not take a write within {} seconds", PATIENCE.as_secs());
            Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, code::STORAGE_SLOW, detail))
        }
    }
}

/// How it is doing
///
/// Everything that can be well or not: database, links and their breakers, workers, processes, recovery, queues, and the
/// loops that must turn. A crawler that is away makes it `degraded`, which is 200 as well; only a server that can take in no
/// jobs is `down`. Observed at most once a second. Needs the admin token, unless `server.open_metrics` is set.
#[utoipa::path(get, path = "/api/health", tag = "health", responses(
    (status = 200, description = "It takes in jobs; `status` says whether somebody should look", body = Health),
    (status = 503, description = "It is down, and the same says why", body = Health),
))]
pub(crate) async fn health(State(app): State<App>, Parameters(Empty {}): Parameters<Empty>) -> Response {
    let health = app.health.health().await;
    let status = match health.status {
        reclaimer_health::Status::Ok | reclaimer_health::Status::Degraded => StatusCode::OK,
        reclaimer_health::Status::Down => StatusCode::SERVICE_UNAVAILABLE,
    };
    (status, axum::Json(&*health)).into_response()
}

/// What it counted
///
/// In the text format of Prometheus; docs/reference/metrics.md says what each metric means. What is looked at, like the number
/// of jobs, is looked at once a second at most. Needs the admin token, unless `server.open_metrics` is set.
#[utoipa::path(get, path = "/metrics", tag = "health", responses(
    (status = 200, description = "All metrics", body = String, content_type = "text/plain"),
))]
pub(crate) async fn metrics(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
) -> Result<Response, Problem> {
    let page = app.metrics.page().await.map_err(|error| {
        error!(area = "JOB-MANAGER", %error, "the metrics cannot be written");
        let detail = "the metrics cannot be written, which is a defect";
        Problem::new(StatusCode::INTERNAL_SERVER_ERROR, code::INTERNAL, detail)
    })?;
    Ok(([(header::CONTENT_TYPE, page.content_type)], page.text).into_response())
}
