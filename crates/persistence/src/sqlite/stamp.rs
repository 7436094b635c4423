//! Timestamps as SQLite's own functions write them, with microseconds: `YYYY-MM-DD HH:MM:SS.ffffff`, UTC.

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, Timelike, Utc};

/// The first and the last moment that compare as text: beyond them a year has a sign, which is less than any digit.
const FIRST: &[u8; 26] = b"0000-01-01 00:00:00.000000";
const LAST: &[u8; 26] = b"9999-12-31 23:59:59.999999";

/// A timestamp as text, of which a row has half a dozen: it needs no memory of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stamp([u8; LAST.len()]);

impl Stamp {
    /// Writes a timestamp. One that does not compare as text is held at the end of those that do.
    pub(crate) fn of(at: DateTime<Utc>) -> Self {
        let year = match at.year() {
            ..0 => return Self(*FIRST),
            year @ 0..10_000 => year.unsigned_abs(),
            10_000.. => return Self(*LAST),
        };
        // A leap second is written as the end of the second before it, as the engine has none.
        let micros = (at.nanosecond() / 1_000).min(999_999);
        // Written by hand: chrono reads its pattern anew for each.
        let mut text = *FIRST;
        digits(&mut text[..4], year);
        digits(&mut text[5..7], at.month());
        digits(&mut text[8..10], at.day());
        digits(&mut text[11..13], at.hour());
        digits(&mut text[14..16], at.minute());
        digits(&mut text[17..19], at.second());
        digits(&mut text[20..], micros);
        Self(text)
    }

    pub(crate) fn as_str(&self) -> &str {
        // Digits and marks are text.
        std::str::from_utf8(&self.0).unwrap_or_default()
    }
}

/// Writes a number's last digits, as many as there is room for.
fn digits(room: &mut [u8], mut number: u32) {
    for place in room.iter_mut().rev() {
        // One digit: below ten.
        *place = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

/// Reads a timestamp of ours or one of `datetime('now')`. Another form, RFC 3339 say, would not compare as text with
/// these, so it is none.
pub(crate) fn read_stamp(text: &str) -> Option<DateTime<Utc>> {
    let (day, time) = (text.get(..10)?, text.get(10..19)?);
    let [year, month, dom] = numbers(day, ["", "-", "-"], [4, 2, 2])?;
    let [hour, minute, second] = numbers(time, [" ", ":", ":"], [2, 2, 2])?;
    let nanos = match text.get(19..)? {
        "" => 0,
        fraction => {
            let fraction = fraction.strip_prefix('.').filter(|digits| (1..=9).contains(&digits.len()))?;
            let missing = 9 - u32::try_from(fraction.len()).ok()?;
            number(fraction)? * 10_u32.pow(missing)
        }
    };
    let day = NaiveDate::from_ymd_opt(year.try_into().ok()?, month, dom)?;
    Some(day.and_time(NaiveTime::from_hms_nano_opt(hour, minute, second, nanos)?).and_utc())
}

/// Numbers of fixed lengths, each behind its mark.
fn numbers<const N: usize>(mut text: &str, marks: [&str; N], lengths: [usize; N]) -> Option<[u32; N]> {
    let mut found = [0; N];
    for ((found, mark), length) in found.iter_mut().zip(marks).zip(lengths) {
        text = text.strip_prefix(mark)?;
        *found = number(text.get(..length)?)?;
        text = text.get(length..)?;
    }
    Some(found)
}

/// A number of digits alone.
fn number(text: &str) -> Option<u32> {
    if !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::{prop_assert_eq, proptest};

    #[test]
    fn stamps_round_trip_to_the_microsecond() {
        let at = DateTime::from_timestamp_micros(1_767_622_800_123_456).unwrap();
        assert_eq!(Stamp::of(at).as_str(), "2026-01-05 14:20:00.123456");
        assert_eq!(read_stamp(Stamp::of(at).as_str()), Some(at));
    }

    #[test]
    fn stamps_compare_as_text_to_the_ends_of_time() {
        let now = DateTime::from_timestamp_micros(1_767_622_800_123_456).unwrap();
        let moments = [DateTime::<Utc>::MIN_UTC, now, DateTime::<Utc>::MAX_UTC];
        let stamps = moments.map(Stamp::of);
        assert!(stamps.iter().map(Stamp::as_str).is_sorted());
        assert!(stamps.iter().all(|stamp| read_stamp(stamp.as_str()).is_some()));
    }

    #[test]
    fn stamps_of_sqlite_are_read_and_those_of_others_are_not() {
        let at = DateTime::from_timestamp(1_767_622_800, 0);
        assert_eq!(read_stamp("2026-01-05 14:20:00"), at);
        assert_eq!(read_stamp("2026-01-05T14:20:00Z"), None);
        assert_eq!(read_stamp("yesterday"), None);
        assert_eq!(read_stamp("2026-1-5 14:20:00"), None, "less than ten digits of a day do not compare");
        let half = DateTime::from_timestamp_millis(1_767_622_800_500);
        assert_eq!(read_stamp("2026-01-05 14:20:00.5"), half);
        assert_eq!(read_stamp("2026-01-05 14:20:00.500000000"), half);
        for odd in [
            "2026-01-05 14:20:00.",
            "2026-01-05 14:20:00.5000000000",
            "2026-01-05 14:20:00+00",
            "2026-01-05 14:2:000",
            "2026-02-30 14:20:00",
            "2026-01-05 24:20:00",
            "2026-01-05 +4:20:00",
            "2026-01-0é 14:20:00",
            "",
        ] {
            assert_eq!(read_stamp(odd), None, "{odd}");
        }
    }

    proptest! {
        #[test]
        fn stamps_are_as_chrono_writes_and_reads_them(micros in -62_167_219_200_000_000_i64..253_402_300_800_000_000) {
            let at = DateTime::from_timestamp_micros(micros).unwrap();
            let text = at.format("%Y-%m-%d %H:%M:%S%.6f").to_string();
            let stamp = Stamp::of(at);
            prop_assert_eq!(stamp.as_str(), &text);
            prop_assert_eq!(read_stamp(&text), Some(at));
        }
    }
}
