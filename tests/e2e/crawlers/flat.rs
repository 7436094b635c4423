//! The crawler of the flat dialect, with all that the existing ones do.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reqwest::Method;
use serde_json::json;

use super::{BRISK, Crawler, Gate, PATIENT};
use crate::rig::{Server, Setup, until};

const LINK: &str = "[[link.each]]\nname = \"flat\"\npath = \"flat.sock\"\ndialect = \"flat\"\n";

const RAN_ONCE: [&str; 3] = ["created", "claimed", "finished"];

/// A crawler that is quicker than the existing ones, and more patient with a server that is away.
fn start(folder: &Path, name: &str, words: &[&str]) -> Result<Crawler> {
    let usual = ["flat.sock", "--beat=0.2", "--poll=0.05", "--reconnect-delay=0.05", "--attempts=1000000"];
    Crawler::start(folder, name, "flat.py", &[&usual, words].concat())
}

/// One whose jobs end when the gate opens.
fn gated(folder: &Path, name: &str, words: &[&str]) -> Result<Crawler> {
    start(folder, name, &[&["--until=gate"], words].concat())
}

/// A folder with three files in it, and everything in its name that could be taken for structure.
fn files(folder: &Path) -> Result<PathBuf> {
    let files = folder.join("gr{u}p }{ pr\u{f8}ject \u{1F980}\"\\");
    std::fs::create_dir_all(files.join("sub"))?;
    for name in ["a", "b", "sub/c"] {
        std::fs::write(files.join(name), "")?;
    }
    Ok(files)
}

async fn server(folder: &Path, more: &str) -> Result<Server> {
    Server::start(folder, &Setup::with(&format!("{LINK}{more}"))).await
}

async fn job_about(server: &Server, files: &Path) -> Result<String> {
    server.create(json!({ "command": "issues", "fullPath": files })).await
}

/// Waits until a connection of the crawler holds a job, and answers which worker it is.
async fn holder(server: &Server) -> Result<String> {
    until("a job to be held over the link", async || {
        let fleet = server.fleet().await?;
        let workers = fleet["workers"].as_array().context("no workers")?;
        let holder = workers.iter().find(|worker| worker["leases"] == 1);
        Ok(holder.and_then(|worker| Some(worker["id"].as_str()?.to_owned())))
    })
    .await
}

#[tokio::test]
async fn it_counts_braces_blindly_and_does_its_jobs_all_the_same() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = server(folder.path(), "").await?;
    let files = files(folder.path())?;
    let _crawler = start(folder.path(), "crawler", &[])?;
    // Had the braces of one led it astray, it would hear nothing of the next.
    for _ in 0..3 {
        let id = job_about(&server, &files).await?;
        let job = server.becomes(&id, "finished").await?;
        assert_eq!(job["progress"]["itemsByType"]["files"], 3, "{job}");
        assert_eq!(server.kinds(&id).await?, RAN_ONCE);
    }
    let id = job_about(&server, &folder.path().join("nowhere")).await?;
    let job = server.becomes(&id, "failed").await?;
    assert!(job["progress"]["error"].as_str().is_some_and(|text| text.starts_with("HTTP 404")), "{job}");
    assert_eq!(job["progress"]["retryable"], true, "{job}");
    Ok(())
}

