//! Every page of the dashboard and every list of the API, on a database with many finished jobs and on one with few.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use reclaimer_baseline::{fill_finished, finished_id};
use reqwest::header::{CONTENT_TYPE, SET_COOKIE};
use serde_json::{Value, json};
use tokio::time::Instant;

use super::figure::{Measured, Time};
use super::http::wire::{Address, Connection, read};
use super::place::Place;
use super::progress::Progress;
use crate::server_process::ServerProcess;

/// Nothing that the servers do by themselves comes in between, and what was finished long ago stays.
const SETTINGS: &str = "[recovery]\nenabled = false\n[retention]\nfinished = \"0s\"\nevents = \"0s\"\n\
                        [log]\nlevel = \"warn\"\n";
/// So many finished jobs the other database has: enough for a page.
const FEW: u64 = 1_000;
/// So many jobs failed besides, and were recovered.
const FAILED: usize = 100;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many finished jobs the larger database has, with three events each
    #[arg(long, value_name = "JOBS", default_value_t = 1_000_000, value_parser = clap::value_parser!(u64).range(FEW..))]
    rows: u64,
    /// How often each page is asked for
    #[arg(long, value_name = "NUMBER", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
    samples: u32,
    /// On the disk of this folder [default: the data folder]
    #[arg(long, value_name = "DIR")]
    pub(super) dir: Option<PathBuf>,
}

pub(super) async fn measure(args: &Args, place: &Place) -> Result<Measured> {
    let pages = PAGES.iter().chain(LISTS);
    let progress = Progress::of(pages.clone().count() as u64 + 2);
    progress.say(format!("writing {} finished jobs and their events", args.rows));
    let mut many = Side::start(&place.folder("many")?, args.rows).await?;
    progress.step();
    let mut few = Side::start(&place.folder("few")?, FEW).await?;
    progress.step();
    let mut measured = Measured::default();
    for page in pages {
        progress.say(*page);
        // Once for the caches.
        many.ask(page).await?;
        few.ask(page).await?;
        let (mut took, mut beside) = (Vec::new(), Vec::new());
        for _ in 0..args.samples {
            took.push(many.ask(page).await?);
            beside.push(few.ask(page).await?);
        }
        measured.times.push(Time::of(*page, took).beside(&Time::of(*page, beside)));
        progress.step();
    }
    many.server.stop().await?;
    few.server.stop().await?;
    Ok(measured)
}

/// The pages of the dashboard and the parts that are fetched anew. `ID`, `FAILED` and `RUN` stand for a finished job in the
/// middle, one that failed and was recovered, and the recovery run.
const PAGES: &[&str] = &[
    "/",
    "/live/overview/health",
    "/live/overview/queues",
    "/jobs",
    "/jobs?before=ID",
    "/jobs?status=finished&before=ID",
    "/jobs?status=queued",
    "/jobs?status=failed",
    "/jobs?status=failed&status=finished&before=ID",
    "/jobs?queue=default&before=ID",
    "/jobs?queue=none",
    "/jobs?command=BENCH&before=ID",
    "/jobs?command=NONE",
    "/jobs?account=none",
    "/jobs?path=%2Fnone",
    "/jobs?worker=none",
    "/jobs?text=none",
    "/jobs?text=route&status=failed",
    "/live/jobs?before=ID",
    "/jobs/bulk?action=cancel&all=yes&status=queued",
    "/jobs/bulk?action=retry&all=yes&command=NONE",
    "/jobs/ID",
    "/jobs/FAILED",
    "/live/jobs/FAILED/timeline",
    "/jobs/FAILED/text/payload",
    "/recovery",
    "/recovery/runs/RUN",
    "/recovery/runs/RUN/undo",
    "/workers",
    "/accounts",
    "/policy",
    "/policy/simulate",
    "/alerts",
];

/// What the API reads. `CURSOR` stands for a place in the middle.
const LISTS: &[&str] = &[
    "/api/jobs",
    "/api/jobs?limit=500",
    "/api/jobs?limit=500&cursor=CURSOR",
    "/api/jobs?status=finished&cursor=CURSOR",
    "/api/jobs?status=failed,finished&cursor=CURSOR",
    "/api/jobs?queue=default&cursor=CURSOR",
    "/api/jobs?command=NONE",
    "/api/jobs?accountId=none",
    "/api/jobs?fullPath=%2Fnone",
    "/api/jobs?workerId=none",
    "/api/jobs?text=none",
    "/api/jobs/ID",
    "/api/jobs/ID/events",
    "/api/jobs/FAILED/late-results",
    "/api/admin/jobs/FAILED/explain",
    "/api/internal/jobs/open?peek=true",
    "/api/admin/queues",
    "/api/admin/workers",
    "/api/admin/accounts",
    "/api/admin/policy",
    "/api/admin/alerts",
    "/api/admin/jobs/recovery",
    "/api/admin/jobs/recovery/runs",
    "/api/admin/jobs/recovery/runs/RUN",
    "/api/health",
    "/metrics",
    "/readyz",
];

