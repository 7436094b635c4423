//! What a server takes that has nothing to do: time to start, memory, processor time, room on the disk.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result};
use reclaimer_baseline::fill_finished;
use tokio::time::{Instant, sleep};

use super::figure::{Count, Measured, Time};
use super::http::wire::{Address, request};
use super::place::Place;
use super::process::Process;
use super::progress::Progress;
use crate::server_process::ServerProcess;

const SETTINGS: &str = "[log]\nlevel = \"warn\"\n";
/// What the start itself asks for is over by then.
const SETTLED: Duration = Duration::from_secs(2);

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many finished jobs the larger database has, with three events each
    #[arg(long, value_name = "JOBS", default_value_t = 1_000_000)]
    rows: u64,
    /// How often the server is started on each database
    #[arg(long, value_name = "NUMBER", default_value_t = 20)]
    starts: usize,
    /// How long the processor time of an idle server is taken
    #[arg(long, value_name = "TIME", default_value = "20s", value_parser = humantime::parse_duration)]
    each: Duration,
    /// On the disk of this folder [default: the data folder]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
}

pub(super) async fn measure(args: &Args, place: &Place) -> Result<Measured> {
    let progress = Progress::of(2 * args.starts as u64 + 2);
    let mut measured = Measured::default();
    let binary = std::fs::metadata(std::env::current_exe()?)?.len();
    measured.counts.push(mib("the binary, in MiB", binary));
    let folder = place.folder("ours")?;
    for (rows, size) in
        [(0, "an empty database".to_owned()), (args.rows, format!("{} finished jobs", args.rows))]
    {
        if rows > 0 {
            progress.say(format!("writing {size} and their events"));
            let file = folder.join("data/reclaimer.db");
            tokio::task::spawn_blocking(move || fill_finished(&file, rows)).await??;
        }
        progress.say(size.clone());
        // Once, so that the tables are there, and for the caches.
        started(&folder).await?.1.stop().await?;
        let mut took = Vec::with_capacity(args.starts);
        for _ in 0..args.starts {
            let (time, server) = started(&folder).await?;
            took.push(time);
            server.stop().await?;
            progress.step();
        }
        measured.times.push(Time::of(format!("start until ready, {size}"), took));
        measured.counts.extend(idle(&folder, &size, args.each).await?);
        progress.step();
    }
    Ok(measured)
}

/// From before the process is started until the server says that it is ready.
async fn started(folder: &Path) -> Result<(Duration, ServerProcess)> {
    let start = Instant::now();
    let server = ServerProcess::start(folder, SETTINGS, None).await?;
    let mut connection = Address::Tcp(server.address.clone()).connect().await?;
    let ready = request("GET", "/readyz", None, "");
    while connection.exchange(&ready).await? != 200 {
        sleep(Duration::from_millis(1)).await;
    }
    Ok((start.elapsed(), server))
}

/// What a server takes that nobody asks for anything.
async fn idle(folder: &Path, size: &str, each: Duration) -> Result<[Count; 2]> {
    let (_, server) = started(folder).await?;
    let process = Process(server.pid()?);
    sleep(SETTLED).await;
    let before = process.busy()?;
    sleep(each).await;
    let busy = process.busy()?.checked_sub(before).context("processor time does not go back")?;
    let resident = process.resident()?;
    server.stop().await?;
    Ok([
        mib(&format!("resident, idle, {size}, in MiB"), resident),
        Count {
            what: format!("processor, idle, {size}, in %"),
            number: 100.0 * busy.as_secs_f64() / each.as_secs_f64(),
            note: Some(format!("{} ms within {} s", busy.as_millis(), each.as_secs_f64())),
        },
    ])
}

fn mib(what: &str, bytes: u64) -> Count {
    Count { what: what.to_owned(), number: bytes as f64 / 1_048_576.0, note: None }
}