#[tokio::test]
async fn what_it_discovers_is_crawled_too_and_kept_although_it_failed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = server(folder.path(), "[recovery]\nenabled = false\n").await?;
    let root = folder.path().join("root");
    std::fs::create_dir_all(root.join("group/project"))?;
    let discovery = server.create(json!({ "command": "GROUP_PROJECT_DISCOVERY", "fullPath": root })).await?;
    // It asks once, and leaves what it finds to the next.
    let failing = gated(folder.path(), "failing", &["--fail-long-jobs=0.05", "--poll=600"])?;
    let job = server.becomes(&discovery, "failed").await?;
    assert_eq!(job["progress"]["errorType"], "type_error", "{job}");
    failing.kill().await?;

    let _crawler = start(folder.path(), "crawler", &[])?;
    let spawned = server.admin(Method::GET, "/api/jobs?limit=100", None).await?.expect(200);
    let spawned = spawned["items"].as_array().context("no jobs")?;
    let of = |path: &str, command: &str| {
        let about = json!(root.join(path));
        spawned.iter().find(|job| job["fullPath"] == about && job["command"] == command).cloned()
    };
    for (path, command) in [("group", "group"), ("group/project", "project"), ("group/project", "issues")] {
        let job = of(path, command).with_context(|| format!("no job {command} about {path}"))?;
        assert_eq!(job["spawnedFrom"], discovery.as_str());
        server.becomes(job["id"].as_str().context("no id")?, "finished").await?;
    }
    // The dialect has no word for this one.
    assert_eq!(of("group", "groupMembers").context("no such job")?["status"], "queued");
    Ok(())
}

#[tokio::test]
async fn a_second_connection_that_says_nothing_is_closed_and_changes_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = server(folder.path(), &format!("{BRISK}[link]\nfirst_frame_within = \"1s\"\n")).await?;
    let gate = Gate::closed(folder.path());
    let _crawler = gated(folder.path(), "crawler", &["--second-connection"])?;
    let id = job_about(&server, &files(folder.path())?).await?;
    let seen = until("both connections", async || {
        let fleet = server.fleet().await?;
        Ok((fleet["workers"].as_array().is_some_and(|workers| workers.len() == 2)).then_some(fleet))
    })
    .await?;
    assert_eq!(seen["workers"][0]["id"], seen["workers"][1]["id"], "one process is one worker");
    until("the mute one to be closed", async || {
        let fleet = server.fleet().await?;
        Ok((fleet["workers"].as_array().is_some_and(|workers| workers.len() == 1)).then_some(()))
    })
    .await?;
    server.becomes(&id, "running").await?;
    gate.open()?;
    server.becomes(&id, "finished").await?;
    assert_eq!(server.kinds(&id).await?, RAN_ONCE);
    Ok(())
}

#[tokio::test]
async fn one_that_fails_whatever_takes_long_leaves_it_to_recovery() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = server(folder.path(), "[recovery]\nenabled = false\n").await?;
    let _crawler = gated(folder.path(), "crawler", &["--fail-long-jobs=0.05"])?;
    let id = job_about(&server, &files(folder.path())?).await?;
    let job = server.becomes(&id, "failed").await?;
    assert_eq!(
        (&job["progress"]["errorType"], &job["progress"]["retryable"]),
        (&json!("type_error"), &json!(true))
    );
    let report = server.recover("failed").await?;
    assert_eq!(report["result"]["recoveredJobs"], 1, "{report}");
    assert_eq!(server.kinds(&id).await?[..4], ["created", "claimed", "failed", "recovered"]);
    Ok(())
}

/// What one left behind that ended without a word is finished by the next.
async fn is_finished_by_another(server: &Server, folder: &Path, id: &str, gate: &Gate) -> Result<()> {
    let _second = gated(folder, "second", &[])?;
    until("the second one to have it", async || {
        let job = server.job(id).await?;
        Ok((job["status"] == "running" && job["attempt"] == 2).then_some(()))
    })
    .await?;
    gate.open()?;
    server.becomes(id, "finished").await?;
    assert_eq!(server.kinds(id).await?, ["created", "claimed", "reclaimed", "claimed", "finished"]);
    Ok(())
}

#[tokio::test]
async fn what_one_held_that_ends_without_a_word_is_finished_by_another() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = server(folder.path(), BRISK).await?;
    let (files, gate) = (files(folder.path())?, Gate::closed(folder.path()));
    let first = start(folder.path(), "first", &["--silent-exit-after=1"])?;
    let whole = job_about(&server, &files).await?;
    server.becomes(&whole, "finished").await?;
    let broken = job_about(&server, &files).await?;
    assert_eq!(first.ended().await?.code(), Some(0));
    is_finished_by_another(&server, folder.path(), &broken, &gate).await
}

