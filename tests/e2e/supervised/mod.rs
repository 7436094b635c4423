//! Workers as real processes that the server starts, watches and ends.

use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::signal::kill;
use nix::unistd::Pid;
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Server, Setup, reclaimer, until};

/// The settings of a server that keeps one worker alive, with more lines for that worker.
fn config(more: &str) -> String {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/e2e/supervised/worker.py");
    format!(
        "[supervisor]\nenabled = true\nretry_exhausted = \"10m\"\n\
         [[supervisor.worker]]\nname = \"crawler\"\ncommand = \"python3\"\nargs = [\"-u\", \"{script}\"]\nlink = \"own\"\n\
         restart_delay = \"20ms\"\nmax_restarts = 20\nstop_grace = \"20s\"\n{more}\n\
         [link]\nheartbeat_interval = \"100ms\"\n[[link.each]]\nname = \"own\"\npath = \"own.sock\"\nmode = \"listen\"\n\
         [recovery]\nlease_check = \"50ms\"\nreclaim_grace = \"5m\"\n"
    )
}

async fn fleet(server: &Server) -> Result<Value> {
    Ok(server.admin(Method::GET, "/api/admin/workers", None).await?.expect(200))
}

/// The one process, once it is in this state and this holds of it.
async fn process(server: &Server, what: &str, holds: impl Fn(&Value) -> bool) -> Result<Value> {
    until(what, async || {
        let process = fleet(server).await?["processes"][0].clone();
        Ok(holds(&process).then_some(process))
    })
    .await
}

async fn ready(server: &Server) -> Result<Value> {
    process(server, "the worker to be ready", |process| process["state"] == "ready").await
}

async fn becomes(server: &Server, job: &str, status: &str) -> Result<Value> {
    until(&format!("job {job} to be {status}"), async || {
        let job = server.job(job).await?;
        Ok((job["status"] == status).then_some(job))
    })
    .await
}

fn pid_of(value: &Value) -> Result<Pid> {
    let number = value.as_i64().or_else(|| value.as_str()?.parse().ok()).context("no process id")?;
    Ok(Pid::from_raw(i32::try_from(number)?))
}

async fn is_gone(pid: Pid) -> Result<()> {
    until(&format!("process {pid} to be gone"), async || Ok(kill(pid, None).is_err().then_some(()))).await
}

#[tokio::test]
async fn a_worker_is_started_seen_restarted_and_ended_with_the_server() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(&config(""))).await?;
    let first = ready(&server).await?;
    assert_eq!(
        (&first["name"], &first["worker"], &first["restarts"]),
        (&json!("crawler-1"), &json!("crawler"), &json!(0))
    );
    let id = server.create(json!({ "command": "anything" })).await?;
    becomes(&server, &id, "finished").await?;
    let seen = fleet(&server).await?;
    let worker = &seen["workers"][0];
    assert_eq!((&worker["id"], &worker["process"]), (&json!("crawler-1"), &json!("crawler-1")), "{seen}");
    assert_eq!(seen["problems"], json!([]), "{seen}");

    let listed = reclaimer(folder.path(), &[], &["workers", "list"]).await?.expect(0);
    assert!(listed.contains("crawler-1") && listed.contains("ready"), "{listed}");
    reclaimer(folder.path(), &[], &["workers", "restart", "crawler"]).await?.expect(0);
    let second = process(&server, "the worker to be started afresh", |process| {
        process["state"] == "ready" && process["restarts"] == 1
    })
    .await?;
    assert_ne!(first["pid"], second["pid"]);
    assert_eq!(second["lastEnd"]["cause"], "stopped", "{second}");
    is_gone(pid_of(&first["pid"])?).await?;
    let refused = reclaimer(folder.path(), &[], &["workers", "restart", "nobody"]).await?.complaint(1);
    assert!(refused.contains("there is no worker `nobody`"), "{refused}");

    let log = std::fs::read_to_string(folder.path().join("err.log"))?;
    assert!(log.contains("crawler-1 works on anything"), "its output is in our log: {log}");
    assert!(server.stop().await?.success());
    is_gone(pid_of(&second["pid"])?).await
}

