//! What every handler works with.

use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use reclaimer_domain::ports::{AccountStore, Clock, JobStore, StoreError};
use reclaimer_feed::Live;
use reclaimer_health::HealthSource;
use reclaimer_provisioning::Provisioning;
use tokio::sync::{Mutex, OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::alerts::Alerting;
use crate::auth::Auth;
use crate::fleet::Fleet;
use crate::metrics::MetricsSource;
use crate::policy::PolicySource;
use crate::session::Sessions;

/// Settings of the API.
#[derive(Debug, Clone)]
pub struct Config {
    /// Who may call.
    pub auth: Auth,
    /// Host names beside `localhost` and the loopback addresses under which the server is called over TCP; others are
    /// refused, so that no web page can reach it through a name of its own (DNS rebinding).
    pub allowed_hosts: Vec<String>,
    /// Whether metrics and health are shown to anybody, and not to admins alone.
    pub open_metrics: bool,
    /// At most so many workers wait for jobs, or listeners for events, at once, so that their connections leave room for everybody else's.
    pub most_waiting: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self { auth: Auth::default(), allowed_hosts: Vec::new(), open_metrics: false, most_waiting: 1_536 }
    }
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
    /// Where its policy comes from.
    pub policy: Arc<dyn PolicySource>,
    /// Links, their workers and processes.
    pub fleet: Arc<dyn Fleet>,
    /// How the server is doing.
    pub health: Arc<dyn HealthSource>,
    /// Tells people when it is not well.
    pub alerts: Arc<dyn Alerting>,
    /// What happens, as it happens.
    pub live: Live,
    /// What was counted.
    pub metrics: Arc<dyn MetricsSource>,
    /// Who is logged in to the dashboard.
    pub sessions: Arc<Sessions>,
    /// Tells the time that is stored.
    pub clock: Arc<dyn Clock>,
    /// Cancelled when the server ends: whoever waits for jobs is then answered at once.
    pub shutdown: CancellationToken,
}

/// Shared by all handlers. Each request has several of it, so that a copy must cost next to nothing.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Shared>);

/// What there is one of.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) config: Config,
    deps: Deps,
    probe: Mutex<()>,
    waiting: Arc<Semaphore>,
}

impl Deref for App {
    type Target = Shared;

    fn deref(&self) -> &Shared {
        &self.0
    }
}

impl Deref for Shared {
    type Target = Deps;

    fn deref(&self) -> &Deps {
        &self.deps
    }
}

impl App {
    pub(crate) fn new(config: Config, deps: Deps) -> Self {
        let waiting = Arc::new(Semaphore::new(config.most_waiting));
        Self(Arc::new(Shared { config, deps, probe: Mutex::default(), waiting }))
    }

    /// Room for one more who waits; `None` when there is none. Whoever does not wait needs none.
    pub(crate) fn place_to_wait(&self, wait: Duration) -> Option<Option<OwnedSemaphorePermit>> {
        if wait.is_zero() {
            return Some(None);
        }
        Arc::clone(&self.waiting).try_acquire_owned().ok().map(Some)
    }

    /// Whether the store can write. One probe at a time, however many ask: each is a commit.
    pub(crate) async fn probe(&self) -> Result<(), StoreError> {
        let _one_at_a_time = self.probe.lock().await;
        self.jobs.probe(self.clock.now()).await
    }
}
