//! JSON bodies.

use std::time::Duration;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use axum::http::{StatusCode, header};
use http_body_util::{BodyExt, LengthLimitError, Limited};
use reclaimer_domain::nesting::MAX_DEPTH;
use serde::de::DeserializeOwned;

use super::Objects;
use crate::code;
use crate::problem::Problem;

/// The largest body, in bytes.
const LARGEST: usize = 1_024 * 1_024;
/// How long a body may take to arrive.
const PATIENCE: Duration = Duration::from_secs(30);

/// A JSON body of a known shape.
#[derive(Debug)]
pub(crate) struct Body<T>(pub(crate) T);

/// A JSON body that its handler reads.
#[derive(Debug)]
pub(crate) struct RawBody(pub(crate) Bytes);

/// A JSON body that may be left out, which means all defaults.
#[derive(Debug)]
pub(crate) struct MaybeBody<T>(pub(crate) T);

impl<S: Sync, T: DeserializeOwned> FromRequest<S> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(&request)?;
        parse(&read(request).await?).map(Self)
    }
}

impl<S: Sync> FromRequest<S> for RawBody {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        require_json(&request)?;
        read(request).await.map(Self)
    }
}

impl<S: Sync, T: DeserializeOwned + Default> FromRequest<S> for MaybeBody<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, _: &S) -> Result<Self, Problem> {
        let json = require_json(&request);
        let bytes = read(request).await?;
        if bytes.is_empty() {
            return Ok(Self(T::default()));
        }
        json?;
        parse(&bytes).map(Self)
    }
}

fn require_json(request: &Request) -> Result<(), Problem> {
    let kind = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let is_json = kind.is_some_and(|kind| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        kind.eq_ignore_ascii_case("application/json")
    });
    if is_json {
        return Ok(());
    }
    let detail = "the body must be JSON: send it with `content-type: application/json`";
    Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, code::NOT_JSON, detail))
}

async fn read(request: Request) -> Result<Bytes, Problem> {
    let body = Limited::new(request.into_body(), LARGEST).collect();
    match tokio::time::timeout(PATIENCE, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => {
            let detail = format!("the body is larger than {LARGEST} bytes (1 MiB); split it");
            Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, code::TOO_LARGE, detail))
        }
        Ok(Err(_)) => Err(Problem::bad_request(code::BROKEN_BODY, "the body broke off before its end")),
        Err(_) => {
            let detail = format!("the body did not arrive within {} seconds", PATIENCE.as_secs());
            Err(Problem::new(StatusCode::REQUEST_TIMEOUT, code::SLOW_BODY, detail))
        }
    }
}

/// Reads JSON of a known shape from bytes.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    // Nearly all of it is as it should be. Where it is not, it is read once more to say where: that costs more.
    let mut json = serde_json::Deserializer::from_slice(bytes);
    if let Ok(value) = T::deserialize(Objects(&mut json))
        && json.end().is_ok()
    {
        return Ok(value);
    }
    let mut json = serde_json::Deserializer::from_slice(bytes);
    let value = serde_path_to_error::deserialize(Objects(&mut json)).map_err(|error| {
        let path = error.path().to_string();
        refusal(&path, error.inner())
    })?;
    json.end().map_err(|error| refusal(".", &error))?;
    Ok(value)
}

fn refusal(path: &str, error: &serde_json::Error) -> Problem {
    match error.classify() {
        serde_json::error::Category::Data if path == "." => {
            Problem::bad_request(code::INVALID_REQUEST, error.to_string())
        }
        serde_json::error::Category::Data => {
            Problem::bad_request(code::INVALID_REQUEST, format!("`{path}`: {error}"))
        }
        // The reader's own limit, which lies beyond ours, has no category of its own.
        _ if error.to_string().starts_with("recursion limit exceeded") => {
            let detail =
                format!("the body is nested too deeply; a payload or a report may have {MAX_DEPTH} levels");
            Problem::bad_request(code::INVALID_REQUEST, detail)
        }
        _ => Problem::bad_request(code::MALFORMED_JSON, format!("the body is not JSON: {error}")),
    }
}