#[tokio::test]
async fn a_worker_that_exits_leaves_its_reason_with_its_job_which_comes_back_at_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(&config(""))).await?;
    let id = server.create(json!({ "command": "exit", "maxAttempts": 2 })).await?;
    // The grace of a lost link is five minutes here: it comes back sooner because its process is known to have ended.
    until("two attempts to be over", async || {
        let status = server.job(&id).await?["status"].clone();
        Ok((status == "quarantined" || status == "failed").then_some(()))
    })
    .await?;
    let events = server.events(&id).await?;
    let evidence = events.iter().find(|event| event["kind"] == "evidence").context("no evidence")?;
    assert_eq!(evidence["reason"], "its worker crawler-1 exited with code 7");
    let detail = &evidence["detail"];
    assert_eq!((&detail["cause"], &detail["exitCode"]), (&json!("exited"), &json!(7)), "{detail}");
    assert_eq!(detail["outOfMemory"], false);
    assert!(detail["output"].to_string().contains("something is about to go wrong"), "{detail}");
    Ok(())
}

#[tokio::test]
async fn a_worker_killed_for_memory_is_recorded_as_such_with_its_jobs_attempt() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(&config("memory_limit = \"64MiB\""))).await?;
    let id = server.create(json!({ "command": "eat", "maxAttempts": 1 })).await?;
    let evidence = until("the evidence", async || {
        Ok(server.events(&id).await?.into_iter().find(|event| event["kind"] == "evidence"))
    })
    .await?;
    let detail = &evidence["detail"];
    assert_eq!(
        (&detail["cause"], &detail["outOfMemory"]),
        (&json!("memory_limit"), &json!(true)),
        "{detail}"
    );
    assert!(detail["peakMemory"].as_u64() >= Some(64 * 1_024 * 1_024), "{detail}");
    let kinds: Vec<Value> = server.events(&id).await?.iter().map(|event| event["kind"].clone()).collect();
    assert_eq!(kinds[..3], [json!("created"), json!("claimed"), json!("evidence")]);
    process(&server, "another process", |process| process["state"] == "ready").await?;
    Ok(())
}

#[tokio::test]
async fn a_worker_that_exits_at_once_is_given_up_and_said_until_somebody_restarts_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let setup =
        Setup::with(&config("").replace("worker.py\"]", "worker.py\", \"3\"]").replace("= 20\n", "= 2\n"));
    let server = Server::start(folder.path(), &setup).await?;
    let given_up =
        process(&server, "the worker to be given up", |process| process["givenUp"] == true).await?;
    assert_eq!(given_up["restarts"], 2, "{given_up}");
    let seen = fleet(&server).await?;
    let problem = seen["problems"][0].as_str().context("no problem is said")?;
    assert!(
        problem.contains("`crawler-1` is given up") && problem.contains("exited with code 3"),
        "{problem}"
    );
    // Whoever asks within a second shares a look.
    until("the doctor to say so", async || {
        let doctor = reclaimer(folder.path(), &[], &["doctor"]).await?.expect(0);
        Ok(doctor.contains("crawler-1` is given up").then_some(()))
    })
    .await?;
    // Everything else works, and a person can start it afresh.
    server.create(json!({ "command": "X" })).await?;
    assert_eq!(server.open("w", 1, 0).await?.len(), 1);
    reclaimer(folder.path(), &[], &["workers", "restart", "crawler-1"]).await?.expect(0);
    process(&server, "it to be tried and given up again", |process| {
        process["restarts"].as_u64() > Some(3) && process["givenUp"] == true
    })
    .await?;
    Ok(())
}

#[tokio::test]
async fn what_a_worker_started_ends_with_it_and_all_end_with_a_killed_server() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(&config(""))).await?;
    let id = server.create(json!({ "command": "fork" })).await?;
    let grandchild = until("the worker's child", async || {
        Ok(server.job(&id).await?["progress"]["message"].as_str().map(ToOwned::to_owned))
    })
    .await?;
    let worker = pid_of(&ready(&server).await?["pid"])?;
    let grandchild = pid_of(&json!(grandchild))?;
    kill(grandchild, None).context("the grandchild runs")?;
    server.crash().await?;
    is_gone(worker).await?;
    is_gone(grandchild).await
}

