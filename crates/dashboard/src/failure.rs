//! Refusals as pages. What went wrong and with which status is the API's word for it.

use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use maud::html;
use reclaimer_server::Problem;

use crate::view::layout;

/// A refusal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Failure(pub(crate) Problem);

impl<E: Into<Problem>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self(error.into())
    }
}

impl Failure {
    pub(crate) fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self(Problem::new(status, code, detail))
    }

    pub(crate) fn bad_request(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "invalid_parameter", detail)
    }

    pub(crate) fn not_found(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", detail)
    }
}

/// A status, as people say it.
fn words(status: StatusCode) -> &'static str {
    match status {
        StatusCode::NOT_FOUND => "There is no such thing",
        StatusCode::FORBIDDEN | StatusCode::UNAUTHORIZED => "Not allowed",
        StatusCode::CONFLICT => "Not possible as things are",
        StatusCode::PAYLOAD_TOO_LARGE => "Too large",
        StatusCode::SERVICE_UNAVAILABLE | StatusCode::BAD_GATEWAY | StatusCode::TOO_MANY_REQUESTS => {
            "Not possible at the moment"
        }
        status if status.is_client_error() => "That cannot be done like this",
        _ => "The server met a defect",
    }
}

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Problem { status, code, detail, headers } = self.0;
        let title = words(status);
        let body = html! {
            h1 { (title) }
            p.lead { (crate::view::untrusted::shown(&detail, 2_000)) }
            p.soft { "Status " (status.as_u16()) ", code " code { (code) } ". "
                "Nothing was changed unless this page says otherwise." }
            p { a href="/" { "To the overview" } " · " a href="/jobs" { "To the jobs" } }
        };
        let mut answer = (status, layout::bare(title, &body)).into_response();
        answer.headers_mut().extend(headers.into_iter().filter(|(name, _)| name == "retry-after"));
        answer
    }
}
