//! The envelope dialect, by the conformance list.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::UnixListener;

use super::{account_that_needs_a_refresh, becomes, fleet, kinds, start};
use crate::rig::{Peer, Provider, Server, Setup, envelope, until};

/// Starts a server that dials `crawler.sock`, and answers its connection.
async fn dialled(folder: &std::path::Path, config: &str) -> Result<(Server, UnixListener, Peer)> {
    let listener = UnixListener::bind(folder.join("crawler.sock"))?;
    let server = Server::start(folder, &Setup::with(config)).await?;
    let peer = Peer::accept(&listener).await?;
    Ok((server, listener, peer))
}

const DIAL: &str = "[link]\nsocket_path = \"crawler.sock\"\nreconnect_after = \"20ms\"\n";

#[tokio::test]
async fn it_registers_first_and_once_per_connection() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (server, listener, mut peer) = dialled(folder.path(), DIAL).await?;
    for _ in 0..2 {
        let first: Value = serde_json::from_str(&peer.line().await?)?;
        assert_eq!((&first["type"], &first["key"]), (&json!("command"), &json!("register")));
        assert_eq!(
            (&first["origin"], &first["destination"]),
            (&json!("web-server"), &json!("external-crawler"))
        );
        let pid = server.pid()?.as_raw();
        assert_eq!(
            first["payload"],
            json!({ "id": "web-server", "pid": pid, "type": "web-server", "protocol": 2,
                    "features": ["lease", "cancel", "reattach", "ack", "next"] })
        );
        assert!(first["timestamp"].is_u64());
        // An old worker says nothing about itself, and is served; nothing else is said before it asks.
        peer.say("jobRequest", "request_jobs", json!({})).await?;
        let second: Value = serde_json::from_str(&peer.line().await?)?;
        assert_eq!(second["key"], "jobs_available");
        drop(peer);
        peer = Peer::accept(&listener).await?;
    }
    Ok(())
}

#[tokio::test]
async fn frames_split_at_every_byte_say_the_same() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    let request = envelope("jobRequest", "request_jobs", json!({ "requestId": "ü\"}{" }));
    for byte in &request {
        peer.send([*byte]).await?;
    }
    let jobs = peer.hear("jobs_available").await?;
    assert_eq!(jobs["payload"][0]["id"], id.as_str());
    // Each split once more, in the middle of a report: the first part must wait for the second.
    let report = envelope("message", "PROGRESS_UPDATE", json!({ "taskId": id, "status": "completed" }));
    let (first, second) = report.split_at(report.len() / 2);
    peer.send(first).await?;
    assert_eq!(server.job(&id).await?["status"], "running");
    peer.send(second).await?;
    becomes(&server, &id, "finished").await?;
    Ok(())
}

#[tokio::test]
async fn several_frames_in_one_read_are_all_heard_with_newlines_and_without() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    let mut bytes = Vec::new();
    for gap in ["", "\n", " \r\n\t "] {
        bytes.extend(envelope("heartbeat", "heartbeat", json!({ "timestamp": 1 })));
        bytes.extend(gap.as_bytes());
    }
    bytes.extend(envelope("jobRequest", "request_jobs", json!({})));
    peer.send(bytes).await?;
    assert_eq!(peer.hear("jobs_available").await?["payload"], json!([]), "no jobs is an empty array");
    until("the count", async || {
        let worker = &fleet(&server).await?["workers"][0];
        Ok(((&worker["messages"], &worker["ignored"]) == (&json!(4), &json!(0))).then_some(()))
    })
    .await
}

#[tokio::test]
async fn braces_and_quotes_in_strings_are_no_structure() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    let path = "a{b}}}\"\\ {] \u{1F980}";
    let id = server.create(json!({ "command": "X", "fullPath": path })).await?;
    let jobs = peer.open(1, 0).await?;
    assert_eq!(jobs[0]["fullPath"], path);
    let report = json!({ "taskId": id, "status": "failed", "error": path });
    peer.say("message", "PROGRESS_UPDATE", report).await?;
    let job = becomes(&server, &id, "failed").await?;
    assert_eq!(job["progress"]["error"], path, "{job}");
    Ok(())
}

