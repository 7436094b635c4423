//! The outermost layer: a request id for every answer, nothing under an unknown name, problem documents written out, one
//! line in the log, one count. One layer does all of this, because each costs every request a few allocations.

use std::sync::Arc;

use axum::extract::{MatchedPath, Request, State};
use axum::http::{HeaderName, HeaderValue};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use tokio::time::Instant;
use tracing::{Instrument, debug, error_span, warn};

use crate::host;
use crate::metrics::{Answered, CreatedJobs, TRACEPARENT};
use crate::problem::Problem;
use crate::state::App;

const HEADER: HeaderName = HeaderName::from_static("x-request-id");

/// The id of a request.
#[derive(Debug, Clone)]
pub(crate) struct RequestId(pub(crate) Arc<str>);

/// Gives the request an id, the caller's if it sent a sane one, and finishes the answer.
pub(crate) async fn layer(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let sane = |value: &HeaderValue| {
        let text = value.to_str().ok()?;
        let visible = (1..=128).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_graphic());
        visible.then(|| text.into())
    };
    let given = request.headers().get(HEADER).and_then(sane);
    let id: Arc<str> = given.unwrap_or_else(|| app.provisioning.new_request_id().into());
    request.extensions_mut().insert(RequestId(Arc::clone(&id)));
    let method = request.method().clone();
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map(MatchedPath::as_str);
    let traceparent = request.headers().get(TRACEPARENT).cloned();
    // Whatever is logged meanwhile says which request it concerns, and which job.
    let job_id = route.and_then(|route| job_of(route, request.uri().path()));
    let span = error_span!("request", request_id = %id, job_id);
    let begun = Instant::now();

    let mut answer = match host::check(&app.config, &request) {
        Ok(()) => next.run(request).instrument(span).await,
        Err(problem) => problem.into_response(),
    };
    let code = match answer.extensions_mut().remove::<Problem>() {
        Some(problem) => {
            let code = problem.code;
            // Headers that the router set beside the problem, e.g. which methods are allowed, stay.
            let set = std::mem::take(answer.headers_mut());
            answer = problem.write(&id);
            if let Some(allow) = set.get(axum::http::header::ALLOW) {
                answer.headers_mut().insert(axum::http::header::ALLOW, allow.clone());
            }
            Some(code)
        }
        None => None,
    };
    if let Ok(value) = HeaderValue::from_str(&id) {
        answer.headers_mut().insert(HEADER, value);
    }
    let (status, took) = (answer.status().as_u16(), begun.elapsed());
    let route = route.unwrap_or("-");
    let created = answer.extensions_mut().remove::<CreatedJobs>();
    app.metrics.answered(&Answered {
        id: &id,
        method: method.as_str(),
        route,
        status,
        took,
        traceparent: traceparent.as_ref().and_then(|value| value.to_str().ok()),
        created: created.as_ref().map_or(&[], |created| &created.0),
    });
    let elapsed_ms = took.as_secs_f64() * 1_000.0;
    if answer.status().is_server_error() {
        warn!(area = "JOB-MANAGER", request_id = %id, %method, route, status, code, elapsed_ms, "request failed");
    } else {
        debug!(area = "JOB-MANAGER", request_id = %id, %method, route, status, code, elapsed_ms, "request");
    }
    answer
}

/// The job that a path names, where its route is about one.
fn job_of<'a>(route: &str, path: &'a str) -> Option<&'a str> {
    let place = route.split('/').position(|part| part == "{id}")?;
    let about_jobs = route.split('/').nth(place.checked_sub(1)?) == Some("jobs");
    about_jobs.then(|| path.split('/').nth(place)).flatten()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_names_a_job_where_its_route_is_about_one() {
        assert_eq!(job_of("/api/jobs/{id}/events", "/api/jobs/J/events"), Some("J"));
        assert_eq!(job_of("/api/jobs", "/api/jobs"), None);
        assert_eq!(job_of("/api/admin/accounts/{id}", "/api/admin/accounts/A"), None);
    }
}
