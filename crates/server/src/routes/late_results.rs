//! Results that came after their worker had lost the job: reading them, and accepting one.

use axum::extract::State;
use chrono::{DateTime, Utc};
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::LateResult;
use reclaimer_domain::job::report::Outcome;
use reclaimer_domain::ports::{Applied, Refused};
use reclaimer_domain::time::{millis, millis_option};
use serde::Serialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::extract::{Empty, Id, Ids, MaybeBody, Parameters};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::{JobShape, ListShape};
use crate::state::App;

/// A result that came after its worker had lost the job.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct LateResultShape {
    /// Its number among the late results of its job, from 1.
    number: u32,
    /// When it came.
    #[serde(with = "millis")]
    at: DateTime<Utc>,
    worker_id: String,
    /// The lease under which it was sent, as the history names leases.
    lease: String,
    /// What it is and how late it came, in one sentence.
    summary: String,
    /// `completed` or `failed`.
    outcome: &'static str,
    /// Of a failure: what went wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
    /// What would be merged into the job's progress.
    #[schema(value_type = Object)]
    progress: Value,
    /// How many areas it found.
    areas: usize,
    /// When it was accepted, if it was.
    #[serde(with = "millis_option")]
    accepted_at: Option<DateTime<Utc>>,
}

impl From<LateResult> for LateResultShape {
    fn from(late: LateResult) -> Self {
        let outcome = late.report.outcome.as_str();
        Self {
            number: late.number,
            at: late.at,
            worker_id: late.worker.to_string(),
            lease: late.lease,
            summary: late.summary,
            outcome,
            error: match late.report.outcome {
                Outcome::Failed(failure) => Some(failure.error),
                Outcome::Completed | Outcome::Progress | Outcome::Paused => None,
            },
            progress: Value::Object(late.report.said),
            areas: late.report.areas.len(),
            accepted_at: late.accepted_at,
        }
    }
}

/// Read a job's late results
///
/// What workers reported as its end after they had lost it, in the order in which it came: the first five. They change
/// nothing until one is accepted.
#[utoipa::path(get, path = "/api/jobs/{id}/late-results", tag = "producer",
    params(("id" = String, Path, description = "The job")), responses(
    (status = 200, description = "Its late results", body = ListShape<LateResultShape>),
    (status = 404, description = "There is no such job", body = ProblemDocument),
))]
pub(crate) async fn list(
    State(app): State<App>,
    Id(id): Id<JobId>,
    Parameters(Empty {}): Parameters<Empty>,
) -> Result<axum::Json<ListShape<LateResultShape>>, Problem> {
    let late = app.jobs.late_results(&id).await?.ok_or(Refused::NoSuchJob(id))?;
    Ok(axum::Json(ListShape { items: late.into_iter().map(Into::into).collect(), next_cursor: None }))
}

/// Accept a late result
///
/// Instead of running the job again, while it is queued or quarantined: it ends as that worker reported, and what the
/// worker found is recorded.
#[utoipa::path(post, path = "/api/admin/jobs/{id}/late-results/{number}/accept", tag = "admin",
    params(("id" = String, Path, description = "The job"), ("number" = u32, Path, description = "Which of its late results")),
    request_body(content = Option<Empty>, description = "Nothing, or an empty object"), responses(
    (status = 200, description = "The job as it is now", body = JobShape),
    (status = 404, description = "There is no such job, or it has no such late result", body = ProblemDocument),
    (status = 409, description = "The job's state forbids it, or the result was accepted already", body = ProblemDocument),
))]
pub(crate) async fn accept(
    State(app): State<App>,
    Ids(id, number): Ids<JobId, u32>,
    Parameters(Empty {}): Parameters<Empty>,
    MaybeBody(Empty {}): MaybeBody<Empty>,
) -> Result<axum::Json<JobShape>, Problem> {
    match app.provisioning.accept_late(id, number, Actor::Admin).await? {
        Applied::Done(job) => Ok(axum::Json((*job).into())),
        Applied::Refused(refused) => Err(refused.into()),
    }
}