#[tokio::test]
async fn a_message_for_somebody_else_is_counted_and_nothing_more() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    peer.open(1, 0).await?;
    let report = json!({ "taskId": id, "status": "completed" });
    let foreign = json!({
        "origin": "external-crawler", "destination": "somebody", "type": "message", "key": "PROGRESS_UPDATE",
        "payload": report, "timestamp": 1,
    });
    peer.send(foreign.to_string()).await?;
    assert_eq!(peer.open(1, 0).await?.len(), 0);
    assert_eq!(server.job(&id).await?["status"], "running");
    until("the count", async || Ok((fleet(&server).await?["workers"][0]["ignored"] == 1).then_some(())))
        .await?;
    // `*` is everybody, and we are somebody.
    let to_all = json!({ "origin": "x", "destination": "*", "type": "message", "key": "PROGRESS_UPDATE",
                         "payload": { "taskId": id, "status": "completed" } });
    peer.send(to_all.to_string()).await?;
    becomes(&server, &id, "finished").await?;
    Ok(())
}

#[tokio::test]
async fn a_worker_that_cannot_be_served_learns_why_and_when_to_come_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    let (path, away) = (server.database(), folder.path().join("away.db"));
    std::fs::rename(&path, &away)?;
    peer.say("jobRequest", "request_jobs", json!({ "requestId": "r-17" })).await?;
    let answer = peer.hear("jobs_error").await?;
    assert_eq!(answer["type"], "jobResponse");
    let payload = &answer["payload"];
    assert_eq!((&payload["requestId"], &payload["retryable"]), (&json!("r-17"), &json!(true)), "{payload}");
    assert_eq!(payload["errorType"], "storage_unavailable", "{payload}");
    assert!(payload["retryAfterMs"].is_u64() && payload["error"].is_string(), "{payload}");
    assert!(
        payload["message"].as_str().is_some_and(|text| text.contains("the database file is gone")),
        "{payload}"
    );
    std::fs::rename(&away, &path)?;
    until("the server to be ready again", async || {
        Ok((server.ask(Method::GET, "/readyz", None, None).await?.status == 200).then_some(()))
    })
    .await?;
    let id = server.create(json!({ "command": "X" })).await?;
    assert_eq!(peer.open(1, 0).await?[0]["id"], id.as_str(), "the same session goes on");
    Ok(())
}

#[tokio::test]
async fn areas_in_all_three_shapes_spawn_their_jobs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    let area = |path: &str| json!({ "fullPath": path, "type": "group", "name": path });
    let shapes = [
        json!({ "areas": [area("in/areas")] }),
        json!({ "progress": [area("in/progress")] }),
        json!({ "0": area("in/numbers/0"), "1": area("in/numbers/1") }),
    ];
    let found = ["in/areas", "in/progress", "in/numbers/0", "in/numbers/1"];
    let id = server.create(json!({ "command": "GROUP_PROJECT_DISCOVERY" })).await?;
    peer.open(1, 0).await?;
    for shape in shapes {
        let mut report = json!({ "taskId": id, "status": "new_areas_discovered" });
        report.as_object_mut().context("an object")?.extend(shape.as_object().context("an object")?.clone());
        peer.say("message", "PROGRESS_UPDATE", report.clone()).await?;
        // Sent again it is the same discovery.
        peer.say("message", "PROGRESS_UPDATE", report).await?;
    }
    peer.say("message", "PROGRESS_UPDATE", json!({ "taskId": id, "status": "completed" })).await?;
    becomes(&server, &id, "finished").await?;
    let jobs = server.admin(Method::GET, "/api/jobs?limit=500", None).await?.expect(200);
    let jobs = jobs["items"].as_array().context("no jobs")?;
    for path in found {
        let mut commands: Vec<&str> = jobs
            .iter()
            .filter(|job| job["fullPath"] == path)
            .inspect(|job| assert_eq!(job["spawnedFrom"], id.as_str()))
            .filter_map(|job| job["command"].as_str())
            .collect();
        commands.sort_unstable();
        assert_eq!(commands, ["group", "groupIssues", "groupMembers", "groupProjects"], "{path}");
    }
    Ok(())
}

