//! Signs of life, and leases given back. What names leases here has no `Debug` that could show them.

use std::time::Duration;

use axum::extract::State;
use chrono::{DateTime, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::name::WorkerId;
use reclaimer_domain::time::millis;
use serde::{Deserialize, Serialize};
use tracing::debug;
use utoipa::ToSchema;

use crate::code;
use crate::extract::{Body, Empty, Parameters, whole};
use crate::problem::{Problem, ProblemDocument};
use crate::state::App;

/// The most leases of one request.
const MOST: usize = 1_000;
/// The longest delay, in seconds: a day.
const LONGEST_DELAY: i64 = 86_400;

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Heartbeat {
    /// Who lives; for the log, it proves nothing.
    #[schema(value_type = Option<String>)]
    worker_id: Option<WorkerId>,
    /// The tokens of the leases to renew.
    leases: Vec<String>,
}

#[derive(Deserialize, ToSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct GivenBack {
    /// Who gives them back; for the log, it proves nothing.
    #[schema(value_type = Option<String>)]
    worker_id: Option<WorkerId>,
    /// The tokens of the leases.
    leases: Vec<String>,
    /// Why, for the history.
    reason: Option<String>,
    /// Their jobs are not handed out again before so many seconds have passed; at most a day.
    #[serde(default, deserialize_with = "whole::<_, _, 0, LONGEST_DELAY>")]
    #[schema(maximum = 86_400)]
    delay_seconds: Option<u64>,
}

/// A lease and its job.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Held {
    #[schema(value_type = String)]
    job_id: JobId,
    lease: String,
}

/// A lease that goes on.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct RenewedLease {
    #[schema(value_type = String)]
    job_id: JobId,
    lease: String,
    #[serde(with = "millis")]
    expires_at: DateTime<Utc>,
}

/// A lease that nobody holds any more.
#[derive(Serialize, ToSchema)]
pub(crate) struct LostLease {
    lease: String,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct HeartbeatAnswer {
    /// These go on.
    renewed: Vec<RenewedLease>,
    /// These are lost: their jobs may be somebody else's by now.
    lost: Vec<LostLease>,
    /// The jobs of these were cancelled meanwhile.
    cancelled: Vec<Held>,
}

#[derive(Serialize, ToSchema)]
pub(crate) struct ReleaseAnswer {
    /// These jobs are queued again.
    released: Vec<Held>,
    /// These were lost already.
    lost: Vec<LostLease>,
}

fn tokens(leases: Vec<String>) -> Result<Vec<LeaseToken>, Problem> {
    if leases.len() > MOST {
        let detail = format!("`leases`: at most {MOST} in one request, got {}; split it", leases.len());
        return Err(Problem::bad_request(code::TOO_MANY, detail));
    }
    let token = |(index, text): (usize, String)| {
        let refuse =
            |error| Problem::bad_request(code::INVALID_REQUEST, format!("`leases[{index}]`: {error}"));
        text.parse::<LeaseToken>().map_err(refuse)
    };
    leases.into_iter().enumerate().map(token).collect()
}

fn lost(tokens: Vec<LeaseToken>) -> Vec<LostLease> {
    tokens.into_iter().map(|token| LostLease { lease: token.expose().to_owned() }).collect()
}

fn held(pairs: Vec<(JobId, LeaseToken)>) -> Vec<Held> {
    pairs.into_iter().map(|(job_id, token)| Held { job_id, lease: token.expose().to_owned() }).collect()
}

/// Say that jobs live
///
/// Renews each lease and touches its job.
#[utoipa::path(post, path = "/api/internal/jobs/heartbeat", tag = "worker", request_body = Heartbeat, responses(
    (status = 200, description = "What became of each lease", body = HeartbeatAnswer),
    (status = 400, description = "The request is wrong", body = ProblemDocument),
    (status = 503, description = "The store cannot; ask again", body = ProblemDocument),
))]
pub(crate) async fn heartbeat(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
    Body(beat): Body<Heartbeat>,
) -> Result<axum::Json<HeartbeatAnswer>, Problem> {
    let answer = app.provisioning.heartbeat(tokens(beat.leases)?).await?;
    let worker_id = beat.worker_id.as_ref().map(WorkerId::as_str);
    let (renewed, lost_count) = (answer.renewed.len(), answer.lost.len());
    debug!(area = "JOB-MANAGER", worker_id, renewed, lost = lost_count, "signs of life");
    let renewed = answer.renewed.into_iter().map(|(job_id, lease)| RenewedLease {
        job_id,
        lease: lease.token.expose().to_owned(),
        expires_at: lease.expires_at,
    });
    Ok(axum::Json(HeartbeatAnswer {
        renewed: renewed.collect(),
        lost: lost(answer.lost),
        cancelled: held(answer.cancelled),
    }))
}

/// Give jobs back
///
/// Their jobs are queued again, unworked; it costs them no attempt.
#[utoipa::path(post, path = "/api/internal/jobs/release", tag = "worker", request_body = GivenBack, responses(
    (status = 200, description = "What became of each lease", body = ReleaseAnswer),
    (status = 400, description = "The request is wrong", body = ProblemDocument),
    (status = 503, description = "The store cannot; ask again", body = ProblemDocument),
))]
pub(crate) async fn release(
    State(app): State<App>,
    Parameters(Empty {}): Parameters<Empty>,
    Body(given): Body<GivenBack>,
) -> Result<axum::Json<ReleaseAnswer>, Problem> {
    let delay = Duration::from_secs(given.delay_seconds.unwrap_or(0));
    let answer = app.provisioning.release(tokens(given.leases)?, given.reason, delay).await?;
    let worker_id = given.worker_id.as_ref().map(WorkerId::as_str);
    let (released, lost_count) = (answer.released.len(), answer.lost.len());
    debug!(area = "JOB-MANAGER", worker_id, released, lost = lost_count, "leases given back");
    Ok(axum::Json(ReleaseAnswer { released: held(answer.released), lost: lost(answer.lost) }))
}
