//! Our side: the store as an embedder would use it.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::rngs::StdRng;
use reclaimer_domain::history::Actor;
use reclaimer_domain::id::{IdGenerator, JobId};
use reclaimer_domain::job::report::{Holder, Outcome, Report};
use reclaimer_domain::job::{Job, NewJob, Progress};
use reclaimer_domain::name::WorkerId;
use reclaimer_domain::ports::{
    Arrival, Claim, Clock, Committed, Create, Created, JobStore, ReportAnswer, ReportOrder, Reports,
    StoreListener, TakenLease,
};
use reclaimer_persistence::{SqliteConfig, SqliteStore};
use serde_json::{Value, json};

use crate::bench::drive::{Done, drive};
use crate::system::{Seed, SystemClock};

/// Nobody waits for jobs here.
#[derive(Debug)]
struct Nobody;

impl StoreListener for Nobody {
    fn arrived(&self, _: &[Arrival]) {}
    fn taken(&self, _: &[TakenLease]) {}
    fn committed(&self, _: &Committed) {}
}

/// Arguments of about two hundred bytes, the same for both sides.
pub(crate) fn payload() -> Value {
    json!({
        "root": "https://example.org/group/project", "page": 4, "since": "2025-06-03T16:00:05.000Z",
        "fields": ["title", "state", "labels", "author", "milestone"], "trace": "4bf92f3577b34da6a3ce929d0e0e4736",
    })
}

/// How long what is claimed here is held.
const LEASE: Duration = Duration::from_secs(60);
/// Whatever it is, it ends within this time.
const MOST: Duration = Duration::from_secs(60);
/// How long what is to be lost is held.
const SHORTEST_LEASE: Duration = Duration::from_millis(1);
/// So many jobs are created at once where it is not measured.
const MANY: u64 = 500;

/// The store, and what makes ids. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Ours {
    pub(crate) store: SqliteStore,
    order: Arc<NewJob>,
    ids: Arc<Mutex<IdGenerator<StdRng>>>,
    /// How many jobs wait.
    waiting: Arc<AtomicU64>,
}

impl Ours {
    /// Opens a file as the server would, with full durability.
    pub(crate) async fn open(path: &Path) -> Result<Self> {
        let store = SqliteStore::open(SqliteConfig::at(path), Arc::new(Nobody))?;
        store.probe(SystemClock.now()).await?;
        let ids = IdGenerator::new(Seed::from(7).generator("bench"));
        // Where they are lost again and again, none is given up.
        let max_attempts = NewJob::MOST_ATTEMPTS;
        let order = NewJob { payload: payload(), max_attempts, ..NewJob::of("BENCH".parse()?) };
        Ok(Self {
            store,
            order: Arc::new(order),
            ids: Arc::new(Mutex::new(ids)),
            waiting: Arc::new(AtomicU64::new(0)),
        })
    }

    pub(crate) async fn close(&self) {
        self.store.close().await;
    }

    /// So many callers create jobs, so many with each order.
    pub(crate) async fn enqueue(&self, callers: usize, batch: usize, length: Duration) -> Result<Done> {
        drive(callers, length, |_| {
            let ours = self.clone();
            move || {
                let ours = ours.clone();
                async move { ours.create(batch).await }
            }
        })
        .await
    }

    /// So many callers create jobs until `over`.
    pub(crate) async fn enqueue_until(&self, callers: usize, over: &Arc<AtomicBool>) -> Result<Done> {
        drive(callers, MOST, |_| {
            let (ours, over) = (self.clone(), Arc::clone(over));
            move || {
                let (ours, over) = (ours.clone(), Arc::clone(&over));
                async move { if over.load(Ordering::Relaxed) { Ok(0) } else { ours.create(1).await } }
            }
        })
        .await
    }

    /// So many callers claim a job and report it finished, again and again.
    pub(crate) async fn work(&self, callers: usize, length: Duration) -> Result<Done> {
        let workers = workers(callers)?;
        drive(callers, length, |number| {
            let (ours, worker) = (self.clone(), workers[number].clone());
            move || {
                let (ours, worker) = (ours.clone(), worker.clone());
                async move {
                    let Some(job) = ours.claim(&worker).await? else { return Ok(0) };
                    ours.report(job, worker).await?;
                    Ok(1)
                }
            }
        })
        .await
    }

    /// So many callers report a job finished and take the next, by one operation, again and again.
    pub(crate) async fn go_on(&self, callers: usize, length: Duration) -> Result<Done> {
        let workers = workers(callers)?;
        drive(callers, length, |number| {
            let (ours, worker) = (self.clone(), workers[number].clone());
            let held = Arc::new(tokio::sync::Mutex::new(None));
            move || {
                let (ours, worker, held) = (ours.clone(), worker.clone(), Arc::clone(&held));
                async move {
                    let mut held = held.lock().await;
                    *held = match held.take() {
                        Some(job) => ours.report_and_claim(job, &worker).await?,
                        None => ours.claim(&worker).await?,
                    };
                    Ok(u64::from(held.is_some()))
                }
            }
        })
        .await
    }