#[tokio::test]
async fn a_repeated_request_for_credentials_gets_the_same_answer_and_asks_the_provider_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let provider = Provider::answering(
        200,
        json!({ "access_token": "fresh", "token_type": "bearer", "expires_in": 7_200 }),
    )
    .await?;
    let server = start(folder.path(), &provider.config()).await?;
    account_that_needs_a_refresh(&server, "acc").await?;
    let request = json!({ "requestId": "t-3", "providerId": "g", "accountId": "acc", "userId": "u" });
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    let mut other = Peer::connect(&folder.path().join("own.sock")).await?;
    // Credentials are for those who hold a job that needs them.
    peer.say("message", "TOKEN_REFRESH_REQUEST", request.clone()).await?;
    let refused = peer.hear("TOKEN_REFRESH_RESPONSE").await?["payload"].clone();
    assert_eq!((&refused["requestId"], &refused["success"]), (&json!("t-3"), &json!(false)), "{refused}");
    for peer in [&mut peer, &mut other] {
        server.create(json!({ "command": "X", "accountId": "acc" })).await?;
        assert_eq!(peer.open(1, 0).await?.len(), 1);
    }
    account_that_needs_a_refresh(&server, "acc").await?;
    let asked_before = provider.asked();
    for _ in 0..3 {
        peer.say("message", "TOKEN_REFRESH_REQUEST", request.clone()).await?;
    }
    other.say("message", "TOKEN_REFRESH_REQUEST", request).await?;
    let first = peer.hear("TOKEN_REFRESH_RESPONSE").await?["payload"].clone();
    assert_eq!(
        (&first["requestId"], &first["success"], &first["accessToken"], &first["providerId"]),
        (&json!("t-3"), &json!(true), &json!("fresh"), &json!("g"))
    );
    assert!(first["expiresAt"].is_string() && first.get("refreshToken").is_none(), "{first}");
    for _ in 0..2 {
        assert_eq!(peer.hear("TOKEN_REFRESH_RESPONSE").await?["payload"], first);
    }
    assert_eq!(other.hear("TOKEN_REFRESH_RESPONSE").await?["payload"]["accessToken"], "fresh");
    assert_eq!(provider.asked() - asked_before, 1);
    // The answers come in the order of the questions: had there been one more, it would be before this one.
    peer.say("message", "TOKEN_REFRESH_REQUEST", json!({ "requestId": "t-4", "providerId": "g" })).await?;
    let refused = peer.hear("TOKEN_REFRESH_RESPONSE").await?["payload"].clone();
    assert_eq!((&refused["requestId"], &refused["success"]), (&json!("t-4"), &json!(false)), "{refused}");
    assert!(refused["error"].as_str().is_some_and(|error| error.contains("accountId")), "{refused}");
    Ok(())
}

#[tokio::test]
async fn commands_go_to_whom_they_are_to() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = format!("{DIAL}command_peer = \"crawler\"\n");
    let (server, _listener, mut peer) = dialled(folder.path(), &config).await?;
    assert_eq!(peer.hear("register").await?["destination"], "external-crawler");
    peer.say("heartbeat", "heartbeat", json!({ "timestamp": 1 })).await?;
    let worker = until("the worker to be known", async || {
        let fleet = fleet(&server).await?;
        Ok((fleet["workers"][0]["state"] == "connected").then(|| fleet["workers"][0]["id"].clone()))
    })
    .await?;
    let worker = worker.as_str().context("no name")?;
    for (action, key) in [("pause", "PAUSE_CRAWLER"), ("resume", "RESUME_CRAWLER")] {
        let path = format!("/api/admin/workers/{worker}/{action}");
        server.admin(Method::POST, &path, None).await?.expect(200);
        let command = peer.hear(key).await?;
        assert_eq!((&command["destination"], &command["type"]), (&json!("crawler"), &json!("command")));
        assert_eq!(command["payload"], json!({ "type": key }));
    }
    Ok(())
}

