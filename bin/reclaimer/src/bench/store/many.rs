//! The store beside many finished jobs, and beside few.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use reclaimer_baseline::fill_finished;
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::{JobFilter, JobStore};
use reclaimer_domain::recovery::RecoveryType;
use reclaimer_policy::Policy;

use super::ours::Ours;
use super::waiting;
use crate::bench::drive::{Done, drive, in_turn, turns};
use crate::bench::engine::Running;
use crate::bench::figure::Rate;
use crate::bench::place::Place;
use crate::bench::progress::Progress;

/// So many callers at once.
const CALLERS: usize = 16;
/// So many jobs are listed at once.
const PAGE: u32 = 100;
/// So many finished jobs the other table has: enough for a page.
const FEW: u64 = 1_000;
const BESIDE: &str = "the same beside a thousand finished jobs";

/// Both tables, in turn.
pub(super) async fn measure(each: Duration, rows: u64, place: &Place) -> Result<Vec<Rate>> {
    let progress = Progress::of(turns(each) * 5);
    progress.say(format!("writing {rows} finished jobs and their events"));
    let many = Side::open(&place.at("many.db"), rows).await?;
    let few = Side::open(&place.at("few.db"), FEW).await?;
    let mut rates = Vec::new();
    for work in [Work::Enqueue, Work::ClaimAndReport, Work::ListAll, Work::ListFinished, Work::Cycle] {
        progress.say(work.name());
        let (rate, beside) = in_turn(
            each,
            &progress,
            async |length| many.run(work, length).await,
            async |length| few.run(work, length).await,
        )
        .await?;
        rates.push(Rate::of(work.name(), rate, BESIDE, beside));
    }
    many.close().await?;
    few.close().await?;
    Ok(rates)
}

/// What is measured.
#[derive(Debug, Clone, Copy)]
enum Work {
    Enqueue,
    ClaimAndReport,
    ListAll,
    ListFinished,
    Cycle,
}

impl Work {
    fn name(self) -> &'static str {
        match self {
            Self::Enqueue => "enqueue, 16 callers",
            Self::ClaimAndReport => "claim and report, 16 callers",
            Self::ListAll => "list 100 jobs, newest first",
            Self::ListFinished => "list 100 finished jobs of a queue",
            Self::Cycle => "a recovery cycle that finds nothing",
        }
    }
}

/// A store and an engine that runs cycles when asked.
struct Side {
    ours: Ours,
    engine: Running,
}

impl Side {
    async fn open(path: &Path, rows: u64) -> Result<Self> {
        // Opened once, so that the tables are there.
        Ours::open(path).await?.close().await;
        let file = path.to_owned();
        tokio::task::spawn_blocking(move || fill_finished(&file, rows)).await??;
        let ours = Ours::open(path).await?;
        let config = reclaimer_recovery::Config { enabled: false, ..Default::default() };
        let engine = Running::start(ours.store.clone(), config, Policy::builtin(), Arc::new(()));
        Ok(Self { ours, engine })
    }

    async fn close(self) -> Result<()> {
        self.engine.stop().await?;
        self.ours.close().await;
        Ok(())
    }

    async fn run(&self, work: Work, length: Duration) -> Result<Done> {
        match work {
            Work::Enqueue => self.ours.enqueue(CALLERS, 1, length).await,
            Work::ClaimAndReport => {
                self.ours.top_up(waiting(CALLERS, length)).await?;
                self.ours.work(CALLERS, length).await
            }
            Work::ListAll => self.list(JobFilter::default(), length).await,
            Work::ListFinished => {
                let queue = Some("default".parse()?);
                self.list(JobFilter { status: vec![Status::Finished], queue, ..JobFilter::default() }, length)
                    .await
            }
            Work::Cycle => self.cycle(length).await,
        }
    }

    async fn list(&self, filter: JobFilter, length: Duration) -> Result<Done> {
        let filter = Arc::new(filter);
        drive(1, length, |_| {
            let (store, filter) = (self.ours.store.clone(), Arc::clone(&filter));
            move || {
                let (store, filter) = (store.clone(), JobFilter::clone(&filter));
                async move {
                    let page = store.jobs(filter, None, PAGE).await?;
                    ensure!(
                        page.items.len() == PAGE as usize,
                        "{} jobs on a page: a defect",
                        page.items.len()
                    );
                    Ok(1)
                }
            }
        })
        .await
    }

    async fn cycle(&self, length: Duration) -> Result<Done> {
        drive(1, length, |_| {
            let handle = self.engine.handle.clone();
            move || {
                let handle = handle.clone();
                async move {
                    handle.recover(RecoveryType::Comprehensive, false).await?;
                    Ok(1)
                }
            }
        })
        .await
    }
}
