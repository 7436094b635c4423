//! The counters that limit how often a job runs, and which of them a person sets back.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use super::record::Job;
use crate::name::Quoted;

/// A counter that limits how often a job runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Counter {
    /// Attempts that count, up to `max_attempts`.
    Attempts,
    /// Leases lost in a row without a report, up to the policy's `poison_after`.
    LeaseLosses,
    /// How often recovery queued it again, up to the policy's `max_recoveries`.
    Recoveries,
}

impl Counter {
    /// Every counter.
    pub const ALL: [Self; 3] = [Self::Attempts, Self::LeaseLosses, Self::Recoveries];

    /// The word in requests, answers and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Attempts => "attempts",
            Self::LeaseLosses => "lease_losses",
            Self::Recoveries => "recoveries",
        }
    }

    fn of(self, job: &mut Job) -> &mut u32 {
        match self {
            Self::Attempts => &mut job.attempt,
            Self::LeaseLosses => &mut job.lease_losses,
            Self::Recoveries => &mut job.recoveries,
        }
    }
}

/// A text that is no counter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown counter `{text}`; a counter is one of {}", Quoted(&Counter::ALL.map(Counter::as_str)))]
pub struct UnknownCounter {
    text: String,
}

impl FromStr for Counter {
    type Err = UnknownCounter;

    fn from_str(text: &str) -> Result<Self, UnknownCounter> {
        Self::ALL
            .into_iter()
            .find(|counter| counter.as_str() == text)
            .ok_or_else(|| UnknownCounter { text: text.chars().take(64).collect() })
    }
}

impl fmt::Display for Counter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl serde::Serialize for Counter {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> serde::Deserialize<'de> for Counter {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What counters stood at.
pub type Counts = BTreeMap<Counter, u32>;

/// Which counters begin again at zero when a person queues a job again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Reset {
    attempts: bool,
    lease_losses: bool,
    recoveries: bool,
}

impl Reset {
    /// None of them: the job goes on with what it has left.
    pub const NONE: Self = Self { attempts: false, lease_losses: false, recoveries: false };

    /// All of them: what a retry does unless asked otherwise.
    pub const ALL: Self = Self { attempts: true, lease_losses: true, recoveries: true };

    /// Lost leases and recoveries: what a release from quarantine does unless asked otherwise. A job whose attempts
    /// are used up then gets one more, and the failure of that one quarantines it again.
    pub const RELEASE: Self = Self { attempts: false, ..Self::ALL };

    /// Whether this counter is one of them.
    #[must_use]
    pub fn has(self, counter: Counter) -> bool {
        match counter {
            Counter::Attempts => self.attempts,
            Counter::LeaseLosses => self.lease_losses,
            Counter::Recoveries => self.recoveries,
        }
    }

    /// Sets them back; answers what each of them stood at.
    pub(super) fn apply(self, job: &mut Job) -> Counts {
        let chosen = Counter::ALL.into_iter().filter(|counter| self.has(*counter));
        chosen.map(|counter| (counter, std::mem::take(counter.of(job)))).collect()
    }
}

impl FromIterator<Counter> for Reset {
    fn from_iter<I: IntoIterator<Item = Counter>>(counters: I) -> Self {
        counters.into_iter().fold(Self::NONE, |reset, counter| match counter {
            Counter::Attempts => Self { attempts: true, ..reset },
            Counter::LeaseLosses => Self { lease_losses: true, ..reset },
            Counter::Recoveries => Self { recoveries: true, ..reset },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_counter_names_the_three() {
        for counter in Counter::ALL {
            assert_eq!(counter.as_str().parse(), Ok(counter));
        }
        let text = "attempt".parse::<Counter>().unwrap_err().to_string();
        assert_eq!(
            text,
            "unknown counter `attempt`; a counter is one of `attempts`, `lease_losses`, `recoveries`"
        );
    }

    #[test]
    fn a_reset_has_what_it_was_made_of() {
        assert_eq!(Counter::ALL.into_iter().collect::<Reset>(), Reset::ALL);
        assert_eq!([].into_iter().collect::<Reset>(), Reset::NONE);
        let release = [Counter::Recoveries, Counter::LeaseLosses, Counter::Recoveries];
        assert_eq!(release.into_iter().collect::<Reset>(), Reset::RELEASE);
    }
}
