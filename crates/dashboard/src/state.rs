//! What every page works with.

use std::ops::Deref;
use std::sync::Arc;

use reclaimer_domain::ports::{AccountStore, Clock, JobStore, RecoveryStore};
use reclaimer_health::HealthSource;
use reclaimer_policy::Defaults;
use reclaimer_provisioning::Provisioning;
use reclaimer_server::alerts::Alerting;
use reclaimer_server::fleet::Fleet;
use reclaimer_server::policy::PolicySource;
use reclaimer_server::session::Sessions;
use tokio::sync::Semaphore;

use crate::history::History;

/// What the dashboard needs from outside.
#[derive(Debug)]
pub struct Deps {
    /// Who is logged in.
    pub sessions: Arc<Sessions>,
    /// Keeps jobs.
    pub jobs: Arc<dyn JobStore>,
    /// Keeps accounts.
    pub accounts: Arc<dyn AccountStore>,
    /// Knows what happened, for trying a policy on it.
    pub past: Arc<dyn RecoveryStore>,
    /// Makes ids, and accepts late results.
    pub provisioning: Provisioning,
    /// Explains jobs and runs recovery.
    pub recovery: reclaimer_recovery::Handle,
    /// The policy in force, and its file.
    pub policy: Arc<dyn PolicySource>,
    /// What holds where a policy that is tried does not say otherwise.
    pub policy_defaults: Defaults,
    /// Links, their workers and processes.
    pub fleet: Arc<dyn Fleet>,
    /// How the server is doing.
    pub health: Arc<dyn HealthSource>,
    /// Tells people when it is not well.
    pub alerts: Arc<dyn Alerting>,
    /// What went through lately; the store's listener tells it.
    pub history: Arc<History>,
    /// Tells the time that pages show.
    pub clock: Arc<dyn Clock>,
}

/// Shared by all pages.
#[derive(Debug, Clone)]
pub(crate) struct App {
    deps: Arc<Deps>,
    /// Trying a policy reads much; one at a time is enough.
    pub(crate) simulations: Arc<Semaphore>,
}

impl App {
    pub(crate) fn new(deps: Deps) -> Self {
        Self { deps: Arc::new(deps), simulations: Arc::new(Semaphore::new(1)) }
    }
}

impl Deref for App {
    type Target = Deps;

    fn deref(&self) -> &Deps {
        &self.deps
    }
}
