#![doc = include_str!("../README.md")]

mod bare;
mod fill;
mod group;
mod plan;
mod reference;
mod snapshot;
mod statement;

pub use bare::{Bare, Row};
pub use fill::{EVENTS_PER_JOB, fill_finished, fill_waiting, finished_id};
pub use plan::Plans;
pub use reference::Reference;
pub use snapshot::Snapshot;

/// The bare engine could not do what was asked of it.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BareError {
    /// The file cannot be opened.
    #[error("the baseline's database cannot be opened")]
    Open(#[from] diesel::ConnectionError),
    /// A statement or a commit failed.
    #[error("the baseline's database refused a statement")]
    Refused(#[source] diesel::result::Error),
    /// A group did not commit; what failed was told to one of its callers.
    #[error("the baseline's group was not committed: {0}")]
    NotCommitted(String),
    /// The thread cannot be started.
    #[error("the baseline's thread cannot be started")]
    NoThread(#[source] std::io::Error),
    /// The thread has ended.
    #[error("the baseline has ended")]
    Ended,
}

impl From<diesel::result::Error> for BareError {
    fn from(error: diesel::result::Error) -> Self {
        Self::Refused(error)
    }
}
