//! How soon a job runs among those that wait.

use std::fmt;

/// From −20 to 19; lower runs sooner, as with `nice`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Priority(i8);

/// A number outside −20 … 19.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a priority is a whole number from -20 (soonest) to 19, got {0}")]
pub struct InvalidPriority(i64);

impl Priority {
    /// The number.
    #[must_use]
    pub fn get(self) -> i8 {
        self.0
    }
}

impl TryFrom<i64> for Priority {
    type Error = InvalidPriority;

    fn try_from(number: i64) -> Result<Self, InvalidPriority> {
        match i8::try_from(number) {
            Ok(small @ -20..=19) => Ok(Self(small)),
            Ok(_) | Err(_) => Err(InvalidPriority(number)),
        }
    }
}

impl fmt::Display for Priority {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&self.0, f)
    }
}

impl serde::Serialize for Priority {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_i8(self.0)
    }
}

impl<'de> serde::Deserialize<'de> for Priority {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_i64(FromNumber)
    }
}

struct FromNumber;

impl serde::de::Visitor<'_> for FromNumber {
    type Value = Priority;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number from -20 (soonest) to 19")
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<Priority, E> {
        Priority::try_from(number).map_err(E::custom)
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<Priority, E> {
        self.visit_i64(i64::try_from(number).unwrap_or(i64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_range_is_that_of_nice() {
        assert!(Priority::try_from(-20).is_ok() && Priority::try_from(19).is_ok());
        for outside in [-21, 20, i64::MIN, i64::MAX] {
            assert_eq!(Priority::try_from(outside), Err(InvalidPriority(outside)));
        }
    }
}
