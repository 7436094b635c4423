//! The thread: takes what waits, carries it out, and keeps the connection.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use diesel::SqliteConnection;
use diesel::connection::SimpleConnection;
use reclaimer_domain::ports::{Committed, StoreError, StoreListener};
use tokio::sync::mpsc;
use tokio::time::Instant;
use tracing::{debug, error, info, warn};

use super::Message;
use super::group::run_group;
use super::operation::{Ended, Operation, copy};
use crate::config::{Durability, SqliteConfig};
use crate::migrate;
use crate::sqlite::connection::{self, Identity, Mode};
use crate::sqlite::effects::{Effects, FlowMeter};
use crate::sqlite::readers::Readers;

/// A group this large commits in a few milliseconds; a larger one would make its first caller wait for its last.
const MOST_IN_GROUP: usize = 512;

/// A checkpoint follows after so many operations: the log stays at a few MiB, and its cost is spread over many.
const CHECKPOINT_AFTER: usize = 2_000;

/// What the thread works with.
pub(super) struct Thread {
    path: PathBuf,
    durability: Durability,
    readers: Arc<Readers>,
    listener: Arc<dyn StoreListener>,
    flow: Arc<Mutex<FlowMeter>>,
    connection: Option<(SqliteConnection, Identity)>,
    /// Which files were open last.
    opened: Option<Opened>,
    /// Whether a missing file is made: only until the database was open once.
    mode: Mode,
    /// Whether the last group found the database away, so that its return is said once, and only when it was proved.
    away: bool,
    since_checkpoint: usize,
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

impl Thread {
    pub(super) fn new(
        config: &SqliteConfig,
        readers: Arc<Readers>,
        listener: Arc<dyn StoreListener>,
        flow: Arc<Mutex<FlowMeter>>,
    ) -> Self {
        Self {
            path: config.path.clone(),
            durability: config.durability,
            readers,
            listener,
            flow,
            connection: None,
            opened: None,
            mode: Mode::Create,
            away: false,
            since_checkpoint: 0,
        }
    }

    pub(super) fn work(mut self, mut inbox: mpsc::Receiver<Message>) {
        while let Some(message) = inbox.blocking_recv() {
            let mut group = Vec::new();
            let mut closing = None;
            let mut next = Some(message);
            while let Some(message) = next {
                match message {
                    Message::Run(operation) => group.push(operation),
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
    fn carry_out(&mut self, group: Vec<Box<dyn Operation>>) {
        if group.is_empty() {
            return;
        }
        let size = group.len();
        let operations = group.into_iter();
        let prove = self.away;
        let conn = match self.connect() {
            Ok(conn) => conn,
            Err(error) => {
                self.say_away(&error);
                operations.for_each(|operation| operation.refuse(copy(&error)));
                return;
            }
        };
        let mut effects = Effects::default();
        let began = Instant::now();
        let (settles, outcome) = run_group(conn, operations, &mut effects, prove);
        match &outcome {
            Ok(()) => {
                self.since_checkpoint += size;
                if let Some(opened @ Opened { log: None, .. }) = &mut self.opened {
                    opened.log = Identity::of(&log_path(&self.path)).ok();
                }
                if std::mem::take(&mut self.away) {
                    info!(area = "JOB-MANAGER", "the database is back");
                }
            }
            Err(ended) => {
                self.say_away(&ended.error());
                self.after_failure(ended);
            }
        }
        let took = began.elapsed();
        for settle in settles {
            settle(outcome.as_ref().copied());
        }
        if let (Ok(()), Ok(mut meter)) = (&outcome, self.flow.lock()) {
            effects.flow.iter().for_each(|(at, flow)| meter.add(*flow, *at));
        }
        // Where it is open whether the group was written, whoever waits looks for himself.
        let may_stand = matches!(outcome, Ok(()) | Err(Ended::Unknown(_)));
        if may_stand && !effects.arrivals.is_empty() {
            self.listener.arrived(&effects.arrivals);
        }
        if may_stand && !effects.taken.is_empty() {
            self.listener.taken(&effects.taken);
        }
        if outcome.is_ok() {
            self.listener.committed(&Committed { operations: size, took, changes: effects.changes });
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
                self.set_orphaned_log_aside(found?)?;
            }
            connection::repair_sidecars(&self.path)?;
            let mut conn = connection::writer(&self.path, self.durability, self.mode)?;
            let done = migrate::run_on(&mut conn, &self.path)?;
            if !done.is_empty() {
                info!(area = "JOB-MANAGER", migrations = %done.join(", "), "the database was brought up to date");
            }
            self.mode = Mode::Existing;
            let identity = Identity::of(&self.path)?;
            self.opened = Some(Opened { database: identity, log: None });
            self.connection = Some((conn, identity));
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
