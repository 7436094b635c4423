//! The crawler of the envelope dialect.

use std::path::Path;

use anyhow::{Context, Result};
use nix::sys::signal::Signal;
use reqwest::Method;
use serde_json::{Value, json};

use super::{BRISK, Crawler, Gate, PATIENT};
use crate::rig::{Server, Setup, until};

/// A link that crawlers connect to.
const OWN: &str = "[[link.each]]\nname = \"own\"\npath = \"own.sock\"\nmode = \"listen\"\n";
/// A crawler that we dial, again and again.
const DIALLED: &str = "[link]\nsocket_path = \"crawler.sock\"\nreconnect_after = \"50ms\"\nreconnect_at_most = \"50ms\"\n\
                       [breaker]\nfailure_threshold = 1000000\n";

const RAN_ONCE: [&str; 3] = ["created", "claimed", "finished"];

fn start(folder: &Path, name: &str, words: &[&str]) -> Result<Crawler> {
    let words = [&["--name", name, "--reconnect-delay", "0.05"], words].concat();
    Crawler::start(folder, name, "envelope.py", &words)
}

/// A crawler that connects, and takes one job at a time.
fn connecting(folder: &Path, name: &str, words: &[&str]) -> Result<Crawler> {
    start(folder, name, &[&["--connect", "own.sock", "--capacity", "1"], words].concat())
}

/// A crawler that listens, and takes one job at a time.
fn listening(folder: &Path, name: &str, words: &[&str]) -> Result<Crawler> {
    start(folder, name, &[&["--listen", "crawler.sock", "--capacity", "1"], words].concat())
}

/// Creates a job that ends when the gate opens.
async fn gated(server: &Server, gate: &Gate) -> Result<String> {
    server
        .create(json!({ "command": "WORDS", "payload": { "text": "one\ntwo three", "until": gate.0 } }))
        .await
}

/// Waits until this crawler works on a job, which is a moment after the server has given it.
async fn works_on(crawler: &Crawler, job: &str) -> Result<()> {
    crawler.says(&format!("started: {job}")).await
}

/// Waits until this crawler holds a job, and works on it.
async fn held_by(server: &Server, job: &str, crawler: &Crawler) -> Result<()> {
    until(&format!("{} to hold {job}", crawler.name), async || {
        let job = server.job(job).await?;
        Ok((job["status"] == "running" && job["workerId"] == crawler.name).then_some(()))
    })
    .await?;
    works_on(crawler, job).await
}

/// What any crawler is to make of a text, a folder, a failure and a folder that is not there.
async fn does_its_jobs(server: &Server, folder: &Path, crawler: &str) -> Result<()> {
    // Larger than a read, with letters of several bytes and all that looks like structure.
    let text = "w\u{e4}hrend \u{1F980} {\"} \\}\n".repeat(20_000);
    let texts = folder.join("te{xts} \u{e9}");
    std::fs::create_dir_all(texts.join("sub"))?;
    std::fs::write(texts.join("a.txt"), "one two")?;
    std::fs::write(texts.join("sub/b.txt"), "three")?;
    let order = |order: Value| server.create(order);
    let counted = order(json!({ "command": "WORDS", "payload": { "text": text } })).await?;
    let walked = order(json!({ "command": "WORDS", "fullPath": texts })).await?;
    let failed = order(json!({ "command": "WORDS", "payload": { "fail": "no {luck} \u{e9}" } })).await?;
    let lost = order(json!({ "command": "WORDS", "fullPath": folder.join("nowhere") })).await?;

    for (job, words) in [(&counted, 80_000), (&walked, 3)] {
        let job = server.becomes(job, "finished").await?;
        assert_eq!(job["progress"]["words"], words, "{job}");
        assert_eq!(
            server.events(job["id"].as_str().context("no id")?).await?[1]["actor"],
            format!("worker:{crawler}")
        );
        assert_eq!(job["resumeState"], Value::Null);
    }
    assert_eq!(server.kinds(&counted).await?, RAN_ONCE);
    for (job, kind, error) in [
        (&failed, "runtime_error", "no {luck} \u{e9}"),
        (&lost, "file_not_found_error", "there is no folder"),
    ] {
        let job = server.becomes(job, "failed").await?;
        assert_eq!(job["progress"]["errorType"], kind, "{job}");
        assert!(job["progress"]["error"].as_str().is_some_and(|text| text.contains(error)), "{job}");
    }
    Ok(())
}

#[tokio::test]
async fn one_that_listens_is_dialled_and_does_its_jobs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // What a killed crawler left in its place is no hindrance.
    drop(std::os::unix::net::UnixListener::bind(folder.path().join("crawler.sock"))?);
    let server = Server::start(folder.path(), &Setup::with(DIALLED)).await?;
    let _crawler = listening(folder.path(), "ear", &["--capacity", "3"])?;
    does_its_jobs(&server, folder.path(), "ear").await
}

