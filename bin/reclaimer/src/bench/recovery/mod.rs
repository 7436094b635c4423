//! Recovery: how soon a dead worker's job runs again, what is lost or done twice, and what a recovery of very many costs.

mod api;
mod crew;
mod deaths;
mod kills;
mod mass;
pub(crate) mod worker;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::Result;

use super::figure::Measured;
use super::place::Place;
use super::progress::Progress;

/// Workers are killed for no longer than this, however many are left.
const KILLS_WITHIN: Duration = Duration::from_secs(120);

/// What must happen happens within this time, on the slowest machine.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many workers are killed amid their work, as far as two minutes suffice
    #[arg(long, value_name = "NUMBER", default_value_t = 2_000, value_parser = clap::value_parser!(u32).range(1..))]
    kills: u32,
    /// How many finished jobs a recovery cycle finds nothing in
    #[arg(long, value_name = "JOBS", default_value_t = 1_000_000)]
    rows: u64,
    /// Few of everything: that it measures, not what
    #[arg(long)]
    quick: bool,
    /// On the disk of this folder [default: the data folder]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
}

/// How much of each is measured.
struct Size {
    /// Deaths of each kind, and how many at once.
    deaths: usize,
    at_once: usize,
    kills: usize,
    /// Finished jobs beside those that are lost.
    rows: u64,
    /// Jobs that are lost together.
    lost: u64,
    /// Cycles that find nothing.
    cycles: usize,
    /// How often very many are recovered.
    turns: u64,
    /// For how long they come back with the settings as shipped.
    herd_for: Duration,
}

impl Size {
    fn of(args: &Args) -> Self {
        let kills = args.kills as usize;
        if args.quick {
            Self {
                deaths: 2,
                at_once: 2,
                kills: kills.min(20),
                rows: 2_000,
                lost: 200,
                cycles: 5,
                turns: 1,
                herd_for: Duration::from_secs(2),
            }
        } else {
            Self {
                deaths: 48,
                at_once: 12,
                kills,
                rows: args.rows,
                lost: 10_000,
                cycles: 300,
                turns: 5,
                herd_for: Duration::from_secs(12),
            }
        }
    }
}

pub(super) async fn measure(args: &Args, place: &Place) -> Result<Measured> {
    let size = Size::of(args);
    let progress = Progress::of(deaths::steps(size.deaths) + size.kills as u64 + mass::steps(&size));
    let mut measured = mass::measure(place, &size, &progress).await?;
    let deaths = deaths::measure(place, size.deaths, size.at_once, &progress).await?;
    measured.times.splice(0..0, deaths);
    measured.counts.splice(0..0, kills::measure(place, size.kills, &progress).await?);
    Ok(measured)
}
