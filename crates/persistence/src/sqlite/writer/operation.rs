//! Operations that wait for the writer, and what becomes of them.

use diesel::result::Error;
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::ports::StoreError;
use tokio::sync::oneshot;

use crate::error::{Trouble, store_error};
use crate::sqlite::effects::Effects;

/// How an operation may be carried out. A group carries them out in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Kind {
    /// Any number of times, as long as all but the last are rolled back.
    Repeatable,
    /// So as well. Claims come one after another, so that they share a look at what is due; those that come with a report
    /// are among them.
    Claim,
    /// Once.
    Once,
}

/// An operation that waits: it runs inside a group's transaction, and is told what became of that.
pub(super) trait Operation: Send {
    fn kind(&self) -> Kind;
    fn run(&mut self, conn: &mut SqliteConnection, effects: &mut Effects) -> Fate;
    /// Tells the caller how it went, given what became of the group.
    fn settle(self: Box<Self>, ended: Result<(), &Ended>);
    /// Tells the caller that it was not carried out.
    fn refuse(self: Box<Self>, error: StoreError);
}

/// What became of an operation inside its group.
#[derive(Debug)]
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

    /// What it means that the disk did not confirm a commit.
    pub(super) fn of_flush(error: &std::io::Error) -> Self {
        Self::Unknown(format!("the disk did not confirm the commit: {error}"))
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

/// What an operation does.
pub(super) trait Work<T>: Send {
    /// Does it, unless it may be done but once and was.
    fn go(&mut self, conn: &mut SqliteConnection, effects: &mut Effects) -> Option<QueryResult<T>>;
}

/// Work that may be done any number of times.
pub(super) struct Repeatable<F>(pub(super) F);

impl<T, F> Work<T> for Repeatable<F>
where
    F: FnMut(&mut SqliteConnection, &mut Effects) -> QueryResult<T> + Send,
{
    fn go(&mut self, conn: &mut SqliteConnection, effects: &mut Effects) -> Option<QueryResult<T>> {
        Some((self.0)(conn, effects))
    }
}

/// Work that is done once.
pub(super) struct Once<F>(pub(super) Option<F>);

impl<T, F> Work<T> for Once<F>
where
    F: FnOnce(&mut SqliteConnection, &mut Effects) -> QueryResult<T> + Send,
{
    fn go(&mut self, conn: &mut SqliteConnection, effects: &mut Effects) -> Option<QueryResult<T>> {
        self.0.take().map(|work| work(conn, effects))
    }
}

/// An operation and its caller.
pub(super) struct Waiting<T, W> {
    name: &'static str,
    kind: Kind,
    work: W,
    /// What came of it when it last ran; nothing when it panicked.
    outcome: Option<Result<T, StoreError>>,
    sender: oneshot::Sender<Result<T, StoreError>>,
}

impl<T, W> Waiting<T, W> {
    pub(super) fn new(
        name: &'static str,
        kind: Kind,
        work: W,
        sender: oneshot::Sender<Result<T, StoreError>>,
    ) -> Box<Self> {
        Box::new(Self { name, kind, work, outcome: None, sender })
    }
}

impl<T: Send, W: Work<T>> Operation for Waiting<T, W> {
    fn kind(&self) -> Kind {
        self.kind
    }

    fn run(&mut self, conn: &mut SqliteConnection, effects: &mut Effects) -> Fate {
        self.outcome = None;
        match self.work.go(conn, effects) {
            None => Fate::Failed,
            Some(Ok(value)) => {
                self.outcome = Some(Ok(value));
                Fate::Done
            }
            Some(Err(error)) if Trouble::of(&error) == Trouble::Other => {
                self.outcome = Some(Err(store_error(self.name, error)));
                Fate::Failed
            }
            Some(Err(error)) => {
                let spoilt = Trouble::of(&error).spoils_connection();
                let error = store_error(self.name, error);
                let ended = Ended::NotCommitted { error: copy(&error), spoilt };
                self.outcome = Some(Err(error));
                Fate::Broke(ended)
            }
        }
    }

    fn settle(self: Box<Self>, ended: Result<(), &Ended>) {
        let Self { outcome, sender, .. } = *self;
        // Without an outcome it panicked, of which the caller learns by the sender's end. One that went away needs no
        // answer.
        match (ended, outcome) {
            (Err(ended), _) => drop(sender.send(Err(ended.error()))),
            (Ok(()), Some(outcome)) => drop(sender.send(outcome)),
            (Ok(()), None) => {}
        }
    }

    fn refuse(self: Box<Self>, error: StoreError) {
        drop(self.sender.send(Err(error)));
    }
}