#[tokio::test]
async fn one_that_connects_does_its_jobs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // It may be there first.
    let _crawler = connecting(folder.path(), "hand", &[])?;
    let server = Server::start(folder.path(), &Setup::with(OWN)).await?;
    does_its_jobs(&server, folder.path(), "hand").await
}

#[tokio::test]
async fn what_a_killed_one_held_is_finished_by_another() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(&format!("{BRISK}{OWN}"))).await?;
    let gate = Gate::closed(folder.path());
    let first = connecting(folder.path(), "first", &[])?;
    let id = gated(&server, &gate).await?;
    held_by(&server, &id, &first).await?;
    first.kill().await?;
    let second = connecting(folder.path(), "second", &[])?;
    held_by(&server, &id, &second).await?;
    gate.open()?;
    let job = server.becomes(&id, "finished").await?;
    assert_eq!((&job["attempt"], &job["progress"]["words"]), (&json!(2), &json!(3)), "{job}");
    assert_eq!(server.kinds(&id).await?, ["created", "claimed", "reclaimed", "claimed", "finished"]);
    Ok(())
}

#[tokio::test]
async fn a_namesake_does_not_inherit_what_a_killed_one_held() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(&format!("{BRISK}{OWN}"))).await?;
    let gate = Gate::closed(folder.path());
    let first = connecting(folder.path(), "first", &["--name=twin"])?;
    let id = gated(&server, &gate).await?;
    works_on(&first, &id).await?;
    let second = connecting(folder.path(), "second", &["--name=twin"])?;
    until("both to be there", async || {
        let fleet = server.fleet().await?;
        let twins = fleet["workers"].as_array().into_iter().flatten().filter(|worker| worker["id"] == "twin");
        Ok((twins.count() == 2).then_some(()))
    })
    .await?;
    first.kill().await?;
    works_on(&second, &id).await?;
    gate.open()?;
    server.becomes(&id, "finished").await?;
    Ok(())
}

#[tokio::test]
async fn one_that_hangs_loses_its_job_and_its_late_report_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = format!(
        "{BRISK}{DIALLED}[[link.each]]\nname = \"hangs\"\npath = \"hangs.sock\"\n\
         heartbeat_interval = \"500ms\"\nheartbeat_timeout = \"2s\"\n{OWN}"
    )
    .replace("socket_path = \"crawler.sock\"\n", "");
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    let gate = Gate::closed(folder.path());
    let words = ["--listen", "hangs.sock", "--capacity", "1", "--beat", "0.2"];
    let first = start(folder.path(), "first", &words)?;
    let id = gated(&server, &gate).await?;
    held_by(&server, &id, &first).await?;
    first.signal(Signal::SIGSTOP)?;
    let second = connecting(folder.path(), "second", &[])?;
    held_by(&server, &id, &second).await?;

    // It wakes, finishes as well, and cannot say so before it is dialled again.
    let breaker = |state: &'static str| {
        server.admin(Method::POST, "/api/admin/links/hangs/breaker", Some(json!({ "state": state })))
    };
    breaker("forced_open").await?.expect(200);
    gate.open()?;
    server.becomes(&id, "finished").await?;
    first.signal(Signal::SIGCONT)?;
    first.says(&format!("completed: {id}")).await?;
    breaker("reset").await?.expect(200);
    first.says("refused: stale_lease").await?;
    assert_eq!(
        server.kinds(&id).await?,
        ["created", "claimed", "reclaimed", "claimed", "finished", "stale_report"]
    );
    let events = server.events(&id).await?;
    assert_eq!((&events[4]["actor"], &events[5]["actor"]), (&json!("worker:second"), &json!("worker:first")));

    // It is as good as any other again.
    second.kill().await?;
    let id = gated(&server, &gate).await?;
    let job = server.becomes(&id, "finished").await?;
    assert_eq!(job["attempt"], 1, "{job}");
    Ok(())
}

#[tokio::test]
async fn one_that_is_told_to_end_gives_its_job_back_with_a_cursor_and_nothing_is_charged() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(OWN)).await?;
    let gate = Gate::closed(folder.path());
    let first = connecting(folder.path(), "first", &["--grace", "0"])?;
    let id = gated(&server, &gate).await?;
    held_by(&server, &id, &first).await?;
    first.signal(Signal::SIGTERM)?;
    assert_eq!(first.ended().await?.code(), Some(0));
    let job = server.becomes(&id, "queued").await?;
    assert_eq!((&job["attempt"], &job["leaseLosses"]), (&json!(0), &json!(0)), "{job}");
    let cursor = job["resumeState"]["next"].as_u64().context("no cursor")?;
    assert_eq!(server.kinds(&id).await?, ["created", "claimed", "released"]);

    let second = connecting(folder.path(), "second", &[])?;
    held_by(&server, &id, &second).await?;
    gate.open()?;
    let job = server.becomes(&id, "finished").await?;
    assert_eq!(
        (&job["attempt"], &job["progress"]["words"]),
        (&json!(1), &json!(3)),
        "{cursor} lines before: {job}"
    );
    Ok(())
}

