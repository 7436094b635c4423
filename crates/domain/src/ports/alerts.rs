//! What alerting must not forget over a restart.

use async_trait::async_trait;

use super::StoreError;
use crate::alert::AlertState;

/// Keeps the state of alerting.
///
/// # Contract
/// - W1 `keep_alerts` replaces all that was kept for this owner, whole or not at all; its answer means that it is durable.
/// - W2 `alerts` answers what was kept last, in the same order; nothing where nothing was kept. What cannot be read of it is
///   left out.
/// - W3 Owners do not see each other's: servers that share a database keep theirs apart.
#[async_trait]
pub trait AlertStore: Send + Sync + std::fmt::Debug {
    /// What was kept for this owner.
    async fn alerts(&self, owner: &str) -> Result<AlertState, StoreError>;

    /// Keeps this instead.
    async fn keep_alerts(&self, owner: &str, state: AlertState) -> Result<(), StoreError>;
}
