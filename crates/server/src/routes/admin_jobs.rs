//! What a person can do to one job.

use axum::extract::State;
use axum::http::StatusCode;
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::ports::{AdminAction, Applied};

use crate::extract::{Empty, Id, MaybeBody, Parameters};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::JobShape;
use crate::state::App;

async fn administer(app: App, id: JobId, action: AdminAction) -> Result<axum::Json<JobShape>, Problem> {
    match app.jobs.administer(id, action, Actor::Admin, app.clock.now()).await? {
        Applied::Done(job) => Ok(axum::Json((*job).into())),
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
            administer(app, id, AdminAction::$action).await
        }
    };
}

action!(
    retry,
    Retry,
    "/api/admin/jobs/{id}/retry",
    "Queue a failed job again",
    "At once; its counters of attempts, recoveries and lost leases start anew, and its event says what they were."
);
action!(
    cancel,
    Cancel,
    "/api/admin/jobs/{id}/cancel",
    "Give a job up",
    "A running one is taken from its holder, who learns of it at its next sign of life."
);
action!(pause, Pause, "/api/admin/jobs/{id}/pause", "Keep a queued job from being taken", "");
action!(resume, Resume, "/api/admin/jobs/{id}/resume", "Let a paused job go on", "");
action!(
    release,
    Release,
    "/api/admin/jobs/{id}/release",
    "Let a quarantined job run again",
    "At once; its counters of attempts, recoveries and lost leases start anew, and its event says what they were."
);

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
    let action = AdminAction::Rerun(app.provisioning.new_job_id());
    Ok((StatusCode::CREATED, administer(app, id, action).await?))
}
