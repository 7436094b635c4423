//! Workers that flood, lie, stall and stammer: the contract's answer each time, and nobody else notices.

use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::{becomes, fleet, kinds, start};
use crate::rig::{Peer, Server, envelope, query, until};

/// A server, somebody who misbehaves on one link, and a job that somebody else holds on the other.
struct Scene {
    server: Server,
    rude: Peer,
    polite: Peer,
    job: Value,
}

impl Scene {
    async fn set(folder: &std::path::Path) -> Result<Self> {
        let server = start(folder, "").await?;
        server.create(json!({ "command": "issues" })).await?;
        let mut polite = Peer::connect(&folder.join("flat.sock")).await?;
        let job = polite.flat_open().await?;
        let rude = Peer::connect(&folder.join("own.sock")).await?;
        Ok(Self { server, rude, polite, job })
    }

    /// The polite one is where it was, and finishes its job.
    async fn nobody_else_noticed(mut self) -> Result<()> {
        let id = self.job["id"].as_str().context("no id")?;
        self.polite
            .flat("job_completed", Some(&self.job), json!({ "success": true, "finalCounts": {} }))
            .await?;
        becomes(&self.server, id, "finished").await?;
        assert_eq!(kinds(&self.server, id).await?, ["created", "claimed", "finished"]);
        Ok(())
    }
}

#[tokio::test]
async fn a_flood_of_100_000_messages_is_taken_in_as_fast_as_it_can_be_and_answered() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::set(folder.path()).await?;
    scene.server.create(json!({ "command": "X" })).await?;
    scene.rude.register("rude", &[]).await?;
    let held = scene.rude.open(1, 0).await?;
    let beat = envelope("heartbeat", "heartbeat", json!({ "timestamp": 1 })).repeat(1_000);
    for _ in 0..99 {
        scene.rude.send(&beat).await?;
    }
    // The last thousand are reports, each of which is written down and receipted.
    for _ in 0..1_000 {
        scene.rude.report(&held[0], "processing").await?;
    }
    scene.rude.report(&held[0], "completed").await?;
    let mut acks = 0;
    while acks < 1_001 {
        scene.rude.hear("ack").await?;
        acks += 1;
    }
    assert_eq!(scene.server.job(held[0]["id"].as_str().context("no id")?).await?["status"], "finished");
    scene.nobody_else_noticed().await
}

#[tokio::test]
async fn a_frame_of_10_mib_is_skipped_and_the_next_one_heard() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::set(folder.path()).await?;
    let padding = "{\\\"}".repeat(2_621_440);
    let large = format!(
        "{{\"origin\":\"x\",\"destination\":\"web-server\",\"type\":\"message\",\"payload\":\"{padding}\"}}"
    );
    ensure!(large.len() > 10 * 1_024 * 1_024, "it is not large");
    scene.rude.send(large).await?;
    assert_eq!(scene.rude.open(1, 0).await?.len(), 0, "the session goes on behind it");
    until("the count", async || {
        let worker = &fleet(&scene.server).await?["workers"][1];
        Ok(((&worker["link"], &worker["ignored"]) == (&json!("own"), &json!(1))).then_some(()))
    })
    .await?;
    scene.nobody_else_noticed().await
}

#[tokio::test]
async fn rubbish_between_frames_is_skipped_and_too_much_of_it_ends_the_session() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::set(folder.path()).await?;
    let beat = envelope("heartbeat", "heartbeat", json!({ "timestamp": 1 }));
    let rubbish: [&[u8]; 5] = [b"\xff\xfe\x00", b"hello", b"{\"a\":}", b"[1,2]", b"{\"open\": \"\xc3\x28\"}"];
    for bytes in rubbish {
        scene.rude.send(bytes).await?;
        scene.rude.send(&beat).await?;
    }
    assert_eq!(scene.rude.open(1, 0).await?.len(), 0, "the session goes on behind it");
    for _ in 0..101 {
        // The session may end before the last of it.
        if scene.rude.send([b"?".as_slice(), &beat].concat()).await.is_err() {
            break;
        }
    }
    scene.rude.closed().await?;
    let log = until("the reason to be said", async || {
        let log = std::fs::read_to_string(folder.path().join("err.log"))?;
        Ok(log.contains("more than 100 bursts within a minute").then_some(log))
    })
    .await?;
    assert!(log.matches("rubbish on the link was skipped").count() <= 2, "one sample is enough: {log}");
    scene.nobody_else_noticed().await
}

