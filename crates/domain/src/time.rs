//! How time is written: RFC 3339 UTC with milliseconds, everywhere outside the database.

use chrono::{DateTime, Duration, SecondsFormat, Utc};

/// `2026-01-05T14:20:00.000Z`.
#[must_use]
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// `at` plus a length of time, held at the end of time instead of overflowing.
#[must_use]
pub fn after(at: DateTime<Utc>, length: std::time::Duration) -> DateTime<Utc> {
    Duration::from_std(length)
        .ok()
        .and_then(|length| at.checked_add_signed(length))
        .unwrap_or(DateTime::<Utc>::MAX_UTC)
}

/// `at` minus a length of time, held at the beginning of time instead of overflowing.
#[must_use]
pub fn before(at: DateTime<Utc>, length: std::time::Duration) -> DateTime<Utc> {
    Duration::from_std(length)
        .ok()
        .and_then(|length| at.checked_sub_signed(length))
        .unwrap_or(DateTime::<Utc>::MIN_UTC)
}

/// How long from `from` to `to`; zero when `to` is not later.
#[must_use]
pub fn between(from: DateTime<Utc>, to: DateTime<Utc>) -> std::time::Duration {
    (to - from).to_std().unwrap_or_default()
}

/// A length of time in whole milliseconds, as answers and events have it.
#[must_use]
pub fn millis_of(length: std::time::Duration) -> u64 {
    u64::try_from(length.as_millis()).unwrap_or(u64::MAX)
}

/// Serde for a timestamp as [`rfc3339`]: `#[serde(with = "reclaimer_domain::time::millis")]`.
pub mod millis {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes milliseconds and `Z`.
    ///
    /// # Errors
    /// Whatever the serializer fails with.
    pub fn serialize<S: Serializer>(at: &DateTime<Utc>, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&super::rfc3339(*at))
    }

    /// Reads any RFC 3339 timestamp.
    ///
    /// # Errors
    /// When the text is not one.
    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<DateTime<Utc>, D::Error> {
        DateTime::<Utc>::deserialize(deserializer)
    }
}

/// [`millis`] for a timestamp that may be missing.
pub mod millis_option {
    use chrono::{DateTime, Utc};
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes milliseconds and `Z`, or null.
    ///
    /// # Errors
    /// Whatever the serializer fails with.
    pub fn serialize<S: Serializer>(at: &Option<DateTime<Utc>>, serializer: S) -> Result<S::Ok, S::Error> {
        match at {
            Some(at) => serializer.serialize_str(&super::rfc3339(*at)),
            None => serializer.serialize_none(),
        }
    }

    /// Reads any RFC 3339 timestamp or null.
    ///
    /// # Errors
    /// When the text is not one.
    pub fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<DateTime<Utc>>, D::Error> {
        Option::<DateTime<Utc>>::deserialize(deserializer)
    }
}

/// A length of time as a person says it: `45 s`, `12 min`, `2 h 5 min`, `3 d`.
#[must_use]
pub fn spoken(length: std::time::Duration) -> String {
    let seconds = length.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3_600, seconds / 86_400);
    match seconds {
        0 if !length.is_zero() => format!("{} ms", length.as_millis()),
        0..120 => format!("{seconds} s"),
        120..7_200 => format!("{minutes} min"),
        7_200..172_800 if minutes % 60 == 0 => format!("{hours} h"),
        7_200..172_800 => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;

    #[test]
    fn arithmetic_never_overflows() {
        let now = Utc.with_ymd_and_hms(2026, 1, 5, 14, 20, 0).unwrap();
        assert_eq!(after(now, std::time::Duration::MAX), DateTime::<Utc>::MAX_UTC);
        assert_eq!(before(now, std::time::Duration::MAX), DateTime::<Utc>::MIN_UTC);
        assert_eq!(between(now, now - Duration::seconds(1)), std::time::Duration::ZERO);
        assert_eq!(rfc3339(now), "2026-01-05T14:20:00.000Z");
    }

    #[test]
    fn lengths_read_well() {
        let said = |seconds| spoken(std::time::Duration::from_secs(seconds));
        assert_eq!(
            [said(0), said(45), said(720), said(7_200), said(7_500), said(259_200)],
            ["0 s", "45 s", "12 min", "2 h", "2 h 5 min", "3 d"]
        );
    }
}
