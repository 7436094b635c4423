//! The store: jobs created, claimed and reported, each durable, beside a bare table of the same engine.

mod beside;
mod many;
mod ours;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};

use super::drive::{Done, TURN, in_turn, turns};
use super::figure::{Measured, Rate};
use super::place::Place;
use super::progress::Progress;
use beside::Single;

pub(super) use beside::Beside;
pub(super) use ours::{Ours, payload};

/// So many callers at once.
const CALLERS: [usize; 3] = [1, 16, 64];
/// So many jobs are created by one order, where it is a batch.
pub(super) const BATCH: usize = 100;
/// What this is measured beside.
const BARE: &str = "a bare table, committed in groups";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long each figure is measured
    #[arg(long, value_name = "TIME", default_value = "2s", value_parser = humantime::parse_duration)]
    each: Duration,
    /// On the disk of this folder [default: the data folder]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
    /// Measure instead how fast it is beside so many finished jobs, with three events each
    #[arg(long, value_name = "JOBS")]
    rows: Option<u64>,
}

pub(super) async fn measure(args: &Args, place: &Place) -> Result<Measured> {
    let rates = match args.rows {
        Some(rows) => many::measure(args.each, rows, place).await?,
        None => beside_bare(args.each, place).await?,
    };
    Ok(rates.into())
}

/// So many jobs wait before a turn of this length in which they are claimed: more than can be.
pub(super) fn waiting(callers: usize, length: Duration) -> u64 {
    let share = length.as_secs_f64() / TURN.as_secs_f64();
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a turn is short")]
    let some = ((2_000 + 500 * callers) as f64 * share) as u64;
    some + callers as u64
}

async fn beside_bare(each: Duration, place: &Place) -> Result<Vec<Rate>> {
    let ours = Ours::open(&place.at("ours.db")).await?;
    let (bare, thread) = Beside::open(&place.at("bare.db"))?;
    let mut single = Single::open(&place.at("single.db"))?;
    let mut reference = Done::default();
    let progress = Progress::of(turns(each) * 4 * CALLERS.len() as u64);
    let mut rates = Vec::new();
    for callers in CALLERS {
        for (work, batch) in [("enqueue", 1), ("enqueue batches of 100", BATCH)] {
            reference.add(single.insert(TURN.min(each))?);
            progress.say(named(work, callers));
            let (rate, beside) = in_turn(
                each,
                &progress,
                async |length| ours.enqueue(callers, batch, length).await,
                async |length| bare.enqueue(callers, batch, length).await,
            )
            .await?;
            rates.push(Rate::of(named(work, callers), rate, BARE, beside));
        }
        for (work, next) in [("claim and report", false), ("report and take the next", true)] {
            reference.add(single.insert(TURN.min(each))?);
            progress.say(named(work, callers));
            let (rate, beside) = in_turn(
                each,
                &progress,
                async |length| {
                    ours.top_up(waiting(callers, length)).await?;
                    if next { ours.go_on(callers, length).await } else { ours.work(callers, length).await }
                },
                async |length| {
                    bare.top_up(waiting(callers, length)).await?;
                    match next {
                        true => bare.go_on(callers, 1, length).await,
                        false => bare.work(callers, 1, length).await,
                    }
                },
            )
            .await?;
            rates.push(Rate::of(named(work, callers), rate, BARE, beside));
        }
    }
    ours.close().await;
    drop(bare);
    thread.join().ok().context("the baseline's thread ended by a panic")?;
    for rate in &mut rates {
        rate.times_reference = Some(rate.per_second / reference.per_second());
    }
    let insert = "one durable insert per transaction (REF)";
    let rate = reference.per_second();
    rates.push(Rate { times_reference: Some(1.0), ..Rate::of(insert, rate, "itself", rate) });
    Ok(rates)
}

fn named(work: &str, callers: usize) -> String {
    format!("{work}, {callers} caller{}", if callers == 1 { "" } else { "s" })
}
