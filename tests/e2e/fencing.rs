//! A worker is killed; its job runs elsewhere; what it said too late changes nothing.

use std::process::Stdio;
use std::sync::Arc;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::rig::{Server, Setup, Shell};

const CONFIG: &str = "[provisioning]\nlease = \"1s\"\n[recovery]\nlease_check = \"200ms\"\n";

#[tokio::test]
async fn a_killed_workers_job_runs_elsewhere_and_its_late_report_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(CONFIG)).await?;
    let id = server.create(json!({ "command": "X" })).await?;

    // A real process takes the job, says which lease it got, and is killed.
    let mut victim = Command::new(env!("CARGO_BIN_EXE_victim"))
        .args([&server.base, &server.worker, "victim"])
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let stdout = victim.stdout.take().context("no output")?;
    let taken = BufReader::new(stdout).lines().next_line().await?.context("the worker took nothing")?;
    let taken: Value = serde_json::from_str(&taken)?;
    assert_eq!(taken["id"], id.as_str());
    victim.kill().await?;

    // The next worker waits, and is woken when the lease is lost: it does not ask again.
    let again = server.open("heir", 1, 60).await?;
    assert_eq!(again.len(), 1, "the job came back while the heir waited");
    assert_eq!(again[0]["id"], id.as_str());
    assert_eq!(again[0]["attempt"], 2);
    assert_ne!(again[0]["lease"]["token"], taken["lease"]["token"]);
    assert!(again[0]["lease"]["epoch"].as_u64() > taken["lease"]["epoch"].as_u64());

    let late = server.report(&taken, "completed", json!({})).await?.expect(409);
    assert_eq!(late["code"], "stale_lease", "{late}");
    let job = server.job(&id).await?;
    assert_eq!((&job["status"], &job["workerId"]), (&json!("running"), &json!("heir")));

    server.report(&again[0], "completed", json!({})).await?.expect(200);
    let events = server.events(&id).await?;
    let kinds: Vec<&str> = events.iter().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!(kinds, ["created", "claimed", "reclaimed", "claimed", "stale_report", "finished"]);
    let reclaimed = &events[2];
    assert_eq!(reclaimed["rule"], "stuck");
    assert_eq!(reclaimed["detail"]["sign"], "lease_expired");
    assert_eq!(reclaimed["detail"]["worker"], "victim");
    let stale = events[4]["reason"].as_str().unwrap_or_default();
    assert!(stale.starts_with("worker victim reported completed"), "{stale}");
    assert!(stale.contains("after its lease was lost"), "{stale}");

    // What is asserted is what the record says, not how long the test took. The lease watch begins three seconds after
    // the start, and a slow machine gets half a minute.
    let at = |event: &Value| -> Result<chrono::DateTime<chrono::Utc>> {
        Ok(event["at"].as_str().context("no time")?.parse()?)
    };
    let (claimed, reclaimed, again) = (at(&events[1])?, at(&events[2])?, at(&events[3])?);
    let (lease, patience) = (chrono::Duration::seconds(1), chrono::Duration::seconds(30));
    assert!(reclaimed >= claimed + lease, "not before the lease ended: {events:?}");
    assert!(reclaimed <= claimed + patience, "soon after the lease ended: {events:?}");
    assert!(again >= reclaimed && again <= reclaimed + patience, "the heir got it at once: {events:?}");
    Ok(())
}

#[tokio::test]
async fn signs_of_life_keep_a_lease_and_a_cancelled_holder_is_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    server.create(json!({ "command": "A" })).await?;
    let b = server.create(json!({ "command": "B" })).await?;
    let jobs = server.open("w", 2, 0).await?;
    let tokens: Vec<&Value> = jobs.iter().map(|job| &job["lease"]["token"]).collect();
    server.admin(Method::POST, &format!("/api/admin/jobs/{b}/cancel"), None).await?.expect(200);

    let beat = json!({ "workerId": "w", "leases": [tokens[0], tokens[1], "never-was"] });
    let answer = server.worker(Method::POST, "/api/internal/jobs/heartbeat", Some(beat)).await?.expect(200);
    assert_eq!(answer["renewed"][0]["lease"], *tokens[0]);
    assert_eq!(answer["cancelled"][0]["jobId"], b.as_str());
    assert_eq!(answer["lost"][0]["lease"], "never-was");

    let back = json!({ "workerId": "w", "leases": [tokens[0]] });
    let answer = server.worker(Method::POST, "/api/internal/jobs/release", Some(back)).await?.expect(200);
    assert_eq!(answer["released"][0]["lease"], *tokens[0]);
    let again = server.open("w", 2, 0).await?;
    assert_eq!((again.len(), &again[0]["attempt"]), (1, &json!(1)), "giving back costs no attempt");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lease_counts_from_the_moment_it_is_granted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = "[provisioning]\nlease = \"3s\"\n[recovery]\nenabled = false\n";
    let server = Arc::new(Server::start(folder.path(), &Setup::with(config)).await?);
    server.create(json!({ "command": "X" })).await?;
    let shell = Shell::hold(&server.database(), "BEGIN IMMEDIATE").await?;
    let asking = tokio::spawn({
        let server = Arc::clone(&server);
        async move { server.open("w", 1, 0).await }
    });
    // While somebody else writes, the readiness probe gives up after two seconds; so long the claim waits as well.
    let slow = server.ask(Method::GET, "/readyz", None, None).await?.expect(503);
    assert_eq!(slow["code"], "storage_slow");
    #[expect(clippy::disallowed_methods, reason = "the same clock as the server's")]
    let granted_after = chrono::DateTime::<chrono::Utc>::from(std::time::SystemTime::now());
    shell.release().await?;
    let jobs = asking.await??;
    let ends: chrono::DateTime<chrono::Utc> =
        jobs[0]["lease"]["expiresAt"].as_str().context("no lease")?.parse()?;
    let left = ends - granted_after;
    assert!(left > chrono::Duration::milliseconds(2_900), "it has {left} to go");
    Ok(())
}

#[tokio::test]
async fn what_is_logged_of_a_request_names_the_request_and_its_job() -> Result<()> {
    for format in ["json", "pretty"] {
        let folder = tempfile::tempdir()?;
        let server =
            Server::start(folder.path(), &Setup::with(&format!("[log]\nformat = '{format}'\n"))).await?;
        let id = server.create(json!({ "command": "X" })).await?;
        let report = json!({ "taskId": id, "lease": "0".repeat(32), "status": "completed" });
        let request = server
            .request(Method::POST, "/api/internal/jobs/progress")
            .bearer_auth(&server.worker)
            .header("x-request-id", "request-of-mine")
            .json(&report);
        server.send(request).await?.expect(409);
        let log = std::fs::read_to_string(folder.path().join("err.log"))?;
        let line = log.lines().find(|line| line.contains("does not hold the job"));
        let line = line.with_context(|| format!("nothing is logged: {log}"))?;
        assert!(line.contains("request-of-mine") && line.contains(&id), "{line}");
    }
    Ok(())
}
