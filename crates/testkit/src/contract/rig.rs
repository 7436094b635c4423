//! What a backend brings to the suite.

use std::any::Any;
use std::sync::Arc;

use async_trait::async_trait;
use reclaimer_domain::id::JobId;
use reclaimer_domain::ports::{
    AccountStore, AlertStore, Arrival, Change, JobStore, RecoveryStore, RetentionStore, TakenLease,
};

/// A whole store: every port that the suite is about.
pub trait Store: JobStore + AccountStore + RecoveryStore + RetentionStore + AlertStore {}

impl<T: JobStore + AccountStore + RecoveryStore + RetentionStore + AlertStore> Store for T {}

/// A store on empty data of its own, and the ways of reaching around it that some contracts need.
#[async_trait]
pub trait Rig: Send + Sync {
    /// The store under test.
    fn store(&self) -> Arc<dyn Store>;

    /// Another server's store on the same data: what a second process, or the same one after a restart, would use.
    async fn another(&self) -> Arc<dyn Store>;

    /// What the listener of [`Rig::store`] was told since the last call. What a given answer stands for has been
    /// told by then, also where the listener is told a little after the answer.
    async fn arrivals(&self) -> Vec<Arrival>;

    /// Which leases its listener was told of as taken since the last call.
    async fn taken(&self) -> Vec<TakenLease>;

    /// What its listener was told of as having happened to jobs since the last call.
    async fn changes(&self) -> Vec<Change>;

    /// Spoils the `progress` of a stored job, so that its row cannot be read.
    async fn corrupt_progress(&self, id: &JobId);

    /// Writes a text over the status of a stored job, whether it is one or not.
    async fn set_status_text(&self, id: &JobId, text: &str);

    /// Keeps every write waiting, as a long transaction of another process would, until what is answered is dropped.
    async fn hold_writes(&self) -> Box<dyn Any + Send>;
}
