//! `/api/admin/jobs/recovery`: what recovery does, and a run on demand.

use axum::extract::State;
use axum::http::{HeaderValue, StatusCode, header};
use reclaimer_domain::recovery::{RecoveryType, RunRecord, RunReport};
use reclaimer_domain::time::between;
use reclaimer_recovery::{RecoverError, Schedule};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::code;
use crate::described::{RecoveryReport, RecoveryRun, RecoverySchedule};
use crate::extract::{Empty, MaybeBody, Parameters};
use crate::problem::{Problem, ProblemDocument};
use crate::state::App;

/// How many past runs are shown.
const RUNS: u32 = 20;

#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Overview {
    /// What a run can look at.
    types: Vec<TypeShape>,
    /// When runs happen by themselves.
    #[schema(value_type = RecoverySchedule)]
    schedule: Schedule,
    /// The latest runs with their reports, newest first.
    #[schema(value_type = Vec<RecoveryRun>)]
    last_runs: Vec<RunRecord>,
}

#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct TypeShape {
    r#type: &'static str,
    description: &'static str,
}

/// What recovery does
#[utoipa::path(get, path = "/api/admin/jobs/recovery", tag = "admin", responses(
    (status = 200, description = "The types of recovery, the schedule, the last runs", body = Overview),
))]
pub(crate) async fn overview(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
) -> Result<axum::Json<Overview>, Problem> {
    let kind = |kind: RecoveryType| TypeShape { r#type: kind.as_str(), description: kind.description() };
    Ok(axum::Json(Overview {
        types: RecoveryType::ALL.map(kind).into(),
        schedule: app.recovery.schedule(),
        last_runs: app.recovery.runs(None, RUNS).await?.items,
    }))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct RecoveryRequest {
    /// `failed`, `stuck` or `comprehensive`.
    #[schema(value_type = Option<String>, default = "comprehensive")]
    r#type: Option<RecoveryType>,
    /// Only say what would be done.
    dry_run: Option<bool>,
}

/// Run recovery now
///
/// Answers the report of one cycle; where that leaves work, the next follow by themselves. A dry run decides the same and
/// changes nothing.
#[utoipa::path(post, path = "/api/admin/jobs/recovery", tag = "admin", request_body(content = Option<RecoveryRequest>), responses(
    (status = 200, description = "The report", body = RecoveryReport),
    (status = 400, description = "There is no such type", body = ProblemDocument),
    (status = 409, description = "A cycle runs already; `Retry-After` says when to ask again", body = ProblemDocument),
    (status = 503, description = "The store cannot; ask again", body = ProblemDocument),
))]
pub(crate) async fn recover(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
    MaybeBody(request): MaybeBody<RecoveryRequest>,
) -> Result<axum::Json<RunReport>, Problem> {
    let kind = request.r#type.unwrap_or(RecoveryType::Comprehensive);
    match app.recovery.recover(kind, request.dry_run.unwrap_or(false)).await {
        Ok(report) => Ok(axum::Json(report)),
        Err(RecoverError::Running(running)) => {
            let wait = between(app.clock.now(), running.until).as_secs().max(1);
            Err(Problem::new(StatusCode::CONFLICT, code::RECOVERY_RUNNING, running.to_string())
                .with(header::RETRY_AFTER, HeaderValue::from(wait)))
        }
        Err(RecoverError::Store(error)) => Err(error.into()),
        Err(other) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, "shutting_down", other.to_string())),
    }
}
