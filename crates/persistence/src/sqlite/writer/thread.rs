//! The thread: takes what waits, carries it out, and keeps the connection.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::SyncSender;
use std::thread::JoinHandle;

use diesel::SqliteConnection;
use diesel::sql_types::BigInt;
use reclaimer_domain::ports::StoreError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::checkpoints::Checkpoints;
use super::flush::{Done, Durable, Flusher, Log};
use super::group::{Operations, run_group};
use super::operation::{Ended, copy};
use super::{Bulk, Message};
use crate::config::{Durability, SqliteConfig};
use crate::error::store_error;
use crate::migrate;
use crate::sqlite::connection::{self, Identity, Mode};
use crate::sqlite::effects::Effects;
use crate::sqlite::readers::Readers;
use crate::sqlite::statement::prepared;

/// A group this large commits in a few milliseconds; a larger one would make its first caller wait for its last.
const MOST_IN_GROUP: usize = 512;

/// So many jobs, or the first operation on more, are written in bulk in one group: about as long as the rest of a large one.
const MOST_IN_BULK: usize = 1_000;

/// What the thread works with.
pub(super) struct Thread {
    path: PathBuf,
    durability: Durability,
    readers: Arc<Readers>,
    durable: Arc<Durable>,
    flusher: Arc<Flusher>,
    /// Groups to be flushed and answered by the other thread.
    done: SyncSender<Done>,
    connection: Option<(SqliteConnection, Identity)>,
    /// How many connections there were, this one included.
    connections: u64,
    /// The connection's log, once something was committed.
    log: Option<Log>,
    /// Whether a flush failed and the log was not folded into the database since. What it holds may then be lost, and
    /// with it all that comes after; folded, it is flushed together with the database, or is known not to be.
    must_fold: bool,
    /// Which files were open last.
    opened: Option<Opened>,
    /// Whether a missing file is made: only until the database was open once.
    mode: Mode,
    /// Whether the last group found the database away, so that its return is said once, and only when it was proved.
    away: bool,
    /// The last group's number.
    number: u64,
    checkpoints: Checkpoints,
}

/// A database file and its write-ahead log.
#[derive(Debug, Clone, Copy)]
struct Opened {
    database: Identity,
    log: Option<Identity>,
}

/// Where the engine keeps the write-ahead log of a database.
fn log_path(database: &Path) -> PathBuf {
    let mut path = database.as_os_str().to_owned();
    path.push("-wal");
    path.into()
}

/// What waits for the writer.
pub(super) struct Inbox {
    pub(super) queue: mpsc::Receiver<Message>,
    pub(super) bulk: mpsc::Receiver<Bulk>,
}

/// What comes in while a group forms.
struct Incoming<'a> {
    first: Option<Message>,
    inbox: &'a mut Inbox,
    /// Who asked for the end, if somebody has; then what waits is taken whatever it is.
    closing: Option<oneshot::Sender<()>>,
}

impl Incoming<'_> {
    /// What waits, up to so many operations.
    fn take(&mut self, most: usize) -> Operations {
        let mut operations = Vec::new();
        while operations.len() < most || self.closing.is_some() {
            match self.first.take().or_else(|| self.inbox.queue.try_recv().ok()) {
                Some(Message::Run(operation)) => operations.push(operation),
                Some(Message::Bulk) => {}
                Some(Message::Close(closed)) => {
                    self.closing = Some(closed);
                    self.inbox.queue.close();
                    self.inbox.bulk.close();
                }
                None => break,
            }
        }
        operations
    }

    /// Operations on many jobs, as many as one group may have.
    fn take_bulk(&mut self) -> Operations {
        let mut operations = Vec::new();
        let mut jobs = 0;
        while (jobs < MOST_IN_BULK || self.closing.is_some())
            && let Ok(bulk) = self.inbox.bulk.try_recv()
        {
            jobs = bulk.jobs.saturating_add(jobs);
            operations.push(bulk.operation);
        }
        operations
    }

    /// Whether nobody waits.
    fn is_empty(&self) -> bool {
        self.inbox.queue.is_empty() && self.inbox.bulk.is_empty()
    }

    /// Whether another group is to follow although nobody wakes the writer for it.
    fn has_bulk(&self) -> bool {
        !self.inbox.bulk.is_empty()
    }
}

