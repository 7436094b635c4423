//! `GET /api/internal/jobs/open`: hands out jobs, and never answers 5xx.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::extract::{Extension, State};
use axum::http::{HeaderName, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::FutureExt;
use reclaimer_domain::name::{Command, QueueName, WorkerId};
use reclaimer_domain::ports::StoreError;
use reclaimer_domain::time::rfc3339;
use reclaimer_provisioning::{Provisioning, Want};
use serde::{Deserialize, Serialize};
use tracing::error;
use utoipa::{IntoParams, ToSchema};

use super::paging::within;
use super::panic_text;
use crate::code;
use crate::described::Opened;
use crate::extract::Parameters;
use crate::problem::{Problem, ProblemDocument};
use crate::request_id::RequestId;
use crate::state::App;

const ERROR_HEADER: HeaderName = HeaderName::from_static("x-reclaimer-error");

/// Beyond the time that the worker waits, provisioning may take no longer than this.
const PATIENCE: Duration = Duration::from_secs(10);

#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct OpenParameters {
    /// Who takes the jobs; 1 to 128 visible characters. Without one the caller's reports must name the lease.
    pub(super) worker_id: Option<String>,
    /// Only jobs of this queue.
    pub(super) queue: Option<String>,
    /// Only jobs of this command.
    pub(super) command: Option<String>,
    /// The old name of `command`.
    pub(super) resource: Option<String>,
    /// At most so many jobs, 1 to 100.
    #[param(value_type = Option<u32>, minimum = 1, maximum = 100, default = 10)]
    pub(super) limit: Option<String>,
    /// How many seconds to wait for a job to appear, 0 to 60.
    #[param(value_type = Option<f64>, minimum = 0, maximum = 60, default = 0)]
    pub(super) wait: Option<String>,
    /// Only look: nothing is leased.
    #[param(value_type = Option<bool>, default = false)]
    pub(super) peek: Option<String>,
}

/// What a worker gets when provisioning fails, with status 200.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProvisioningFailure {
    /// Always the same words.
    #[schema(example = "Job provisioning failed")]
    error: &'static str,
    /// What is wrong.
    message: String,
    /// When.
    timestamp: String,
    /// The request's id.
    request_id: String,
    /// The stable word for programs.
    #[schema(example = "storage_unavailable")]
    error_type: &'static str,
    /// Whether asking again can help.
    retryable: bool,
    /// When to ask again.
    retry_after_ms: u64,
}

/// Take jobs
///
/// Leases up to `limit` jobs to the worker; waits up to `wait` seconds for one to appear. When provisioning fails for any
/// internal reason the answer is 200 with an object instead of an array, and the header `x-reclaimer-error`.
#[utoipa::path(get, path = "/api/internal/jobs/open", tag = "worker", params(OpenParameters), responses(
    (status = 200, description = "An array of jobs, each with its lease; or an object that says why there are none", body = Opened),
    (status = 400, description = "A parameter is wrong", body = ProblemDocument),
))]
pub(crate) async fn open(
    State(app): State<App>,
    Extension(id): Extension<RequestId>,
    method: Method,
    Parameters(parameters): Parameters<OpenParameters>,
) -> Result<Response, Problem> {
    if method == Method::HEAD {
        // It would take jobs and throw them away with the body.
        let detail = "HEAD is not possible here; GET with peek=true looks without taking";
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, code::METHOD_NOT_ALLOWED, detail)
            .with(header::ALLOW, HeaderValue::from_static("GET")));
    }
    let peek = match parameters.peek.as_deref() {
        None | Some("false") => false,
        Some("true") => true,
        Some(other) => {
            let detail = format!("`peek`: true or false, got `{other}`");
            return Err(Problem::bad_request(code::INVALID_PARAMETER, detail));
        }
    };
    let want = want(parameters, &id)?;
    let Some(_place) = app.place_to_wait(want.wait) else {
        let message = format!("{} workers wait already; ask again a little later", app.config.most_waiting);
        let wait = Duration::from_secs(1);
        return Ok(
            ProvisioningFailure::new(&app, id, code::TOO_MANY_WAITING, message, true, wait).into_response()
        );
    };
    let patience = want.wait + PATIENCE;
    let provisioning = async {
        if peek {
            return app.provisioning.peek(want.queue, want.commands.into_iter().next(), want.limit).await;
        }
        // Whoever waits while the server ends is answered, not cut off.
        app.provisioning.open(want, &app.shutdown).await
    };
    let outcome = tokio::time::timeout(patience, AssertUnwindSafe(provisioning).catch_unwind()).await;
    Ok(match outcome {
        Ok(Ok(Ok(jobs))) => axum::Json(jobs).into_response(),
        Ok(Ok(Err(error))) => ProvisioningFailure::of(&app, id, &error).into_response(),
        Ok(Err(panic)) => {
            error!(
                area = "JOB-MANAGER",
                request_id = &*id.0,
                panic = panic_text(&*panic),
                "provisioning panicked"
            );
            let message = "the server met a defect of its own";
            ProvisioningFailure::new(&app, id, code::INTERNAL, message, true, PATIENCE).into_response()
        }
        Err(_) => {
            let message = "provisioning took too long";
            ProvisioningFailure::new(&app, id, code::TIMEOUT, message, true, PATIENCE).into_response()
        }
    })
}

