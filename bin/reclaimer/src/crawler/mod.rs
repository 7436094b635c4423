//! A crawler of our own: a real worker that the demo starts, kills, stops and confuses.
//!
//! It takes jobs over HTTP, visits what they name, reports what it found there, and says that it is done. It crawls
//! either web pages of one site or a folder tree. What it experiences goes to its standard output, one JSON object a
//! line, for whoever started it.

mod api;
mod visit;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result};
use rand::RngExt;
use serde_json::{Value, json};
use url::Url;

use crate::system::{EndSignals, Seed};
use api::{Api, Reported};
use visit::Visited;

/// The queue that crawlers take jobs from.
pub(crate) const QUEUE: &str = "crawl";
/// Visits a web page.
pub(crate) const PAGE: &str = "CRAWL_PAGE";
/// Lists a folder.
pub(crate) const FOLDER: &str = "LIST_FOLDER";
/// Reads a file.
pub(crate) const FILE: &str = "READ_FILE";

/// Works as a crawler: takes jobs of the queue `crawl` and visits the page or folder that each names.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The server to take jobs from
    #[arg(long, value_name = "URL")]
    server: Url,
    /// The file that holds the worker token
    #[arg(long, value_name = "FILE")]
    token_file: PathBuf,
    /// This crawler's name
    #[arg(long, value_name = "NAME")]
    worker: String,
    /// How long a visit takes at least: what a polite crawler leaves between two pages
    #[arg(long, value_name = "TIME", default_value = "100ms", value_parser = humantime::parse_duration)]
    pace: Duration,
    /// How often, from 0 to 1, a report is sent twice or its answer is thrown away
    #[arg(long, value_name = "RATE", default_value_t = 0.0)]
    confusion: f64,
    /// Seeds the confusion
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Report nothing that was found; the same as SIGUSR1 while running
    #[arg(long)]
    no_areas: bool,
    /// End when standard input closes: whoever started this crawler has ended
    #[arg(long, hide = true)]
    leashed: bool,
}

/// Takes and visits until it is told to end or the server is gone.
pub(crate) async fn run(args: Args) -> Result<()> {
    let mut signals = EndSignals::listen(args.leashed)?;
    tokio::select! {
        gone = crawl(args) => gone,
        _ = signals.next() => Ok(()),
    }
}

async fn crawl(args: Args) -> Result<()> {
    let token = std::fs::read_to_string(&args.token_file)
        .with_context(|| format!("cannot read the worker token from {}", args.token_file.display()))?;
    let api = Api::new(args.server.clone(), token.trim().to_owned(), args.worker.clone())?;
    let mut rng = Seed::from(args.seed).generator(&args.worker);
    let silent = Arc::new(AtomicBool::new(args.no_areas));
    listen_for_silence(Arc::clone(&silent))?;
    loop {
        for job in api.open(QUEUE).await? {
            let confused = rng.random_bool(args.confusion.clamp(0.0, 1.0));
            let cut = confused && rng.random_bool(0.5);
            visit_one(&api, &job, &args, silent.load(Ordering::Relaxed), confused.then_some(cut)).await?;
        }
    }
}

/// SIGUSR1 says that enough was found.
fn listen_for_silence(silent: Arc<AtomicBool>) -> Result<()> {
    let mut told = tokio::signal::unix::signal(tokio::signal::unix::SignalKind::user_defined1())?;
    tokio::spawn(async move {
        while told.recv().await.is_some() {
            silent.store(true, Ordering::Relaxed);
        }
    });
    Ok(())
}

/// Visits what one job names and reports on it. `confusion` sends the last report twice (`false`) or throws away its
/// answer, as a cut connection does, and sends it again (`true`).
async fn visit_one(api: &Api, job: &Value, args: &Args, silent: bool, confusion: Option<bool>) -> Result<()> {
    let id = job["id"].as_str().unwrap_or_default();
    say(json!({ "did": "took", "job": id, "path": job["fullPath"] }));
    let started = api.report(job, json!({ "status": "started" })).await?;
    if started == Reported::Stale {
        say(json!({ "did": "refused", "job": id }));
        return Ok(());
    }
    let (visited, ()) = tokio::join!(visit::visit(api, job), tokio::time::sleep(args.pace));
    let last = match visited {
        Ok(Visited { items, areas }) => {
            if !areas.is_empty() && !silent {
                api.report(job, json!({ "status": "new_areas_discovered", "areas": areas })).await?;
            }
            json!({ "status": "completed", "processedItems": items })
        }
        Err(error) => json!({
            "status": "failed", "error": format!("{error:#}"), "errorType": "visit_failed", "retryable": true
        }),
    };
    if confusion == Some(true) {
        api.report_and_hang_up(job, last.clone()).await;
        say(json!({ "did": "hung_up", "job": id }));
    }
    let outcome = api.report(job, last.clone()).await?;
    say(json!({ "did": outcome.as_str(), "job": id }));
    if confusion == Some(false) {
        let again = api.report(job, last).await?;
        say(json!({ "did": again.as_str(), "job": id }));
    }
    Ok(())
}

/// Tells whoever started this crawler. Nobody may listen any more, which is no reason to stop.
fn say(what: Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{what}");
    let _ = out.flush();
}
