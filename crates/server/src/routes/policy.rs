//! `/api/admin/policy`, and what the policy says of one job.

use axum::extract::State;
use axum::http::StatusCode;
use reclaimer_domain::id::JobId;
use reclaimer_domain::ports::{BrokenRow, Refused};
use reclaimer_policy::Explanation;
use reclaimer_recovery::Explained;

use crate::code;
use crate::described::JobExplanation;
use crate::extract::{Empty, Id, MaybeBody, Parameters};
use crate::policy::{PolicyView, ReloadError};
use crate::problem::{Problem, ProblemDocument};
use crate::state::App;

impl From<ReloadError> for Problem {
    fn from(error: ReloadError) -> Self {
        let (status, code) = match error {
            ReloadError::NoFile => (StatusCode::CONFLICT, code::NO_POLICY_FILE),
            ReloadError::Refused { .. } => (StatusCode::UNPROCESSABLE_ENTITY, code::POLICY_REFUSED),
        };
        Self::new(status, code, error.to_string())
    }
}

/// Show the recovery policy in force
#[utoipa::path(get, path = "/api/admin/policy", tag = "admin", responses(
    (status = 200, description = "The policy, and whether its file was last refused", body = PolicyView),
))]
pub(crate) async fn show(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
) -> axum::Json<PolicyView> {
    axum::Json(app.policy.view())
}

/// Read the policy file anew
///
/// The next cycle of recovery decides by it; one that runs ends by the policy it began with. A file that cannot be used
/// changes nothing.
#[utoipa::path(post, path = "/api/admin/policy/reload", tag = "admin",
    request_body(content = Option<Empty>, description = "Nothing, or an empty object"), responses(
    (status = 200, description = "The policy that is in force now", body = PolicyView),
    (status = 409, description = "No policy file is configured", body = ProblemDocument),
    (status = 422, description = "The file cannot be used; `detail` names lines and reasons, and the policy before it stays in force", body = ProblemDocument),
))]
pub(crate) async fn reload(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
    MaybeBody(Empty {}): MaybeBody<Empty>,
) -> Result<axum::Json<PolicyView>, Problem> {
    Ok(axum::Json(app.policy.reload().await?))
}

/// Explain a job
///
/// Why it is where it is, which rules were tried, which condition of each held and what was found, what recovery would
/// decide about it now, when it looks at it next, and what it last said of it.
#[utoipa::path(get, path = "/api/admin/jobs/{id}/explain", tag = "admin", params(("id" = String, Path, description = "The job")), responses(
    (status = 200, description = "The policy's reasoning, now", body = JobExplanation),
    (status = 404, description = "There is no such job", body = ProblemDocument),
    (status = 409, description = "The job's row cannot be read", body = ProblemDocument),
))]
pub(crate) async fn explain(
    State(app): State<App>,
    Id(id): Id<JobId>,
    Parameters(Empty {}): Parameters<Empty>,
) -> Result<axum::Json<Explanation>, Problem> {
    match app.recovery.explain(&id).await? {
        Some(Explained::Whole(explanation)) => Ok(axum::Json(*explanation)),
        Some(Explained::Broken(BrokenRow { id, reason, .. })) => Err(Refused::Broken { id, reason }.into()),
        None => Err(Refused::NoSuchJob(id).into()),
    }
}
