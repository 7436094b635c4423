//! `/api/jobs`: create and read.

use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::{Created, CreatedJob, JobFilter, Refused};
use reclaimer_provisioning::{CreateError, idempotency};
use serde::{Deserialize, Serialize};
use utoipa::{IntoParams, ToSchema};

use super::order;
use super::paging::{self, PageParameters};
use crate::code;
use crate::described::{Ordered, Orders};
use crate::extract::{Document, Empty, Id, Parameters, RawBody, parse, some_text};
use crate::metrics::{CreatedJobs, TRACEPARENT};
use crate::problem::{Problem, ProblemDocument};
use crate::shapes::{EventShape, JobReadShape, JobShape, ListShape};
use crate::state::App;

const IDEMPOTENCY_KEY: HeaderName = HeaderName::from_static("idempotency-key");
const REPLAYED: HeaderName = HeaderName::from_static("idempotency-replayed");

/// What became of one job of an order.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedShape {
    /// The new job, or the live one that has its unique key.
    #[schema(value_type = String)]
    id: JobId,
    /// Whether it is new.
    created: bool,
}

/// What became of an order of several jobs.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct CreatedList {
    /// One per job, in the order given.
    items: Vec<CreatedShape>,
}

/// Create jobs
///
/// One job, or an array of up to 1,000 in one transaction: all or none. With the header `Idempotency-Key` the whole order
/// is carried out once, and its answer repeated for a day.
#[utoipa::path(post, path = "/api/jobs", tag = "producer", request_body(content = Orders, description = "A job, or an array of jobs"),
    params(("Idempotency-Key" = Option<String>, Header, description = "Makes the order repeatable; 1 to 256 visible characters")),
    responses(
    (status = 201, description = "Created; for an array, which are new", body = Ordered),
    (status = 200, description = "It was there already, by its unique key or its idempotency key", body = Ordered),
    (status = 400, description = "The order is wrong; of an array, the index says which", body = ProblemDocument),
    (status = 422, description = "An account or a parent does not exist, or the idempotency key was used for another order", body = ProblemDocument),
    (status = 503, description = "The store cannot; ask again", body = ProblemDocument),
))]
pub(crate) async fn create(
    State(app): State<App>,
    headers: HeaderMap,
    Parameters(Empty {}): Parameters<Empty>,
    RawBody(body): RawBody,
) -> Result<Response, Problem> {
    let key = headers.get(IDEMPOTENCY_KEY).map(idempotency_key).transpose()?;
    let (orders, single) = match order::Placed::read(&body)? {
        order::Placed::Many(orders) => (orders, false),
        order::Placed::One(order) => (vec![*order], true),
    };
    let key = match key {
        Some(key) => {
            let Document(order) = parse(&body)?;
            Some(idempotency(&key, &order))
        }
        None => None,
    };
    let created = match app.provisioning.create(orders, key, Actor::Producer).await {
        Err(CreateError::Invalid { source, .. }) if single => {
            return Err(Problem::bad_request(code::INVALID_REQUEST, source.to_string()));
        }
        created => created?,
    };
    // Of several jobs, which one; of one alone nobody needs to be told.
    let place = |index: usize| if single { String::new() } else { format!("job {index}: ") };
    let (jobs, job, replayed) = match created {
        Created::Done { jobs, single, replayed } => (jobs, single, replayed),
        Created::KeyReused => {
            let detail =
                "another order was carried out under this idempotency key; choose a new key for a new order";
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code::IDEMPOTENCY_KEY_REUSED, detail));
        }
        Created::UnknownAccount { index, account } => {
            let detail = format!("{}there is no account `{account}`; set it first", place(index));
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code::UNKNOWN_ACCOUNT, detail));
        }
        Created::UnknownParent { index, parent } => {
            let detail = format!("{}there is no job `{parent}` that it could come from", place(index));
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, code::UNKNOWN_PARENT, detail));
        }
    };
    let new = |job: &CreatedJob| (job.created && !replayed).then(|| job.id.clone());
    let traced =
        headers.contains_key(TRACEPARENT).then(|| CreatedJobs(jobs.iter().filter_map(new).collect()));
    let mut answer = match (single, jobs.as_slice()) {
        (true, [CreatedJob { id, created }]) => {
            let status = if *created && !replayed { StatusCode::CREATED } else { StatusCode::OK };
            let job = job.ok_or_else(|| Refused::NoSuchJob(id.clone()))?;
            (status, axum::Json(JobShape::from(*job))).into_response()
        }
        _ => {
            let items =
                jobs.into_iter().map(|job| CreatedShape { id: job.id, created: job.created }).collect();
            (StatusCode::CREATED, axum::Json(CreatedList { items })).into_response()
        }
    };
    if let Some(created) = traced {
        answer.extensions_mut().insert(created);
    }
    if replayed {
        answer.headers_mut().insert(REPLAYED, HeaderValue::from_static("true"));
    }
    Ok(answer)
}

