//! Reclaimer inside another program: no server, no HTTP. A worker takes a job and dies with it; the engine gets the job
//! back; a second worker finishes it, and the first one's late word changes nothing.
//!
//! `cargo run -p embed`

#![expect(clippy::print_stdout, reason = "an example prints")]

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use rand::rngs::StdRng;
use reclaimer_domain::history::Actor;
use reclaimer_domain::job::NewJob;
use reclaimer_domain::name::ProviderId;
use reclaimer_domain::ports::{Clock, FreshCredentials, IssueError, JobStore, ReportAnswer, TokenIssuer};
use reclaimer_domain::secret::Secret;
use reclaimer_domain::wire::{JobOnTheWire, read_report};
use reclaimer_persistence::{SqliteConfig, SqliteStore};
use reclaimer_policy::Policy;
use reclaimer_provisioning::{Arrivals, Provisioning, Want};
use reclaimer_recovery::Engine;
use serde_json::json;
use tokio_util::sync::CancellationToken;

/// The clock is yours: a test would bring one that it can move.
#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "the one system clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// These jobs need no credentials.
#[derive(Debug)]
struct NoProvider;

#[async_trait]
impl TokenIssuer for NoProvider {
    async fn refresh(
        &self,
        provider: &ProviderId,
        _: &Secret,
        _: DateTime<Utc>,
    ) -> Result<FreshCredentials, IssueError> {
        Err(IssueError::UnknownProvider(provider.clone()))
    }
}

#[tokio::main]
async fn main() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let arrivals = Arc::new(Arrivals::new(Arc::clone(&clock)));
    let store =
        SqliteStore::open(SqliteConfig::at(folder.path().join("jobs.db")), Arc::clone(&arrivals) as _)?;
    let provisioning = Provisioning::new(
        reclaimer_provisioning::Config { lease: Duration::from_millis(500), ..Default::default() },
        reclaimer_provisioning::Deps {
            jobs: Arc::new(store.clone()),
            accounts: Arc::new(store.clone()),
            issuer: Arc::new(NoProvider),
            clock: Arc::clone(&clock),
            arrivals,
            rng: rand::make_rng::<StdRng>(),
        },
    );
    let (engine, _handle) = Engine::new(
        reclaimer_recovery::Config {
            startup_delay: Duration::ZERO,
            lease_check: Duration::from_millis(100),
            ..Default::default()
        },
        reclaimer_recovery::Deps {
            store: Arc::new(store.clone()),
            clock: Arc::clone(&clock),
            policy: Arc::new(Policy::builtin()),
            listener: Arc::new(()),
            rng: rand::make_rng::<StdRng>(),
        },
    );
    let shutdown = CancellationToken::new();
    let engine = tokio::spawn(engine.run(shutdown.clone()));

    provisioning.create(vec![NewJob::of("RESIZE".parse()?)], None, Actor::Producer).await?;
    let lost = take(&provisioning, "dies", &shutdown).await?;
    println!("worker `dies` took job {}, attempt {}", lost.id, lost.attempt);
    let again = take(&provisioning, "lives", &shutdown).await?;
    println!("worker `lives` got job {}, attempt {}", again.id, again.attempt);
    println!("`lives` reports: {}", report(&provisioning, &again).await?);
    println!("`dies` reports, too late: {}", report(&provisioning, &lost).await?);
    let history = store.events(&lost.id, None, 50).await?.context("the job has a history")?;
    for event in history.items {
        let reason = event.entry.reason.unwrap_or_default();
        println!("  {:<12} by {:<20} {reason}", event.entry.kind, event.entry.actor.to_string());
    }

    shutdown.cancel();
    engine.await?;
    store.close().await;
    Ok(())
}

/// Waits for a job.
async fn take(provisioning: &Provisioning, worker: &str, stop: &CancellationToken) -> Result<JobOnTheWire> {
    let want = Want { limit: 1, wait: Duration::from_secs(30), ..Want::of(worker.parse()?) };
    provisioning.open(want, stop).await?.pop().context("no job came")
}

/// Reports a job done.
async fn report(provisioning: &Provisioning, job: &JobOnTheWire) -> Result<&'static str> {
    let lease = job.lease.as_ref().context("a job comes with its lease")?;
    let report = json!({ "taskId": job.id, "lease": lease.token, "status": "completed" });
    Ok(match provisioning.report(read_report(report, None)?).await? {
        ReportAnswer::Applied { .. } => "applied",
        ReportAnswer::Duplicate { .. } => "applied before",
        ReportAnswer::Stale { .. } => "refused, the job is not its own any more",
        ReportAnswer::Refused(_) => "refused",
    })
}