#[tokio::test]
async fn half_a_connection_is_none() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::set(folder.path()).await?;
    let id = scene.server.create(json!({ "command": "X" })).await?;
    let jobs = scene.rude.open(1, 0).await?;
    assert_eq!(jobs.len(), 1);
    // It says that nothing more comes, and half a frame before that.
    scene.rude.send(b"{\"origin\":").await?;
    scene.rude.half_close().await?;
    scene.rude.closed().await?;
    let job = scene.server.job(&id).await?;
    assert_eq!(job["status"], "running", "its job has a grace in which it may come back: {job}");
    scene.nobody_else_noticed().await
}

#[tokio::test]
async fn reports_that_are_late_repeated_out_of_order_or_about_others_change_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::set(folder.path()).await?;
    let id = scene.server.create(json!({ "command": "X" })).await?;
    scene.rude.register("rude", &[]).await?;
    let jobs = scene.rude.open(1, 0).await?;
    let report = |status: &str, items: u32, at: &str| json!({ "taskId": id, "lease": jobs[0]["lease"]["token"], "status": status, "processedItems": items, "timestamp": at });
    let newer = report("processing", 20, "2025-06-03T16:00:09.000Z");
    let older = report("processing", 10, "2025-06-03T16:00:05.000Z");
    for payload in [&newer, &newer, &older] {
        scene.rude.say("message", "PROGRESS_UPDATE", payload.clone()).await?;
        scene.rude.hear("ack").await?;
    }
    let job = scene.server.job(&id).await?;
    assert_eq!(job["progress"]["processedItems"], 20, "an older report overwrote a newer one: {job}");

    // About a job of somebody else, by its id alone, and about one that never was.
    let others = scene.job["id"].clone();
    for (task, code) in [(others.clone(), "stale_lease"), (json!("01NEVERWAS"), "unknown_job")] {
        let lie = json!({ "taskId": task, "status": "failed", "error": "a lie" });
        scene.rude.say("message", "PROGRESS_UPDATE", lie).await?;
        let nack = scene.rude.hear("nack").await?["payload"].clone();
        assert_eq!((&nack["taskId"], &nack["code"]), (&task, &json!(code)), "{nack}");
    }
    // With no status there is, and with none at all of what a report is.
    for (payload, code) in [
        (json!({ "taskId": id, "status": "splendid" }), "unknown_status"),
        (json!({ "status": "processing" }), "invalid_report"),
    ] {
        scene.rude.say("message", "PROGRESS_UPDATE", payload).await?;
        assert_eq!(scene.rude.hear("nack").await?["payload"]["code"], code);
    }
    // Completed twice is completed; what comes after is late.
    let completed = report("completed", 30, "2025-06-03T16:00:10.000Z");
    for payload in [&completed, &completed] {
        scene.rude.say("message", "PROGRESS_UPDATE", payload.clone()).await?;
        scene.rude.hear("ack").await?;
    }
    let late = report("failed", 1, "2025-06-03T16:00:11.000Z");
    scene.rude.say("message", "PROGRESS_UPDATE", late).await?;
    assert_eq!(scene.rude.hear("nack").await?["payload"]["code"], "stale_lease");
    assert_eq!(scene.server.job(&id).await?["status"], "finished");
    assert_eq!(scene.server.job(others.as_str().context("no id")?).await?["status"], "running");
    scene.job["id"] = others;
    let polite = becomes(&scene.server, scene.job["id"].as_str().context("no id")?, "running").await?;
    assert_eq!(polite["progress"].get("error"), None);
    Ok(())
}

