//! Connections that read: opened as needed, kept for the next reader, given up when the writer says so.

use std::path::PathBuf;
use std::sync::Mutex;

use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::ports::StoreError;
use tokio::sync::Semaphore;
use tracing::error;

use super::connection;
use crate::error::{Trouble, store_error};

/// The reading side of a store.
#[derive(Debug)]
pub(crate) struct Readers {
    path: PathBuf,
    slots: Semaphore,
    idle: Mutex<Idle>,
}

/// Connections between two reads. A connection from before the last `close` is not kept.
#[derive(Default)]
struct Idle {
    open: bool,
    generation: u64,
    connections: Vec<SqliteConnection>,
}

impl std::fmt::Debug for Idle {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Idle").field("open", &self.open).field("generation", &self.generation).finish()
    }
}

impl Readers {
    pub(crate) fn new(path: PathBuf, most: usize) -> Self {
        Self { path, slots: Semaphore::new(most.max(1)), idle: Mutex::default() }
    }

    /// The writer has the database open: its tables are there and the file is the right one.
    pub(crate) fn open(&self) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.open = true;
        }
    }

    /// The writer gave the file up.
    pub(crate) fn close(&self) {
        if let Ok(mut idle) = self.idle.lock() {
            idle.open = false;
            idle.generation += 1;
            idle.connections.clear();
        }
    }

    /// Whether the writer has the database open.
    pub(crate) fn is_open(&self) -> bool {
        self.idle.lock().is_ok_and(|idle| idle.open)
    }

    /// Runs a read on a connection of its own, off the async threads.
    pub(crate) async fn run<T, F>(
        self: &std::sync::Arc<Self>,
        name: &'static str,
        read: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        let Ok(_slot) = self.slots.acquire().await else { return Err(StoreError::Closing) };
        let readers = std::sync::Arc::clone(self);
        let done = tokio::task::spawn_blocking(move || readers.read(name, read)).await;
        done.unwrap_or_else(|panicked| {
            error!(area = "JOB-MANAGER", operation = name, "a read of the store panicked");
            Err(StoreError::Failed { operation: name, source: Box::new(panicked) })
        })
    }

    fn read<T>(
        &self,
        name: &'static str,
        read: impl FnOnce(&mut SqliteConnection) -> QueryResult<T>,
    ) -> Result<T, StoreError> {
        connection::Identity::of(&self.path)?;
        let (kept, generation) = match self.idle.lock() {
            Ok(mut idle) => (idle.connections.pop(), idle.generation),
            Err(_) => (None, 0),
        };
        let mut conn = match kept {
            Some(conn) => conn,
            None => connection::reader(&self.path)?,
        };
        let outcome = read(&mut conn);
        let sound = outcome.as_ref().err().is_none_or(|error| Trouble::of(error) == Trouble::Other);
        if let (true, Ok(mut idle)) = (sound, self.idle.lock())
            && idle.open
            && idle.generation == generation
        {
            idle.connections.push(conn);
        }
        outcome.map_err(|error| store_error(name, error))
    }
}
