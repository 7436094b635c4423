//! The store as an `AlertStore`.

use async_trait::async_trait;
use reclaimer_domain::alert::AlertState;
use reclaimer_domain::ports::{AlertStore, StoreError};

use super::MemoryStore;

#[async_trait]
impl AlertStore for MemoryStore {
    async fn alerts(&self, owner: &str) -> Result<AlertState, StoreError> {
        self.read(|data| data.alerts.get(owner).cloned().unwrap_or_default())
    }

    async fn keep_alerts(&self, owner: &str, state: AlertState) -> Result<(), StoreError> {
        self.write(|data, _| {
            data.alerts.insert(owner.to_owned(), state);
            Ok(())
        })
        .await
    }
}