#[tokio::test]
async fn who_is_paused_gets_nothing_and_keeps_what_it_has() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    let first = server.create(json!({ "command": "X" })).await?;
    let second = server.create(json!({ "command": "X" })).await?;
    peer.register("w", &[]).await?;
    let jobs = peer.open(1, 0).await?;
    server.admin(Method::POST, "/api/admin/workers/w/pause", None).await?.expect(200);
    peer.hear("PAUSE_CRAWLER").await?;
    assert_eq!(peer.open(1, 0).await?.len(), 0);
    peer.report(&jobs[0], "completed").await?;
    peer.hear("ack").await?;
    assert_eq!(server.job(&first).await?["status"], "finished");
    // It stays paused when it connects anew, and is told so.
    drop(peer);
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    peer.register("w", &[]).await?;
    peer.hear("PAUSE_CRAWLER").await?;
    server.admin(Method::POST, "/api/admin/workers/w/resume", None).await?.expect(200);
    peer.hear("RESUME_CRAWLER").await?;
    assert_eq!(peer.open(1, 0).await?[0]["id"], second.as_str());
    let unknown = server.admin(Method::POST, "/api/admin/workers/nobody/pause", None).await?.expect(404);
    assert_eq!(unknown["code"], "unknown_worker");
    Ok(())
}

#[tokio::test]
async fn a_holder_is_told_when_its_job_is_cancelled_or_taken_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    let cancelled = server.create(json!({ "command": "X" })).await?;
    server.create(json!({ "command": "X" })).await?;
    peer.register("w", &[]).await?;
    let jobs = peer.open(2, 0).await?;
    server.admin(Method::POST, &format!("/api/admin/jobs/{cancelled}/cancel"), None).await?.expect(200);
    let told = peer.hear("CANCEL_JOB").await?["payload"].clone();
    assert_eq!((&told["type"], &told["jobId"]), (&json!("CANCEL_JOB"), &json!(cancelled)), "{told}");
    assert_eq!(told["lease"], jobs[0]["lease"]["token"]);
    assert!(told["reason"].is_string());
    // What it says about it later is refused, and the receipt says so.
    peer.report(&jobs[0], "completed").await?;
    let nack = peer.hear("nack").await?["payload"].clone();
    assert_eq!((&nack["taskId"], &nack["code"]), (&json!(cancelled), &json!("stale_lease")), "{nack}");
    peer.report(&jobs[1], "completed").await?;
    assert_eq!(peer.hear("ack").await?["payload"]["lease"], jobs[1]["lease"]["token"]);
    Ok(())
}

#[tokio::test]
async fn a_discovery_is_offered_or_waits_for_a_worker_and_says_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(DIAL)).await?;
    let account = json!({ "userId": "u", "providerId": "g", "accessToken": "t" });
    server.admin(Method::PUT, "/api/admin/accounts/acc", Some(account)).await?;
    let order = json!({ "accountId": "acc" });
    let answer = server.admin(Method::POST, "/api/jobs/discovery", Some(order)).await?.expect(201);
    let id = answer["job"]["id"].as_str().context("no id")?.to_owned();
    let job = server.job(&id).await?;
    assert_eq!((&job["status"], &job["progress"]["pendingStart"]), (&json!("queued"), &json!(true)), "{job}");
    assert!(job["progress"]["lastStartAttempt"].is_string(), "{job}");

    // The crawler comes, and is told to start it.
    let listener = UnixListener::bind(folder.path().join("crawler.sock"))?;
    let mut peer = Peer::accept(&listener).await?;
    peer.say("heartbeat", "heartbeat", json!({ "timestamp": 1 })).await?;
    let start = peer.hear("START_JOB").await?["payload"].clone();
    assert_eq!(
        (&start["type"], &start["jobId"], &start["command"], &start["accountId"]),
        (&json!("START_JOB"), &json!(id), &json!("GROUP_PROJECT_DISCOVERY"), &json!("acc")),
        "{start}"
    );
    assert!(start["lease"]["token"].is_string() && start["fullPath"].is_null(), "{start}");
    let job = server.job(&id).await?;
    assert_eq!(job["status"], "running");
    peer.say("message", "jobUpdate", json!({ "jobId": id, "status": "completed", "timestamp": 1 })).await?;
    becomes(&server, &id, "finished").await?;
    assert_eq!(kinds(&server, &id).await?.last().map(String::as_str), Some("finished"));
    Ok(())
}

