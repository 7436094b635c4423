//! The contract of the ports, kept in memory.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use reclaimer_domain::id::JobId;
use reclaimer_domain::ports::{Arrival, Change, TakenLease};
use reclaimer_testkit::contract::{Rig, Store};
use reclaimer_testkit::{MemoryStore, Recorded, store_contract};

struct Memory {
    store: MemoryStore,
    told: Arc<Recorded>,
}

async fn open() -> Memory {
    let told = Arc::new(Recorded::default());
    Memory { store: MemoryStore::new(told.clone()), told }
}

#[async_trait]
impl Rig for Memory {
    fn store(&self) -> Arc<dyn Store> {
        Arc::new(self.store.clone())
    }

    async fn another(&self) -> Arc<dyn Store> {
        Arc::new(self.store.another(Arc::new(Recorded::default())))
    }

    async fn arrivals(&self) -> Vec<Arrival> {
        self.told.take_arrivals()
    }

    async fn taken(&self) -> Vec<TakenLease> {
        self.told.take_taken()
    }

    async fn changes(&self) -> Vec<Change> {
        self.told.take_changes()
    }

    async fn corrupt_progress(&self, id: &JobId) {
        assert!(self.store.write_progress(id, "{\"half\":"), "there is no job `{id}`");
    }

    async fn set_status_text(&self, id: &JobId, text: &str) {
        assert!(self.store.write_status(id, text), "there is no job `{id}`");
    }

    async fn hold_writes(&self) -> Box<dyn Any + Send> {
        Box::new(self.store.hold_writes().await)
    }
}

store_contract!(open);
