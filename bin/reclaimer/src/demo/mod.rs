//! The demo: the main job on real input, with real processes and real trouble.
//!
//! It starts a server of its own and crawlers that crawl a site or a folder tree, kills and stops crawlers while they
//! hold jobs, makes them report twice and hang up, shows what was lost and recovered, and at the end proves from the
//! job table that every page was crawled once and nothing was lost.

mod api;
mod board;
mod fleet;
mod ledger;

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use rand::RngExt;
use serde_json::json;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::crawler;
use crate::server_process::ServerProcess;
use crate::system::{EndSignals, Seed};
use api::Api;
use board::Board;
use fleet::{Fleet, News};
use ledger::Ledger;

/// Shows the main job: serves, crawls, kills, recovers, and proves that nothing was lost.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// Crawl this site instead of the documentation that the server itself serves
    #[arg(long, value_name = "URL", conflicts_with = "path")]
    target: Option<Url>,
    /// Walk this folder tree instead
    #[arg(long, value_name = "DIR")]
    path: Option<PathBuf>,
    /// How many visits out of one are disturbed: by a crash, a hang, a repeated report or a cut connection
    #[arg(long, value_name = "RATE", default_value_t = 0.2, value_parser = rate)]
    chaos: f64,
    /// How many crawlers run at once
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = clap::value_parser!(u16).range(1..=64))]
    crawlers: u16,
    /// Once so many pages or files are known, crawlers report no more
    #[arg(long, value_name = "N", default_value_t = 500)]
    max_pages: u64,
    /// How long a visit takes at least
    #[arg(long, value_name = "TIME", default_value = "150ms", value_parser = humantime::parse_duration)]
    pace: Duration,
    /// Repeats a demo's disturbances
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Keep the database in this folder instead of a temporary one
    #[arg(long, value_name = "DIR")]
    keep: Option<PathBuf>,
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(rate) if (0.0..=0.95).contains(&rate) => Ok(rate),
        Ok(_) | Err(_) => Err("a rate is a number from 0 to 0.95".to_owned()),
    }
}

/// How long a crawler holds a job without a sign of life before it counts as lost.
const LEASE: Duration = Duration::from_secs(2);
/// How often the board looks at the server.
const LOOK_EVERY: Duration = Duration::from_millis(250);
/// A target that takes longer than this to answer is not crawled.
const ANSWER_WITHIN: Duration = Duration::from_secs(20);

/// What is crawled: the first job.
struct Target {
    command: &'static str,
    full_path: String,
    root: String,
}

impl Target {
    /// What was asked for, if anything was; refused at once when there is nothing to crawl.
    async fn asked_for(args: &Args) -> Result<Option<Self>> {
        if let Some(folder) = &args.path {
            return Self::folder(folder).map(Some);
        }
        let Some(root) = &args.target else { return Ok(None) };
        if root.cannot_be_a_base() || !["http", "https"].contains(&root.scheme()) {
            bail!("a target is an http or https address, e.g. http://127.0.0.1:8000/");
        }
        let answer =
            reqwest::Client::builder().timeout(ANSWER_WITHIN).build()?.get(root.clone()).send().await;
        let answer =
            answer.and_then(reqwest::Response::error_for_status).map_err(reqwest::Error::without_url);
        answer.with_context(|| format!("cannot crawl {root}"))?;
        Ok(Some(Self::site(root)))
    }

    fn folder(folder: &Path) -> Result<Self> {
        let root = folder.canonicalize().with_context(|| format!("cannot walk {}", folder.display()))?;
        ensure!(root.is_dir(), "cannot walk {}: it is no folder", folder.display());
        let root = root.to_str().context("the folder's path is not valid UTF-8")?.to_owned();
        Ok(Self { command: crawler::FOLDER, full_path: ".".to_owned(), root })
    }

    fn site(root: &Url) -> Self {
        let full_path = root[url::Position::BeforePath..url::Position::AfterQuery].to_owned();
        Self { command: crawler::PAGE, full_path, root: root.to_string() }
    }
}

/// Which jobs a folder and a file ask for.
const FOLDER_RULES: &str = "group = [\"LIST_FOLDER\"]\nproject = [\"READ_FILE\"]\n";
/// Which job a page asks for.
const PAGE_RULES: &str = "group = []\nproject = [\"CRAWL_PAGE\"]\n";

/// Runs the demo; false when the proof does not hold. A signal ends it in order, a second one at once.
pub(crate) async fn run(args: Args) -> Result<bool> {
    let mut signals = EndSignals::listen(false)?.and_hangup()?;
    let stop = CancellationToken::new();
    let mut shown = Box::pin(show(args, stop.clone()));
    loop {
        tokio::select! {
            shown = &mut shown => return shown,
            signal = signals.next() => {
                ensure!(!stop.is_cancelled(), "ended at once by a second signal, {signal}");
                stop.cancel();
            }
        }
    }
}

