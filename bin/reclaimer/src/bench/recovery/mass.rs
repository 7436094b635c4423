//! Very many jobs: a cycle that finds nothing among them, ten thousand that are lost together, and how they come back.

use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Result, ensure};
use chrono::{DateTime, Utc};
use reclaimer_baseline::fill_finished;
use reclaimer_domain::ports::{RunBegun, RunListener};
use reclaimer_domain::recovery::{RecoveryType, RunReport};
use reclaimer_policy::{Defaults, Policy, builtin_rules};
use reclaimer_recovery::{Budget, Config, Handle};
use tokio::time::Instant;

use super::{PATIENCE, Size};
use crate::bench::drive::Done;
use crate::bench::engine::Running;
use crate::bench::figure::{Count, Measured, Rate, Time};
use crate::bench::place::Place;
use crate::bench::progress::Progress;
use crate::bench::store::{Beside, Ours};

/// So many jobs change in a cycle, where as many as possible are to.
const BATCH: u32 = 1_000;
/// So many callers create jobs while others are recovered.
const CALLERS: usize = 16;
/// For how long they create jobs in peace.
const PEACE: Duration = Duration::from_millis(500);

/// How many steps it takes.
pub(super) fn steps(size: &Size) -> u64 {
    size.cycles as u64 + 3 * size.turns
}

pub(super) async fn measure(place: &Place, size: &Size, progress: &Progress) -> Result<Measured> {
    progress.say(format!("writing {} finished jobs and their events", size.rows));
    let file = place.at("many.db");
    // Opened once, so that the tables are there.
    Ours::open(&file).await?.close().await;
    let (path, rows) = (file.clone(), size.rows);
    tokio::task::spawn_blocking(move || fill_finished(&path, rows)).await??;
    let ours = Ours::open(&file).await?;
    let mut measured = Measured::default();

    let fast = fast(&ours)?;
    progress.say("cycles that find nothing");
    measured.times.push(nothing(&fast.handle, size, progress).await?);
    progress.say(format!("{} lost jobs", size.lost));
    let (bare, _) = Beside::open(&place.at("bare.db"))?;
    measured.rates.push(beside_update(&ours, &fast.handle, &bare, size, progress).await?);
    measured.rates.push(beside_traffic(&ours, &fast.handle, size, progress).await?);
    measured.rates.push(beside_paced_traffic(&ours, &fast.handle, size, progress).await?);
    fast.stop().await?;
    progress.say("as many with the settings as shipped");
    ours.close().await;
    measured.counts.extend(herd(&place.at("herd.db"), size).await?);
    Ok(measured)
}

/// An engine without pauses, that spreads nothing and keeps to no budget; it has paid already what its absence owed.
fn fast(ours: &Ours) -> Result<Running> {
    Ok(Running::start(ours.store.clone(), fast_config(), patient()?, Arc::new(())))
}

fn fast_config() -> Config {
    Config {
        enabled: false,
        batch_size: BATCH,
        drain_pause: PATIENCE,
        spread: Duration::ZERO,
        reclaim_grace: Duration::ZERO,
        budget: Budget { ratio: 0.0, per_second: f64::INFINITY },
        ..Config::default()
    }
}

/// The built-in rules, which here lose patience with no job, however often it is lost.
fn patient() -> Result<Policy> {
    let defaults = Defaults { poison_after: u32::MAX, ..*Policy::builtin().defaults() };
    Policy::new(builtin_rules(), defaults).map_err(|invalid| anyhow::anyhow!("{invalid:?}"))
}

async fn nothing(engine: &Handle, size: &Size, progress: &Progress) -> Result<Time> {
    let mut took = Vec::with_capacity(size.cycles);
    // The first one pays what the absence owed.
    engine.recover(RecoveryType::Comprehensive, false).await?;
    for _ in 0..size.cycles {
        let start = Instant::now();
        let report = engine.recover(RecoveryType::Comprehensive, false).await?;
        took.push(start.elapsed());
        ensure!(report.success && report.result.decisions.is_empty(), "not nothing: {}", report.message);
        progress.step();
    }
    Ok(Time::of(format!("a recovery cycle that finds nothing among {} jobs", size.rows), took))
}

/// Recovers all that is lost, each decided about, with its event; answers how long the cycles took, pauses aside.
async fn recover_all(engine: &Handle, lost: u64) -> Result<Duration> {
    let (mut took, mut recovered) = (Duration::ZERO, 0);
    loop {
        let start = Instant::now();
        let report = engine.recover(RecoveryType::Stuck, false).await?;
        took += start.elapsed();
        recovered += u64::from(report.result.recovered_jobs);
        if !report.result.more {
            ensure!(
                recovered == lost,
                "{recovered} of {lost} jobs were recovered: a defect ({})",
                report.message
            );
            return Ok(took);
        }
    }
}

/// How fast lost jobs are recovered, beside one statement that sets back as many bare rows.
async fn beside_update(
    ours: &Ours,
    engine: &Handle,
    bare: &Beside,
    size: &Size,
    progress: &Progress,
) -> Result<Rate> {
    let (mut our, mut beside) = (Done::default(), Done::default());
    for _ in 0..size.turns {
        ours.lose(size.lost).await?;
        our.add(Done::new(size.lost, recover_all(engine, size.lost).await?));
        ours.returned(size.lost);
        beside.add(Done::new(size.lost, bare.take_and_set_back(usize::try_from(size.lost)?).await?));
        progress.step();
    }
    let what = format!("{} lost jobs recovered, each decided, with its event", size.lost);
    Ok(Rate::of(what, our.per_second(), "one bare UPDATE of as many rows", beside.per_second()))
}

