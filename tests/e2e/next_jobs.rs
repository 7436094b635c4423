//! A worker reports on its job and takes the next by the same message, over HTTP and over a link.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Answer, Peer, Server, Setup, envelope, run_sql};

const LINK: &str = "[[link]]\nname = \"own\"\npath = \"own.sock\"\nmode = \"listen\"\n";

/// Reports, and asks for the next jobs.
async fn ask(server: &Server, query: &str, reports: Value) -> Result<Answer> {
    server.worker(Method::POST, &format!("/api/internal/jobs/progress?{query}"), Some(reports)).await
}

fn completed(job: &Value) -> Value {
    json!({ "taskId": job["id"], "lease": job["lease"]["token"], "status": "completed" })
}

fn names(jobs: &Value) -> Vec<&str> {
    jobs.as_array().into_iter().flatten().filter_map(|job| job["command"].as_str()).collect()
}

/// Creates jobs of these commands, to be handed out in this order.
async fn create(server: &Server, commands: &[&str]) -> Result<()> {
    for (place, command) in commands.iter().enumerate() {
        server.create(json!({ "command": command, "priority": place })).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_report_over_http_brings_the_next_jobs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    create(&server, &["A", "B", "C", "D"]).await?;
    let first = server.open("w", 1, 0).await?;
    let answer = ask(&server, "workerId=w&next=1", completed(&first[0])).await?;
    assert!(!answer.headers.contains_key("x-reclaimer-error"));
    let body = answer.expect(200);
    assert_eq!(body["items"], json!([{ "applied": true, "status": "finished" }]));
    assert!(body.get("jobsError").is_none(), "{body}");
    let second = &body["jobs"][0];
    // The job looks as one from `jobs/open` does.
    let fields = |job: &Value| job.as_object().map(|job| job.keys().cloned().collect::<Vec<_>>());
    assert_eq!((names(&body["jobs"]), fields(second)), (vec!["B"], fields(&first[0])));
    let read = server.job(second["id"].as_str().context("no id")?).await?;
    assert_eq!((&read["status"], &read["workerId"]), (&json!("running"), &json!("w")));

    // Said again, e.g. because the answer was lost: it counts once, and the worker has room for the next.
    let body = ask(&server, "workerId=w&next=1&command=D", completed(&first[0])).await?.expect(200);
    assert_eq!(body["items"], json!([{ "applied": false, "duplicate": true, "status": "finished" }]));
    assert_eq!(names(&body["jobs"]), ["D"]);
    // The job is somebody else's: the worker has room as well.
    let lost = json!({ "taskId": first[0]["id"], "lease": "made-up", "status": "completed" });
    let body = ask(&server, "next=5", json!([lost, completed(second)])).await?.expect(200);
    assert_eq!(body["items"][0]["code"], "stale_lease", "{body}");
    assert_eq!((&body["items"][1]["applied"], names(&body["jobs"])), (&json!(true), vec!["C"]));
    let nobody = ask(&server, "next=1", completed(&body["jobs"][0])).await?.expect(200);
    assert_eq!(nobody["jobs"], json!([]));
    Ok(())
}

#[tokio::test]
async fn as_long_as_a_report_is_to_be_sent_again_no_jobs_come() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    create(&server, &["A", "B", "C"]).await?;
    let held = server.open("w", 2, 0).await?;
    let mut unheard_of = completed(&held[0]);
    unheard_of["status"] = json!("unheard-of");
    let body = ask(&server, "next=1", json!([unheard_of, completed(&held[1])])).await?.expect(200);
    assert_eq!(body["items"][0]["code"], "unknown_status", "{body}");
    assert_eq!((&body["items"][1]["applied"], &body["jobs"]), (&json!(true), &json!([])));
    // One that the store refuses for a reason of its own spoils no other.
    let id = held[0]["id"].as_str().context("no id")?;
    let sql = format!(
        "CREATE TRIGGER guard BEFORE UPDATE ON job WHEN new.id = '{id}' BEGIN SELECT RAISE(ABORT, 'as it is'); END"
    );
    run_sql(&server.database(), &sql)?;
    let other = server.open("w", 1, 0).await?;
    create(&server, &["D"]).await?;
    let body = ask(&server, "next=1", json!([completed(&held[0]), completed(&other[0])])).await?.expect(200);
    assert_eq!(body["items"][0]["code"], "storage_failed", "{body}");
    assert_eq!((&body["items"][1]["applied"], &body["jobs"]), (&json!(true), &json!([])));
    run_sql(&server.database(), "DROP TRIGGER guard")?;
    let body = ask(&server, "next=1", completed(&held[0])).await?.expect(200);
    assert_eq!((&body["items"][0]["applied"], names(&body["jobs"])), (&json!(true), vec!["D"]));
    Ok(())
}

