//! How values are written in policies and explanations.

use std::fmt::Display;
use std::time::Duration;

use reclaimer_domain::job::report::Retryable;

/// What `retryable` is where a worker did not say.
pub(crate) const NOT_SAID: &str = "not_said";

/// A length of time as in a policy file, e.g. `2h 30m`.
pub(crate) fn time(length: Duration) -> String {
    humantime::format_duration(length).to_string()
}

/// What a worker said of trying again.
pub(crate) fn retryable(said: Retryable) -> &'static str {
    match said {
        Retryable::Yes => "true",
        Retryable::No => "false",
        Retryable::AskPolicy => NOT_SAID,
    }
}

/// `` `a`, `b` or `c` ``.
pub(crate) fn one_of<T: Display>(items: impl IntoIterator<Item = T>) -> String {
    let quoted: Vec<String> = items.into_iter().map(|item| format!("`{item}`")).collect();
    match quoted.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} or {last}", rest.join(", ")),
        _ => quoted.concat(),
    }
}

/// At most 200 characters of a text that came from a worker.
pub(crate) fn short(text: &str) -> String {
    const MOST: usize = 200;
    // A text of few bytes has few characters; the others are counted.
    if text.len() <= MOST {
        return text.to_owned();
    }
    match text.char_indices().nth(MOST) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

/// Serde for [`time`].
pub(crate) mod time {
    use super::Duration;

    pub(crate) fn serialize<S: serde::Serializer>(length: &Duration, to: S) -> Result<S::Ok, S::Error> {
        to.serialize_str(&super::time(*length))
    }
}

/// Serde for [`time`] of a length that may be missing.
pub(crate) mod time_option {
    use super::Duration;

    pub(crate) fn serialize<S: serde::Serializer>(
        length: &Option<Duration>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        match length {
            Some(length) => super::time::serialize(length, to),
            None => to.serialize_none(),
        }
    }
}
