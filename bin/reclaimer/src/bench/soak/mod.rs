//! A server under full load for long: with clients that are slow, stall or say nothing, a reader that stays, and very many jobs
//! that wait. Its memory is to stay within a bound.

mod hostile;
mod load;
mod watch;

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use bytesize::ByteSize;
use reclaimer_baseline::{Snapshot, fill_waiting};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};

use super::figure::{Count, Measured, Moment};
use super::http::wire::Address;
use super::place::Place;
use super::process::Process;
use super::progress::Progress;
use crate::server_process::ServerProcess;
use load::Done;
use watch::Watch;

/// So many workers and producers, over a connection each.
const WORKERS: usize = 24;
const PRODUCERS: usize = 8;
/// While somebody reads, the log grows by what is written, about 100 MB a second.
const LONGEST_READ: Duration = Duration::from_secs(20);
/// Finished jobs go soon, so that the disk does not fill.
const SETTINGS: &str =
    "[retention]\nfinished = \"1s\"\nevents = \"1s\"\ninterval = \"10s\"\n[log]\nlevel = \"error\"\n";

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// For how long
    #[arg(long = "for", value_name = "TIME", default_value = "10m", value_parser = humantime::parse_duration)]
    length: Duration,
    /// How many jobs wait from the beginning
    #[arg(long, value_name = "JOBS", default_value_t = 1_000_000)]
    rows: u64,
    /// The server may take so much memory
    #[arg(long, value_name = "SIZE", default_value = "128MiB")]
    bound: ByteSize,
    /// On the disk of this folder [default: the data folder]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
}

pub(super) async fn measure(args: &Args, place: &Place) -> Result<Measured> {
    let folder = place.folder("ours")?;
    let file = folder.join("data/reclaimer.db");
    let progress = Progress::of(watch::MOMENTS);
    progress.say(format!("writing {} jobs that wait", args.rows));
    // Started once, so that the tables are there.
    ServerProcess::start(&folder, SETTINGS, None).await?.stop().await?;
    let (path, rows) = (file.clone(), args.rows);
    tokio::task::spawn_blocking(move || fill_waiting(&path, rows)).await??;
    let server = ServerProcess::start(&folder, SETTINGS, None).await?;
    progress.say("load");
    let start = Instant::now();
    let end = start + args.length;
    let done = Arc::new(Done::default());
    let mut tasks = JoinSet::new();
    let address = Address::Tcp(server.address.clone());
    let token: Arc<str> = server.admin_token.expose().into();
    for number in 0..WORKERS {
        tasks.spawn(load::work(address.clone(), Arc::clone(&token), number, end, Arc::clone(&done)));
    }
    for _ in 0..PRODUCERS {
        tasks.spawn(load::produce(address.clone(), Arc::clone(&token), end, Arc::clone(&done)));
    }
    hostile::all(&mut tasks, &server.address, &token, end);
    tasks.spawn(read_for_long(file.clone(), start, args.length));
    let watch = Watch {
        process: Process(server.pid()?),
        log: file.with_extension("db-wal"),
        done: Arc::clone(&done),
    };
    let curve = watch.curve(start, args.length, &progress).await?;
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    server.stop().await?;
    Ok(judged(args, &curve, &done))
}

/// A transaction that reads, from a fifth of the time to the half of it, and no longer than the log may grow meanwhile.
async fn read_for_long(file: PathBuf, start: Instant, length: Duration) -> Result<()> {
    sleep_until(start + length / 5).await;
    let snapshot = tokio::task::spawn_blocking(move || Snapshot::hold(&file)).await??;
    sleep_until(start + length / 5 + (length * 3 / 10).min(LONGEST_READ)).await;
    drop(snapshot);
    Ok(())
}

fn judged(args: &Args, curve: &[Moment], done: &Done) -> Measured {
    let most = |of: fn(&Moment) -> u64| curve.iter().map(of).max().unwrap_or_default();
    let resident = most(|moment| moment.resident_bytes);
    let mib = |bytes: u64| bytes as f64 / 1_048_576.0;
    let count = |what: &str, number: f64, note: &str| Count {
        what: what.to_owned(),
        number,
        note: Some(note.to_owned()),
    };
    let counts = vec![
        count("durable operations", done.operations() as f64, "claims, reports and creations"),
        count("refused for want of room", done.refused() as f64, "429 or 503, asked again later"),
        count("resident at most, in MiB", mib(resident), &format!("may be {}", args.bound)),
        count(
            "log at most, in MiB",
            mib(most(|moment| moment.log_bytes)),
            "a reader stays from 20 % to 50 % of the time, 20 s at most",
        ),
        count("log at the end, in MiB", curve.last().map_or(0.0, |moment| mib(moment.log_bytes)), ""),
    ];
    let broken = (resident > args.bound.as_u64())
        .then(|| format!("the server took {:.1} MiB of memory; it may take {}", mib(resident), args.bound));
    Measured { counts, curve: curve.to_vec(), broken, ..Measured::default() }
}