#[tokio::test]
async fn a_store_that_is_away_gives_the_reason_in_place_of_jobs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    create(&server, &["A", "B"]).await?;
    let held = server.open("w", 1, 0).await?;
    let away = folder.path().join("away.db");
    std::fs::rename(server.database(), &away)?;
    let Answer { status, headers, body } = ask(&server, "next=1", completed(&held[0])).await?;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["items"][0]["code"], "storage_unavailable", "{body}");
    assert_eq!((&body["jobs"], &body["jobsError"]["errorType"]), (&json!([]), &json!("storage_unavailable")));
    assert!(body["jobsError"]["retryAfterMs"].is_u64(), "{body}");
    assert_eq!(headers["x-reclaimer-error"], "storage_unavailable");
    std::fs::rename(&away, server.database())?;
    let body = ask(&server, "next=1", completed(&held[0])).await?.expect(200);
    assert_eq!((&body["items"][0]["applied"], names(&body["jobs"])), (&json!(true), vec!["B"]));
    Ok(())
}

#[tokio::test]
async fn what_is_to_follow_is_asked_for_in_the_words_of_a_request() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let refused = async |query: &str| -> Result<String> {
        let body = ask(&server, query, json!([])).await?.expect(400);
        assert_eq!(body["code"], "invalid_parameter", "{body}");
        Ok(body["detail"].as_str().unwrap_or_default().to_owned())
    };
    for query in ["next=0", "next=101", "next=x"] {
        assert!(refused(query).await?.contains("`next`"), "{query}");
    }
    assert!(refused("queue=default").await?.contains("they need `next`"));
    assert!(refused("next=1&queue=a%20b").await?.contains("`queue`"));
    assert!(refused("next=1&command=A&resource=A").await?.contains("`resource`"));
    Ok(())
}

#[tokio::test]
async fn a_report_over_a_link_brings_the_next_jobs_behind_its_receipt() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(LINK)).await?;
    create(&server, &["A", "B", "C"]).await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    let who = json!({ "workerId": "w", "protocol": 2, "features": ["ack", "next"], "capacity": 1 });
    peer.say("message", "registered", who).await?;
    let first = peer.open(1, 30).await?.into_iter().next().context("no job")?;
    let mut report = completed(&first);
    report["next"] = json!({ "limit": 10 });
    peer.say("message", "PROGRESS_UPDATE", report.clone()).await?;
    // It is within its capacity, and comes in this order.
    assert_eq!(peer.hear("ack").await?["payload"]["taskId"], first["id"]);
    let next = peer.hear("jobs_available").await?["payload"].clone();
    assert_eq!(names(&next), ["B"]);
    // Said again: the place is taken meanwhile.
    peer.say("message", "PROGRESS_UPDATE", report).await?;
    peer.hear("ack").await?;
    assert_eq!(peer.hear("jobs_available").await?["payload"], json!([]));
    // One that waits has its receipt at once, and the job when it comes.
    let mut report = completed(&next[0]);
    report["next"] = json!({ "wait": 30, "commands": ["D"] });
    peer.say("message", "PROGRESS_UPDATE", report).await?;
    assert_eq!(peer.hear("ack").await?["payload"]["taskId"], next[0]["id"]);
    server.create(json!({ "command": "D" })).await?;
    let next = peer.hear("jobs_available").await?["payload"].clone();
    assert_eq!(names(&next), ["D"]);
    // A paused worker gets the receipt alone.
    server.admin(Method::POST, "/api/admin/workers/w/pause", None).await?.expect(200);
    peer.hear("PAUSE_CRAWLER").await?;
    let mut report = completed(&next[0]);
    report["next"] = json!({});
    peer.say("message", "PROGRESS_UPDATE", report).await?;
    peer.hear("ack").await?;
    assert_eq!(peer.hear("jobs_available").await?["payload"], json!([]));
    Ok(())
}

#[tokio::test]
async fn what_is_said_behind_a_report_that_takes_the_next_jobs_waits_for_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(LINK)).await?;
    create(&server, &["A", "B"]).await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    let who = json!({ "workerId": "w", "protocol": 2, "features": ["ack", "next"], "capacity": 2 });
    peer.say("message", "registered", who).await?;
    let first = peer.open(1, 30).await?.into_iter().next().context("no job")?;
    let found = json!({ "taskId": first["id"], "lease": first["lease"]["token"], "status": "processing", "next": {} });
    let said = [found, completed(&first)].map(|report| envelope("message", "PROGRESS_UPDATE", report));
    peer.send(said.concat()).await?;
    assert_eq!(peer.hear("ack").await?["payload"]["taskId"], first["id"]);
    assert_eq!(names(&peer.hear("jobs_available").await?["payload"]), ["B"]);
    assert_eq!(peer.hear("ack").await?["payload"]["taskId"], first["id"]);
    let id = first["id"].as_str().context("no id")?;
    server.becomes(id, "finished").await?;
    let kinds = server.kinds(id).await?;
    assert!(!kinds.contains(&"stale_report".to_owned()), "{kinds:?}");
    Ok(())
}