/// A server on a database, and somebody who is logged in to it.
struct Side {
    server: ServerProcess,
    connection: Connection,
    /// What a request says of who sends it.
    credentials: String,
    middle: String,
    failed: String,
    run: String,
}

impl Side {
    async fn start(folder: &Path, rows: u64) -> Result<Self> {
        // Once, so that the tables are there.
        ServerProcess::start(folder, SETTINGS, None).await?.stop().await?;
        let file = folder.join("data/reclaimer.db");
        tokio::task::spawn_blocking(move || fill_finished(&file, rows)).await??;
        let server = ServerProcess::start(folder, SETTINGS, None).await?;
        let (failed, run) = fail_and_recover(&server).await?;
        let credentials = format!(
            "authorization: Bearer {}\r\ncookie: {}\r\n",
            server.admin_token.expose(),
            log_in(&server).await?
        );
        let connection = Address::Tcp(server.address.clone()).connect().await?;
        Ok(Self { server, connection, credentials, middle: finished_id(rows / 2), failed, run })
    }

    /// How long a page takes until it is here.
    async fn ask(&mut self, page: &str) -> Result<Duration> {
        let path = page.replace("CURSOR", &hex::encode(&self.middle)).replace("FAILED", &self.failed);
        let path = path.replace("RUN", &self.run).replace("ID", &self.middle);
        let request = read(&path, &self.credentials);
        let start = Instant::now();
        self.connection.ask(&request).await.with_context(|| path)?;
        Ok(start.elapsed())
    }
}

/// Lets some jobs fail, and recovers them; answers the id of one, and of the run.
async fn fail_and_recover(server: &ServerProcess) -> Result<(String, String)> {
    let http = reqwest::Client::new();
    let url = |path: &str| server.base.join(path);
    let admin = server.admin_token.expose();
    let job = json!({ "command": "FAILS", "maxAttempts": 3, "payload": super::store::payload() });
    let orders = http.post(url("api/jobs")?).bearer_auth(admin).json(&vec![job; FAILED]);
    orders.send().await?.error_for_status()?;
    let open = url(&format!("api/internal/jobs/open?workerId=bench&limit={FAILED}"))?;
    let taken: Vec<Value> =
        http.get(open).bearer_auth(admin).send().await?.error_for_status()?.json().await?;
    ensure!(taken.len() == FAILED, "{} of {FAILED} jobs were handed out", taken.len());
    let report = |job: &Value| {
        json!({ "taskId": job["id"], "lease": job["lease"]["token"], "status": "failed", "retryable": true,
                "error": "no route to host" })
    };
    let reports: Vec<Value> = taken.iter().map(report).collect();
    let reports = http.post(url("api/internal/jobs/progress")?).bearer_auth(admin).json(&reports);
    reports.send().await?.error_for_status()?;
    let recover =
        http.post(url("api/admin/jobs/recovery")?).bearer_auth(admin).json(&json!({ "type": "failed" }));
    let report: Value = recover.send().await?.error_for_status()?.json().await?;
    let text = |value: &Value| value.as_str().map(ToOwned::to_owned).context("an answer names no id");
    Ok((text(&taken[0]["id"])?, text(&report["result"]["runId"])?))
}

/// Logs in to the dashboard; answers the cookie.
async fn log_in(server: &ServerProcess) -> Result<String> {
    let http = reqwest::Client::builder().redirect(reqwest::redirect::Policy::none()).build()?;
    let mut form = url::form_urlencoded::Serializer::new(String::new());
    form.append_pair("token", server.admin_token.expose());
    let login =
        http.post(server.base.join("login")?).header(CONTENT_TYPE, "application/x-www-form-urlencoded");
    let answer = login.body(form.finish()).send().await?.error_for_status()?;
    let set = answer.headers().get(SET_COOKIE).context("logging in gave no cookie")?.to_str()?;
    Ok(set.split(';').next().unwrap_or_default().to_owned())
}
