//! `/api/admin/jobs/recovery/runs`: past recovery runs, and undoing one.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::RunId;
use reclaimer_domain::recovery::{DecisionCount, RunRecord};
use reclaimer_domain::time::{millis, millis_option};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::paging::{self, PageParameters};
use crate::code;
use crate::described::{RecoveryCount, RecoveryRun};
use crate::extract::{Empty, Id, MaybeBody, Parameters};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::ListShape;
use crate::state::App;

/// A past recovery run, without its single decisions.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RunShape {
    run_id: String,
    /// `failed`, `stuck` or `comprehensive`.
    r#type: &'static str,
    /// `startup`, `periodic`, `manual` or `lease_watch`.
    trigger: &'static str,
    #[serde(with = "millis")]
    started_at: DateTime<Utc>,
    /// Null while it runs, or when its server died with it.
    #[serde(with = "millis_option")]
    finished_at: Option<DateTime<Utc>>,
    /// The policy that decided.
    policy_hash: Option<String>,
    /// One line for people.
    message: Option<String>,
    /// How many jobs were decided about alike, by action, rule and reason, most first.
    #[schema(value_type = Vec<RecoveryCount>)]
    counts: Vec<DecisionCount>,
}

impl From<RunRecord> for RunShape {
    fn from(run: RunRecord) -> Self {
        let policy_hash = run.report.as_ref().and_then(|report| report.result.policy_hash.as_ref());
        let policy_hash = policy_hash.map(ToString::to_string);
        let (message, counts) = run.report.map(|report| (report.message, report.result.counts())).unzip();
        Self {
            run_id: run.run_id.to_string(),
            r#type: run.kind.as_str(),
            trigger: run.trigger.as_str(),
            started_at: run.started_at,
            finished_at: run.finished_at,
            policy_hash,
            message,
            counts: counts.unwrap_or_default(),
        }
    }
}

fn unknown(run: &RunId) -> Problem {
    Problem::new(StatusCode::NOT_FOUND, code::UNKNOWN_RUN, format!("there is no recovery run `{run}`"))
}

/// List recovery runs
///
/// Newest first. Looks for expired leases that found nothing to look at are not kept.
#[utoipa::path(get, path = "/api/admin/jobs/recovery/runs", tag = "admin", params(PageParameters), responses(
    (status = 200, description = "A part of the list", body = ListShape<RunShape>),
))]
pub(crate) async fn list(
    State(app): State<App>,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<axum::Json<ListShape<RunShape>>, Problem> {
    let (limit, cursor) = parameters.read()?;
    let page = app.recovery.runs(cursor, limit).await?;
    Ok(axum::Json(ListShape {
        items: page.items.into_iter().map(Into::into).collect(),
        next_cursor: page.next.map(paging::cursor_of),
    }))
}

/// Read a recovery run
///
/// With every decision.
#[utoipa::path(get, path = "/api/admin/jobs/recovery/runs/{run}", tag = "admin",
    params(("run" = String, Path, description = "The run")), responses(
    (status = 200, description = "The run and its report", body = RecoveryRun),
    (status = 404, description = "There is no such run", body = ProblemDocument),
))]
pub(crate) async fn show(
    State(app): State<App>,
    Id(id): Id<RunId>,
    Parameters(Empty {}): Parameters<Empty>,
) -> Result<axum::Json<RunRecord>, Problem> {
    app.recovery.run(&id).await?.map(axum::Json).ok_or_else(|| unknown(&id))
}

#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct UndoRequest {
    /// Only say what would be put back.
    dry_run: Option<bool>,
}

/// What became of an order to undo a run.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct UndoneShape {
    run_id: String,
    /// Whether nothing was changed, by request.
    dry_run: bool,
    /// The jobs that are as they were before the run.
    undone: Vec<PutBack>,
    /// The others, which are left alone.
    left: Vec<LeftAlone>,
}

/// A job that is as it was before.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct PutBack {
    job_id: String,
    /// `failed` or `running`.
    status: &'static str,
}

/// A job that has moved on.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LeftAlone {
    job_id: String,
    /// Why, in one sentence.
    reason: String,
}

/// Undo a recovery run
///
/// Puts back each job that the run changed and that nobody started or changed since: state, priority, counters, progress,
/// moments, lease. The rest are named with the reason. A failed job then rests for an hour before recovery looks at it
/// again; a running one has its lease back for `recovery.reclaim_grace`.
#[utoipa::path(post, path = "/api/admin/jobs/recovery/runs/{run}/undo", tag = "admin",
    params(("run" = String, Path, description = "The run")), request_body(content = Option<UndoRequest>), responses(
    (status = 200, description = "What was put back, and what was not", body = UndoneShape),
    (status = 404, description = "There is no such run", body = ProblemDocument),
))]
pub(crate) async fn undo(
    State(app): State<App>,
    Id(id): Id<RunId>,
    Parameters(Empty {}): Parameters<Empty>,
    MaybeBody(request): MaybeBody<UndoRequest>,
) -> Result<axum::Json<UndoneShape>, Problem> {
    let dry_run = request.dry_run.unwrap_or(false);
    let undone = app.recovery.undo(id.clone(), dry_run, Actor::Admin).await?.ok_or_else(|| unknown(&id))?;
    let put_back = undone.undone.into_iter();
    let left = undone.left.into_iter();
    Ok(axum::Json(UndoneShape {
        run_id: id.to_string(),
        dry_run,
        undone: put_back
            .map(|(job, status)| PutBack { job_id: job.to_string(), status: status.as_str() })
            .collect(),
        left: left.map(|(job, why)| LeftAlone { job_id: job.to_string(), reason: why.to_string() }).collect(),
    }))
}