/// Folds the whole log into the database, and begins it anew.
fn fold(conn: &mut SqliteConnection) -> Result<(), StoreError> {
    let busy = || StoreError::Unavailable {
        reason: "the disk did not confirm a commit, and the log cannot be written anew while somebody reads"
            .to_owned(),
        source: None,
    };
    let folded: Option<(i64, i64, i64)> = prepared!("PRAGMA wal_checkpoint(TRUNCATE)")
        .rows::<(BigInt, BigInt, BigInt)>()
        .first(conn)
        .map_err(|error| store_error("fold the log into the database", error))?;
    if folded.is_some_and(|(blocked, ..)| blocked == 0) { Ok(()) } else { Err(busy()) }
}

impl Thread {
    pub(super) fn new(
        config: &SqliteConfig,
        readers: Arc<Readers>,
        durable: Arc<Durable>,
        flusher: Arc<Flusher>,
        done: SyncSender<Done>,
    ) -> Self {
        Self {
            path: config.path.clone(),
            durability: config.durability,
            readers,
            durable,
            flusher,
            done,
            connection: None,
            connections: 0,
            log: None,
            must_fold: false,
            opened: None,
            mode: Mode::Create,
            away: false,
            number: 0,
            checkpoints: Checkpoints::new(),
        }
    }

    /// Works until told to close. `flusher` is the other thread's end.
    pub(super) fn work(mut self, mut inbox: Inbox, flusher: JoinHandle<()>) {
        while let Some(message) = inbox.queue.blocking_recv() {
            let mut incoming = Incoming { first: Some(message), inbox: &mut inbox, closing: None };
            self.carry_out(&mut incoming);
            while incoming.has_bulk() {
                self.carry_out(&mut incoming);
                self.checkpoint_if_due();
            }
            if let Some(closed) = incoming.closing {
                self.end(flusher);
                // Whoever asked for the end may be gone; it has come all the same.
                let _ = closed.send(());
                return;
            }
            self.checkpoint_if_due();
        }
        self.end(flusher);
    }

    /// Waits until everybody was answered, and closes the file.
    fn end(mut self, flusher: JoinHandle<()>) {
        self.disconnect();
        drop(self.done);
        if flusher.join().is_err() {
            error!(area = "JOB-MANAGER", "the thread that answers writes ended by a panic");
        }
    }

    /// Runs a group, commits it, and hands it on to be flushed and answered.
    fn carry_out(&mut self, incoming: &mut Incoming<'_>) {
        let mut group = incoming.take(MOST_IN_GROUP);
        group.extend(incoming.take_bulk());
        if group.is_empty() {
            return;
        }
        let prove = self.away;
        let (durable, number) = (Arc::clone(&self.durable), self.number + 1);
        let conn = match self.connect() {
            Ok(conn) => conn,
            Err(error) => {
                self.say_away(&error);
                group.into_iter().for_each(|operation| operation.refuse(copy(&error)));
                return;
            }
        };
        let mut effects = Effects::default();
        let began = Instant::now();
        // While an earlier group is being flushed this one may as well grow.
        let more = |ran: usize| {
            let room = if durable.is_behind(number) { MOST_IN_GROUP.saturating_sub(ran) } else { 0 };
            incoming.take(room)
        };
        let (operations, committed) =
            run_group(conn, group, &mut effects, prove, more, || durable.committing(number));
        let size = operations.len();
        self.number = number;
        let (log, outcome) = match committed.and_then(|()| self.log_to_flush(prove)) {
            Ok(log) => (log, Ok(())),
            Err(ended) => (None, Err(ended)),
        };
        match &outcome {
            Ok(()) => {
                self.checkpoints.wrote(size + effects.changes.len());
                if std::mem::take(&mut self.away) {
                    info!(area = "JOB-MANAGER", "the database is back");
                }
            }
            Err(ended) => {
                self.say_away(&ended.error());
                self.after_failure(ended);
            }
        }
        let done = Done { number, operations, outcome, effects, size, began, log };
        if incoming.is_empty() && !self.durable.is_behind(number) {
            // There is nothing to do beside the flush, and another thread would have to wake up for it first.
            self.flusher.confirm(vec![done]);
        } else {
            // The other thread ends after this one.
            drop(self.done.send(done));
        }
    }

