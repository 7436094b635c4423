//! Operations that wait for the writer, and what becomes of them.

use diesel::result::Error;
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::ports::StoreError;
use tokio::sync::oneshot;

use crate::error::{Trouble, store_error};
use crate::sqlite::effects::Effects;

/// An operation that waits: it either runs inside a group's transaction, or is refused without having run.
pub(super) trait Operation: Send {
    fn run(self: Box<Self>, conn: &mut SqliteConnection, effects: &mut Effects) -> Ran;
    fn refuse(self: Box<Self>, error: StoreError);
}

/// Tells the caller how it went, given what became of the commit.
pub(super) type Settle = Box<dyn FnOnce(Result<(), &Ended>) + Send>;

/// An operation that has run.
pub(super) struct Ran {
    pub(super) fate: Fate,
    pub(super) settle: Settle,
}

/// What became of an operation inside its group.
pub(super) enum Fate {
    /// It is part of the group.
    Done,
    /// It failed alone.
    Failed,
    /// It met trouble with the database itself, which is every other operation's trouble too.
    Broke(Ended),
}

/// How a group ended that did not commit.
#[derive(Debug)]
pub(super) enum Ended {
    /// Nothing of it was written. `spoilt` says that the connection is of no more use.
    NotCommitted { error: StoreError, spoilt: bool },
    /// It may or may not have been written.
    Unknown(String),
}

impl Ended {
    pub(super) fn of(operation: &'static str, error: Error) -> Self {
        let spoilt = Trouble::of(&error).spoils_connection();
        Self::NotCommitted { error: store_error(operation, error), spoilt }
    }

    /// What a failed COMMIT means: where the disk failed, the log may have reached it all the same.
    pub(super) fn of_commit(error: Error) -> Self {
        match Trouble::of(&error) {
            Trouble::Io | Trouble::Corrupt => Self::Unknown(format!("the commit failed: {error}")),
            _ => Self::of("commit", error),
        }
    }

    /// The error for one of the group's callers.
    pub(super) fn error(&self) -> StoreError {
        match self {
            Self::NotCommitted { error, .. } => copy(error),
            Self::Unknown(reason) => StoreError::OutcomeUnknown { reason: reason.clone(), source: None },
        }
    }
}

/// The same error for another caller; the cause stays with the log.
pub(super) fn copy(error: &StoreError) -> StoreError {
    match error {
        StoreError::Unavailable { reason, .. } => {
            StoreError::Unavailable { reason: reason.clone(), source: None }
        }
        StoreError::Busy { reason } => StoreError::Busy { reason: reason.clone() },
        StoreError::MigrationNeeded { reason } => StoreError::MigrationNeeded { reason: reason.clone() },
        StoreError::LowSpace { reason } => StoreError::LowSpace { reason: reason.clone() },
        StoreError::Closing => StoreError::Closing,
        other => StoreError::Unavailable { reason: other.to_string(), source: None },
    }
}

/// An operation and its caller.
pub(super) struct Waiting<T, F> {
    pub(super) name: &'static str,
    pub(super) work: F,
    pub(super) sender: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, F> Operation for Waiting<T, F>
where
    T: Send + 'static,
    F: FnOnce(&mut SqliteConnection, &mut Effects) -> QueryResult<T> + Send + 'static,
{
    fn run(self: Box<Self>, conn: &mut SqliteConnection, effects: &mut Effects) -> Ran {
        let Self { name, work, sender } = *self;
        let (fate, outcome) = match work(conn, effects) {
            Ok(value) => (Fate::Done, Ok(value)),
            Err(error) if Trouble::of(&error) == Trouble::Other => {
                (Fate::Failed, Err(store_error(name, error)))
            }
            Err(error) => {
                let spoilt = Trouble::of(&error).spoils_connection();
                let error = store_error(name, error);
                (Fate::Broke(Ended::NotCommitted { error: copy(&error), spoilt }), Err(error))
            }
        };
        let settle: Settle = Box::new(move |ended| {
            // A caller that went away needs no answer.
            drop(sender.send(ended.map_err(Ended::error).and(outcome)));
        });
        Ran { fate, settle }
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        drop(self.sender.send(Err(error)));
    }
}