#[tokio::test]
async fn a_worker_that_takes_nothing_in_loses_what_it_was_to_get_and_nothing_else() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::set(folder.path()).await?;
    let order = json!({ "command": "X", "payload": { "text": "x".repeat(100_000) } });
    let orders = Value::Array(vec![order; 8]);
    for _ in 0..25 {
        scene.server.admin(reqwest::Method::POST, "/api/jobs", Some(orders.clone())).await?.expect(201);
    }
    // It asks for 20 MB of jobs and reads none of it, and closes.
    for _ in 0..20 {
        scene.rude.say("jobRequest", "request_jobs", json!({ "limit": 10 })).await?;
    }
    until("some jobs to be handed out", async || {
        let queues = scene.server.admin(reqwest::Method::GET, "/api/admin/queues", None).await?.expect(200);
        Ok((queues["items"][0]["jobs"]["running"].as_u64() > Some(1)).then_some(()))
    })
    .await?;
    drop(std::mem::replace(&mut scene.rude, Peer::connect(&folder.path().join("own.sock")).await?));
    // What was not written goes back at once; what may have arrived waits for its grace.
    let mut got = 0;
    until("what was not handed over to be handed out to somebody else", async || {
        got += scene.rude.open(50, 0).await?.len();
        Ok((got >= 100).then_some(()))
    })
    .await?;
    scene.nobody_else_noticed().await
}

#[tokio::test]
async fn a_lie_about_who_one_is_counts_for_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::set(folder.path()).await?;
    let id = scene.job["id"].as_str().context("no id")?.to_owned();
    let holder = scene.server.job(&id).await?["workerId"].clone();
    // In a report, in a request, and as its own name: what a process is called is for that process alone.
    for _ in 0..2 {
        let lie = json!({ "taskId": id, "status": "completed", "workerId": holder });
        scene.rude.say("message", "PROGRESS_UPDATE", lie).await?;
        scene.rude.register(holder.as_str().context("no name")?, &[]).await?;
    }
    assert_eq!(scene.rude.hear("nack").await?["payload"]["code"], "stale_lease");
    scene.server.create(json!({ "command": "X" })).await?;
    scene.rude.say("jobRequest", "request_jobs", json!({ "workerId": holder })).await?;
    let job = scene.rude.hear("jobs_available").await?["payload"][0]["id"].clone();
    let job = scene.server.job(job.as_str().context("no job")?).await?;
    assert!(job["workerId"].as_str().is_some_and(|worker| worker.starts_with("own:")), "{job}");
    let until_on_record = until("the lies to be on record", async || {
        let kinds = kinds(&scene.server, &id).await?;
        Ok(kinds.contains(&"stale_report".to_owned()).then_some(kinds))
    });
    assert!(!until_on_record.await?.contains(&"finished".to_owned()));
    let completed = json!({ "success": true, "finalCounts": {} });
    scene.polite.flat("job_completed", Some(&scene.job), completed).await?;
    becomes(&scene.server, &id, "finished").await?;
    Ok(())
}

#[tokio::test]
async fn requests_that_cannot_be_read_are_answered() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::set(folder.path()).await?;
    for wrong in [
        json!({ "limit": "5" }),
        json!({ "wait": "1" }),
        json!({ "commands": "X" }),
        json!({ "queue": "a b" }),
    ] {
        let mut request = wrong.clone();
        request["requestId"] = json!(7);
        scene.rude.say("jobRequest", "request_jobs", request).await?;
        let answer = scene.rude.hear("jobs_error").await?["payload"].clone();
        assert_eq!(
            (&answer["requestId"], &answer["errorType"], &answer["retryable"]),
            (&json!(7), &json!("invalid_request"), &json!(false)),
            "{wrong}: {answer}"
        );
    }
    for request in
        [json!({ "requestId": "t" }), json!({ "requestId": "t", "providerId": "g", "accountId": 42 })]
    {
        scene.rude.say("message", "TOKEN_REFRESH_REQUEST", request).await?;
        let answer = scene.rude.hear("TOKEN_REFRESH_RESPONSE").await?["payload"].clone();
        assert_eq!((&answer["requestId"], &answer["success"]), (&json!("t"), &json!(false)), "{answer}");
    }
    scene.nobody_else_noticed().await
}