    /// The log that is to be flushed before anybody may be told of a commit. While the database was away it is flushed at
    /// once: the commit shall prove that it is back.
    fn log_to_flush(&mut self, prove: bool) -> Result<Option<Log>, Ended> {
        let path = log_path(&self.path);
        if let Some(opened @ Opened { log: None, .. }) = &mut self.opened {
            opened.log = Identity::of(&path).ok();
        }
        if self.durability == Durability::Normal {
            return Ok(None);
        }
        let log = match &self.log {
            Some(log) => log.clone(),
            None => {
                let file = File::open(&path).map_err(|error| Ended::of_flush(&error))?;
                self.log.insert(Log { file: Arc::new(file), connection: self.connections }).clone()
            }
        };
        if prove {
            (self.flusher.flush)(&log.file).map_err(|error| Ended::of_flush(&error))?;
        }
        Ok(Some(log))
    }

    /// The connection, made or made anew where the file is not the one that was opened.
    fn connect(&mut self) -> Result<&mut SqliteConnection, StoreError> {
        if self.connection.is_some() && self.durable.has_failed(self.connections) {
            self.disconnect();
            self.must_fold = true;
        }
        let found = Identity::of(&self.path);
        if self.connection.as_ref().is_some_and(|(_, opened)| found.as_ref().ok() != Some(opened)) {
            warn!(area = "JOB-MANAGER", "the database file was moved, removed or replaced");
            self.disconnect();
        }
        if self.connection.is_none() {
            if self.mode == Mode::Existing {
                self.set_orphaned_log_aside(found?)?;
            }
            connection::repair_sidecars(&self.path)?;
            let mut conn = connection::writer(&self.path, self.mode)?;
            let done = migrate::run_on(&mut conn, &self.path)?;
            if !done.is_empty() {
                info!(area = "JOB-MANAGER", migrations = %done.join(", "), "the database was brought up to date");
            }
            self.mode = Mode::Existing;
            if self.must_fold {
                fold(&mut conn)?;
                self.must_fold = false;
            }
            let identity = Identity::of(&self.path)?;
            self.opened = Some(Opened { database: identity, log: None });
            self.connection = Some((conn, identity));
            self.connections += 1;
            self.readers.open();
        }
        match &mut self.connection {
            Some((conn, _)) => Ok(conn),
            None => Err(StoreError::Closing),
        }
    }

    /// The log of a database that was removed must not be applied to another file in its place, as the engine would:
    /// it is kept under another name.
    fn set_orphaned_log_aside(&mut self, found: Identity) -> Result<(), StoreError> {
        let Some(Opened { database, log: Some(log) }) = self.opened else { return Ok(()) };
        let path = log_path(&self.path);
        if database == found || Identity::of(&path).ok() != Some(log) {
            return Ok(());
        }
        let mut aside = path.clone().into_os_string();
        aside.push(".orphaned");
        std::fs::rename(&path, &aside).map_err(|error| StoreError::Unavailable {
            reason: "the log of the database that was replaced cannot be set aside".to_owned(),
            source: Some(Box::new(error)),
        })?;
        warn!(
            area = "JOB-MANAGER",
            "another database file took the place of ours; the old one's log was set aside"
        );
        Ok(())
    }

    /// Gives up every connection, so that whoever comes next looks at the file anew. The log is folded into the
    /// database on the way, if the engine can.
    fn disconnect(&mut self) {
        self.readers.close();
        self.connection = None;
        // After the connection: what is held of the engine's files is closed only when the engine has let go of them.
        self.log = None;
        self.checkpoints.begin_anew();
    }

    fn after_failure(&mut self, ended: &Ended) {
        match ended {
            Ended::NotCommitted { spoilt: false, .. } => {
                // On a full disk folding the log into the database is what may give room back.
                self.checkpoint();
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
        if self.checkpoints.is_due() {
            self.checkpoint();
        }
    }

    /// Folds the log into the database as far as readers allow. A failure is no harm: the next one tries again.
    fn checkpoint(&mut self) {
        if let Some((conn, _)) = &mut self.connection
            && let Err(error) = self.checkpoints.run(conn)
        {
            debug!(area = "JOB-MANAGER", %error, "a checkpoint failed");
        }
    }
}
