//! `/api/admin/events`: what happens, as it happens.

use std::str::FromStr;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use reclaimer_domain::id::JobId;
use reclaimer_feed::{Filter, Place, Topic};
use serde::Deserialize;
use tokio::time::sleep;
use utoipa::IntoParams;

use crate::code;
use crate::extract::Parameters;
use crate::problem::{Problem, ProblemDocument};
use crate::state::App;

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
const ACCEL_BUFFERING: HeaderName = HeaderName::from_static("x-accel-buffering");

/// A stream ends after this time, and its reader comes back: whoever may no longer listen finds out then.
const LONGEST: Duration = Duration::from_secs(15 * 60);

/// At most so many jobs are listened to at once.
const MOST_JOBS: usize = 500;

#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventsParameters {
    /// Only these events, separated by commas: `job`, `run`, `breaker`, `worker`, `stats`. A `gap` is told to everybody.
    events: Option<String>,
    /// Of jobs, only these, separated by commas; at most 500.
    job: Option<String>,
}

/// Listen to what happens
///
/// Server-sent events: `job` (something happened to a job: its event as in its history, without the detail, with queue and
/// command), `run` (a recovery run began or ended), `breaker` and `worker` (a link's breaker, a worker's connection or
/// process changed, looked at each second), `stats` (each second: jobs per state, and what went through since the last time),
/// `gap` (something is not told: load anew what you show; `jobs` says whether events of jobs are among it). Whoever comes back
/// with `Last-Event-ID` is told of every event of a job in between, once, from the history where it is long ago; after 10,000
/// of them a `gap` is told instead. A reader that falls behind by more than a few MiB is cut off, and may come back. A stream
/// ends after a quarter of an hour.
#[utoipa::path(get, path = "/api/admin/events", tag = "admin",
    params(EventsParameters,
        ("Last-Event-ID" = Option<String>, Header, description = "Go on after the event of this id, or after this one of a job's history")),
    responses(
    (status = 200, description = "The stream", content_type = "text/event-stream", body = String),
    (status = 400, description = "A parameter is wrong", body = ProblemDocument),
    (status = 503, description = "As many wait or listen as the server lets; ask again a little later", body = ProblemDocument),
))]
pub(crate) async fn listen(
    State(app): State<App>,
    headers: HeaderMap,
    Parameters(parameters): Parameters<EventsParameters>,
) -> Result<Response, Problem> {
    let topics = words::<Topic>("events", parameters.events)?;
    let jobs = words::<JobId>("job", parameters.job)?;
    if let Some(jobs) = jobs.as_ref().filter(|jobs| jobs.len() > MOST_JOBS) {
        let detail = format!("`job` names {} jobs, and takes at most {MOST_JOBS}", jobs.len());
        return Err(Problem::bad_request(code::INVALID_PARAMETER, detail));
    }
    let place = headers.get(LAST_EVENT_ID).map(place).transpose()?;
    let Some(room) = app.place_to_wait(LONGEST) else {
        let most = app.config.most_waiting;
        let detail = format!("{most} workers and listeners wait already; ask again a little later");
        return Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, code::TOO_MANY_WAITING, detail)
            .with(header::RETRY_AFTER, HeaderValue::from_static("1")));
    };
    let ends = app.shutdown.clone();
    let ends = async move {
        tokio::select! {
            () = ends.cancelled_owned() => {}
            () = sleep(LONGEST) => {}
        }
    };
    let stream = app.live.listen(Filter::new(topics, jobs.as_deref()), place);
    let stream = stream.take_until(Box::pin(ends)).map(move |text| {
        // The room is this stream's as long as the stream lasts.
        let _ = &room;
        Ok::<_, std::convert::Infallible>(text)
    });
    let headers = [
        (header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream")),
        (header::CACHE_CONTROL, HeaderValue::from_static("no-store")),
        // A proxy that collects answers before it passes them on would make them late.
        (ACCEL_BUFFERING, HeaderValue::from_static("no")),
    ];
    Ok((headers, Body::from_stream(stream)).into_response())
}

fn words<T: FromStr<Err: std::fmt::Display>>(
    name: &str,
    text: Option<String>,
) -> Result<Option<Vec<T>>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let words = text.split(',').map(|word| word.trim().parse::<T>());
    let words = words.collect::<Result<Vec<_>, _>>();
    words
        .map(Some)
        .map_err(|error| Problem::bad_request(code::INVALID_PARAMETER, format!("`{name}`: {error}")))
}

fn place(value: &HeaderValue) -> Result<Place, Problem> {
    let text = value.to_str().unwrap_or_default();
    text.parse().map_err(|error: reclaimer_feed::InvalidPlace| {
        Problem::bad_request(code::INVALID_HEADER, error.to_string())
    })
}