async fn show(args: Args, stop: CancellationToken) -> Result<bool> {
    let temporary = tempfile::tempdir().context("cannot make a temporary folder")?;
    let folder = args.keep.as_deref().unwrap_or(temporary.path());
    // A socket's path must be short, and the folder that is kept may lie deep.
    let link = temporary.path().join("link.sock");
    let (server, target) = tokio::select! {
        begun = begin(&args, folder, &link) => begun?,
        () = stop.cancelled() => bail!("interrupted before the server was up"),
    };
    let api = Api::new(&server)?;
    let mut board = Board::new(&server.base, &target.root);
    api.create(&json!({
        "queue": crawler::QUEUE, "command": target.command, "fullPath": target.full_path,
        "payload": { "root": target.root }, "maxAttempts": 1_000,
        "uniqueKey": format!("demo:{}", target.root),
    }))
    .await?;
    let mut fleet = Fleet::new(fleet::Orders {
        server: server.base.clone(),
        token_file: server.worker_token.clone(),
        socket: link,
        pace: args.pace,
        confusion: args.chaos / 2.0,
        seed: args.seed,
    })?;
    for _ in 0..args.crawlers {
        fleet.hire()?;
    }
    let interrupted = crawl(&args, &api, &mut fleet, &mut board, &stop).await?;
    fleet.dismiss().await;
    let ledger = Ledger::read(&api).await?;
    server.stop().await?;
    board.finish(&ledger);
    if interrupted {
        bail!("interrupted before every job was finished");
    }
    Ok(ledger.holds())
}

/// Finds out what there is to crawl, and starts the server.
async fn begin(args: &Args, folder: &Path, link: &Path) -> Result<(ServerProcess, Target)> {
    let target = Target::asked_for(args).await?;
    std::fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let used = ["data", "reclaimer.toml"].into_iter().find(|name| folder.join(name).exists());
    if let Some(used) = used {
        // A table with the jobs of two demos would prove nothing of either.
        let folder = folder.display();
        bail!(
            "{folder} holds an earlier demo, or something else of yours: `{used}` is there; name another folder"
        );
    }
    let rules = if args.path.is_some() { FOLDER_RULES } else { PAGE_RULES };
    let server = ServerProcess::start(folder, &settings(rules, link), None).await?;
    let target = match target {
        Some(target) => target,
        None => Target::site(&server.base.join(crate::docs_site::ROOT)?),
    };
    Ok((server, target))
}

/// The server's settings: short leases and quick looks, so that a demo takes a minute and not an hour.
fn settings(rules: &str, link: &Path) -> String {
    let lease = humantime::format_duration(LEASE);
    format!(
        "[provisioning]\nlease = \"{lease}\"\n[recovery]\nstartup_delay = \"1s\"\ninterval = \"5s\"\nlease_check = \"500ms\"\n\
         spread = \"1s\"\nreclaim_grace = \"2s\"\npoison_after = 100\nbudget_per_second = 100.0\n\
         [database]\nmin_free = \"1MiB\"\n[discovery]\n{rules}\
         [link]\nheartbeat_interval = \"500ms\"\nheartbeat_timeout = \"{lease}\"\n\
         [[link.each]]\nname = \"crawl\"\npath = {link:?}\nmode = \"listen\"\n",
    )
}

/// Lets the crawlers work and disturbs them, until every job has come to its end. True when a person interrupted.
async fn crawl(
    args: &Args,
    api: &Api,
    fleet: &mut Fleet,
    board: &mut Board,
    stop: &CancellationToken,
) -> Result<bool> {
    let mut chaos = Seed::from(args.seed).generator("chaos");
    let mut look = tokio::time::interval(LOOK_EVERY);
    loop {
        tokio::select! {
            () = stop.cancelled() => return Ok(true),
            news = fleet.news() => {
                board.tell(&news);
                match news {
                    News::Took { crawler, path, .. } if chaos.random_bool(args.chaos / 2.0) => {
                        if chaos.random_bool(0.5) {
                            fleet.kill(&crawler)?;
                            board.killed(&crawler, &path);
                        } else {
                            // Long enough to lose the lease, so that what it reports on waking comes too late.
                            fleet.stop_for(&crawler, LEASE * 2)?;
                            board.stopped(&crawler, &path);
                        }
                    }
                    News::Gone { .. } => fleet.hire()?,
                    _ => {}
                }
            }
            _ = look.tick() => {
                let counts = api.counts().await?;
                board.look(&counts, api.decisions().await?);
                if counts.total() >= args.max_pages {
                    fleet.silence();
                }
                if counts.is_over() {
                    return Ok(false);
                }
            }
        }
    }
}
