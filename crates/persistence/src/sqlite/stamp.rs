//! Timestamps as SQLite's own functions write them, with microseconds: `YYYY-MM-DD HH:MM:SS.ffffff`, UTC.

use chrono::{DateTime, Datelike, NaiveDateTime, Utc};

/// The first and the last moment that compare as text: beyond them a year has a sign, which is less than any digit.
const FIRST: &str = "0000-01-01 00:00:00.000000";
const LAST: &str = "9999-12-31 23:59:59.999999";

/// Writes a timestamp. One that does not compare as text is held at the end of those that do.
pub(crate) fn write_stamp(at: DateTime<Utc>) -> String {
    match at.year() {
        ..0 => FIRST.to_owned(),
        0..10_000 => at.format("%Y-%m-%d %H:%M:%S%.6f").to_string(),
        10_000.. => LAST.to_owned(),
    }
}

/// Reads a timestamp of ours or one of `datetime('now')`. Another form, RFC 3339 say, would not compare as text with
/// these, so it is none.
pub(crate) fn read_stamp(text: &str) -> Option<DateTime<Utc>> {
    if text.as_bytes().get(10) != Some(&b' ') {
        return None;
    }
    NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M:%S%.f").map(|at| at.and_utc()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stamps_round_trip_to_the_microsecond() {
        let at = DateTime::from_timestamp_micros(1_767_622_800_123_456).unwrap();
        assert_eq!(write_stamp(at), "2026-01-05 14:20:00.123456");
        assert_eq!(read_stamp(&write_stamp(at)), Some(at));
    }

    #[test]
    fn stamps_compare_as_text_to_the_ends_of_time() {
        let now = DateTime::from_timestamp_micros(1_767_622_800_123_456).unwrap();
        let moments = [DateTime::<Utc>::MIN_UTC, now, DateTime::<Utc>::MAX_UTC];
        assert!(moments.map(write_stamp).is_sorted());
        assert!(moments.into_iter().all(|at| read_stamp(&write_stamp(at)).is_some()));
    }

    #[test]
    fn stamps_of_sqlite_are_read_and_those_of_others_are_not() {
        let at = DateTime::from_timestamp(1_767_622_800, 0);
        assert_eq!(read_stamp("2026-01-05 14:20:00"), at);
        assert_eq!(read_stamp("2026-01-05T14:20:00Z"), None);
        assert_eq!(read_stamp("yesterday"), None);
        assert_eq!(read_stamp("2026-1-5 14:20:00"), None, "less than ten digits of a day do not compare");
    }
}