    /// Creates jobs until at least so many wait.
    pub(crate) async fn top_up(&self, wanted: u64) -> Result<()> {
        while self.waiting.load(Ordering::Relaxed) < wanted {
            self.create(usize::try_from(MANY)?).await?;
        }
        Ok(())
    }

    /// Has so many jobs taken by a worker that is never heard again; answers when their leases have ended.
    pub(crate) async fn lose(&self, many: u64) -> Result<()> {
        self.top_up(many).await?;
        let worker: WorkerId = "bench-lost".parse()?;
        let mut lost = 0;
        while lost < many {
            let jobs = self.take(&worker, MANY.min(many - lost), SHORTEST_LEASE).await?.len() as u64;
            ensure!(jobs > 0, "jobs that wait were not handed out: a defect");
            lost += jobs;
        }
        tokio::time::sleep(2 * SHORTEST_LEASE).await;
        Ok(())
    }

    /// Counts so many jobs as waiting again.
    pub(crate) fn returned(&self, many: u64) {
        self.waiting.fetch_add(many, Ordering::Relaxed);
    }

    async fn create(&self, many: usize) -> Result<u64> {
        let now = SystemClock.now();
        let jobs: Vec<(JobId, NewJob)> = {
            let mut ids = self.ids.lock().ok().context("a caller panicked")?;
            (0..many).map(|_| (ids.job(now), NewJob::clone(&self.order))).collect()
        };
        let order = Create { jobs, idempotency: None, actor: Actor::Producer, now };
        let Created::Done { jobs, .. } = self.store.create(order).await? else {
            bail!("an order without conditions was refused: a defect");
        };
        let created = u64::try_from(jobs.len())?;
        self.waiting.fetch_add(created, Ordering::Relaxed);
        Ok(created)
    }

    async fn claim(&self, worker: &WorkerId) -> Result<Option<Job>> {
        Ok(self.take(worker, 1, LEASE).await?.pop())
    }

    async fn take(&self, worker: &WorkerId, many: u64, lease_for: Duration) -> Result<Vec<Job>> {
        let jobs = self.store.claim(self.wanted(worker, many, lease_for)?).await?.jobs;
        self.waiting.fetch_sub(jobs.len() as u64, Ordering::Relaxed);
        Ok(jobs)
    }

    fn wanted(&self, worker: &WorkerId, many: u64, lease_for: Duration) -> Result<Claim> {
        let tokens = {
            let mut ids = self.ids.lock().ok().context("a caller panicked")?;
            (0..many).map(|_| ids.lease_token()).collect()
        };
        Ok(Claim {
            worker: worker.clone(),
            queue: Some(self.order.queue.clone()),
            commands: Vec::new(),
            only: None,
            tokens,
            lease_for,
            now: SystemClock.now(),
        })
    }

    async fn report(&self, job: Job, worker: WorkerId) -> Result<()> {
        applied(&self.store.report(completed(job, worker)?).await?)
    }

    async fn report_and_claim(&self, job: Job, worker: &WorkerId) -> Result<Option<Job>> {
        let reports = [completed(job, worker.clone())?].into();
        let next = Some(self.wanted(worker, 1, LEASE)?);
        let reported = self.store.report_all(Reports { reports, next }).await?;
        reported.answers.iter().try_for_each(applied)?;
        let job = reported.next.unwrap_or_default().jobs.pop();
        self.waiting.fetch_sub(u64::from(job.is_some()), Ordering::Relaxed);
        Ok(job)
    }
}

/// A holder's report that its job is done.
fn completed(job: Job, worker: WorkerId) -> Result<ReportOrder> {
    let token = job.lease.context("a claimed job has a lease")?.token;
    let report = Report {
        job: job.id,
        holder: Holder::Lease(token),
        sender: Some(worker),
        outcome: Outcome::Completed,
        stamp: None,
        digest: None,
        said: Progress::default(),
        resume_state: None,
        areas: Vec::new(),
    };
    Ok(ReportOrder { report, spawn: Vec::new(), lease_for: LEASE, now: SystemClock.now() })
}

fn applied(answer: &ReportAnswer) -> Result<()> {
    ensure!(matches!(answer, ReportAnswer::Applied { .. }), "a holder's report was {answer:?}: a defect");
    Ok(())
}

fn workers(many: usize) -> Result<Vec<WorkerId>> {
    (0..many).map(|number| Ok(format!("bench-{number}").parse()?)).collect()
}
