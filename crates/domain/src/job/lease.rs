//! Leases: who holds a job, until when, and the token that proves it.

use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use sha2::{Digest, Sha256};

use super::status::Status;
use crate::name::{InvalidName, WorkerId, check};

/// The fencing token of one lease: opaque, new at every claim, never used twice.
///
/// It is what proves that a report comes from the present holder, so its `Debug` shows nothing.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct LeaseToken(String);

impl LeaseToken {
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(hex::encode(bytes))
    }

    /// Twelve hexadecimal digits of the token's SHA-256: enough to tell leases apart in the history, useless as proof.
    #[must_use]
    pub fn fingerprint(&self) -> String {
        hex::encode(&Sha256::digest(self.0.as_bytes())[..6])
    }

    /// The token as it goes to the worker and into the database.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl FromStr for LeaseToken {
    type Err = InvalidName;

    fn from_str(text: &str) -> Result<Self, InvalidName> {
        check("a lease token", 128, text)?;
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Debug for LeaseToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// A job's current lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// Who holds it.
    pub worker: WorkerId,
    /// What the holder's reports must name.
    pub token: LeaseToken,
    /// When it ends unless renewed.
    pub expires_at: DateTime<Utc>,
    /// Set while the lease lives on a grace that our own absence made necessary: losing it then is nobody's fault.
    pub excused: bool,
}

/// The last lease that ended by its holder's report or by an admin's cancel, kept so that a repeated report is
/// recognised and a cancelled holder is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndedLease {
    /// Who held it.
    pub worker: WorkerId,
    /// Its token.
    pub token: LeaseToken,
    /// What the job became by that end.
    pub became: Status,
}