#[tokio::test]
async fn what_one_held_that_was_told_to_end_is_finished_by_another() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = server(folder.path(), BRISK).await?;
    let gate = Gate::closed(folder.path());
    let first = gated(folder.path(), "first", &[])?;
    let id = job_about(&server, &files(folder.path())?).await?;
    holder(&server).await?;
    first.signal(Signal::SIGTERM)?;
    assert_eq!(first.ended().await?.code(), Some(0));
    is_finished_by_another(&server, folder.path(), &id, &gate).await
}

#[tokio::test]
async fn one_that_hangs_loses_its_job_and_its_late_report_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let link = LINK.replace("\"flat\"\npath", "\"hangs\"\npath").replace("flat.sock", "hangs.sock");
    let silence = "heartbeat_interval = \"500ms\"\nheartbeat_timeout = \"2s\"\n";
    let server = server(folder.path(), &format!("{link}{silence}{BRISK}")).await?;
    let gate = Gate::closed(folder.path());
    let first = Crawler::start(
        folder.path(),
        "first",
        "flat.py",
        &["hangs.sock", "--until=gate", "--beat=0.2", "--poll=0.05", "--reconnect-delay=0"],
    )?;
    let id = job_about(&server, &files(folder.path())?).await?;
    let late = holder(&server).await?;
    first.signal(Signal::SIGSTOP)?;
    let second = gated(folder.path(), "second", &[])?;
    until("the second one to have it", async || {
        let job = server.job(&id).await?;
        Ok((job["status"] == "running" && job["attempt"] == 2).then_some(()))
    })
    .await?;
    // It wakes and connects; when it is heard again its job ends, which is another's by now.
    first.signal(Signal::SIGCONT)?;
    until("it to be heard again", async || {
        let fleet = server.fleet().await?;
        let workers = fleet["workers"].as_array().context("no workers")?;
        Ok(workers
            .iter()
            .any(|worker| worker["id"] == late.as_str() && worker["state"] == "connected")
            .then_some(()))
    })
    .await?;
    second.signal(Signal::SIGSTOP)?;
    gate.open()?;
    let event = until("the late report", async || {
        let events = server.events(&id).await?;
        Ok(events.into_iter().find(|event| event["kind"] == "stale_report"))
    })
    .await?;
    assert_eq!(event["actor"], format!("worker:{late}"));
    assert_eq!(server.job(&id).await?["status"], "running");
    second.signal(Signal::SIGCONT)?;
    server.becomes(&id, "finished").await?;
    let mut kinds = server.kinds(&id).await?;
    kinds.retain(|kind| kind != "stale_report");
    assert_eq!(kinds, ["created", "claimed", "reclaimed", "claimed", "finished"]);
    Ok(())
}

#[tokio::test]
async fn a_killed_server_knows_the_process_again_and_its_job_runs_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = Setup::with(&format!("{LINK}{PATIENT}"));
    let server = Server::start(folder.path(), &setup).await?;
    let gate = Gate::closed(folder.path());
    let _crawler = gated(folder.path(), "crawler", &[])?;
    let id = job_about(&server, &files(folder.path())?).await?;
    let before = holder(&server).await?;
    server.crash().await?;
    let server = Server::start(folder.path(), &setup).await?;
    assert_eq!(holder(&server).await?, before);
    gate.open()?;
    server.becomes(&id, "finished").await?;
    assert_eq!(server.kinds(&id).await?, RAN_ONCE);
    Ok(())
}

