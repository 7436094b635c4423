//! A job's way through the store: created, claimed and reported by one caller, each durable.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, TimeDelta, Utc};
use rand::SeedableRng;
use rand::rngs::StdRng;
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::IdGenerator;
use reclaimer_domain::job::report::{Holder, Outcome, Report};
use reclaimer_domain::job::{NewJob, Progress};
use reclaimer_domain::ports::{
    Arrival, Claim, Committed, Create, JobStore, ReportAnswer, ReportOrder, StoreListener, TakenLease,
};
use reclaimer_persistence::{SqliteConfig, SqliteStore};
use tokio::runtime::Builder;

use crate::Piece;

const LEASE: Duration = Duration::from_secs(60);

#[derive(Debug)]
struct Nobody;

impl StoreListener for Nobody {
    fn arrived(&self, _: &[Arrival]) {}
    fn taken(&self, _: &[TakenLease]) {}
    fn committed(&self, _: &Committed) {}
}

pub(crate) fn piece() -> Result<Piece> {
    let folder = tempfile::tempdir()?;
    let runtime = Builder::new_current_thread().build()?;
    let store = SqliteStore::open(SqliteConfig::at(folder.path().join("guard.db")), Arc::new(Nobody))?;
    let mut now = DateTime::<Utc>::from_timestamp(1_748_966_405, 0).context("a moment")?;
    runtime.block_on(store.probe(now))?;
    let mut ids = IdGenerator::new(StdRng::seed_from_u64(7));
    let mut order = NewJob::of("PROJECT_ISSUES".parse()?);
    order.payload = serde_json::json!({ "root": "https://example.org/group/project", "page": 4 });
    let worker: reclaimer_domain::name::WorkerId = "worker-1".parse()?;
    Ok(Piece::new("store: a job created, claimed and reported", 300, move || {
        // The folder lives as long as the piece.
        let _ = &folder;
        now += TimeDelta::milliseconds(1);
        let create = Create {
            jobs: vec![(ids.job(now), order.clone())],
            idempotency: None,
            actor: Actor::Producer,
            now,
        };
        let claim = Claim {
            worker: worker.clone(),
            queue: None,
            commands: Vec::new(),
            only: None,
            tokens: vec![ids.lease_token()],
            lease_for: LEASE,
            now,
        };
        let answer = runtime.block_on(async {
            store.create(create).await?;
            let job = store.claim(claim).await?.jobs.pop().context("no job: a defect")?;
            let report = Report {
                job: job.id,
                holder: Holder::Lease(job.lease.context("no lease: a defect")?.token),
                sender: None,
                outcome: Outcome::Completed,
                stamp: None,
                digest: None,
                said: Progress::default(),
                resume_state: None,
                areas: Vec::new(),
            };
            let order = ReportOrder { report, spawn: Vec::new(), lease_for: LEASE, now };
            anyhow::Ok(store.report(order).await?)
        })?;
        ensure!(matches!(answer, ReportAnswer::Applied { .. }), "a holder's report was {answer:?}: a defect");
        Ok(())
    }))
}
