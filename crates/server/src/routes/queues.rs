//! `/api/admin/queues`.

use std::collections::BTreeMap;

use axum::extract::State;
use chrono::{DateTime, Utc};
use reclaimer_domain::name::QueueName;
use reclaimer_domain::time::millis_option;
use serde::Serialize;
use utoipa::ToSchema;

use crate::extract::{Empty, Id, MaybeBody, Parameters};
use crate::problem::{Problem, ProblemDocument};
use crate::state::App;

/// Every queue there is.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueList {
    items: Vec<QueueShape>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueueShape {
    name: String,
    paused: bool,
    /// How many jobs it has in each state that occurs.
    jobs: BTreeMap<&'static str, u64>,
    /// Since when, or from when on, the job waits that waits longest.
    #[serde(with = "millis_option")]
    oldest_queued: Option<DateTime<Utc>>,
}

/// List queues
#[utoipa::path(get, path = "/api/admin/queues", tag = "admin", responses(
    (status = 200, description = "Every queue that has jobs or was paused", body = QueueList),
))]
pub(crate) async fn list(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
) -> Result<axum::Json<QueueList>, Problem> {
    let queues = app.jobs.queues().await?;
    let items = queues.into_iter().map(|queue| QueueShape {
        name: queue.name.to_string(),
        paused: queue.paused,
        jobs: queue.jobs.into_iter().map(|(status, count)| (status.as_str(), count)).collect(),
        oldest_queued: queue.oldest_queued,
    });
    Ok(axum::Json(QueueList { items: items.collect() }))
}

/// What was done to a queue.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct QueuePaused {
    name: String,
    paused: bool,
}

async fn set(app: App, queue: QueueName, paused: bool) -> Result<axum::Json<QueuePaused>, Problem> {
    app.jobs.pause_queue(queue.clone(), paused, app.clock.now()).await?;
    Ok(axum::Json(QueuePaused { name: queue.to_string(), paused }))
}

/// Stop handing out a queue's jobs
#[utoipa::path(post, path = "/api/admin/queues/{queue}/pause", tag = "admin",
    params(("queue" = String, Path, description = "The queue")),
    request_body(content = Option<Empty>, description = "Nothing, or an empty object"), responses(
    (status = 200, description = "It is paused", body = QueuePaused),
    (status = 400, description = "The name is none", body = ProblemDocument),
))]
pub(crate) async fn pause(
    State(app): State<App>,
    Id(queue): Id<QueueName>,
    Parameters(Empty {}): Parameters<Empty>,
    MaybeBody(Empty {}): MaybeBody<Empty>,
) -> Result<axum::Json<QueuePaused>, Problem> {
    set(app, queue, true).await
}

/// Hand out a queue's jobs again
#[utoipa::path(post, path = "/api/admin/queues/{queue}/resume", tag = "admin",
    params(("queue" = String, Path, description = "The queue")),
    request_body(content = Option<Empty>, description = "Nothing, or an empty object"), responses(
    (status = 200, description = "It is not paused", body = QueuePaused),
    (status = 400, description = "The name is none", body = ProblemDocument),
))]
pub(crate) async fn resume(
    State(app): State<App>,
    Id(queue): Id<QueueName>,
    Parameters(Empty {}): Parameters<Empty>,
    MaybeBody(Empty {}): MaybeBody<Empty>,
) -> Result<axum::Json<QueuePaused>, Problem> {
    set(app, queue, false).await
}