#[tokio::test]
async fn one_that_is_told_to_end_may_finish_first() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(DIALLED)).await?;
    let gate = Gate::closed(folder.path());
    let crawler = listening(folder.path(), "crawler", &["--grace", "600"])?;
    let (held, waiting) = (gated(&server, &gate).await?, gated(&server, &gate).await?);
    held_by(&server, &held, &crawler).await?;
    crawler.signal(Signal::SIGTERM)?;
    gate.open()?;
    assert_eq!(crawler.ended().await?.code(), Some(0));
    assert_eq!(server.job(&held).await?["status"], "finished");
    assert_eq!(server.kinds(&held).await?, RAN_ONCE);
    assert_eq!(server.job(&waiting).await?["status"], "queued", "it takes no more");
    assert!(!folder.path().join("crawler.sock").exists(), "its socket is gone");
    Ok(())
}

#[tokio::test]
async fn a_killed_server_finds_its_crawlers_at_work() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = Setup::with(&format!("{PATIENT}{DIALLED}{OWN}"));
    let server = Server::start(folder.path(), &setup).await?;
    let gate = Gate::closed(folder.path());
    let crawlers = [listening(folder.path(), "ear", &[])?, connecting(folder.path(), "hand", &[])?];
    let jobs = [gated(&server, &gate).await?, gated(&server, &gate).await?];
    for crawler in &crawlers {
        crawler.says("started: ").await?;
    }
    server.crash().await?;
    for crawler in &crawlers {
        crawler.says("the connection ended").await?;
    }
    let server = Server::start(folder.path(), &setup).await?;
    for crawler in &crawlers {
        crawler.says("still held: ").await?;
    }
    gate.open()?;
    for job in &jobs {
        let job = server.becomes(job, "finished").await?;
        assert_eq!(server.kinds(job["id"].as_str().context("no id")?).await?, RAN_ONCE, "{job}");
    }
    Ok(())
}

#[tokio::test]
async fn what_was_finished_while_the_server_was_away_is_reported_when_it_is_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = Setup::with(&format!("{PATIENT}{OWN}"));
    let server = Server::start(folder.path(), &setup).await?;
    let gate = Gate::closed(folder.path());
    let crawler = connecting(folder.path(), "crawler", &[])?;
    let id = gated(&server, &gate).await?;
    held_by(&server, &id, &crawler).await?;
    server.crash().await?;
    gate.open()?;
    crawler.says(&format!("completed: {id}")).await?;
    let server = Server::start(folder.path(), &setup).await?;
    server.becomes(&id, "finished").await?;
    assert_eq!(server.kinds(&id).await?, RAN_ONCE);
    // It asks for the next one at once.
    let next = gated(&server, &gate).await?;
    server.becomes(&next, "finished").await?;
    Ok(())
}

#[tokio::test]
async fn one_that_comes_back_while_the_database_is_away_still_has_its_job() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(&format!("{PATIENT}{DIALLED}"))).await?;
    let gate = Gate::closed(folder.path());
    let crawler = listening(folder.path(), "crawler", &["--beat=0.2"])?;
    let id = gated(&server, &gate).await?;
    held_by(&server, &id, &crawler).await?;
    let (path, away) = (server.database(), folder.path().join("away.db"));
    std::fs::rename(&path, &away)?;
    let breaker = |state: &'static str| {
        server.admin(Method::POST, "/api/admin/links/crawler/breaker", Some(json!({ "state": state })))
    };
    breaker("forced_open").await?.expect(200);
    crawler.says("the connection ended").await?;
    breaker("reset").await?.expect(200);
    until("it to be back", async || {
        let worker = &server.fleet().await?["workers"][0];
        Ok((worker["id"] == "crawler" && worker["messages"].as_u64() >= Some(3)).then_some(()))
    })
    .await?;
    std::fs::rename(&away, &path)?;
    crawler.says("still held: ").await?;
    gate.open()?;
    server.becomes(&id, "finished").await?;
    assert_eq!(server.kinds(&id).await?, RAN_ONCE);
    Ok(())
}

