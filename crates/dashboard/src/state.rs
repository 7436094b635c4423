//! What every page works with.

use std::ops::Deref;
use std::sync::Arc;

use reclaimer_domain::ports::{Clock, JobStore};
use reclaimer_provisioning::Provisioning;
use reclaimer_server::fleet::Fleet;
use reclaimer_server::session::Sessions;

/// What the dashboard needs from outside.
#[derive(Debug)]
pub struct Deps {
    /// Who is logged in.
    pub sessions: Arc<Sessions>,
    /// Keeps jobs.
    pub jobs: Arc<dyn JobStore>,
    /// Makes ids, and accepts late results.
    pub provisioning: Provisioning,
    /// Explains jobs and runs recovery.
    pub recovery: reclaimer_recovery::Handle,
    /// Links, their workers and processes.
    pub fleet: Arc<dyn Fleet>,
    /// Tells the time that pages show.
    pub clock: Arc<dyn Clock>,
}

/// Shared by all pages.
#[derive(Debug, Clone)]
pub(crate) struct App(Arc<Deps>);

impl App {
    pub(crate) fn new(deps: Deps) -> Self {
        Self(Arc::new(deps))
    }
}

impl Deref for App {
    type Target = Deps;

    fn deref(&self) -> &Deps {
        &self.0
    }
}
