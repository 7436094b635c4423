//! Where in the stream a reader is.

use std::fmt;
use std::str::FromStr;

/// A place in the stream, as an event's `id` and `Last-Event-ID` have it: after an event of a job and, among the events
/// that one process of the server told, after the one with this number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// The last event of a job, by its id in the history.
    pub(crate) job: i64,
    /// Among all events; `None` = only events of jobs matter, as to whoever read them from the history.
    pub(crate) told: Option<Number>,
}

/// The number of an event, which counts in the process that told it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Number {
    pub(crate) by: u32,
    pub(crate) number: u64,
}

/// A text that is no place.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`Last-Event-ID` takes the id of an event of this stream, or the number of an event of a job's history"
)]
pub struct InvalidPlace;

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.job)?;
        match self.told {
            Some(Number { by, number }) => write!(f, "-{by:08x}-{number}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Place {
    type Err = InvalidPlace;

    fn from_str(text: &str) -> Result<Self, InvalidPlace> {
        let mut parts = text.split('-');
        let (job, by, number, more) = (parts.next(), parts.next(), parts.next(), parts.next());
        // Digits alone: a sign would make another text of the same place.
        let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_hexdigit());
        if more.is_some() || ![job, by, number].into_iter().flatten().all(digits) {
            return Err(InvalidPlace);
        }
        let job = job.and_then(|job| job.parse().ok()).ok_or(InvalidPlace)?;
        let told = match (by, number) {
            (None, _) => None,
            (Some(by), Some(number)) => Some(Number {
                by: u32::from_str_radix(by, 16).map_err(|_| InvalidPlace)?,
                number: number.parse().map_err(|_| InvalidPlace)?,
            }),
            (Some(_), None) => return Err(InvalidPlace),
        };
        Ok(Self { job, told })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn places_round_trip(job in 0..i64::MAX, by: u32, number: u64) {
            for told in [None, Some(Number { by, number })] {
                let place = Place { job, told };
                prop_assert_eq!(place.to_string().parse(), Ok(place));
            }
        }

        #[test]
        fn no_text_is_a_panic(text in "\\PC{0,40}") {
            drop(text.parse::<Place>());
        }
    }

    #[test]
    fn other_texts_are_refused() {
        for text in
            ["", "-", "x", "+1", "1-2", "1-2-", "1-zz-3", "1-2-3-4", "-1", " 1", "99999999999999999999"]
        {
            assert_eq!(text.parse::<Place>(), Err(InvalidPlace), "{text}");
        }
    }
}