#[tokio::test]
async fn no_answer_is_larger_than_what_we_take_in_ourselves() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (server, _listener, mut peer) = dialled(folder.path(), DIAL).await?;
    for _ in 0..3 {
        server.create(json!({ "command": "X", "payload": { "text": "x".repeat(500_000) } })).await?;
    }
    peer.say("jobRequest", "request_jobs", json!({ "limit": 3 })).await?;
    let mut jobs = 0;
    while jobs < 3 {
        let line = peer.line().await?;
        assert!(line.len() <= 1_024 * 1_024, "a message of {} bytes", line.len());
        let message: Value = serde_json::from_str(&line)?;
        if message["key"] == "jobs_available" {
            jobs +=
                message["payload"]["jobs"].as_array().or(message["payload"].as_array()).map_or(0, Vec::len);
        }
    }
    Ok(())
}

/// Starts discovery for so many accounts; answers the jobs.
async fn discoveries(server: &Server, count: usize) -> Result<Vec<String>> {
    let mut jobs = Vec::new();
    for number in 0..count {
        let account = json!({ "userId": "u", "providerId": "g", "accessToken": "t" });
        let path = format!("/api/admin/accounts/acc-{number}");
        server.admin(Method::PUT, &path, Some(account)).await?;
        let order = json!({ "accountId": format!("acc-{number}") });
        let answer = server.admin(Method::POST, "/api/jobs/discovery", Some(order)).await?.expect(201);
        jobs.push(answer["job"]["id"].as_str().context("no id")?.to_owned());
    }
    Ok(jobs)
}

#[tokio::test]
async fn jobs_that_wait_to_be_started_outlive_the_server() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(DIAL)).await?;
    let jobs = discoveries(&server, 1).await?;
    server.crash().await?;
    let _server = Server::start(folder.path(), &Setup::with(DIAL)).await?;
    let listener = UnixListener::bind(folder.path().join("crawler.sock"))?;
    let mut peer = Peer::accept(&listener).await?;
    peer.say("heartbeat", "heartbeat", json!({ "timestamp": 1 })).await?;
    assert_eq!(peer.hear("START_JOB").await?["payload"]["jobId"], json!(jobs[0]));
    Ok(())
}

#[tokio::test]
async fn a_worker_is_started_on_as_many_jobs_as_it_can_run_and_on_the_rest_as_it_finishes() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(DIAL)).await?;
    let mut waiting = discoveries(&server, 5).await?;
    let listener = UnixListener::bind(folder.path().join("crawler.sock"))?;
    let mut peer = Peer::accept(&listener).await?;
    peer.say("message", "registered", json!({ "workerId": "w", "protocol": 2, "capacity": 2 })).await?;
    let mut held = Vec::new();
    while !waiting.is_empty() {
        let start = peer.hear("START_JOB").await?["payload"].clone();
        let id = start["jobId"].as_str().context("no id")?.to_owned();
        waiting.retain(|job| *job != id);
        held.push(start);
        let fleet = fleet(&server).await?;
        let running = fleet["workers"][0]["leases"].as_u64().unwrap_or_default();
        assert!(running <= 2, "{fleet}");
        if held.len() == 2 {
            let job = held.remove(0);
            let done =
                json!({ "jobId": job["jobId"], "lease": job["lease"]["token"], "status": "completed" });
            peer.say("message", "jobUpdate", done).await?;
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_job_that_waits_for_a_paused_worker_is_started_when_it_goes_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(DIAL)).await?;
    let listener = UnixListener::bind(folder.path().join("crawler.sock"))?;
    let mut peer = Peer::accept(&listener).await?;
    peer.say("message", "registered", json!({ "workerId": "w", "protocol": 2 })).await?;
    until("the worker to be known", async || {
        let answer = server.admin(Method::POST, "/api/admin/workers/w/pause", None).await?;
        Ok((answer.status == 200).then_some(()))
    })
    .await?;
    let jobs = discoveries(&server, 1).await?;
    let job = server.job(&jobs[0]).await?;
    assert_eq!((&job["status"], &job["progress"]["pendingStart"]), (&json!("queued"), &json!(true)), "{job}");
    server.admin(Method::POST, "/api/admin/workers/w/resume", None).await?.expect(200);
    assert_eq!(peer.hear("START_JOB").await?["payload"]["jobId"], json!(jobs[0]));
    Ok(())
}

