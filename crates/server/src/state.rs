//! What every handler works with.

use std::sync::Arc;

use reclaimer_domain::ports::{AccountStore, Clock, JobStore, StoreError};
use reclaimer_provisioning::Provisioning;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::auth::Auth;

/// Settings of the API.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Who may call.
    pub auth: Auth,
    /// Host names beside `localhost` and the loopback addresses under which the server is called over TCP; others are
    /// refused, so that no web page can reach it through a name of its own (DNS rebinding).
    pub allowed_hosts: Vec<String>,
}

/// What the API needs from outside.
#[derive(Debug)]
pub struct Deps {
    /// Hands out jobs.
    pub provisioning: Provisioning,
    /// Keeps jobs.
    pub jobs: Arc<dyn JobStore>,
    /// Keeps accounts.
    pub accounts: Arc<dyn AccountStore>,
    /// Asks for recovery runs.
    pub recovery: reclaimer_recovery::Handle,
    /// Tells the time that is stored.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the server ends: whoever waits for jobs is then answered at once.
    pub shutdown: CancellationToken,
}

/// Shared by all handlers.
#[derive(Debug, Clone)]
pub(crate) struct App {
    pub(crate) config: Arc<Config>,
    pub(crate) provisioning: Provisioning,
    pub(crate) jobs: Arc<dyn JobStore>,
    pub(crate) accounts: Arc<dyn AccountStore>,
    pub(crate) recovery: reclaimer_recovery::Handle,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) shutdown: CancellationToken,
    probe: Arc<Mutex<()>>,
}

impl App {
    pub(crate) fn new(config: Config, deps: Deps) -> Self {
        let Deps { provisioning, jobs, accounts, recovery, clock, shutdown } = deps;
        let (config, probe) = (Arc::new(config), Arc::default());
        Self { config, provisioning, jobs, accounts, recovery, clock, shutdown, probe }
    }

    /// Whether the store can write. One probe at a time, however many ask: each is a commit.
    pub(crate) async fn probe(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.probe.lock().await;
        self.jobs.probe(self.clock.now()).await
    }
}
