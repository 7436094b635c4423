//! One SQLite file as a store.

mod accounts;
mod ahead;
mod alerts;
mod areas;
mod bulk;
mod claim;
pub(crate) mod connection;
pub(crate) mod counts;
mod create;
mod due;
mod effects;
pub(crate) mod event_table;
pub(crate) mod job_table;
mod jobs;
mod late;
mod leases;
mod lists;
mod manual;
mod many;
mod rare;
mod readers;
mod recover;
mod recovery;
mod report;
mod retention;
mod row;
mod search;
mod set_aside;
mod stamp;
pub(crate) mod statement;
mod undo;
mod writer;

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use reclaimer_domain::ports::{Arrival, StoreError, StoreListener};
use tracing::error;

use crate::config::SqliteConfig;
use effects::FlowMeter;
use readers::Readers;
use writer::{Durable, Writer};

pub(crate) use create::{NewRow, insert_new};
pub(crate) use effects::{Effects, arrival};

/// A store on one SQLite file. Cheap to clone; all clones share one writer.
#[derive(Debug, Clone)]
pub struct SqliteStore {
    writer: Writer,
    readers: Arc<Readers>,
    durable: Arc<Durable>,
    listener: Arc<dyn StoreListener>,
    flow: Arc<Mutex<FlowMeter>>,
    config: Arc<SqliteConfig>,
    thread: Arc<Mutex<Option<JoinHandle<()>>>>,
}

impl SqliteStore {
    /// Starts a store. The database is opened, made and brought up to date by the first operation; whatever hinders
    /// that is the answer of each operation until it goes away.
    ///
    /// # Errors
    /// When the writer's thread cannot be started.
    pub fn open(config: SqliteConfig, listener: Arc<dyn StoreListener>) -> Result<Self, StoreError> {
        let readers = Arc::new(Readers::new(config.path.clone(), config.readers));
        let flow = Arc::new(Mutex::new(FlowMeter::default()));
        let (writer, durable, thread) =
            Writer::start(&config, Arc::clone(&readers), Arc::clone(&listener), Arc::clone(&flow)).map_err(
                |error| StoreError::Unavailable {
                    reason: "the writer's thread cannot be started".to_owned(),
                    source: Some(Box::new(error)),
                },
            )?;
        let thread = Arc::new(Mutex::new(Some(thread)));
        Ok(Self { writer, readers, durable, listener, flow, config: Arc::new(config), thread })
    }

    /// The file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.config.path
    }

    /// How many writes wait for the next group. Those of a group that is being written no longer wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.writer.waiting()
    }

    /// Says that jobs wait which this store did not create itself: what [`crate::enqueue`] answered, after its commit.
    pub fn announce(&self, arrivals: &[Arrival]) {
        self.listener.arrived(arrivals);
    }

    /// Carries out every write that waits, folds the log into the database, closes the file and ends the thread.
    /// Operations asked for later answer that the store is closing.
    pub async fn close(&self) {
        self.writer.close().await;
        let thread = self.thread.lock().ok().and_then(|mut thread| thread.take());
        if let Some(thread) = thread {
            let joined = tokio::task::spawn_blocking(move || thread.join()).await;
            if !matches!(joined, Ok(Ok(()))) {
                error!(area = "JOB-MANAGER", "the writer's thread ended by a panic");
            }
        }
    }
}
