//! A recovery engine of the measurements' own, which runs cycles when it is asked.

use std::sync::Arc;

use anyhow::{Context, Result};
use reclaimer_domain::ports::{RecoveryStore, RunListener};
use reclaimer_policy::Policy;
use reclaimer_recovery::{Config, Deps, Engine, Handle};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::system::{Seed, SystemClock};

/// An engine that runs.
pub(super) struct Running {
    pub(super) handle: Handle,
    stop: CancellationToken,
    task: JoinHandle<()>,
}

impl Running {
    pub(super) fn start(
        store: impl RecoveryStore + 'static,
        config: Config,
        policy: Policy,
        listener: Arc<dyn RunListener>,
    ) -> Self {
        let (engine, handle) = Engine::new(
            config,
            Deps {
                store: Arc::new(store),
                clock: Arc::new(SystemClock),
                policy: Arc::new(policy),
                listener,
                rng: Seed::from(7).generator("recovery"),
            },
        );
        let stop = CancellationToken::new();
        let task = tokio::spawn(engine.run(stop.clone()));
        Self { handle, stop, task }
    }

    pub(super) async fn stop(self) -> Result<()> {
        self.stop.cancel();
        self.task.await.context("the engine ended by a panic")
    }
}
