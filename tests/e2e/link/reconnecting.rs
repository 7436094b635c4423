//! Links and servers that die, and workers that come back.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use super::{LISTENING, becomes, fleet, kinds, start};
use crate::rig::{Peer, Server, Setup, until};

/// Leases live on for a moment, and are looked at often.
const BRISK: &str = "[recovery]\nreclaim_grace = \"500ms\"\nlease_check = \"50ms\"\n";
/// They live on for as long as a test takes.
const PATIENT: &str = "[recovery]\nreclaim_grace = \"5m\"\nlease_check = \"50ms\"\n";

#[tokio::test]
async fn when_one_of_two_links_dies_only_its_jobs_are_recovered() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), BRISK).await?;
    let lost = server.create(json!({ "command": "issues" })).await?;
    let mut own = Peer::connect(&folder.path().join("own.sock")).await?;
    own.register("w", &[]).await?;
    assert_eq!(own.open(1, 0).await?[0]["id"], lost.as_str());
    let kept = server.create(json!({ "command": "issues" })).await?;
    let mut flat = Peer::connect(&folder.path().join("flat.sock")).await?;
    let job = flat.flat_open().await?;
    assert_eq!(job["id"], kept.as_str());
    drop(own);
    let recovered = becomes(&server, &lost, "queued").await?;
    assert_eq!(recovered["leaseLosses"], 1);
    assert_eq!(kinds(&server, &lost).await?, ["created", "claimed", "reclaimed"]);
    assert_eq!(server.job(&kept).await?["status"], "running");
    flat.flat("job_completed", Some(&job), json!({ "success": true, "finalCounts": {} })).await?;
    becomes(&server, &kept, "finished").await?;
    assert_eq!(kinds(&server, &kept).await?, ["created", "claimed", "finished"]);
    Ok(())
}

#[tokio::test]
async fn who_comes_back_within_the_grace_holds_its_leases_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), PATIENT).await?;
    let mine = server.create(json!({ "command": "X" })).await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    peer.register("w", &[]).await?;
    let jobs = peer.open(1, 0).await?;
    drop(peer);
    // The worker comes back as another process would: what it names is its own, and what it invents is not.
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    let invented = json!("never-was");
    peer.register("w", &[&jobs[0]["lease"]["token"], &invented]).await?;
    let held = peer.hear("reattached").await?["payload"].clone();
    assert_eq!((&held["lease"], &held["jobId"]), (&jobs[0]["lease"]["token"], &json!(mine)), "{held}");
    assert!(held["expiresAt"].is_string());
    assert_eq!(peer.hear("lost").await?["payload"]["lease"], invented);
    peer.report(&jobs[0], "completed").await?;
    peer.hear("ack").await?;
    assert_eq!(kinds(&server, &mine).await?, ["created", "claimed", "finished"], "it ran once");
    Ok(())
}

#[tokio::test]
async fn who_comes_back_too_late_is_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), BRISK).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    peer.register("w", &[]).await?;
    let jobs = peer.open(1, 0).await?;
    drop(peer);
    becomes(&server, &id, "queued").await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    peer.register("w", &[&jobs[0]["lease"]["token"]]).await?;
    assert_eq!(peer.hear("lost").await?["payload"]["lease"], jobs[0]["lease"]["token"]);
    peer.report(&jobs[0], "completed").await?;
    assert_eq!(peer.hear("nack").await?["payload"]["code"], "stale_lease");
    assert_ne!(server.job(&id).await?["status"], "finished");
    Ok(())
}

#[tokio::test]
async fn a_killed_server_comes_back_and_its_workers_finish_what_they_had() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = Setup::with(&format!("{LISTENING}{PATIENT}[provisioning]\nlease = \"2s\"\n"));
    let server = Server::start(folder.path(), &setup).await?;
    let first = server.create(json!({ "command": "X" })).await?;
    let mut own = Peer::connect(&folder.path().join("own.sock")).await?;
    own.register("w", &[]).await?;
    let held = own.open(1, 0).await?;
    assert_eq!(held[0]["id"], first.as_str());
    let second = server.create(json!({ "command": "issues" })).await?;
    let mut flat = Peer::connect(&folder.path().join("flat.sock")).await?;
    let crawled = flat.flat_open().await?;
    assert_eq!(crawled["id"], second.as_str());

    server.crash().await?;
    own.closed().await?;
    flat.closed().await?;
    let server = Server::start(folder.path(), &setup).await?;
    let mut own = Peer::connect(&folder.path().join("own.sock")).await?;
    own.register("w", &[&held[0]["lease"]["token"]]).await?;
    own.hear("reattached").await?;
    own.report(&held[0], "completed").await?;
    own.hear("ack").await?;
    // The flat crawler cannot say what it holds; its process can be known, and asks for nothing while it works.
    let mut flat = Peer::connect(&folder.path().join("flat.sock")).await?;
    flat.flat("heartbeat", None, json!({ "systemStatus": "idle" })).await?;
    until("the crawler's lease to be its connection's again", async || {
        let fleet = fleet(&server).await?;
        let workers = fleet["workers"].as_array().context("no workers")?;
        Ok(workers.iter().any(|worker| worker["link"] == "flat" && worker["leases"] == 1).then_some(()))
    })
    .await?;
    flat.flat("job_completed", Some(&crawled), json!({ "success": true, "finalCounts": {} })).await?;
    for job in [&first, &second] {
        becomes(&server, job, "finished").await?;
        assert_eq!(kinds(&server, job).await?, ["created", "claimed", "finished"], "it ran once");
    }
    Ok(())
}

#[tokio::test]
async fn a_link_that_is_lost_while_a_request_waits_gives_back_what_comes_for_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), PATIENT).await?;
    let mut waiting = Peer::connect(&folder.path().join("own.sock")).await?;
    waiting.say("jobRequest", "request_jobs", json!({ "wait": 60 })).await?;
    until("the request to wait", async || {
        Ok((fleet(&server).await?["workers"][0]["messages"] == 1).then_some(()))
    })
    .await?;
    drop(waiting);
    let id = server.create(json!({ "command": "X" })).await?;
    let mut other = Peer::connect(&folder.path().join("own.sock")).await?;
    let jobs = until("the job", async || {
        let jobs: Vec<Value> = other.open(1, 0).await?;
        Ok((!jobs.is_empty()).then_some(jobs))
    })
    .await?;
    assert_eq!(jobs[0]["id"], id.as_str());
    Ok(())
}

#[tokio::test]
async fn without_any_link_everything_else_works() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    let jobs = server.open("w", 1, 0).await?;
    server.report(&jobs[0], "completed", json!({})).await?.expect(200);
    assert_eq!(server.job(&id).await?["status"], "finished");
    let fleet = fleet(&server).await?;
    assert_eq!(fleet, json!({ "problems": [], "links": [], "workers": [], "processes": [] }));
    Ok(())
}
