//! Query parameters and names in the path.

use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Path, Query};
use axum::http::request::Parts;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::fmt::Display;
use std::str::FromStr;

use crate::code;
use crate::problem::Problem;

/// Query parameters of a known shape.
#[derive(Debug)]
pub(crate) struct Parameters<T>(pub(crate) T);

/// The shape of a query, or of a body, that has nothing in it.
#[derive(Debug, Default, Deserialize, utoipa::ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Empty {}

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Parameters<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        match Query::<T>::from_request_parts(parts, state).await {
            Ok(Query(parameters)) => Ok(Self(parameters)),
            Err(rejection) => Err(Problem::bad_request(code::INVALID_PARAMETER, reason(&rejection))),
        }
    }
}

fn reason(rejection: &QueryRejection) -> String {
    // The rejection's own text says only that the query could not be read; its cause says which parameter.
    let mut cause: &dyn std::error::Error = rejection;
    while let Some(deeper) = cause.source() {
        cause = deeper;
    }
    format!("query parameters: {cause}")
}

/// The name in the path, e.g. of a job.
#[derive(Debug)]
pub(crate) struct Id<T>(pub(crate) T);

impl<S: Send + Sync, T: FromStr<Err: Display>> FromRequestParts<S> for Id<T> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path(text) = Path::<String>::from_request_parts(parts, state).await.map_err(invalid)?;
        text.parse().map(Self).map_err(invalid)
    }
}

/// The names in a path that has two, e.g. of a job and of what belongs to it.
#[derive(Debug)]
pub(crate) struct Ids<T, U>(pub(crate) T, pub(crate) U);

impl<S: Send + Sync, T: FromStr<Err: Display>, U: FromStr<Err: Display>> FromRequestParts<S> for Ids<T, U> {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let Path((first, second)) =
            Path::<(String, String)>::from_request_parts(parts, state).await.map_err(invalid)?;
        Ok(Self(first.parse().map_err(invalid)?, second.parse().map_err(invalid)?))
    }
}

fn invalid(error: impl Display) -> Problem {
    Problem::bad_request(code::INVALID_PATH, error.to_string())
}
