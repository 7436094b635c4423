//! Creating jobs, and starting discovery.

use reclaimer_domain::history::Actor;
use reclaimer_domain::job::{InvalidJob, NewJob, Priority};
use reclaimer_domain::name::{AccountId, QueueName};
use reclaimer_domain::ports::{Create, Created, Discovery, DiscoveryAnswer, Idempotency, StoreError};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tracing::debug;

use crate::service::Provisioning;

/// Why an order was not carried out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CreateError {
    /// It orders nothing.
    #[error("an order names at least one job")]
    Empty,
    /// It orders more than one transaction takes.
    #[error("an order names at most {most} jobs, got {0}; split it", most = Provisioning::MOST_JOBS)]
    TooMany(usize),
    /// One of its jobs is wrong.
    #[error("job {index}: {source}")]
    Invalid {
        /// The position of that job.
        index: usize,
        /// What is wrong with it.
        source: InvalidJob,
    },
    /// The store could not.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// What a discovery job is like beside its account.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct DiscoveryOptions {
    /// Its queue.
    pub queue: QueueName,
    /// Its arguments; an empty object when `None`.
    pub payload: Option<Value>,
    /// How soon it runs.
    pub priority: Priority,
}

/// The idempotency of an order: the caller's key, and a digest that tells a repetition from another order under the
/// same key.
#[must_use]
pub fn idempotency(key: &str, order: &Value) -> Idempotency {
    Idempotency { key: key.to_owned(), digest: hex::encode(Sha256::digest(order.to_string().as_bytes())) }
}

impl Provisioning {
    /// The most jobs of one order.
    pub const MOST_JOBS: usize = 1_000;

    /// Creates jobs, all or none, in one transaction.
    ///
    /// # Errors
    /// When the order is wrong or the store cannot; see [`CreateError`]. That an account does not exist is an answer.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the order.
    pub async fn create(
        &self,
        orders: Vec<NewJob>,
        idempotency: Option<Idempotency>,
        actor: Actor,
    ) -> Result<Created, CreateError> {
        match orders.len() {
            0 => return Err(CreateError::Empty),
            many if many > Self::MOST_JOBS => return Err(CreateError::TooMany(many)),
            _ => {}
        }
        for (index, order) in orders.iter().enumerate() {
            order.validate().map_err(|source| CreateError::Invalid { index, source })?;
        }
        let now = self.inner.now();
        let jobs = self.inner.ids(|ids, now| orders.into_iter().map(|order| (ids.job(now), order)).collect());
        let created = self.inner.jobs.create(Create { jobs, idempotency, actor, now }).await?;
        if let Created::Done { jobs, replayed: false, .. } = &created {
            for job in jobs.iter().filter(|job| job.created) {
                debug!(area = "JOB-MANAGER", job_id = %job.id, "job created");
            }
        }
        Ok(created)
    }

    /// Starts discovery for an account, unless one lives or finished lately.
    ///
    /// # Errors
    /// When the order is wrong or the store cannot; see [`CreateError`].
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the order.
    pub async fn discover(
        &self,
        account: AccountId,
        options: DiscoveryOptions,
    ) -> Result<DiscoveryAnswer, CreateError> {
        let DiscoveryOptions { queue, payload, priority } = options;
        let config = &self.inner.config;
        let blank = NewJob::of(config.discovery_command.clone());
        let job = NewJob {
            queue,
            account_id: Some(account),
            payload: payload.unwrap_or_else(|| blank.payload.clone()),
            priority,
            ..blank
        };
        job.validate().map_err(|source| CreateError::Invalid { index: 0, source })?;
        let (id, now) = self.inner.ids(|ids, now| (ids.job(now), now));
        self.inner
            .jobs
            .discover(Discovery { id, job, fresh_for: config.fresh_for, now })
            .await
            .map_err(Into::into)
    }
}
