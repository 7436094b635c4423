//! `reclaimer bench`: what this machine makes of the parts whose speed matters, each beside a baseline of the same run.

mod codec;
mod drive;
mod engine;
mod figure;
mod footprint;
mod http;
mod pages;
mod place;
mod policy;
mod process;
mod progress;
mod recovery;
mod soak;
mod socket;
mod store;

use std::time::Duration;

use anyhow::Result;
use tokio::time::Instant;

use crate::cli::output::Output;
use figure::print;
use place::Place;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Create, claim and report jobs, each durable, beside a bare table of the same engine
    Store(store::Args),
    /// Ask a server over TCP and a Unix socket, beside one of the same kind that writes to a bare table
    Http(http::Args),
    /// Take and report jobs over the worker link
    Socket(socket::Args),
    /// Ask for every page of the dashboard and every list, beside the same on a database with few jobs
    Pages(pages::Args),
    /// Kill workers, and see how soon and how well their jobs come back
    Recovery(recovery::Args),
    /// Load a server fully, with clients that stall and a reader that stays, and watch its memory
    Soak(soak::Args),
    /// See how soon a server is ready, and what one takes that has nothing to do
    Footprint(footprint::Args),
    /// Work for the measurements of recovery
    #[command(hide = true)]
    Worker(recovery::worker::Args),
    /// Serve a bare table, for another measurement to ask
    #[command(hide = true)]
    BareServer(http::bare_server::Args),
    /// Cut, read and write messages of the worker link
    Codec {
        /// How long each figure is measured
        #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
        each: Duration,
    },
    /// Decide about jobs by a policy of 50 rules
    Policy {
        /// How long each figure is measured
        #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
        each: Duration,
    },
}

/// Measures, and prints what was measured. `data_dir` says on which disk, unless the command says so itself.
pub(crate) async fn run(
    command: Command,
    data_dir: impl FnOnce() -> Result<std::path::PathBuf>,
    output: Output,
) -> Result<()> {
    let place = |dir: &Option<std::path::PathBuf>| match dir {
        Some(dir) => Place::on(dir),
        None => Place::on(&data_dir()?),
    };
    let measured = match command {
        Command::Store(args) => store::measure(&args, &place(&args.dir)?).await?,
        Command::Http(args) => http::measure(&args, &place(&args.dir)?).await?,
        Command::Socket(args) => socket::measure(&args, &place(&args.dir)?).await?,
        Command::Pages(args) => pages::measure(&args, &place(&args.dir)?).await?,
        Command::Recovery(args) => recovery::measure(&args, &place(&args.dir)?).await?,
        Command::Soak(args) => soak::measure(&args, &place(&args.dir)?).await?,
        Command::Footprint(args) => footprint::measure(&args, &place(&args.dir)?).await?,
        Command::Worker(args) => return recovery::worker::run(args).await,
        Command::BareServer(args) => return http::bare_server::run(&args).await,
        Command::Codec { each } => codec::measure(each)?.into(),
        Command::Policy { each } => policy::measure(each)?.into(),
    };
    print(&measured, output)?;
    match measured.broken {
        Some(broken) => anyhow::bail!(broken),
        None => Ok(()),
    }
}

/// How often a piece of work is done per second, measured for so long.
fn rate(length: Duration, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    // Once for the caches.
    work()?;
    let start = Instant::now();
    let mut times = 0_u32;
    while start.elapsed() < length {
        for _ in 0..8 {
            work()?;
        }
        times += 8;
    }
    Ok(f64::from(times) / start.elapsed().as_secs_f64())
}