#[tokio::test]
async fn one_that_gets_no_credentials_has_failed_until_there_are_some() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = server(folder.path(), "").await?;
    let account = |token: &str, ends: &str| {
        let account =
            json!({ "userId": "u", "providerId": "g", "accessToken": token, "accessTokenExpiresAt": ends });
        server.admin(Method::PUT, "/api/admin/accounts/acc", Some(account))
    };
    account("old", "2020-01-01T00:00:00Z").await?;
    let _crawler = start(folder.path(), "crawler", &["--needs-token"])?;
    let order = json!({ "command": "issues", "fullPath": files(folder.path())?, "accountId": "acc" });
    let id = server.create(order).await?;
    let job = server.becomes(&id, "failed").await?;
    assert_eq!(job["progress"]["errorType"], "credential_expired", "{job}");
    account("new", "2999-01-01T00:00:00Z").await?;
    server.admin(Method::POST, &format!("/api/admin/jobs/{id}/retry"), None).await?.expect(200);
    server.becomes(&id, "finished").await?;
    Ok(())
}

#[tokio::test]
async fn it_gives_up_when_the_server_stays_away() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let crawler =
        Crawler::start(folder.path(), "crawler", "flat.py", &["flat.sock", "--reconnect-delay=0.01"])?;
    assert_eq!(crawler.ended().await?.code(), Some(1));
    let said = std::fs::read_to_string(folder.path().join("crawler.log"))?;
    assert_eq!(said.matches("not connected").count(), 10, "{said}");
    Ok(())
}

#[tokio::test]
async fn one_that_gave_up_is_restarted_by_the_supervisor_and_its_job_is_done() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let (socket, away) = (folder.path().join("flat.sock"), folder.path().join("away.sock"));
    let gate = Gate::closed(folder.path());
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/crawlers/flat.py");
    // What it does when it hears nothing is its own matter here: its link is not named, so nobody ends it for silence.
    let server = server(
        folder.path(),
        &format!(
            "heartbeat_interval = \"500ms\"\nheartbeat_timeout = \"2s\"\n{PATIENT}\
             [supervisor]\nenabled = true\n[[supervisor.worker]]\nname = \"crawler\"\ncommand = \"python3\"\n\
             args = [\"{example}\", {socket:?}, \"--beat=0.2\", \"--poll=0.05\", \"--reconnect-delay=0.01\", \"--until\", {:?}]\n\
             restart = \"on-failure\"\nrestart_delay = \"20ms\"\nmax_restarts = 1000\n",
            gate.0
        ),
    )
    .await?;
    let id = job_about(&server, &files(folder.path())?).await?;
    holder(&server).await?;
    let process = async || Ok::<_, anyhow::Error>(server.fleet().await?["processes"][0].clone());
    let first = process().await?["pid"].clone();
    let pid = Pid::from_raw(i32::try_from(first.as_i64().context("no process")?)?);

    // It loses its connection, and finds no way back.
    kill(pid, Signal::SIGSTOP)?;
    until("its connection to be lost", async || {
        Ok((server.fleet().await?["workers"] == json!([])).then_some(()))
    })
    .await?;
    std::fs::rename(&socket, &away)?;
    kill(pid, Signal::SIGCONT)?;
    until("it to have given up, and to be back", async || {
        let now = process().await?;
        Ok((now["restarts"].as_u64() >= Some(1) && now["pid"].is_number()).then_some(now))
    })
    .await?;
    std::fs::rename(&away, &socket)?;

    // The grace of a lost connection is five minutes here: the job is back because its process has ended.
    until("another process to have the job", async || {
        let job = server.job(&id).await?;
        Ok((job["status"] == "running" && job["attempt"] == 2).then_some(()))
    })
    .await?;
    gate.open()?;
    server.becomes(&id, "finished").await?;
    let events = server.events(&id).await?;
    let evidence = events.iter().find(|event| event["kind"] == "evidence").context("no evidence")?;
    assert_eq!(evidence["reason"], "its worker crawler-1 exited with code 1");
    let said = evidence["detail"]["output"].to_string();
    assert!(said.contains("the server was not there 10 times in a row"), "{evidence}");
    let mut kinds = server.kinds(&id).await?;
    kinds.retain(|kind| kind != "evidence");
    assert_eq!(kinds, ["created", "claimed", "reclaimed", "claimed", "finished"]);
    server.stop().await?;
    Ok(())
}
