//! A crawler of our own: a real worker that the demo starts, kills, stops and confuses.
//!
//! It takes jobs over HTTP or a link, visits what they name, reports what it found there, and says that it is done. It crawls
//! either web pages of one site or a folder tree. What it experiences goes to its standard output, one JSON object a
//! line, for whoever started it.

mod api;
mod link;
mod source;
mod visit;

use std::io::Write;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use rand::RngExt;
use reqwest::Client;
use rustix::process::{Signal, set_parent_process_death_signal};
use serde_json::{Value, json};
use url::Url;

use crate::system::{EndSignals, Seed};
use source::{Reported, Source};
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
    /// The server to take jobs from, over HTTP
    #[arg(long, value_name = "URL", requires = "token_file", required_unless_present = "socket")]
    server: Option<Url>,
    /// The file that holds the worker token
    #[arg(long, value_name = "FILE")]
    token_file: Option<PathBuf>,
    /// The socket of a link to take jobs from instead; the link listens, in the envelope dialect
    #[arg(long, value_name = "PATH", conflicts_with = "server")]
    socket: Option<PathBuf>,
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
    if args.leashed {
        // One that is stopped does not see its leash let go.
        set_parent_process_death_signal(Some(Signal::KILL))?;
    }
    tokio::select! {
        gone = crawl(args) => gone,
        _ = signals.next() => Ok(()),
    }
}

async fn crawl(args: Args) -> Result<()> {
    let mut rng = Seed::from(args.seed).generator(&args.worker);
    let silent = Arc::new(AtomicBool::new(args.no_areas));
    listen_for_silence(Arc::clone(&silent))?;
    let client = Client::builder().timeout(VISIT_WITHIN).build()?;
    let mut crawler = Crawler { source: source(&args)?, client, pace: args.pace };
    loop {
        for job in crawler.source.open(QUEUE).await? {
            let confused = rng.random_bool(args.confusion.clamp(0.0, 1.0));
            let cut = confused && rng.random_bool(0.5);
            crawler.visit(&job, silent.load(Ordering::Relaxed), confused.then_some(cut)).await?;
        }
    }
}

/// Where the jobs come from.
fn source(args: &Args) -> Result<Source> {
    let worker = args.worker.clone();
    match (&args.socket, &args.server, &args.token_file) {
        (Some(path), _, _) => Ok(Source::link(path, worker)),
        (None, Some(server), Some(path)) => {
            let token = std::fs::read_to_string(path)
                .with_context(|| format!("cannot read the worker token from {}", path.display()))?;
            Source::http(server.clone(), token.trim().to_owned(), worker)
        }
        (None, _, _) => bail!("a crawler takes --server with --token-file, or --socket"),
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

/// A page that takes longer than this is not read.
const VISIT_WITHIN: Duration = Duration::from_secs(30);

struct Crawler {
    source: Source,
    client: Client,
    pace: Duration,
}

impl Crawler {
    /// Visits what one job names and reports on it. `confusion` sends the last report twice (`false`) or throws away its
    /// answer, as a cut connection does, and sends it again (`true`).
    async fn visit(&mut self, job: &Value, silent: bool, confusion: Option<bool>) -> Result<()> {
        let id = job["id"].as_str().unwrap_or_default();
        say(json!({ "did": "took", "job": id, "path": job["fullPath"] }));
        let started = self.source.report(job, json!({ "status": "started" })).await?;
        if started == Reported::Stale {
            say(json!({ "did": "refused", "job": id }));
            return Ok(());
        }
        let visiting =
            async { tokio::join!(visit::visit(&self.client, job), tokio::time::sleep(self.pace)).0 };
        let last = match self.source.during(visiting).await {
            Ok(Visited { items, areas }) => {
                if !areas.is_empty() && !silent {
                    let found = json!({ "status": "new_areas_discovered", "areas": areas });
                    self.source.report(job, found).await?;
                }
                json!({ "status": "completed", "processedItems": items })
            }
            Err(error) => json!({
                "status": "failed", "error": format!("{error:#}"), "errorType": "visit_failed", "retryable": true
            }),
        };
        if confusion == Some(true) {
            self.source.report_and_hang_up(job, last.clone()).await;
            say(json!({ "did": "hung_up", "job": id }));
        }
        let outcome = self.source.report(job, last.clone()).await?;
        say(json!({ "did": outcome.as_str(), "job": id }));
        if confusion == Some(false) {
            let again = self.source.report(job, last).await?;
            say(json!({ "did": again.as_str(), "job": id }));
        }
        Ok(())
    }
}

/// Tells whoever started this crawler. Nobody may listen any more, which is no reason to stop.
fn say(what: Value) {
    let mut out = std::io::stdout().lock();
    let _ = writeln!(out, "{what}");
    let _ = out.flush();
}
