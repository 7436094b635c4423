//! The writer: one thread that owns the one connection that writes, and commits in groups.
//!
//! Operations wait in a queue. The thread takes all that wait (up to [`MOST_IN_GROUP`]), runs them in one transaction,
//! each in a savepoint of its own, commits, and only then answers each caller. While a commit runs the next group
//! gathers, so groups grow with the load and an idle queue waits for nobody. An operation that fails is rolled back to
//! its savepoint and fails alone; a commit that fails, fails for all.

use std::panic::AssertUnwindSafe;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use chrono::{DateTime, Utc};
use diesel::connection::SimpleConnection;
use diesel::result::Error;
use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::ports::{ArrivalSink, StoreError};
use tokio::sync::{mpsc, oneshot};
use tracing::{debug, error, info, warn};

use super::connection::{self, Identity, Mode};
use super::effects::{Effects, FlowMeter};
use super::readers::Readers;
use super::statement::prepared;
use crate::config::{Durability, SqliteConfig};
use crate::error::{Trouble, store_error};
use crate::migrate;

/// A group this large commits in a few milliseconds; a larger one would make its first caller wait for its last.
const MOST_IN_GROUP: usize = 512;

/// A checkpoint follows after so many operations: the log stays at a few MiB, and its cost is spread over many.
const CHECKPOINT_AFTER: usize = 2_000;

/// An operation that waits: it either runs inside a group's transaction, or is refused without having run.
trait Operation: Send {
    fn run(self: Box<Self>, conn: &mut SqliteConnection, effects: &mut Effects) -> Ran;
    fn refuse(self: Box<Self>, error: StoreError);
}

/// Tells the caller how it went, given what became of the commit.
type Settle = Box<dyn FnOnce(Result<(), &Ended>) + Send>;

/// An operation that has run.
struct Ran {
    fate: Fate,
    settle: Settle,
}

/// What became of an operation inside its group.
enum Fate {
    /// It is part of the group.
    Done,
    /// It failed alone.
    Failed,
    /// It met trouble with the database itself, which is every other operation's trouble too.
    Broke(Ended),
}

/// How a group ended that did not commit.
#[derive(Debug)]
enum Ended {
    /// Nothing of it was written. `spoilt` says that the connection is of no more use.
    NotCommitted { error: StoreError, spoilt: bool },
    /// It may or may not have been written.
    Unknown(String),
}

impl Ended {
    fn of(operation: &'static str, error: Error) -> Self {
        let spoilt = Trouble::of(&error).spoils_connection();
        Self::NotCommitted { error: store_error(operation, error), spoilt }
    }

    /// What a failed COMMIT means: where the disk failed, the log may have reached it all the same.
    fn of_commit(error: Error) -> Self {
        match Trouble::of(&error) {
            Trouble::Io | Trouble::Corrupt => Self::Unknown(format!("the commit failed: {error}")),
            _ => Self::of("commit", error),
        }
    }

    /// The error for one of the group's callers.
    fn error(&self) -> StoreError {
        match self {
            Self::NotCommitted { error, .. } => copy(error),
            Self::Unknown(reason) => StoreError::OutcomeUnknown { reason: reason.clone(), source: None },
        }
    }
}

/// The same error for another caller; the cause stays with the log.
fn copy(error: &StoreError) -> StoreError {
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

enum Message {
    Run { operation: Box<dyn Operation>, now: DateTime<Utc> },
    Close(oneshot::Sender<()>),
}

/// The sending side: cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
}

/// What the thread works with.
struct Thread {
    path: PathBuf,
    durability: Durability,
    readers: Arc<Readers>,
    arrivals: Arc<dyn ArrivalSink>,
    flow: Arc<Mutex<FlowMeter>>,
    connection: Option<(SqliteConnection, Identity)>,
    /// Whether a missing file is made: only until the database was open once.
    mode: Mode,
    /// Whether the last group found the database away, so that its return is said once.
    away: bool,
    since_checkpoint: usize,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(
        config: &SqliteConfig,
        readers: Arc<Readers>,
        arrivals: Arc<dyn ArrivalSink>,
        flow: Arc<Mutex<FlowMeter>>,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (queue, inbox) = mpsc::channel(config.queue.max(1));
        let thread = Thread {
            path: config.path.clone(),
            durability: config.durability,
            readers,
            arrivals,
            flow,
            connection: None,
            mode: Mode::Create,
            away: false,
            since_checkpoint: 0,
        };
        let handle = std::thread::Builder::new()
            .name("reclaimer-writer".to_owned())
            .spawn(move || thread.work(inbox))?;
        Ok((Self { queue }, handle))
    }

