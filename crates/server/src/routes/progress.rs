//! `POST /api/internal/jobs/progress`: reports.

use axum::extract::State;
use axum::http::StatusCode;
use chrono::{DateTime, Utc};
use futures::future::join_all;
use reclaimer_domain::name::WorkerId;
use reclaimer_domain::ports::ReportAnswer;
use reclaimer_domain::time::millis_option;
use reclaimer_domain::wire::read_report;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::code;
use crate::described::Reports;
use crate::extract::{Body, Parameters};
use crate::problem::{Problem, ProblemDocument};
use crate::state::App;

/// The most reports of one request.
const MOST: usize = 1_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReportParameters {
    /// Who reports, for reports that name neither a worker nor a lease.
    worker_id: Option<String>,
}

/// What became of a report.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Applied {
    /// Whether it changed anything.
    applied: bool,
    /// Set when it had been applied before.
    #[serde(skip_serializing_if = "Option::is_none")]
    duplicate: Option<bool>,
    /// The job's status now.
    status: &'static str,
    /// How many jobs its areas asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    spawned: Option<u32>,
    /// When the lease now ends, if the job goes on.
    #[serde(with = "millis_option", skip_serializing_if = "Option::is_none")]
    lease_expires_at: Option<DateTime<Utc>>,
}

/// What became of one of several reports.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Item {
    /// It was taken.
    Applied(Applied),
    /// It was refused.
    Refused {
        /// The stable word for programs.
        code: &'static str,
        /// Why.
        detail: String,
    },
}

/// What became of the request.
#[derive(Debug, Serialize, ToSchema)]
#[serde(untagged)]
pub(crate) enum Answer {
    /// Of a single report.
    One(Applied),
    /// Of an array, in its order.
    Many {
        /// One per report.
        items: Vec<Item>,
    },
}

/// Report on jobs
///
/// One report, or an array of them, each on its own. A report names the job (`taskId` or `jobId`), the lease, and a
/// `status`: `started`, `processing`, `new_areas_discovered`, `completed`, `failed`, `paused`, `credential_expiry`,
/// `credential_renewal` or `credential_resumed`. Other fields are kept under `progress.extra`.
#[utoipa::path(post, path = "/api/internal/jobs/progress", tag = "worker", params(ReportParameters),
    request_body(content = Reports, description = "A report or an array of reports"), responses(
    (status = 200, description = "Taken, or taken before", body = Answer),
    (status = 400, description = "The report cannot be read", body = ProblemDocument),
    (status = 404, description = "There is no such job", body = ProblemDocument),
    (status = 409, description = "The sender does not hold the job (`stale_lease`): final", body = ProblemDocument),
    (status = 503, description = "The store cannot; ask again", body = ProblemDocument),
))]
pub(crate) async fn report(
    State(app): State<App>,
    Parameters(parameters): Parameters<ReportParameters>,
    Body(body): Body<Value>,
) -> Result<axum::Json<Answer>, Problem> {
    let sender = parameters.worker_id.map(|name| name.parse::<WorkerId>()).transpose();
    let sender = sender
        .map_err(|error| Problem::bad_request(code::INVALID_PARAMETER, format!("`workerId`: {error}")))?;
    match body {
        Value::Array(reports) if reports.len() > MOST => Err(Problem::bad_request(
            code::TOO_MANY,
            format!("at most {MOST} reports in one request, got {}; split it", reports.len()),
        )),
        Value::Array(reports) => {
            // Started together, they wait together and share a commit.
            let answers =
                join_all(reports.into_iter().map(|report| one(&app, report, sender.as_ref()))).await;
            let items = answers.into_iter().map(|answer| match answer {
                Ok(applied) => Item::Applied(applied),
                Err(Problem { code, detail, .. }) => Item::Refused { code, detail },
            });
            Ok(axum::Json(Answer::Many { items: items.collect() }))
        }
        report => one(&app, report, sender.as_ref()).await.map(|applied| axum::Json(Answer::One(applied))),
    }
}

async fn one(app: &App, report: Value, sender: Option<&WorkerId>) -> Result<Applied, Problem> {
    let report =
        read_report(report, sender).map_err(|error| Problem::bad_request(error.code(), error.to_string()))?;
    let job = report.job.clone();
    match app.provisioning.report(report).await? {
        ReportAnswer::Applied { status, expires_at, spawned } => Ok(Applied {
            applied: true,
            duplicate: None,
            status: status.as_str(),
            spawned: (spawned > 0).then_some(spawned),
            lease_expires_at: expires_at,
        }),
        ReportAnswer::Duplicate { status } => Ok(Applied {
            applied: false,
            duplicate: Some(true),
            status: status.as_str(),
            spawned: None,
            lease_expires_at: None,
        }),
        ReportAnswer::Stale { status } => Err(Problem::new(
            StatusCode::CONFLICT,
            code::STALE_LEASE,
            format!(
                "the report does not come from the present holder of job `{job}`, which is {status}; drop the job"
            ),
        )),
        ReportAnswer::Refused(refused) => Err(refused.into()),
    }
}