#[tokio::test]
async fn the_log_hears_no_secrets_and_little_of_a_flood() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::set(folder.path()).await?;
    scene.rude.register("rude", &[]).await?;
    let secret = json!({ "destination": "web-server", "type": "message", "key": ["LEASE-SECRET-1"] });
    scene.rude.send(secret.to_string()).await?;
    scene.rude.hear("nack").await?;
    scene.rude.send(r#"{"lease":"LEASE-SECRET-2",}"#).await?;
    for _ in 0..200 {
        let report = json!({ "taskId": "01NEVERWAS", "lease": "LEASE-SECRET-3", "status": "splendid" });
        scene.rude.say("message", "PROGRESS_UPDATE", report).await?;
        scene.rude.hear("nack").await?;
    }
    let log = std::fs::read_to_string(folder.path().join("err.log"))?;
    assert!(
        log.contains("a message was ignored") && log.contains("rubbish on the link was skipped"),
        "{log}"
    );
    assert!(!log.contains("LEASE-SECRET"), "{log}");
    let lines = log.matches("a report was refused").count();
    assert!((1..=50).contains(&lines), "{lines} lines for 200 reports");
    scene.nobody_else_noticed().await
}

#[tokio::test]
async fn a_flood_of_what_is_no_message_ends_the_session_and_leaves_few_lines() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::set(folder.path()).await?;
    // The session may end before the last of it.
    drop(scene.rude.send("{}".repeat(200_000)).await);
    scene.rude.closed().await?;
    let log = std::fs::read_to_string(folder.path().join("err.log"))?;
    assert!(log.contains("more than 100 bursts within a minute"), "{log}");
    assert!(log.matches("a message was ignored").count() <= 10, "{log}");
    scene.nobody_else_noticed().await
}

#[tokio::test]
async fn what_a_stranger_logs_about_a_job_is_not_kept() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut scene = Scene::set(folder.path()).await?;
    let id = scene.job["id"].as_str().context("no id")?;
    for _ in 0..20 {
        let log = json!({ "jobId": id, "error": "x".repeat(30_000) });
        scene.rude.say("message", "JOB_FAILURE_LOGS", log).await?;
    }
    assert_eq!(scene.rude.open(1, 0).await?.len(), 0);
    until("it to be said", async || {
        let log = std::fs::read_to_string(folder.path().join("err.log"))?;
        Ok(log.contains("evidence is not kept").then_some(()))
    })
    .await?;
    scene.nobody_else_noticed().await
}

#[tokio::test]
async fn the_server_ends_although_somebody_reads_next_to_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "[server]\nshutdown_grace = \"200ms\"\n").await?;
    let order = json!({ "command": "X", "payload": { "text": "x".repeat(500_000) } });
    for _ in 0..14 {
        server.create(order.clone()).await?;
    }
    let mut slow = Peer::connect(&folder.path().join("own.sock")).await?;
    for _ in 0..14 {
        slow.say("jobRequest", "request_jobs", json!({ "limit": 1 })).await?;
    }
    until("the jobs to be handed out", async || {
        let queues = server.admin(reqwest::Method::GET, "/api/admin/queues", None).await?.expect(200);
        Ok((queues["items"][0]["jobs"]["running"].as_u64() == Some(14)).then_some(()))
    })
    .await?;
    // It takes in a little whenever it is about to be given up.
    let reading = tokio::spawn(async move {
        let mut pace = tokio::time::interval(Duration::from_secs(10));
        while slow.take_in(100_000).await.is_ok() {
            pace.tick().await;
        }
    });
    let database = server.database();
    assert!(server.stop().await?.success());
    reading.abort();
    // What was not written is back at once.
    let queued = query(&database, "SELECT count(*) FROM job WHERE status = 'queued'")?;
    assert!(queued[0].parse::<u32>()? >= 10, "{queued:?}");
    Ok(())
}

#[tokio::test]
async fn a_job_whose_answer_was_lost_is_not_kept_by_heartbeats() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let more =
        "[provisioning]\nlease = \"400ms\"\n[recovery]\nlease_check = \"50ms\"\nreclaim_grace = \"100ms\"\n";
    let server = start(folder.path(), more).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    peer.say("jobRequest", "request_jobs", json!({})).await?;
    becomes(&server, &id, "running").await?;
    // The answer may be on its way when the connection breaks. The crawler knows of nothing, and lives on.
    let mut again = Peer::connect(&folder.path().join("own.sock")).await?;
    drop(peer);
    until("the job to be taken back", async || {
        again.say("heartbeat", "heartbeat", json!({ "timestamp": 1 })).await?;
        Ok(kinds(&server, &id).await?.contains(&"reclaimed".to_owned()).then_some(()))
    })
    .await
}
