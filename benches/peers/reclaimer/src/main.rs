//! Reclaimer, embedded: store and provisioning, with history and fencing, a write-ahead log and `synchronous=FULL`. There is
//! nothing to tune.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use peers::{Done, Mode, Peer, Workers, payload, serve};
use rand::rngs::StdRng;
use reclaimer_domain::history::Actor;
use reclaimer_domain::job::NewJob;
use reclaimer_domain::name::ProviderId;
use reclaimer_domain::ports::{Clock, FreshCredentials, IssueError, JobStore, TokenIssuer};
use reclaimer_domain::secret::Secret;
use reclaimer_domain::wire::read_report;
use reclaimer_persistence::{SqliteConfig, SqliteStore};
use reclaimer_provisioning::{Arrivals, Provisioning, Want};
use serde_json::json;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

#[derive(Debug)]
struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> DateTime<Utc> {
        std::time::SystemTime::now().into()
    }
}

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

struct Reclaimer(Provisioning);

struct Running {
    stop: CancellationToken,
    workers: JoinSet<Result<()>>,
}

#[async_trait]
impl Peer for Reclaimer {
    async fn enqueue(&self) -> Result<()> {
        let job = NewJob { payload: serde_json::from_str(payload())?, ..NewJob::of("BENCH".parse()?) };
        self.0.create(vec![job], None, Actor::Producer).await?;
        Ok(())
    }

    async fn work(&self, at_once: usize, done: Arc<Done>) -> Result<Box<dyn Workers>> {
        let stop = CancellationToken::new();
        let mut workers = JoinSet::new();
        for number in 0..at_once {
            workers.spawn(work(self.0.clone(), format!("bench-{number}"), Arc::clone(&done), stop.clone()));
        }
        Ok(Box::new(Running { stop, workers }))
    }
}

async fn work(
    provisioning: Provisioning,
    name: String,
    done: Arc<Done>,
    stop: CancellationToken,
) -> Result<()> {
    while !stop.is_cancelled() {
        let want = Want { limit: 1, wait: Duration::from_secs(30), ..Want::of(name.parse()?) };
        for job in provisioning.open(want, &stop).await? {
            done.ran();
            let lease = job.lease.as_ref().context("a job comes with its lease")?;
            let report = json!({ "taskId": job.id, "lease": lease.token, "status": "completed" });
            provisioning.report(read_report(report, None)?).await?;
        }
    }
    Ok(())
}

#[async_trait]
impl Workers for Running {
    async fn stop(mut self: Box<Self>) -> Result<()> {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            ended??;
        }
        Ok(())
    }
}

async fn open(folder: PathBuf, _: Mode) -> Result<Reclaimer> {
    let clock: Arc<dyn Clock> = Arc::new(SystemClock);
    let arrivals = Arc::new(Arrivals::new(Arc::clone(&clock)));
    let store = SqliteStore::open(SqliteConfig::at(folder.join("reclaimer.db")), Arc::clone(&arrivals) as _)?;
    store.probe(clock.now()).await?;
    Ok(Reclaimer(Provisioning::new(
        reclaimer_provisioning::Config::default(),
        reclaimer_provisioning::Deps {
            jobs: Arc::new(store.clone()),
            accounts: Arc::new(store),
            issuer: Arc::new(NoProvider),
            clock,
            arrivals,
            rng: rand::make_rng::<StdRng>(),
        },
    )))
}

#[tokio::main]
async fn main() -> Result<()> {
    serve(open).await
}