fn idempotency_key(value: &HeaderValue) -> Result<String, Problem> {
    let key = value
        .to_str()
        .ok()
        .filter(|key| (1..=256).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()));
    key.map(ToOwned::to_owned).ok_or_else(|| {
        Problem::bad_request(
            code::INVALID_HEADER,
            "`Idempotency-Key` takes 1 to 256 visible ASCII characters",
        )
    })
}

impl From<CreateError> for Problem {
    fn from(error: CreateError) -> Self {
        match error {
            CreateError::Store(error) => error.into(),
            CreateError::TooMany(_) => Self::bad_request(code::TOO_MANY, error.to_string()),
            other => Self::bad_request(code::INVALID_REQUEST, other.to_string()),
        }
    }
}

async fn read(app: &App, id: &JobId) -> Result<JobReadShape, Problem> {
    match app.jobs.job(id).await? {
        Some(job) => Ok(job.into()),
        None => Err(Refused::NoSuchJob(id.clone()).into()),
    }
}

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct ListParameters {
    /// Only jobs in one of these states, separated by commas.
    status: Option<String>,
    /// Only jobs of this queue.
    queue: Option<String>,
    /// Only jobs of this command.
    command: Option<String>,
    /// Only jobs of this account.
    account_id: Option<String>,
    /// Only jobs about this path.
    full_path: Option<String>,
    /// Only jobs that this worker holds.
    worker_id: Option<String>,
    /// Only jobs with this in their id, command, path or error; ASCII letters in any case.
    #[serde(default, deserialize_with = "some_text")]
    text: Option<String>,
    /// At most so many, 1 to 500.
    #[param(minimum = 1, maximum = 500, default = 50)]
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// Where to go on: the `nextCursor` of the part before.
    cursor: Option<String>,
}

/// List jobs
///
/// Newest first. A part may hold fewer jobs than asked for, or none, and still have a `nextCursor`: it ends where enough jobs
/// were looked at.
#[utoipa::path(get, path = "/api/jobs", tag = "producer", params(ListParameters), responses(
    (status = 200, description = "A part of the list", body = ListShape<JobReadShape>),
    (status = 400, description = "A parameter is wrong", body = ProblemDocument),
))]
pub(crate) async fn list(
    State(app): State<App>,
    Parameters(parameters): Parameters<ListParameters>,
) -> Result<axum::Json<ListShape<JobReadShape>>, Problem> {
    let mut status = Vec::new();
    for word in parameters.status.iter().flat_map(|list| list.split(',')) {
        status.extend(paging::parsed::<Status>("status", Some(word.trim().to_owned()))?);
    }
    let filter = JobFilter {
        status,
        queue: paging::parsed("queue", parameters.queue)?,
        command: paging::parsed("command", parameters.command)?,
        account_id: paging::parsed("accountId", parameters.account_id)?,
        full_path: parameters.full_path,
        worker_id: paging::parsed("workerId", parameters.worker_id)?,
        text: parameters.text,
    };
    let (limit, cursor) = (paging::limit(parameters.limit)?, paging::cursor(parameters.cursor)?);
    let page = app.jobs.jobs(filter, cursor, limit).await?;
    Ok(axum::Json(ListShape {
        items: page.items.into_iter().map(JobReadShape::from).collect(),
        next_cursor: page.next.map(paging::cursor_of),
    }))
}

/// Read a job
#[utoipa::path(get, path = "/api/jobs/{id}", tag = "producer", params(("id" = String, Path, description = "The job")), responses(
    (status = 200, description = "The job", body = JobReadShape),
    (status = 404, description = "There is no such job", body = ProblemDocument),
))]
pub(crate) async fn show(
    State(app): State<App>,
    Id(id): Id<JobId>,
    Parameters(Empty {}): Parameters<Empty>,
) -> Result<axum::Json<JobReadShape>, Problem> {
    read(&app, &id).await.map(axum::Json)
}

/// Read a job's history
///
/// Oldest first.
#[utoipa::path(get, path = "/api/jobs/{id}/events", tag = "producer",
    params(("id" = String, Path, description = "The job"), PageParameters), responses(
    (status = 200, description = "A part of its history", body = ListShape<EventShape>),
    (status = 404, description = "There is no such job", body = ProblemDocument),
))]
pub(crate) async fn events(
    State(app): State<App>,
    Id(id): Id<JobId>,
    Parameters(parameters): Parameters<PageParameters>,
) -> Result<axum::Json<ListShape<EventShape>>, Problem> {
    let (limit, cursor) = parameters.read()?;
    let page = app.jobs.events(&id, cursor, limit).await?.ok_or(Refused::NoSuchJob(id))?;
    Ok(axum::Json(ListShape {
        items: page.items.into_iter().map(EventShape::from).collect(),
        next_cursor: page.next.map(paging::cursor_of),
    }))
}