#[tokio::test]
async fn one_whose_job_is_cancelled_or_taken_back_lets_it_go() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = format!("{OWN}[recovery]\nenabled = false\nstuck_after = \"1ms\"\n");
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    let gate = Gate::closed(folder.path());
    let crawler = connecting(folder.path(), "crawler", &[])?;
    let cancelled = gated(&server, &gate).await?;
    held_by(&server, &cancelled, &crawler).await?;
    server.admin(Method::POST, &format!("/api/admin/jobs/{cancelled}/cancel"), None).await?.expect(200);
    crawler.says(&format!("let go: {cancelled}: the job was cancelled")).await?;
    // It has room for one job, and takes the next.
    let taken = gated(&server, &gate).await?;
    held_by(&server, &taken, &crawler).await?;
    until("the job to be taken back", async || {
        Ok((server.recover("stuck").await?["result"]["recoveredJobs"] == 1).then_some(()))
    })
    .await?;
    crawler.says(&format!("let go: {taken}: the job was taken back")).await?;
    gate.open()?;
    let job = server.becomes(&taken, "finished").await?;
    assert_eq!(job["attempt"], 2, "it took the same job again: {job}");
    assert_eq!(server.job(&cancelled).await?["status"], "cancelled");
    let mut kinds = server.kinds(&cancelled).await?;
    // It may have said how far it was before it was told.
    kinds.retain(|kind| kind != "stale_report");
    assert_eq!(kinds, ["created", "claimed", "cancelled"]);
    Ok(())
}

#[tokio::test]
async fn one_that_is_paused_takes_nothing_until_it_is_resumed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(OWN)).await?;
    let gate = Gate::closed(folder.path());
    let crawler = connecting(folder.path(), "crawler", &[])?;
    until("it to be there", async || {
        Ok((server.fleet().await?["workers"][0]["id"] == "crawler").then_some(()))
    })
    .await?;
    server.admin(Method::POST, "/api/admin/workers/crawler/pause", None).await?.expect(200);
    crawler.says("paused").await?;
    let id = gated(&server, &gate).await?;
    let jobs = server.open("other", 1, 0).await?;
    assert_eq!(jobs.first().context("the paused one has it")?["id"], id.as_str());
    let next = gated(&server, &gate).await?;
    server.admin(Method::POST, "/api/admin/workers/crawler/resume", None).await?.expect(200);
    held_by(&server, &next, &crawler).await?;
    Ok(())
}

#[tokio::test]
async fn one_that_is_told_to_start_a_job_starts_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(OWN)).await?;
    // It never asks for such a job by itself.
    let _crawler = connecting(folder.path(), "crawler", &["--commands", "OTHER"])?;
    let account = json!({ "userId": "u", "providerId": "g", "accessToken": "t" });
    server.admin(Method::PUT, "/api/admin/accounts/acc", Some(account)).await?;
    let order = json!({ "accountId": "acc" });
    let answer = server.admin(Method::POST, "/api/jobs/discovery", Some(order)).await?.expect(201);
    let id = answer["job"]["id"].as_str().context("no id")?;
    server.becomes(id, "finished").await?;
    assert_eq!(server.kinds(id).await?, RAN_ONCE);
    Ok(())
}

#[tokio::test]
async fn one_whose_server_ends_in_order_is_there_when_it_is_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = Setup::with(OWN);
    let server = Server::start(folder.path(), &setup).await?;
    let gate = Gate::closed(folder.path());
    let crawler = connecting(folder.path(), "crawler", &[])?;
    until("it to be there", async || {
        Ok((server.fleet().await?["workers"][0]["id"] == "crawler").then_some(()))
    })
    .await?;
    server.stop().await?;
    crawler.says("asked to leave").await?;
    let server = Server::start(folder.path(), &setup).await?;
    let id = gated(&server, &gate).await?;
    held_by(&server, &id, &crawler).await?;
    Ok(())
}

#[tokio::test]
async fn one_that_is_supervised_finishes_what_it_holds_before_it_is_restarted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let example = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/crawlers/envelope.py");
    let config = format!(
        "{OWN}[supervisor]\nenabled = true\n[[supervisor.worker]]\nname = \"crawler\"\ncommand = \"python3\"\n\
         args = [\"{example}\", \"--name\", \"crawler\", \"--capacity\", \"1\", \"--connect\"]\nlink = \"own\"\nstop_grace = \"1m\"\n"
    );
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    let gate = Gate::closed(folder.path());
    let id = gated(&server, &gate).await?;
    // What it is told on its link comes after the job.
    server.becomes(&id, "running").await?;
    let before = server.fleet().await?["workers"][0]["pid"].clone();
    server.admin(Method::POST, "/api/admin/workers/crawler/restart", None).await?.expect(202);
    gate.open()?;
    server.becomes(&id, "finished").await?;
    assert_eq!(server.kinds(&id).await?, RAN_ONCE);
    let next = gated(&server, &gate).await?;
    server.becomes(&next, "finished").await?;
    let after = until("it to be back", async || {
        let pid = server.fleet().await?["workers"][0]["pid"].clone();
        Ok(pid.is_number().then_some(pid))
    })
    .await?;
    assert_ne!(before, after, "it is another process");
    server.stop().await?;
    Ok(())
}
