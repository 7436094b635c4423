//! How a store fails.

use std::error::Error;
use std::time::Duration;

/// The boxed cause of a store's failure; never shown in an answer, only in logs.
pub type Cause = Box<dyn Error + Send + Sync>;

/// A store could not do what it was asked. Nothing was changed unless the variant says otherwise.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// The database is away, not writable, or full.
    #[error("{reason}")]
    Unavailable {
        /// What is wrong, and what to do, as a sentence for people: no path, no secret.
        reason: String,
        /// What the engine said.
        #[source]
        source: Option<Cause>,
    },
    /// The database is writable, but too little room is left to take new work.
    #[error("database has too little room for new jobs: {reason}")]
    LowSpace {
        /// How much is left and how much is wanted.
        reason: String,
    },
    /// More waits to be written than the store takes in.
    #[error("database is busy: {reason}")]
    Busy {
        /// What is busy.
        reason: String,
    },
    /// The commit failed in a way that leaves open whether it happened.
    #[error("the outcome is unknown: {reason}; ask again to see whether it was applied")]
    OutcomeUnknown {
        /// What failed.
        reason: String,
        /// What the engine said.
        #[source]
        source: Option<Cause>,
    },
    /// The database's tables are not those this version works with.
    #[error("the database needs a migration: {reason}")]
    MigrationNeeded {
        /// Which.
        reason: String,
    },
    /// The engine refused a statement for a reason of its own.
    #[error("the database refused {operation}")]
    Failed {
        /// What was tried.
        operation: &'static str,
        /// What the engine said.
        #[source]
        source: Cause,
    },
    /// The store is closing.
    #[error("the store is shutting down")]
    Closing,
}

impl StoreError {
    /// The stable word that answers, logs and metrics share.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Unavailable { .. } => "storage_unavailable",
            Self::LowSpace { .. } => "storage_low",
            Self::Busy { .. } => "storage_busy",
            Self::OutcomeUnknown { .. } => "outcome_unknown",
            Self::MigrationNeeded { .. } => "migration_needed",
            Self::Failed { .. } => "storage_failed",
            Self::Closing => "shutting_down",
        }
    }

    /// Whether the same request may well succeed a little later.
    #[must_use]
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Unavailable { .. }
            | Self::LowSpace { .. }
            | Self::Busy { .. }
            | Self::OutcomeUnknown { .. }
            | Self::MigrationNeeded { .. }
            | Self::Closing => true,
            Self::Failed { .. } => false,
        }
    }

    /// When to ask again, where that can help.
    #[must_use]
    pub fn retry_after(&self) -> Duration {
        Duration::from_secs(match self {
            Self::Busy { .. } | Self::Closing => 1,
            Self::Unavailable { .. }
            | Self::LowSpace { .. }
            | Self::OutcomeUnknown { .. }
            | Self::MigrationNeeded { .. }
            | Self::Failed { .. } => 5,
        })
    }

    /// Every code, for the reference page.
    pub const CODES: [&'static str; 7] = [
        "storage_unavailable",
        "storage_low",
        "storage_busy",
        "outcome_unknown",
        "migration_needed",
        "storage_failed",
        "shutting_down",
    ];
}
