//! The examples that are no Rust packages, run as their readers would.

use std::process::Stdio;

use anyhow::Result;
use serde_json::json;
use tokio::process::Command;

use crate::rig::{Server, Setup, until};

#[tokio::test]
async fn the_python_worker_does_its_jobs_and_reports_what_fails() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    let done = server.create(json!({ "command": "X" })).await?;
    let mut worker = Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/worker.py"))
        .env("RECLAIMER_URL", &server.base)
        .env("RECLAIMER_WORKER_TOKEN", &server.worker)
        .env("RECLAIMER_WORKER", "snake")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    until("the worker to finish the job", async || {
        Ok((server.job(&done).await?["status"] == "finished").then_some(()))
    })
    .await?;
    let events = server.events(&done).await?;
    assert_eq!(events[1]["actor"], "worker:snake");
    worker.kill().await?;
    Ok(())
}
