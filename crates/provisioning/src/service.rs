//! The service: what it is made of, and its random part.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use reclaimer_domain::id::{IdGenerator, JobId};
use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::ports::{AccountStore, Clock, JobStore, TokenIssuer};

use crate::arrivals::Arrivals;
use crate::config::Config;
use crate::credentials::Refreshes;

/// What the service needs from outside.
#[derive(Debug)]
pub struct Deps {
    /// Keeps jobs.
    pub jobs: Arc<dyn JobStore>,
    /// Keeps accounts.
    pub accounts: Arc<dyn AccountStore>,
    /// Renews credentials.
    pub issuer: Arc<dyn TokenIssuer>,
    /// Tells the time that is stored.
    pub clock: Arc<dyn Clock>,
    /// The same that the store tells of arrivals.
    pub arrivals: Arc<Arrivals>,
    /// Ids and tokens are drawn from it.
    pub rng: StdRng,
}

/// Hands out jobs. Cheap to clone; all clones are one service.
#[derive(Debug, Clone)]
pub struct Provisioning {
    pub(crate) inner: Arc<Inner>,
}

#[derive(Debug)]
pub(crate) struct Inner {
    pub(crate) config: Config,
    pub(crate) jobs: Arc<dyn JobStore>,
    pub(crate) accounts: Arc<dyn AccountStore>,
    pub(crate) issuer: Arc<dyn TokenIssuer>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) arrivals: Arc<Arrivals>,
    pub(crate) refreshes: Refreshes,
    ids: Mutex<IdGenerator<StdRng>>,
}

impl Provisioning {
    /// Puts the service together.
    #[must_use]
    pub fn new(config: Config, deps: Deps) -> Self {
        let Deps { jobs, accounts, issuer, clock, arrivals, rng } = deps;
        let ids = Mutex::new(IdGenerator::new(rng));
        let refreshes = Refreshes::default();
        Self { inner: Arc::new(Inner { config, jobs, accounts, issuer, clock, arrivals, refreshes, ids }) }
    }

    /// A fresh job id, e.g. for a job that is run again.
    #[must_use]
    pub fn new_job_id(&self) -> JobId {
        self.inner.ids(|ids, now| ids.job(now))
    }

    /// A fresh id for a request that came without one.
    #[must_use]
    pub fn new_request_id(&self) -> String {
        self.inner.ids(IdGenerator::request)
    }
}

impl Inner {
    pub(crate) fn now(&self) -> DateTime<Utc> {
        self.clock.now()
    }

    /// Draws from the one generator, so that ids keep the order in which they were asked for.
    pub(crate) fn ids<T>(&self, draw: impl FnOnce(&mut IdGenerator<StdRng>, DateTime<Utc>) -> T) -> T {
        let now = self.now();
        // A generator has no state that a panic could leave half done.
        let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
        draw(&mut ids, now)
    }

    pub(crate) fn tokens(&self, count: u32) -> Vec<LeaseToken> {
        self.ids(|ids, _| (0..count).map(|_| ids.lease_token()).collect())
    }
}