    /// Runs an operation in the next group and waits until it is durable.
    ///
    /// # Cancel safety
    /// A caller that goes away does not undo its operation.
    pub(crate) async fn run<T, F>(
        &self,
        name: &'static str,
        now: DateTime<Utc>,
        operation: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection, &mut Effects) -> QueryResult<T> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let operation = Box::new(Waiting { name, work: operation, sender });
        self.queue.try_send(Message::Run { operation, now }).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                StoreError::Busy { reason: "too many operations wait to be written".to_owned() }
            }
            mpsc::error::TrySendError::Closed(_) => StoreError::Closing,
        })?;
        match answer.await {
            Ok(told) => told,
            Err(_) if self.queue.is_closed() => Err(StoreError::Closing),
            Err(vanished) => Err(StoreError::Failed { operation: name, source: Box::new(vanished) }),
        }
    }

    /// Carries out everything that waits, closes the connection, and ends the thread.
    pub(crate) async fn close(&self) {
        let (sender, closed) = oneshot::channel();
        if self.queue.send(Message::Close(sender)).await.is_ok() {
            // An error means that the thread has ended already.
            drop(closed.await);
        }
    }
}

/// An operation and its caller.
struct Waiting<T, F> {
    name: &'static str,
    work: F,
    sender: oneshot::Sender<Result<T, StoreError>>,
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

impl Thread {
    fn work(mut self, mut inbox: mpsc::Receiver<Message>) {
        while let Some(message) = inbox.blocking_recv() {
            let mut group = Vec::new();
            let mut closing = None;
            let mut next = Some(message);
            while let Some(message) = next {
                match message {
                    Message::Run { operation, now } => group.push((operation, now)),
                    Message::Close(closed) => {
                        closing = Some(closed);
                        inbox.close();
                    }
                }
                let room = group.len() < MOST_IN_GROUP || closing.is_some();
                next = if room { inbox.try_recv().ok() } else { None };
            }
            self.carry_out(group);
            if let Some(closed) = closing {
                self.disconnect();
                // Whoever asked for the end may be gone; it has come all the same.
                let _ = closed.send(());
                return;
            }
            self.checkpoint_if_due();
        }
        self.disconnect();
    }

    /// Runs a group, commits it, and tells everybody.
    fn carry_out(&mut self, group: Vec<(Box<dyn Operation>, DateTime<Utc>)>) {
        let Some((_, now)) = group.last() else { return };
        let (now, size) = (*now, group.len());
        let operations = group.into_iter().map(|(operation, _)| operation);
        let conn = match self.connect() {
            Ok(conn) => conn,
            Err(error) => {
                self.say_away(&error);
                operations.for_each(|operation| operation.refuse(copy(&error)));
                return;
            }
        };
        let mut effects = Effects::default();
        let (settles, outcome) = run_group(conn, operations, &mut effects);
        match &outcome {
            Ok(()) => {
                self.since_checkpoint += size;
                if std::mem::take(&mut self.away) {
                    info!(area = "JOB-MANAGER", "the database is back");
                }
            }
            Err(ended) => {
                self.say_away(&ended.error());
                self.after_failure(ended);
            }
        }
        for settle in settles {
            settle(outcome.as_ref().map(|()| ()));
        }
        if outcome.is_ok() {
            if let Ok(mut flow) = self.flow.lock() {
                flow.add(effects.flow, now);
            }
            if !effects.arrivals.is_empty() {
                self.arrivals.arrived(&effects.arrivals);
            }
        }
    }

    /// The connection, made or made anew where the file is not the one that was opened.
    fn connect(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        let found = Identity::of(&self.path);
        if self.connection.as_ref().is_some_and(|(_, opened)| found.as_ref().ok() != Some(opened)) {
            warn!(area = "JOB-MANAGER", "the database file was moved, removed or replaced");
            self.disconnect();
        }
        if self.connection.is_none() {
            if self.mode == Mode::Existing {
                found?;
            }
            let mut conn = connection::writer(&self.path, self.durability, self.mode)?;
            let done = migrate::run_on(&mut conn)?;
            if !done.is_empty() {
                info!(area = "JOB-MANAGER", migrations = %done.join(", "), "the database was brought up to date");
            }
            self.mode = Mode::Existing;
            self.connection = Some((conn, Identity::of(&self.path)?));
            self.readers.open();
        }
        match &mut self.connection {
            Some((conn, _)) => Ok(conn),
            None => Err(StoreError::Closing),
        }
    }

