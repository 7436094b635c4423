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

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let Problem { status, code, detail, headers } = self.0;
        let title = status.canonical_reason().unwrap_or("Error");
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
