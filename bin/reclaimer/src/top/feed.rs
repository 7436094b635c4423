//! Looks at the server, and carries out orders, over its API.

use std::time::Duration;

use anyhow::{Context, Result};
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::Clock;
use reqwest::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::model::Action;
use super::seen::{Items, Job, JobEvent, Snapshot, Story};
use crate::client::Client;
use crate::system::SystemClock;

/// A look that takes longer shows nothing that is still true.
const PATIENCE: Duration = Duration::from_secs(5);
/// As many jobs and runs as anybody looks through on a terminal.
const JOBS: u32 = 50;
const RUNS: u32 = 10;

/// Looks at everything, with the jobs of one state.
pub(super) async fn look(client: &Client, state: Status) -> Result<Snapshot> {
    let jobs = [("status", state.as_str().to_owned()), ("limit", JOBS.to_string())];
    let runs = [("limit", RUNS.to_string())];
    let at = SystemClock.now();
    let look = async {
        tokio::try_join!(
            client.health(),
            read::<Items<_>>(client, &["api", "admin", "queues"], &[]),
            read(client, &["api", "admin", "workers"], &[]),
            read::<Items<_>>(client, &["api", "admin", "jobs", "recovery", "runs"], &runs),
            read::<Items<_>>(client, &["api", "jobs"], &jobs),
        )
    };
    let (health, queues, fleet, runs, jobs) =
        tokio::time::timeout(PATIENCE, look).await.context("the server does not answer")??;
    Ok(Snapshot {
        at,
        health: understood(health)?,
        queues: queues.items,
        fleet,
        runs: runs.items,
        jobs: jobs.items,
        state: Some(state),
    })
}

async fn read<T: DeserializeOwned>(client: &Client, path: &[&str], query: &[(&str, String)]) -> Result<T> {
    understood(client.ask(Method::GET, path, query, None).await?)
}

fn understood<T: DeserializeOwned>(answer: Value) -> Result<T> {
    serde_json::from_value(answer).context("the server's answer cannot be read; is it another version?")
}

/// Acts on each job on its own, and says what came of it.
pub(super) async fn act(client: &Client, action: Action, ids: &[String]) -> Result<String> {
    let mut done = 0;
    let mut refused = None;
    for id in ids {
        let path = ["api", "admin", "jobs", id, action.word()];
        match client.ask(Method::POST, &path, &[], None).await {
            Ok(_) => done += 1,
            Err(error) => refused = Some(error.context(format!("job {id}"))),
        }
    }
    match (refused, ids) {
        (Some(error), [_]) => Err(error),
        (Some(error), many) => {
            Err(error.context(format!("{done} of {} jobs {}; the last refusal", many.len(), action.done())))
        }
        (None, [id]) => Ok(format!("job {id}: {}", action.done())),
        (None, many) => Ok(format!("{} jobs {}", many.len(), action.done())),
    }
}

/// Runs a recovery, or says what one would do.
pub(super) async fn recover(client: &Client, dry_run: bool) -> Result<String> {
    let order = json!({ "dryRun": dry_run });
    let report = client.ask(Method::POST, &["api", "admin", "jobs", "recovery"], &[], Some(&order)).await?;
    let message = report["message"].as_str().unwrap_or_default().to_owned();
    anyhow::ensure!(report["success"] == true, message);
    Ok(message)
}

/// Reads one job in full.
pub(super) async fn tell(client: &Client, id: &str) -> Result<Story> {
    let job_path = ["api", "jobs", id];
    let explain_path = ["api", "admin", "jobs", id, "explain"];
    let events_path = ["api", "jobs", id, "events"];
    let (job, explanation, events) =
        tokio::try_join!(client.get(&job_path), client.get(&explain_path), client.all(&events_path, &[]),)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let look = &explanation["nextLook"];
    let at = look["at"].as_str().map(|at| format!("{at}: ")).unwrap_or_default();
    Ok(Story {
        job: serde_json::from_value::<Job>(job)?,
        why: text(&explanation["summary"]),
        next: format!("{at}{}", text(&look["why"])),
        events: serde_json::from_value::<Vec<JobEvent>>(Value::Array(events))?,
    })
}
