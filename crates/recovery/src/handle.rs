//! What the rest of the program asks of the engine.

use std::sync::{Arc, Mutex, PoisonError};

use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::{JobId, RunId};
use reclaimer_domain::ports::{BrokenRow, Case, Clock, Page, RecoveryStore, StoreError, Undo, Undone};
use reclaimer_domain::recovery::{CycleRunning, RecoveryType, RunRecord, RunReport};
use reclaimer_domain::time::{after, millis, millis_of, millis_option};
use reclaimer_health::Beat;
use reclaimer_policy::{Explanation, Policy, Question, Rhythm, explain};
use serde::Serialize;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::time::Instant;

use crate::beats::Beats;
use crate::config::Config;
use crate::cycle::HOLD_FOR;

/// Asks the engine for runs, and how it is doing. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Handle {
    pub(crate) requests: mpsc::Sender<Request>,
    pub(crate) state: watch::Receiver<State>,
    pub(crate) store: Arc<dyn RecoveryStore>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) config: Arc<Config>,
    pub(crate) policy: watch::Sender<Arc<Policy>>,
    pub(crate) beats: Beats,
    /// For the delays in explanations.
    pub(crate) rng: Arc<Mutex<StdRng>>,
}

/// What can be said of a job.
#[derive(Debug, Clone, PartialEq)]
pub enum Explained {
    /// Why it is where it is, and what would become of it.
    Whole(Box<Explanation>),
    /// Its row cannot be read.
    Broken(BrokenRow),
}

/// Somebody asks for a run.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) kind: RecoveryType,
    pub(crate) dry_run: bool,
    pub(crate) answer: oneshot::Sender<Result<RunReport, RecoverError>>,
}

/// What the engine shows of itself.
#[derive(Debug, Clone, Default)]
pub(crate) struct State {
    /// Set while a cycle of this engine runs.
    pub(crate) running: Option<CycleRunning>,
    /// When the next comprehensive run starts by itself.
    pub(crate) next_run: Option<Instant>,
    /// When the last cycle ended.
    pub(crate) last_ended_at: Option<DateTime<Utc>>,
    /// How many cycles could not run.
    pub(crate) failures: u64,
    /// The last of them.
    pub(crate) last_failure: Option<Failure>,
}

/// Why a run that was asked for gave no report.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RecoverError {
    /// Another cycle runs, here or in another server on the same database.
    #[error(transparent)]
    Running(#[from] CycleRunning),
    /// The store could not even let the cycle begin. One that broke off later gives a report with `success: false`.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine has stopped, or stops before it comes to this.
    #[error("the recovery engine has stopped; start the server again")]
    Closed,
}

/// When recovery runs, and how it went lately.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Schedule {
    /// Whether recovery runs by itself.
    pub enabled: bool,
    /// From the start to the startup run, in milliseconds.
    pub startup_delay_ms: u64,
    /// Between periodic runs, in milliseconds.
    pub interval_ms: u64,
    /// Between looks for expired leases, in milliseconds.
    pub lease_check_ms: u64,
    /// Between a cycle that left work and the next, in milliseconds.
    pub drain_pause_ms: u64,
    /// At most so many jobs change in a cycle.
    pub batch_size: u32,
    /// When the next comprehensive run starts by itself; `None` when recovery is switched off.
    #[serde(with = "millis_option")]
    pub next_run_at: Option<DateTime<Utc>>,
    /// Whether a cycle runs in this process now.
    pub running: bool,
    /// When the last cycle of this process ended, looks for expired leases included.
    #[serde(with = "millis_option")]
    pub last_ended_at: Option<DateTime<Utc>>,
    /// How many cycles of this process could not run.
    pub failures: u64,
    /// The last of them.
    pub last_failure: Option<Failure>,
}

/// A cycle that could not run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Failure {
    /// When.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
    /// The stable word for the cause, as in answers and metrics.
    pub code: &'static str,
    /// What is wrong, for people.
    pub error: String,
}

