//! What a worker says over a link takes effect in the order in which it is said.

use anyhow::{Context, Result};
use serde_json::{Value, json};

use crate::rig::{Peer, Server, Setup, envelope};

/// Races between what comes in one read are lost about half the time.
const TIMES: usize = 20;

const OWN: &str = "[[link]]\nname = \"own\"\npath = \"own.sock\"\nmode = \"listen\"\n";

/// A worker that holds one job.
async fn holding(server: &Server) -> Result<(Peer, String, Value)> {
    let id = server.create(json!({ "command": "X" })).await?;
    let mut peer = Peer::connect(&server.data.with_file_name("own.sock")).await?;
    introduce(&mut peer, &[]).await?;
    let jobs = peer.open(1, 30).await?;
    let job = jobs.into_iter().next().context("no job")?;
    assert_eq!(job["id"], id.as_str());
    Ok((peer, id, job))
}

/// Says who it is, and that it takes one job at a time.
async fn introduce(peer: &mut Peer, leases: &[&Value]) -> Result<()> {
    let who = json!({ "workerId": "w", "protocol": 2, "features": ["ack"], "capacity": 1, "leases": leases });
    peer.say("message", "registered", who).await
}

fn report(job: &Value, status: &str) -> Vec<u8> {
    let report = json!({ "taskId": job["id"], "lease": job["lease"]["token"], "status": status });
    envelope("message", "PROGRESS_UPDATE", report)
}

#[tokio::test]
async fn who_reports_an_end_and_leaves_has_ended_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = format!("{OWN}[recovery]\nenabled = false\n");
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    for _ in 0..TIMES {
        for (said, status) in [("completed", "finished"), ("failed", "failed"), ("paused", "paused")] {
            let (mut peer, id, job) = holding(&server).await?;
            let leave = envelope("message", "shutdown", json!({ "signal": "SIGTERM" }));
            peer.send([report(&job, said), leave].concat()).await?;
            peer.half_close().await?;
            peer.closed().await?;
            assert_eq!(server.kinds(&id).await?, ["created", "claimed", status]);
        }
    }
    Ok(())
}

#[tokio::test]
async fn who_reports_an_end_when_it_is_back_has_room_for_the_next_job() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(OWN)).await?;
    for _ in 0..TIMES {
        let (peer, _, job) = holding(&server).await?;
        drop(peer);
        let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
        introduce(&mut peer, &[&job["lease"]["token"]]).await?;
        peer.send(report(&job, "completed")).await?;
        assert_eq!(peer.hear("ack").await?["payload"]["taskId"], job["id"]);
        let next = server.create(json!({ "command": "X" })).await?;
        let jobs = peer.open(1, 0).await?;
        assert_eq!(jobs.first().context("it is taken to hold a job that has ended")?["id"], next.as_str());
        peer.send(report(&jobs[0], "completed")).await?;
        peer.hear("ack").await?;
    }
    Ok(())
}

#[tokio::test]
async fn who_is_paused_or_leaves_gets_nothing_that_it_asked_for_before() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(OWN)).await?;
    let mut paused = Peer::connect(&folder.path().join("own.sock")).await?;
    introduce(&mut paused, &[]).await?;
    let mut leaving = Peer::connect(&folder.path().join("own.sock")).await?;
    for peer in [&mut paused, &mut leaving] {
        peer.say("jobRequest", "request_jobs", json!({ "wait": 60 })).await?;
    }
    leaving.say("message", "shutdown", json!({})).await?;
    // It has heard both when it answers what came behind them.
    leaving.say("message", "TOKEN_REFRESH_REQUEST", json!({ "requestId": "1", "providerId": "g" })).await?;
    leaving.hear("TOKEN_REFRESH_RESPONSE").await?;
    paused.say("message", "TOKEN_REFRESH_REQUEST", json!({ "requestId": "1", "providerId": "g" })).await?;
    paused.hear("TOKEN_REFRESH_RESPONSE").await?;
    server.admin(reqwest::Method::POST, "/api/admin/workers/w/pause", None).await?.expect(200);
    paused.hear("PAUSE_CRAWLER").await?;
    assert_eq!(paused.hear("jobs_available").await?["payload"], json!([]));
    let id = server.create(json!({ "command": "X" })).await?;
    let jobs = server.open("other", 1, 0).await?;
    assert_eq!(jobs.first().context("somebody who takes none has it")?["id"], id.as_str());
    Ok(())
}