/// How fast jobs are created while others are recovered without a pause, beside the same in peace.
async fn beside_traffic(ours: &Ours, engine: &Handle, size: &Size, progress: &Progress) -> Result<Rate> {
    let (mut amid, mut peace) = (Done::default(), Done::default());
    for _ in 0..size.turns {
        ours.lose(size.lost).await?;
        amid.add(created_while(ours, recover_all(engine, size.lost)).await?);
        ours.returned(size.lost);
        peace.add(ours.enqueue(CALLERS, 1, PEACE).await?);
        progress.step();
    }
    let what = format!("jobs created by {CALLERS} callers while {} are recovered without a pause", size.lost);
    Ok(Rate::of(what, amid.per_second(), "the same in peace", peace.per_second()))
}

/// The same while some of the lost jobs are recovered at the pace of the settings as shipped; the fast engine then
/// recovers the rest.
async fn beside_paced_traffic(
    ours: &Ours,
    engine: &Handle,
    size: &Size,
    progress: &Progress,
) -> Result<Rate> {
    let shipped = Config::default();
    let (batch, pause) = (shipped.batch_size, shipped.drain_pause);
    let config = Config { batch_size: batch, ..fast_config() };
    let paced = Running::start(ours.store.clone(), config, patient()?, Arc::new(()));
    let (mut amid, mut peace) = (Done::default(), Done::default());
    ours.lose(size.lost).await?;
    let mut left = size.lost;
    for _ in 0..size.turns {
        let recovering = async {
            let report = paced.handle.recover(RecoveryType::Stuck, false).await?;
            tokio::time::sleep(pause).await;
            Ok(report.result.recovered_jobs)
        };
        let mut recovered = 0;
        amid.add(created_while(ours, async { recovering.await.map(|jobs| recovered = jobs) }).await?);
        left = left.saturating_sub(recovered.into());
        peace.add(ours.enqueue(CALLERS, 1, pause).await?);
        progress.step();
    }
    paced.stop().await?;
    recover_all(engine, left).await?;
    ours.returned(size.lost);
    let what =
        format!("jobs created by {CALLERS} callers while {batch} are recovered each second, as shipped");
    Ok(Rate::of(what, amid.per_second(), "the same in peace", peace.per_second()))
}

/// The jobs that callers create while something else happens.
async fn created_while<T>(ours: &Ours, other: impl Future<Output = Result<T>>) -> Result<Done> {
    let over = Arc::new(AtomicBool::new(false));
    let other = async {
        let ended = other.await;
        over.store(true, Ordering::Relaxed);
        ended
    };
    let (ended, created) = tokio::join!(other, ours.enqueue_until(CALLERS, &over));
    ended?;
    created
}

/// Hears when jobs become due that were recovered.
#[derive(Debug, Default)]
struct Due(Mutex<Vec<DateTime<Utc>>>);

impl RunListener for Due {
    fn begun(&self, _: &RunBegun) {}

    fn ended(&self, report: &RunReport, _: DateTime<Utc>) {
        let due = report.result.decisions.iter().filter_map(|decision| decision.run_at);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).extend(due);
    }
}

/// How many become due together when very many are lost, with the settings as shipped, which recover some of them at a time.
async fn herd(file: &Path, size: &Size) -> Result<Vec<Count>> {
    let ours = Ours::open(file).await?;
    ours.lose(size.lost).await?;
    ours.close().await;
    // Opened anew, it knows of no claims that the budget would be measured by.
    let ours = Ours::open(file).await?;
    let due = Arc::new(Due::default());
    let config = Config { enabled: false, reclaim_grace: Duration::ZERO, ..Config::default() };
    let engine = Running::start(ours.store.clone(), config, Policy::builtin(), Arc::clone(&due) as _);
    engine.handle.recover(RecoveryType::Stuck, false).await?;
    tokio::time::sleep(size.herd_for).await;
    engine.stop().await?;
    ours.close().await;
    let mut at = std::mem::take(&mut *due.0.lock().unwrap_or_else(PoisonError::into_inner));
    at.sort_unstable();
    let note = format!(
        "of {} lost together, {} of which were queued again within {} s",
        size.lost,
        at.len(),
        size.herd_for.as_secs()
    );
    let within = |time: Duration| Count {
        what: format!("jobs that become due within {} ms of each other, at most", time.as_millis()),
        number: most_within(&at, time) as f64,
        note: Some(note.clone()),
    };
    Ok(vec![within(Duration::from_millis(100)), within(Duration::from_secs(1))])
}

/// The largest number of moments, which are in order, that lie within so long a time.
fn most_within(at: &[DateTime<Utc>], time: Duration) -> usize {
    let time = chrono::TimeDelta::from_std(time).unwrap_or(chrono::TimeDelta::MAX);
    let from = |first: usize| at[first..].partition_point(|moment| *moment - at[first] < time);
    (0..at.len()).map(from).max().unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_largest_herd_is_found_wherever_it_is() {
        let at: Vec<_> = [0, 50, 900, 950, 999, 1_000, 2_000]
            .map(|ms| DateTime::from_timestamp_millis(ms).unwrap_or_default())
            .to_vec();
        assert_eq!(most_within(&at, Duration::from_millis(100)), 3);
        assert_eq!(most_within(&at, Duration::from_millis(101)), 4);
        assert_eq!(most_within(&[], Duration::from_secs(1)), 0);
    }
}
