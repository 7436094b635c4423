//! Which part of a list is wanted.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::str::FromStr;

use serde::Deserialize;
use utoipa::IntoParams;

use crate::code;
use crate::problem::Problem;

/// Items of a part unless asked otherwise, and at most.
const DEFAULT: u32 = 50;
const MOST: u32 = 500;

/// Which part of a list that is read whole or part by part.
#[derive(Debug, Deserialize, IntoParams)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct PageParameters {
    /// At most so many, 1 to 500.
    #[param(minimum = 1, maximum = 500, default = 50)]
    #[param(value_type = Option<u32>)]
    limit: Option<String>,
    /// Where to go on: the `nextCursor` of the part before.
    cursor: Option<String>,
}

impl PageParameters {
    pub(super) fn read<T: FromStr>(self) -> Result<(u32, Option<T>), Problem> {
        Ok((limit(self.limit)?, cursor(self.cursor)?))
    }
}

/// Reads a `limit`.
pub(super) fn limit(text: Option<String>) -> Result<u32, Problem> {
    Ok(within("limit", "a whole number", text, 1..=MOST)?.unwrap_or(DEFAULT))
}

/// Reads a parameter that is a number within these bounds.
pub(super) fn within<T: FromStr + PartialOrd + Display>(
    name: &'static str,
    what: &'static str,
    text: Option<String>,
    bounds: RangeInclusive<T>,
) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let number = text.parse().ok().filter(|number| bounds.contains(number));
    let refuse = || {
        let (least, most) = (bounds.start(), bounds.end());
        let detail = format!("`{name}`: {what} from {least} to {most}, got `{text}`");
        Problem::bad_request(code::INVALID_PARAMETER, detail)
    };
    number.map(Some).ok_or_else(refuse)
}

/// Reads a parameter that is a name, a status or the like.
pub(super) fn parsed<T: FromStr<Err: Display>>(
    name: &'static str,
    text: Option<String>,
) -> Result<Option<T>, Problem> {
    let refuse = |error: T::Err| Problem::bad_request(code::INVALID_PARAMETER, format!("`{name}`: {error}"));
    text.map(|text| text.parse()).transpose().map_err(refuse)
}

/// Writes a cursor: the place in hexadecimal, so that nobody takes it for something to make up.
pub(super) fn cursor_of(place: impl Display) -> String {
    hex::encode(place.to_string())
}

/// Reads a cursor.
pub(super) fn cursor<T: FromStr>(text: Option<String>) -> Result<Option<T>, Problem> {
    let Some(text) = text else { return Ok(None) };
    let place = hex::decode(&text).ok().and_then(|bytes| String::from_utf8(bytes).ok());
    match place.and_then(|place| place.parse().ok()) {
        Some(place) => Ok(Some(place)),
        None => Err(Problem::bad_request(
            code::INVALID_PARAMETER,
            "`cursor`: send the `nextCursor` of the part before, as it is",
        )),
    }
}
