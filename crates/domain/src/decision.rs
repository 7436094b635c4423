//! What a recovery policy decides about a job, as the job's lifecycle, the stores and the reports know it. How it comes
//! to that is another crate's matter: `reclaimer-policy`.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};

use crate::account::{AccountState, Standing};
use crate::job::Priority;
use crate::name::{QueueName, RuleName};

/// One decision about one job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    /// What becomes of the job.
    pub action: Action,
    /// The rule that decided; `None` when none matched.
    pub rule: Option<RuleName>,
    /// Why, in one sentence a person understands.
    pub reason: String,
    /// Why a running job counted as stuck.
    pub sign: Option<StuckSign>,
    /// How the account that the job names stood.
    pub account: Standing,
    /// The policy that decided.
    pub policy: PolicyHash,
}

/// Tells policies apart: the first six bytes of the SHA-256 of what a policy says. Written as twelve hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct PolicyHash([u8; 6]);

/// A text that is no [`PolicyHash`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a policy's hash has twelve hexadecimal digits")]
pub struct InvalidPolicyHash;

/// What becomes of a job.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Action {
    /// It is queued again.
    Requeue {
        /// Not leased before this moment.
        run_at: DateTime<Utc>,
        /// Its new priority; `None` = as before.
        priority: Option<Priority>,
        /// The queue it goes into; `None` = its own.
        queue: Option<QueueName>,
    },
    /// It is set aside for a person.
    Quarantine,
    /// A rule matched, but something it requires does not hold yet.
    Skip {
        /// What does not hold.
        unmet: Unmet,
        /// When it is looked at again.
        until: DateTime<Utc>,
    },
    /// No rule recovers it.
    Leave {
        /// When it is looked at again.
        until: DateTime<Utc>,
    },
}

/// What a job that a rule matched still waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Unmet {
    /// Something that its rule requires.
    Requirement(Requirement),
    /// Room in the recovery budget: too many jobs were queued again in the last minute.
    RecoveryBudget,
}

/// What must hold before a job is queued again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Requirement {
    /// The job names an account, and its data exists.
    AccountPresent,
    /// The account the job names, if any, can be used.
    AccountValid,
}

/// Why a running job counts as stuck.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StuckSign {
    /// Its lease ended without a renewal.
    LeaseExpired,
    /// It ran past its own timeout.
    Timeout,
    /// Nobody said anything about it for `stuck_after`.
    NoUpdate,
}

impl PolicyHash {
    /// The hash that a SHA-256 begins with.
    #[must_use]
    pub fn of(sha256: [u8; 32]) -> Self {
        let [a, b, c, d, e, f, ..] = sha256;
        Self([a, b, c, d, e, f])
    }
}

impl fmt::Display for PolicyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&hex::encode(self.0))
    }
}

impl fmt::Debug for PolicyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for PolicyHash {
    type Err = InvalidPolicyHash;

    fn from_str(text: &str) -> Result<Self, InvalidPolicyHash> {
        let mut bytes = [0; 6];
        hex::decode_to_slice(text, &mut bytes).map_err(|_| InvalidPolicyHash)?;
        Ok(Self(bytes))
    }
}

impl serde::Serialize for PolicyHash {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> serde::Deserialize<'de> for PolicyHash {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as serde::Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl Unmet {
    /// The word in policies and events.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Requirement(requirement) => requirement.as_str(),
            Self::RecoveryBudget => "recovery_budget",
        }
    }
}

impl Action {
    /// The word in reports and metrics.
    #[must_use]
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Requeue { .. } => "requeue",
            Self::Quarantine => "quarantine",
            Self::Skip { .. } => "skip",
            Self::Leave { .. } => "leave",
        }
    }

    /// Whether the job's status changes.
    #[must_use]
    pub fn changes_status(&self) -> bool {
        matches!(self, Self::Requeue { .. } | Self::Quarantine)
    }
}

impl Requirement {
    /// Every requirement.
    pub const ALL: [Self; 2] = [Self::AccountPresent, Self::AccountValid];

    /// The word in policies and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::AccountPresent => "account_present",
            Self::AccountValid => "account_valid",
        }
    }

    /// Whether it holds.
    #[must_use]
    pub fn holds(self, account: &AccountState) -> bool {
        match (self, account) {
            (Self::AccountPresent, AccountState::Invalid(_) | AccountState::Valid(_))
            | (Self::AccountValid, AccountState::NotNeeded | AccountState::Valid(_)) => true,
            (Self::AccountPresent, AccountState::NotNeeded | AccountState::Missing(_))
            | (Self::AccountValid, AccountState::Missing(_) | AccountState::Invalid(_)) => false,
        }
    }

    /// Why it does not hold, in one sentence.
    #[must_use]
    pub fn unmet(self, account: &AccountState) -> String {
        match account {
            AccountState::NotNeeded => "it names no account whose data could have come back".to_owned(),
            AccountState::Missing(id) => format!("account {id} does not exist"),
            AccountState::Invalid(id) | AccountState::Valid(id) => {
                format!("account {id} has no access or refresh token that is still valid")
            }
        }
    }
}

impl StuckSign {
    /// Every sign, strongest first.
    pub const ALL: [Self; 3] = [Self::LeaseExpired, Self::Timeout, Self::NoUpdate];

    /// The word in policies, events and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::LeaseExpired => "lease_expired",
            Self::Timeout => "timeout",
            Self::NoUpdate => "no_update",
        }
    }
}

impl serde::Serialize for Requirement {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_is_twelve_digits_and_nothing_else() {
        let mut sha256 = [7; 32];
        sha256[0] = 0xa0;
        let hash = PolicyHash::of(sha256);
        assert_eq!(hash.to_string(), "a00707070707");
        assert_eq!("a00707070707".parse(), Ok(hash));
        assert_eq!(serde_json::from_str::<PolicyHash>("\"a00707070707\"").unwrap(), hash);
        for text in ["", "a0", "a0070707070", "a007070707070", "g00707070707"] {
            assert_eq!(text.parse::<PolicyHash>(), Err(InvalidPolicyHash), "{text}");
        }
    }
}
