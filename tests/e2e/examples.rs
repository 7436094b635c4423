//! The examples that are no Rust packages, run as their readers would.

use std::process::Stdio;

use anyhow::Result;
use serde_json::{Value, json};
use tokio::process::{Child, Command};

use crate::rig::{Server, Setup, until};

/// The Python worker, working for this server.
fn python_worker(server: &Server) -> Result<Child> {
    Ok(Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/worker.py"))
        .env("RECLAIMER_URL", &server.base)
        .env("RECLAIMER_WORKER_TOKEN", &server.worker)
        .env("RECLAIMER_WORKER", "snake")
        .env("RECLAIMER_BEAT", "0.3")
        .stdout(Stdio::null())
        .kill_on_drop(true)
        .spawn()?)
}

/// The job's events, once it has come to this.
async fn events_at(server: &Server, job: &str, status: &str) -> Result<Vec<Value>> {
    until("the worker to end the job", async || {
        Ok((server.job(job).await?["status"] == status).then_some(()))
    })
    .await?;
    server.events(job).await
}

#[tokio::test]
async fn the_python_worker_does_its_jobs_and_reports_what_fails() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    let done = server.create(json!({ "command": "X" })).await?;
    let failed = server.create(json!({ "command": "X", "payload": { "seconds": "many" } })).await?;
    let _worker = python_worker(&server)?;
    assert_eq!(events_at(&server, &done, "finished").await?[1]["actor"], "worker:snake");
    let reason = events_at(&server, &failed, "failed").await?[2]["reason"].to_string();
    assert!(reason.contains("TypeError"), "{reason}");
    Ok(())
}

#[tokio::test]
async fn the_python_worker_keeps_its_lease_while_it_works_and_outlives_the_server() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = Setup::with(
        "[provisioning]\nlease = \"1s\"\n[recovery]\nstartup_delay = \"0s\"\nlease_check = \"100ms\"\n\
         reclaim_grace = \"0s\"\n",
    );
    let server = Server::start(folder.path(), &setup).await?;
    let job = server.create(json!({ "command": "X", "payload": { "seconds": 3 } })).await?;
    let _worker = python_worker(&server)?;
    let events = events_at(&server, &job, "finished").await?;
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!(kinds, ["created", "claimed", "finished"], "the work took longer than the lease");

    // A server that is away for a while is asked again.
    let address = server.base.trim_start_matches("http://").to_owned();
    server.crash().await?;
    let server = Server::start(folder.path(), &Setup { listen: vec![address], ..setup }).await?;
    let job = server.create(json!({ "command": "X" })).await?;
    events_at(&server, &job, "finished").await?;
    Ok(())
}
