//! Timestamps as SQLite's own functions write them, with microseconds: `YYYY-MM-DD HH:MM:SS.ffffff`, UTC.

use chrono::{DateTime, NaiveDateTime, Utc};

/// Writes a timestamp.
pub(crate) fn write_stamp(at: DateTime<Utc>) -> String {
    at.format("%Y-%m-%d %H:%M:%S%.6f").to_string()
}

/// Reads a timestamp of ours or one of `datetime('now')`. Another form, RFC 3339 say, would not compare as text with
/// these, so it is none.
pub(crate) fn read_stamp(text: &str) -> Option<DateTime<Utc>> {
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
    fn stamps_of_sqlite_are_read_and_those_of_others_are_not() {
        let at = DateTime::from_timestamp(1_767_622_800, 0);
        assert_eq!(read_stamp("2026-01-05 14:20:00"), at);
        assert_eq!(read_stamp("2026-01-05T14:20:00Z"), None);
        assert_eq!(read_stamp("yesterday"), None);
    }
}