impl Handle {
    /// Runs one cycle now and reports it. Where it leaves work, the engine goes on by itself after the drain pause.
    /// A dry run decides the same and changes nothing.
    ///
    /// # Errors
    /// When another cycle runs, the store fails, or the engine has stopped.
    ///
    /// # Cancel safety
    /// Dropping the future gives up the report; a cycle that began runs on to its end.
    pub async fn recover(&self, kind: RecoveryType, dry_run: bool) -> Result<RunReport, RecoverError> {
        if let Some(running) = self.state.borrow().running {
            return Err(running.into());
        }
        let (answer, report) = oneshot::channel();
        self.requests.try_send(Request { kind, dry_run, answer }).map_err(|refused| match refused {
            // Somebody else's request was first; its cycle is about to begin.
            TrySendError::Full(_) => CycleRunning { until: after(self.clock.now(), HOLD_FOR) }.into(),
            TrySendError::Closed(_) => RecoverError::Closed,
        })?;
        report.await.unwrap_or(Err(RecoverError::Closed))
    }

    /// Proves that the engine turns, and that it looks for expired leases, if it is to.
    #[must_use]
    pub fn beats(&self) -> [Beat; 2] {
        self.beats.all()
    }

    /// The policy in force.
    #[must_use]
    pub fn policy(&self) -> Arc<Policy> {
        Arc::clone(&self.policy.borrow())
    }

    /// Puts another policy in force, from the next cycle on: one that runs ends by the policy it began with.
    pub fn set_policy(&self, policy: Arc<Policy>) {
        self.policy.send_replace(policy);
    }

    /// Explains a job by the policy in force: why it is where it is, what a cycle would decide about it at this moment
    /// (its minute's budget and the spreading of what it queues aside), and when one will. `None` when there is no such
    /// job.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn explain(&self, id: &JobId) -> Result<Option<Explained>, StoreError> {
        let now = self.clock.now();
        let (candidate, history) = match self.store.case(id, now).await? {
            None => return Ok(None),
            Some(Case::Broken(row)) => return Ok(Some(Explained::Broken(row))),
            Some(Case::Whole { candidate, history }) => (candidate, history),
        };
        let rhythm = self.schedule().next_run_at.filter(|_| self.config.enabled).map(|next_run| Rhythm {
            next_run,
            interval: self.config.interval,
            lease_check: self.config.lease_check,
        });
        let question = Question {
            job: &candidate.job,
            account: &candidate.account,
            history: &history,
            stuck: &self.config.stuck,
            rhythm,
            now,
        };
        let mut rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner);
        let explanation = explain(&self.policy.borrow(), &question, &mut *rng);
        Ok(Some(Explained::Whole(Box::new(explanation))))
    }

    /// Runs in this database, newest first, from before `cursor`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn runs(
        &self,
        cursor: Option<RunId>,
        limit: u32,
    ) -> Result<Page<RunRecord, RunId>, StoreError> {
        self.store.runs(cursor, limit).await
    }

    /// One run, or `None`.
    ///
    /// # Errors
    /// When the store fails.
    pub async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.store.run(id).await
    }

    /// Puts back what a run changed, as far as nothing has happened to it since. A dry run only says what would be put
    /// back. `None` when there is no such run.
    ///
    /// # Errors
    /// When the store fails.
    ///
    /// # Cancel safety
    /// Dropping the future does not stop it.
    pub async fn undo(&self, run: RunId, dry_run: bool, actor: Actor) -> Result<Option<Undone>, StoreError> {
        if self.store.run(&run).await?.is_none() {
            return Ok(None);
        }
        let (grace, now) = (self.config.reclaim_grace, self.clock.now());
        self.store.undo(Undo { run, dry_run, grace, actor, now }).await.map(Some)
    }

    /// When recovery runs, and how it went lately.
    #[must_use]
    pub fn schedule(&self) -> Schedule {
        let state = self.state.borrow().clone();
        let from_now = |at: Instant| after(self.clock.now(), at.saturating_duration_since(Instant::now()));
        Schedule {
            enabled: self.config.enabled,
            startup_delay_ms: millis_of(self.config.startup_delay),
            interval_ms: millis_of(self.config.interval),
            lease_check_ms: millis_of(self.config.lease_check),
            drain_pause_ms: millis_of(self.config.drain_pause),
            batch_size: self.config.batch_size,
            next_run_at: state.next_run.map(from_now),
            running: state.running.is_some(),
            last_ended_at: state.last_ended_at,
            failures: state.failures,
            last_failure: state.last_failure,
        }
    }
}