#[tokio::test]
async fn the_circuit_opens_at_5_probes_and_reconnects_afterwards() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = format!(
        "{DIAL}reconnect_at_most = \"40ms\"\n[breaker]\nopen_for = \"300ms\"\nopen_at_most = \"300ms\"\n"
    );
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    let seen = until("the circuit to open", async || {
        let fleet = fleet(&server).await?;
        Ok((fleet["links"][0]["breaker"]["state"] == "open").then_some(fleet))
    })
    .await?;
    let link = &seen["links"][0];
    assert_eq!(link["breaker"]["consecutiveFailures"], 5, "{link}");
    assert!(link["breaker"]["nextProbeAt"].is_string(), "{link}");
    assert!(
        seen["problems"][0].as_str().is_some_and(
            |text| text.contains("is open after 5 failures in a row") && text.contains("tried again at")
        ),
        "{seen}"
    );
    // The API goes on, and nothing is held against the job.
    let job = server.job(&id).await?;
    assert_eq!((&job["status"], &job["attempt"]), (&json!("queued"), &json!(0)));

    let listener = UnixListener::bind(folder.path().join("crawler.sock"))?;
    let mut peer = Peer::accept(&listener).await?;
    assert_eq!(peer.open(1, 0).await?[0]["id"], id.as_str());
    let closed = fleet(&server).await?;
    assert_eq!(closed["links"][0]["breaker"]["state"], "closed", "{closed}");
    assert_eq!(closed["problems"], json!([]));
    Ok(())
}

#[tokio::test]
async fn a_person_forces_the_circuit_open_and_lets_it_go_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (server, listener, mut peer) = dialled(folder.path(), DIAL).await?;
    peer.open(1, 0).await?;
    let breaker = |state: &'static str| {
        server.admin(Method::POST, "/api/admin/links/crawler/breaker", Some(json!({ "state": state })))
    };
    breaker("forced_open").await?.expect(200);
    peer.closed().await?;
    let seen = fleet(&server).await?;
    assert_eq!(seen["links"][0]["breaker"]["state"], "forced_open", "{seen}");
    breaker("reset").await?.expect(200);
    let mut peer = Peer::accept(&listener).await?;
    peer.open(1, 0).await?;
    let refused = breaker("ajar").await?.expect(400);
    assert_eq!(refused["code"], "invalid_request", "{refused}");
    let path = "/api/admin/links/nowhere/breaker";
    let unknown = server.admin(Method::POST, path, Some(json!({ "state": "auto" }))).await?.expect(404);
    assert_eq!(unknown["code"], "unknown_link");
    Ok(())
}

#[tokio::test]
async fn what_a_worker_says_of_itself_and_of_failures_is_kept() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    peer.open(1, 0).await?;
    let status =
        json!({ "running": 1, "paused": false, "queued": 0, "processing": 1, "completed": 0, "failed": 0 });
    peer.say("message", "statusUpdate", status.clone()).await?;
    let logs = json!({ "jobId": id, "taskType": "X", "error": "boom", "stackTrace": "at …", "context": { "page": 3 } });
    peer.say("message", "JOB_FAILURE_LOGS", logs).await?;
    until("the evidence", async || {
        let events = server.events(&id).await?;
        Ok(events.into_iter().find(|event| event["kind"] == "evidence"))
    })
    .await
    .map(|event| assert_eq!(event["detail"]["stackTrace"], "at …"))?;
    until("the status to be shown", async || {
        Ok((fleet(&server).await?["workers"][0]["status"] == status).then_some(()))
    })
    .await?;
    // It leaves in order: what it holds goes back, and costs it nothing.
    peer.say("message", "shutdown", json!({ "signal": "SIGTERM" })).await?;
    let job = becomes(&server, &id, "queued").await?;
    assert_eq!((&job["attempt"], &job["leaseLosses"]), (&json!(0), &json!(0)), "{job}");
    Ok(())
}
