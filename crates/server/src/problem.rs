//! Errors as problem documents (RFC 9457).

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use reclaimer_domain::ports::{Refused, StoreError};
use serde::Serialize;
use tracing::error;
use utoipa::ToSchema;

/// A refusal, with what a person and a program need to act on it. The outermost layer adds the request's id and writes
/// the document.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The HTTP status.
    pub status: StatusCode,
    /// The stable word for programs.
    pub code: &'static str,
    /// What happened, and what to do.
    pub detail: String,
    /// Further headers of the answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// The document that goes out.
#[derive(Debug, Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
pub(crate) struct ProblemDocument {
    /// A URN made of the code.
    #[schema(example = "urn:reclaimer:problem:unknown_job")]
    r#type: String,
    /// The status in words.
    title: String,
    /// The HTTP status.
    status: u16,
    /// What happened, and what to do.
    detail: String,
    /// The stable word for programs.
    code: &'static str,
    /// The request's id, as in the header `x-request-id` and in the log.
    request_id: String,
}

impl Problem {
    /// A problem with this status, code and detail.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into(), headers: Vec::new() }
    }

    /// The request is wrong.
    pub(crate) fn bad_request(code: &'static str, detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// The same with one more header.
    #[must_use]
    pub(crate) fn with(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The document's answer.
    pub(crate) fn write(self, request_id: &str) -> Response {
        let Self { status, code, detail, headers } = self;
        let document = ProblemDocument {
            r#type: format!("urn:reclaimer:problem:{code}"),
            title: status.canonical_reason().unwrap_or("Error").to_owned(),
            status: status.as_u16(),
            detail,
            code,
            request_id: request_id.to_owned(),
        };
        let mut answer = (status, axum::Json(document)).into_response();
        answer
            .headers_mut()
            .insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        answer.headers_mut().extend(headers);
        answer
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut answer = self.status.into_response();
        answer.extensions_mut().insert(self);
        answer
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let detail = error.to_string();
        if error.is_transient() {
            let retry_after = HeaderValue::from(error.retry_after().as_secs());
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, error.code(), detail)
                .with(header::RETRY_AFTER, retry_after);
        }
        let cause = std::error::Error::source(&error).map(tracing::field::display);
        error!(area = "JOB-MANAGER", code = error.code(), cause, "{error}");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, error.code(), detail)
    }
}

impl From<Refused> for Problem {
    fn from(refused: Refused) -> Self {
        let status = match &refused {
            Refused::NoSuchJob(_) | Refused::NoSuchLateResult { .. } => StatusCode::NOT_FOUND,
            Refused::Illegal(_)
            | Refused::Broken { .. }
            | Refused::KeyHeld { .. }
            | Refused::AcceptedBefore(_)
            | Refused::NotTerminal(_) => StatusCode::CONFLICT,
        };
        Self::new(status, refused.code(), refused.to_string())
    }
}