    /// Gives up every connection, so that whoever comes next looks at the file anew. The log is folded into the
    /// database on the way, if the engine can.
    fn disconnect(&mut self) {
        self.readers.close();
        self.connection = None;
        self.since_checkpoint = 0;
    }

    fn after_failure(&mut self, ended: &Ended) {
        match ended {
            Ended::NotCommitted { spoilt: false, .. } => {
                // On a full disk folding the log into the database is what may give room back.
                self.checkpoint("TRUNCATE");
            }
            Ended::NotCommitted { spoilt: true, .. } | Ended::Unknown(_) => self.disconnect(),
        }
    }

    /// Says once that the database is away.
    fn say_away(&mut self, error: &StoreError) {
        if !std::mem::replace(&mut self.away, true) {
            error!(area = "JOB-MANAGER", code = error.code(), %error, "the database cannot be written");
        }
    }

    fn checkpoint_if_due(&mut self) {
        if self.since_checkpoint >= CHECKPOINT_AFTER {
            self.checkpoint("PASSIVE");
        }
    }

    /// Folds the log into the database as far as readers allow. A failure is no harm: the next one tries again.
    fn checkpoint(&mut self, how: &str) {
        self.since_checkpoint = 0;
        if let Some((conn, _)) = &mut self.connection
            && let Err(error) = conn.batch_execute(&format!("PRAGMA wal_checkpoint({how})"))
        {
            debug!(area = "JOB-MANAGER", %error, "a checkpoint failed");
        }
    }
}

/// Runs every operation in one transaction and commits it.
fn run_group(
    conn: &mut SqliteConnection,
    operations: impl Iterator<Item = Box<dyn Operation>>,
    effects: &mut Effects,
) -> (Vec<Settle>, Result<(), Ended>) {
    if let Err(error) = prepared!("BEGIN IMMEDIATE").run(conn) {
        let ended = Ended::of("begin a transaction", error);
        operations.for_each(|operation| operation.refuse(ended.error()));
        return (Vec::new(), Err(ended));
    }
    let mut settles = Vec::new();
    let mut broke = None;
    for operation in operations {
        if let Some(ended) = &broke {
            operation.refuse(Ended::error(ended));
            continue;
        }
        match run_one(conn, operation, effects) {
            Ok(settle) => settles.extend(settle),
            Err((settle, ended)) => {
                settles.extend(settle);
                broke = Some(ended);
            }
        }
    }
    let outcome = match broke {
        Some(ended) => Err(ended),
        None => prepared!("COMMIT").run(conn).map(drop).map_err(Ended::of_commit),
    };
    if outcome.is_err() {
        // The engine may have rolled back by itself; then there is nothing left to do.
        drop(prepared!("ROLLBACK").run(conn));
    }
    (settles, outcome)
}

/// Runs one operation in its savepoint. `Err` means that the whole group cannot go on.
fn run_one(
    conn: &mut SqliteConnection,
    operation: Box<dyn Operation>,
    effects: &mut Effects,
) -> Result<Option<Settle>, (Option<Settle>, Ended)> {
    let mark = effects.mark();
    if let Err(error) = prepared!("SAVEPOINT operation").run(conn) {
        let ended = Ended::of("begin an operation", error);
        operation.refuse(ended.error());
        return Err((None, ended));
    }
    // A panic is a mistake of ours; it must not take the writer, and with it every other caller, along.
    let ran = std::panic::catch_unwind(AssertUnwindSafe(|| operation.run(conn, effects)));
    let (fate, settle) = match ran {
        Ok(Ran { fate, settle }) => (fate, Some(settle)),
        Err(_) => {
            error!(area = "JOB-MANAGER", "an operation of the store panicked; it was rolled back alone");
            (Fate::Failed, None)
        }
    };
    let undone = match fate {
        Fate::Done => Ok(0),
        Fate::Failed => {
            effects.forget_since(mark);
            prepared!("ROLLBACK TO operation").run(conn)
        }
        Fate::Broke(ended) => return Err((settle, ended)),
    };
    match undone.and_then(|_| prepared!("RELEASE operation").run(conn)) {
        Ok(_) => Ok(settle),
        Err(error) => Err((settle, Ended::of("end an operation", error))),
    }
}
