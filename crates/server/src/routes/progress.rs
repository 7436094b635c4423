//! `POST /api/internal/jobs/progress`: reports.

use axum::extract::{Extension, State};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use chrono::{DateTime, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::report::Report;
use reclaimer_domain::name::WorkerId;
use reclaimer_domain::ports::{ReportAnswer, StoreError};
use reclaimer_domain::time::millis_option;
use reclaimer_domain::wire::{JobOnTheWire, read_report};
use reclaimer_provisioning::{Provisioning, Reported, Want};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use super::open::{OpenParameters, ProvisioningFailure, want};
use super::paging::within;
use crate::code;
use crate::described::Reports;
use crate::extract::{Body, Parameters};
use crate::problem::{Problem, ProblemDocument};
use crate::request_id::RequestId;
use crate::state::App;

/// The most reports of one request.
const MOST: usize = 1_000;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ReportParameters {
    /// Who reports, for reports that name neither a worker nor a lease; and who takes the next jobs.
    worker_id: Option<String>,
    /// Take up to so many jobs as well, 1 to 100, as `jobs/open` would without waiting.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100)]
    next: Option<String>,
    /// With `next`: only jobs of this queue.
    queue: Option<String>,
    /// With `next`: only jobs of this command.
    command: Option<String>,
    /// The old name of `command`.
    resource: Option<String>,
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
    /// Of one report or of several, with `next`.
    Next(Next),
}

/// What became of reports, and what comes next.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Next {
    /// One per report.
    items: Vec<Item>,
    /// The jobs that were taken, as from `jobs/open`.
    #[schema(value_type = Vec<crate::described::JobOnTheWire>)]
    jobs: Vec<JobOnTheWire>,
    /// Why there are none, when provisioning failed; the header `x-reclaimer-error` has the same `errorType`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    jobs_error: Option<ProvisioningFailure>,
}

impl IntoResponse for Answer {
    fn into_response(self) -> Response {
        let failure = match &self {
            Self::Next(Next { jobs_error: Some(failure), .. }) => Some([failure.header()]),
            Self::One(_) | Self::Many { .. } | Self::Next(_) => None,
        };
        (failure, axum::Json(self)).into_response()
    }
}

/// Report on jobs
///
/// One report, or an array of them, each on its own. A report names the job (`taskId` or `jobId`), the lease, and a
/// `status`: `started`, `processing`, `new_areas_discovered`, `completed`, `failed`, `paused`, `credential_expiry`,
/// `credential_renewal` or `credential_resumed`. Other fields are kept under `progress.extra`.
///
/// With `next` the worker takes its next jobs by the same request. The answer is then 200 and of one shape, whatever became
/// of the reports: `items`, as of an array, and `jobs`. As long as one of the reports is to be sent again, there are none.
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
    Extension(id): Extension<RequestId>,
    Parameters(mut parameters): Parameters<ReportParameters>,
    Body(body): Body<Value>,
) -> Result<Answer, Problem> {
    let next = next(&mut parameters, &id)?;
    let sender = parameters.worker_id.map(|name| name.parse::<WorkerId>()).transpose();
    let sender = sender
        .map_err(|error| Problem::bad_request(code::INVALID_PARAMETER, format!("`workerId`: {error}")))?;
    let read = |report| read(report, sender.as_ref());
    let reports: Vec<Result<Report, Problem>> = match (body, &next) {
        (Value::Array(reports), _) if reports.len() > MOST => {
            return Err(Problem::bad_request(
                code::TOO_MANY,
                format!("at most {MOST} reports in one request, got {}; split it", reports.len()),
            ));
        }
        (Value::Array(reports), _) => reports.into_iter().map(read).collect(),
        (report, Some(_)) => vec![read(report)],
        (report, None) => {
            let report = read(report)?;
            let job = report.job.clone();
            return applied(&job, app.provisioning.report(report).await?).map(Answer::One);
        }
    };
    let wanted = next.is_some();
    let done = report_all(&app, id, reports, next).await;
    Ok(if wanted { Answer::Next(done) } else { Answer::Many { items: done.items } })
}

/// Which jobs are to follow, if any.
fn next(parameters: &mut ReportParameters, id: &RequestId) -> Result<Option<Want>, Problem> {
    let kind = [&parameters.queue, &parameters.command, &parameters.resource];
    let limit = within("next", "a whole number", parameters.next.take(), 1..=Provisioning::MOST_CLAIMED)?;
    let Some(limit) = limit else {
        if kind.into_iter().any(Option::is_some) {
            let detail = "`queue`, `command` and `resource` say which jobs are to follow: they need `next`";
            return Err(Problem::bad_request(code::INVALID_PARAMETER, detail));
        }
        return Ok(None);
    };
    let wanted = OpenParameters {
        worker_id: parameters.worker_id.clone(),
        queue: parameters.queue.take(),
        command: parameters.command.take(),
        resource: parameters.resource.take(),
        ..OpenParameters::default()
    };
    Ok(Some(Want { limit, ..want(wanted, id)? }))
}

fn read(report: Value, sender: Option<&WorkerId>) -> Result<Report, Problem> {
    read_report(report, sender).map_err(|error| Problem::bad_request(error.code(), error.to_string()))
}

/// Applies what can be read; jobs follow only where that is all.
async fn report_all(
    app: &App,
    id: RequestId,
    reports: Vec<Result<Report, Problem>>,
    next: Option<Want>,
) -> Next {
    let next = next.filter(|_| reports.iter().all(Result::is_ok));
    let wanted = next.is_some();
    let mut readable = Vec::with_capacity(reports.len());
    let about: Vec<Result<JobId, Problem>> = reports
        .into_iter()
        .map(|report| {
            let report = report?;
            let job = report.job.clone();
            readable.push(report);
            Ok(job)
        })
        .collect();
    match app.provisioning.report_all(readable, next).await {
        Ok(Reported { answers, next }) => {
            let mut answers = answers.into_iter();
            let item = |about: Result<JobId, Problem>| {
                // There is one for each that was read.
                let answer = |job: JobId| applied(&job, answers.next().unwrap_or(Err(StoreError::Closing))?);
                Item::from(about.and_then(answer))
            };
            let items = about.into_iter().map(item).collect();
            let (jobs, jobs_error) = match next {
                Ok(jobs) => (jobs, None),
                Err(error) => (Vec::new(), Some(ProvisioningFailure::of(app, id, &error))),
            };
            Next { items, jobs, jobs_error }
        }
        Err(error) => {
            let jobs_error = wanted.then(|| ProvisioningFailure::of(app, id, &error));
            let problem = Problem::from(error);
            let item = |about: Result<JobId, Problem>| Item::from(about.and(Err(problem.clone())));
            Next { items: about.into_iter().map(item).collect(), jobs: Vec::new(), jobs_error }
        }
    }
}

fn applied(job: &JobId, answer: ReportAnswer) -> Result<Applied, Problem> {
    match answer {
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

impl From<Result<Applied, Problem>> for Item {
    fn from(answer: Result<Applied, Problem>) -> Self {
        match answer {
            Ok(applied) => Self::Applied(applied),
            Err(Problem { code, detail, .. }) => Self::Refused { code, detail },
        }
    }
}
