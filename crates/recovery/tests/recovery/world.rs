//! An engine that runs on a fake store, in a time of its own.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::job::Job;
use reclaimer_domain::ports::{Clock, RunBegun, RunListener};
use reclaimer_domain::recovery::RunReport;
use reclaimer_policy::Policy;
use reclaimer_recovery::{Config, Deps, Engine, Handle};
use reclaimer_testkit::{ManualClock, a_job, seeded};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::store::FakeStore;

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const MILLI: Duration = Duration::from_millis(1);

#[derive(Debug)]
pub(crate) struct World {
    pub(crate) store: Arc<FakeStore>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) heard: Arc<Heard>,
    pub(crate) handle: Handle,
    pub(crate) shutdown: CancellationToken,
    pub(crate) engine: JoinHandle<()>,
}

/// What was told of runs.
#[derive(Debug, Default)]
pub(crate) struct Heard(Mutex<Vec<Told>>);

/// One thing that was told of a run.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Told {
    Begun(RunBegun),
    Ended(RunReport, DateTime<Utc>),
}

impl Heard {
    /// All of it, once.
    pub(crate) fn take(&self) -> Vec<Told> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

impl RunListener for Heard {
    fn begun(&self, run: &RunBegun) {
        self.0.lock().unwrap().push(Told::Begun(run.clone()));
    }

    fn ended(&self, report: &RunReport, at: DateTime<Utc>) {
        self.0.lock().unwrap().push(Told::Ended(report.clone(), at));
    }
}

impl World {
    /// A running engine with default settings.
    pub(crate) async fn start() -> Self {
        Self::with(Config::default()).await
    }

    /// A running engine that does nothing by itself.
    pub(crate) async fn on_demand(config: Config) -> Self {
        Self::with(Config { enabled: false, ..config }).await
    }

    /// A running engine that has granted its first grace.
    pub(crate) async fn with(config: Config) -> Self {
        Self::on(Arc::new(FakeStore::default()), config).await
    }

    /// The same on a store that is there already.
    pub(crate) async fn on(store: Arc<FakeStore>, config: Config) -> Self {
        let clock = Arc::new(ManualClock::default());
        let heard = Arc::new(Heard::default());
        let deps = Deps {
            store: Arc::clone(&store) as _,
            clock: Arc::clone(&clock) as _,
            policy: Arc::new(Policy::builtin()),
            listener: Arc::clone(&heard) as _,
            rng: seeded(7),
        };
        let (engine, handle) = Engine::new(config, deps);
        let shutdown = CancellationToken::new();
        let engine = tokio::spawn(engine.run(shutdown.clone()));
        let world = Self { store, clock, heard, handle, shutdown, engine };
        world.settle().await;
        world
    }

    /// Lets everything run that can.
    pub(crate) async fn settle(&self) {
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
    }

    /// Lets time pass on both clocks, as it does: little by little.
    pub(crate) async fn pass(&self, time: Duration) {
        const STEP: Duration = Duration::from_millis(500);
        let mut left = time;
        while !left.is_zero() {
            let step = left.min(STEP);
            self.jump(step).await;
            left -= step;
        }
    }

    /// Lets time pass on both clocks at once: the process was stopped.
    pub(crate) async fn jump(&self, time: Duration) {
        self.clock.advance(time);
        tokio::time::advance(time).await;
        self.settle().await;
    }

    pub(crate) fn now(&self) -> chrono::DateTime<chrono::Utc> {
        self.clock.now()
    }
}

/// Failed jobs that their worker called retryable: `{prefix}-000`, `{prefix}-001`, …
pub(crate) fn retryable(prefix: &str, count: u32) -> Vec<Job> {
    (0..count)
        .map(|index| a_job().id(&format!("{prefix}-{index:03}")).failed_with("boom").retryable().build())
        .collect()
}

/// Failed jobs that would be recovered if only their account were valid.
pub(crate) fn without_account(prefix: &str, count: u32) -> Vec<Job> {
    let mut jobs = retryable(prefix, count);
    jobs.iter_mut().for_each(|job| job.account_id = Some("stale".parse().unwrap()));
    jobs
}