#[tokio::test]
async fn a_worker_that_hangs_is_ended_and_its_job_goes_to_the_next() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = config("").replace("[link]\n", "[link]\nheartbeat_timeout = \"1s\"\n");
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    let first = ready(&server).await?;
    let id = server.create(json!({ "command": "hang", "maxAttempts": 1 })).await?;
    let evidence = until("the evidence", async || {
        Ok(server.events(&id).await?.into_iter().find(|event| event["kind"] == "evidence"))
    })
    .await?;
    assert_eq!(evidence["detail"]["cause"], "deaf", "{evidence}");
    is_gone(pid_of(&first["pid"])?).await?;
    let next = server.create(json!({ "command": "anything" })).await?;
    becomes(&server, &next, "finished").await?;
    Ok(())
}

#[tokio::test]
async fn a_worker_that_is_to_end_may_finish_what_it_holds() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(&config(""))).await?;
    let id = server.create(json!({ "command": "until-told" })).await?;
    until("the job to be started", async || {
        Ok(server.job(&id).await?["startedAt"].is_string().then_some(()))
    })
    .await?;
    let database = server.database();
    assert!(server.stop().await?.success());
    let status =
        crate::rig::query(&database, &format!("SELECT status, lease_losses FROM job WHERE id = '{id}'"))?;
    assert_eq!(status, ["finished|0"]);
    Ok(())
}

#[tokio::test]
async fn a_worker_that_ends_with_a_job_in_hand_when_asked_to_costs_it_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = config("").replace("stop_grace = \"20s\"", "stop_grace = \"300ms\"");
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    let id = server.create(json!({ "command": "fork" })).await?;
    until("the job to be worked on", async || {
        Ok(server.job(&id).await?["progress"]["message"].is_string().then_some(()))
    })
    .await?;
    server.admin(Method::POST, "/api/admin/queues/default/pause", None).await?.expect(200);
    server.admin(Method::POST, "/api/admin/workers/crawler/restart", None).await?.expect(202);
    let job = becomes(&server, &id, "queued").await?;
    assert_eq!((&job["attempt"], &job["leaseLosses"]), (&json!(0), &json!(0)), "{job}");
    Ok(())
}

#[tokio::test]
async fn without_supervision_nothing_is_started() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = Setup::with(&config("").replace("enabled = true\nretry", "enabled = false\nretry"));
    let server = Server::start(folder.path(), &setup).await?;
    let seen = fleet(&server).await?;
    assert_eq!((&seen["processes"], &seen["workers"]), (&json!([]), &json!([])));
    assert!(!Path::new(&server.data.join("workers.state")).exists());
    let id = server.create(json!({ "command": "X" })).await?;
    assert_eq!(server.open("w", 1, 0).await?[0]["id"], id.as_str());
    let refused = server.admin(Method::POST, "/api/admin/workers/crawler/restart", None).await?.expect(404);
    assert_eq!(refused["code"], "unknown_worker");
    Ok(())
}

#[tokio::test]
async fn how_a_worker_ended_is_on_record_before_its_job_is_decided_about() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = config("")
        .replace("stop_grace = \"20s\"", "stop_grace = \"500ms\"")
        .replace("reclaim_grace = \"5m\"", "reclaim_grace = \"1ms\"\nstartup_delay = \"0s\"")
        .replace("[link]\n", "[link]\nheartbeat_timeout = \"500ms\"\n");
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    ready(&server).await?;
    // Its connection ends, and it lives on until it is killed.
    let id = server.create(json!({ "command": "linger", "maxAttempts": 1 })).await?;
    let kinds = until("the job to be decided about", async || {
        let kinds = server.kinds(&id).await?;
        Ok(kinds.iter().any(|kind| kind == "reclaimed" || kind == "quarantined").then_some(kinds))
    })
    .await?;
    assert_eq!(kinds[..3], ["created", "claimed", "evidence"], "{kinds:?}");
    Ok(())
}

#[tokio::test]
async fn a_worker_in_a_session_of_its_own_is_known_by_who_started_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = config("ready_within = \"10s\"")
        .replace("command = \"python3\"", "command = \"setsid\"")
        .replace("args = [\"-u\"", "args = [\"-w\", \"python3\", \"-u\"");
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    ready(&server).await?;
    let seen = fleet(&server).await?;
    assert_eq!(seen["workers"][0]["process"], "crawler-1", "{seen}");
    assert_ne!(seen["workers"][0]["pid"], seen["processes"][0]["pid"], "{seen}");
    Ok(())
}