/// Which jobs these parameters ask for.
pub(super) fn want(parameters: OpenParameters, id: &RequestId) -> Result<Want, Problem> {
    let refuse = |name: &str, error: &dyn std::fmt::Display| {
        Problem::bad_request(code::INVALID_PARAMETER, format!("`{name}`: {error}"))
    };
    let worker = match parameters.worker_id {
        Some(name) => name.parse().map_err(|error| refuse("workerId", &error))?,
        None => WorkerId::anonymous(&id.0),
    };
    let queue = parameters.queue.map(|name| name.parse::<QueueName>()).transpose();
    let queue = queue.map_err(|error| refuse("queue", &error))?;
    let command = match (parameters.command, parameters.resource) {
        (Some(_), Some(_)) => {
            return Err(refuse("resource", &"it is the old name of `command`; send one of them"));
        }
        (command, resource) => command.or(resource).map(|name| name.parse::<Command>()).transpose(),
    };
    let command = command.map_err(|error| refuse("command", &error))?;
    let limit = within("limit", "a whole number", parameters.limit, 1..=Provisioning::MOST_CLAIMED)?;
    let longest = Provisioning::LONGEST_WAIT.as_secs_f64();
    let wait = within("wait", "a number of seconds", parameters.wait, 0.0..=longest)?;
    Ok(Want {
        worker,
        queue,
        commands: command.into_iter().collect(),
        limit: limit.unwrap_or(Provisioning::DEFAULT_CLAIMED),
        wait: Duration::from_secs_f64(wait.unwrap_or(0.0)),
    })
}

impl ProvisioningFailure {
    /// Why the store handed out no jobs; said in the log.
    pub(super) fn of(app: &App, id: RequestId, error: &StoreError) -> Self {
        let cause = std::error::Error::source(error).map(tracing::field::display);
        error!(
            area = "JOB-MANAGER",
            request_id = &*id.0,
            code = error.code(),
            cause,
            "job provisioning failed: {error}"
        );
        Self::new(app, id, error.code(), error.to_string(), error.is_transient(), error.retry_after())
    }

    fn new(
        app: &App,
        id: RequestId,
        error_type: &'static str,
        message: impl Into<String>,
        retryable: bool,
        retry_after: Duration,
    ) -> Self {
        Self {
            error: "Job provisioning failed",
            message: message.into(),
            timestamp: rfc3339(app.clock.now()),
            request_id: id.0.to_string(),
            error_type,
            retryable,
            retry_after_ms: u64::try_from(retry_after.as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// The header that says the same to proxies.
    pub(super) fn header(&self) -> (HeaderName, HeaderValue) {
        (ERROR_HEADER, HeaderValue::from_static(self.error_type))
    }
}

impl IntoResponse for ProvisioningFailure {
    fn into_response(self) -> Response {
        ([self.header()], axum::Json(self)).into_response()
    }
}
