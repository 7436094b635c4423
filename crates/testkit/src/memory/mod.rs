//! A store in memory, for tests of what works on a store.
//!
//! It keeps the whole contract of the ports, as the suite of [`contract`](crate::contract) says it, and decides nothing
//! itself: what becomes of a job is what the domain's lifecycle says. Nothing of it outlives the last handle. Every write
//! copies an index of all jobs, which is meant for thousands of them.

mod accounts;
mod alerts;
mod bulk;
mod candidates;
mod claim;
mod create;
mod cycles;
mod data;
mod effects;
mod jobs;
mod late;
mod leases;
mod lists;
mod manual;
mod recovery;
mod report;
mod retention;
mod row;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use reclaimer_domain::area::Area;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::Job;
use reclaimer_domain::ports::{StoreError, StoreListener};

use crate::Recorded;
use data::Data;
use effects::{Effects, FlowMeter};

/// A store in memory. Cheap to clone; all clones are the same server's.
///
/// ```
/// use std::sync::Arc;
/// use reclaimer_domain::ports::{JobFilter, JobStore};
/// use reclaimer_testkit::{MemoryStore, a_job};
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), reclaimer_domain::ports::StoreError> {
/// let store = MemoryStore::default();
/// store.insert([a_job().failed_with("HTTP 503").build()]);
/// let page = store.jobs(JobFilter::default(), None, 10).await?;
/// assert_eq!(page.items.len(), 1);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone)]
pub struct MemoryStore {
    shared: Arc<Shared>,
    listener: Arc<dyn StoreListener>,
    flow: Arc<Mutex<FlowMeter>>,
}

/// What all servers on the same data share.
#[derive(Debug, Default)]
struct Shared {
    /// Whose turn it is to write. Reads need none.
    turn: Arc<tokio::sync::Mutex<()>>,
    data: Mutex<Data>,
}

/// Keeps every write of a store waiting until it is dropped.
#[derive(Debug)]
pub struct HeldWrites {
    _turn: tokio::sync::OwnedMutexGuard<()>,
}

impl Default for MemoryStore {
    /// An empty store to which nobody listens.
    fn default() -> Self {
        Self::new(Arc::new(Recorded::default()))
    }
}

impl MemoryStore {
    /// An empty store that tells this listener, after each write, what others wait for.
    #[must_use]
    pub fn new(listener: Arc<dyn StoreListener>) -> Self {
        Self { shared: Arc::default(), listener, flow: Arc::default() }
    }

    /// Another server's store on the same data, with a listener of its own.
    #[must_use]
    pub fn another(&self, listener: Arc<dyn StoreListener>) -> Self {
        Self { shared: Arc::clone(&self.shared), listener, flow: Arc::default() }
    }

    /// Puts jobs in as they are, over those of the same id. They have no history, and nobody is told.
    pub fn insert(&self, jobs: impl IntoIterator<Item = Job>) {
        let mut data = self.data();
        jobs.into_iter().for_each(|job| data.put(job));
    }

    /// Changes a job behind everybody's back; answers whether there is one.
    pub fn edit(&self, id: &JobId, change: impl FnOnce(&mut Job)) -> bool {
        self.data().row_mut(id).map(|row| change(&mut row.job)).is_some()
    }

    /// Takes a job out, with its history; answers whether there was one.
    pub fn remove(&self, id: &JobId) -> bool {
        self.data().remove(id)
    }

    /// Writes a text over a job's `progress` as another program would, whether it can be read or not; answers whether
    /// there is such a job.
    pub fn write_progress(&self, id: &JobId, text: &str) -> bool {
        self.data().row_mut(id).map(|row| row.write_progress(text)).is_some()
    }

    /// Writes a text over a job's status as another program would, whether it is one or not; answers whether there is
    /// such a job.
    pub fn write_status(&self, id: &JobId, text: &str) -> bool {
        self.data().row_mut(id).map(|row| row.write_status(text)).is_some()
    }

    /// The areas that reports found, by path.
    #[must_use]
    pub fn areas(&self) -> Vec<Area> {
        self.data().areas.values().cloned().collect()
    }

    /// Keeps every write waiting, of other servers too, until what is answered is dropped.
    pub async fn hold_writes(&self) -> HeldWrites {
        HeldWrites { _turn: Arc::clone(&self.shared.turn).lock_owned().await }
    }

    fn data(&self) -> MutexGuard<'_, Data> {
        // A test that ended by a panic while it held this has failed already; a write of ours is whole or was not made.
        self.shared.data.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something to the data, whole or, where it fails, not at all; then tells who listens.
    async fn write<T>(
        &self,
        work: impl FnOnce(&mut Data, &mut Effects) -> Result<T, StoreError> + Send,
    ) -> Result<T, StoreError> {
        let _turn = self.shared.turn.lock().await;
        let mut effects = Effects::default();
        let answer = {
            let mut data = self.data();
            let mut next = data.clone();
            let answer = work(&mut next, &mut effects)?;
            effects.changes = next.changes_since(&data);
            *data = next;
            answer
        };
        effects.tell(&*self.listener, &self.flow);
        Ok(answer)
    }

    fn read<T>(&self, look: impl FnOnce(&Data) -> T) -> Result<T, StoreError> {
        Ok(look(&self.data()))
    }
}
