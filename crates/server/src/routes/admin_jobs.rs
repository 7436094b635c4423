//! What a person can do to one job.

use axum::extract::State;
use axum::http::StatusCode;
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{Counter, Counts, Reset};
use reclaimer_domain::ports::{AdminAction, Administered, Applied};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::extract::{Empty, Id, MaybeBody, Parameters};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::JobShape;
use crate::state::App;

async fn administer(app: &App, id: JobId, action: AdminAction) -> Result<Administered, Problem> {
    match app.jobs.administer(id, action, Actor::Admin, app.clock.now()).await? {
        Applied::Done(done) => Ok(done),
        Applied::Refused(refused) => Err(refused.into()),
    }
}

/// Declares the handler of an action that answers with the changed job.
macro_rules! action {
    ($name:ident, $action:ident, $path:literal, $summary:literal, $description:literal) => {
        #[doc = $summary]
        #[doc = ""]
        #[doc = $description]
        #[utoipa::path(post, path = $path, tag = "admin", params(("id" = String, Path, description = "The job")),
            request_body(content = Option<Empty>, description = "Nothing, or an empty object"), responses(
            (status = 200, description = "The job as it is now", body = JobShape),
            (status = 404, description = "There is no such job", body = ProblemDocument),
            (status = 409, description = "Its state forbids it", body = ProblemDocument),
        ))]
        pub(crate) async fn $name(
            State(app): State<App>,
            Id(id): Id<JobId>,
            Parameters(Empty {}): Parameters<Empty>,
            MaybeBody(Empty {}): MaybeBody<Empty>,
        ) -> Result<axum::Json<JobShape>, Problem> {
            let done = administer(&app, id, AdminAction::$action).await?;
            Ok(axum::Json((*done.job).into()))
        }
    };
}

/// Which counters begin again.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct ResetRequest {
    /// The counters that begin again: `attempts`, `lease_losses`, `recoveries`; an empty list keeps all of them.
    #[schema(value_type = Option<Vec<String>>, example = json!(["attempts", "lease_losses"]))]
    reset: Option<Vec<Counter>>,
}

/// A job that was queued again by hand.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct RequeuedShape {
    #[serde(flatten)]
    job: JobShape,
    /// The counters that began again, and what each stood at.
    #[schema(value_type = Object, example = json!({"attempts": 5, "lease_losses": 0}))]
    reset: Counts,
}

impl From<Administered> for RequeuedShape {
    fn from(done: Administered) -> Self {
        Self { job: (*done.job).into(), reset: done.reset }
    }
}

/// What was asked for, or the default of the action.
pub(super) fn chosen(reset: Option<Vec<Counter>>, default: Reset) -> Reset {
    reset.map_or(default, |counters| counters.into_iter().collect())
}

/// Queue a failed job again
///
/// At once. Unless `reset` names others, its counters of attempts, lost leases and recoveries all begin again; the answer
/// and its event say what they stood at.
#[utoipa::path(post, path = "/api/admin/jobs/{id}/retry", tag = "admin", params(("id" = String, Path, description = "The job")),
    request_body(content = Option<ResetRequest>), responses(
    (status = 200, description = "The job as it is now", body = RequeuedShape),
    (status = 404, description = "There is no such job", body = ProblemDocument),
    (status = 409, description = "Its state forbids it", body = ProblemDocument),
))]
pub(crate) async fn retry(
    State(app): State<App>,
    Id(id): Id<JobId>,
    Parameters(Empty {}): Parameters<Empty>,
    MaybeBody(request): MaybeBody<ResetRequest>,
) -> Result<axum::Json<RequeuedShape>, Problem> {
    let action = AdminAction::Retry(chosen(request.reset, Reset::ALL));
    Ok(axum::Json(administer(&app, id, action).await?.into()))
}

/// Let a quarantined job run again
///
/// At once. Unless `reset` names others, its counters of lost leases and recoveries begin again, and its attempts do not:
/// a job whose attempts are used up gets one more. The answer and its event say what the counters stood at.
#[utoipa::path(post, path = "/api/admin/jobs/{id}/release", tag = "admin", params(("id" = String, Path, description = "The job")),
    request_body(content = Option<ResetRequest>), responses(
    (status = 200, description = "The job as it is now", body = RequeuedShape),
    (status = 404, description = "There is no such job", body = ProblemDocument),
    (status = 409, description = "Its state forbids it", body = ProblemDocument),
))]
pub(crate) async fn release(
    State(app): State<App>,
    Id(id): Id<JobId>,
    Parameters(Empty {}): Parameters<Empty>,
    MaybeBody(request): MaybeBody<ResetRequest>,
) -> Result<axum::Json<RequeuedShape>, Problem> {
    let action = AdminAction::Release(chosen(request.reset, Reset::RELEASE));
    Ok(axum::Json(administer(&app, id, action).await?.into()))
}

action!(
    cancel,
    Cancel,
    "/api/admin/jobs/{id}/cancel",
    "Give a job up",
    "A running one is taken from its holder, who learns of it at its next sign of life."
);
action!(pause, Pause, "/api/admin/jobs/{id}/pause", "Keep a queued job from being taken", "");
action!(resume, Resume, "/api/admin/jobs/{id}/resume", "Let a paused job go on", "");

/// Run a finished or cancelled job again
///
/// Creates a new job like it, which is spawned from it.
#[utoipa::path(post, path = "/api/admin/jobs/{id}/rerun", tag = "admin", params(("id" = String, Path, description = "The job")),
    request_body(content = Option<Empty>, description = "Nothing, or an empty object"), responses(
    (status = 201, description = "The new job", body = JobShape),
    (status = 404, description = "There is no such job", body = ProblemDocument),
    (status = 409, description = "It is not finished or cancelled, or a live job has its unique key", body = ProblemDocument),
))]
pub(crate) async fn rerun(
    State(app): State<App>,
    Id(id): Id<JobId>,
    Parameters(Empty {}): Parameters<Empty>,
    MaybeBody(Empty {}): MaybeBody<Empty>,
) -> Result<(StatusCode, axum::Json<JobShape>), Problem> {
    match app.jobs.rerun(id, app.provisioning.new_job_id(), Actor::Admin, app.clock.now()).await? {
        Applied::Done(job) => Ok((StatusCode::CREATED, axum::Json((*job).into()))),
        Applied::Refused(refused) => Err(refused.into()),
    }
}
