//! Alerts: who is told of what, how often, and that it arrives.

use std::path::Path;

use anyhow::{Context, Result};
use hmac::{Hmac, KeyInit, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::UnixListener;

use crate::health::{health, indicator};
use crate::rig::{Delivery, Peer, Receiver, Server, Setup, Shell, reclaimer, run_sql, until};

const SECRET: &str = "an-open-sesame-of-some-length";

/// A server that looks often, waits for nothing, and dials a crawler.
fn setup(folder: &Path, receiver: &Receiver) -> Setup {
    let socket = folder.join("crawler.sock");
    Setup::with(&format!(
        "[alerts]\nwebhook_url = {:?}\nwebhook_secret = {SECRET:?}\nserver_name = 'host-1'\ninterval = '100ms'\n\
         breaker_open_for = '0s'\ndatabase_not_writable_for = '0s'\nresolve_after = '200ms'\n\
         [breaker]\nfailure_threshold = 1\nopen_for = '100ms'\nopen_at_most = '100ms'\n\
         [link]\nreconnect_after = '50ms'\nreconnect_at_most = '50ms'\n\
         [[link.each]]\nname = 'crawler'\npath = {socket:?}\nmode = 'dial'\n",
        receiver.url(),
    ))
}

async fn alerts(server: &Server) -> Result<Value> {
    Ok(server.admin(Method::GET, "/api/admin/alerts", None).await?.expect(200))
}

fn events(deliveries: &[Delivery]) -> Result<Vec<String>> {
    let event = |delivery: &Delivery| Ok(delivery.json()?["event"].as_str().context("no event")?.to_owned());
    deliveries.iter().map(event).collect()
}

/// As a receiver does it.
fn verify(delivery: &Delivery) -> Result<()> {
    let signature =
        delivery.header("x-reclaimer-signature").strip_prefix("sha256=").context("no signature")?;
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes())?;
    mac.update(delivery.header("x-reclaimer-timestamp").as_bytes());
    mac.update(b".");
    mac.update(&delivery.body);
    Ok(mac.verify_slice(&hex::decode(signature)?)?)
}

/// Waits until connecting to the crawler has failed so often.
async fn failed_to_connect(server: &Server, times: u64) -> Result<()> {
    until("connecting to fail", async || {
        let link = indicator(&health(server).await?.1, "link", "crawler").context("no link")?;
        Ok((link["figures"]["connectionFailures"].as_u64() >= Some(times)).then_some(()))
    })
    .await
}

#[tokio::test]
async fn a_breaker_that_opens_is_told_once_and_when_it_closes_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let setup = setup(folder.path(), &receiver);
    let server = Server::start(folder.path(), &setup).await?;
    let opened = receiver.gets(1).await?.remove(0);
    verify(&opened)?;
    assert_eq!(opened.header("content-type"), "application/json");
    let said = opened.json()?;
    assert_eq!((&said["event"], &said["server"]), (&json!("opened"), &json!("host-1")), "{said}");
    assert_eq!(
        (&said["incident"]["rule"], &said["incident"]["subject"]),
        (&json!("breaker_open"), &json!("crawler"))
    );
    let text = said["text"].as_str().context("no text")?;
    assert!(text.starts_with("🚨 reclaimer on host-1: link `crawler` is not reached: "), "{text}");
    failed_to_connect(&server, 5).await?;
    server.crash().await?;

    // It lasts, and another server on the same data knows that people know.
    let server = Server::start(folder.path(), &setup).await?;
    failed_to_connect(&server, 5).await?;
    let open = alerts(&server).await?["incidents"].clone();
    assert_eq!((&open[0]["id"], open.as_array().map(Vec::len)), (&said["incident"]["id"], Some(1)), "{open}");

    let listener = UnixListener::bind(folder.path().join("crawler.sock"))?;
    let mut peer = Peer::accept(&listener).await?;
    peer.register("w", &[]).await?;
    let got = receiver.gets(2).await?;
    assert_eq!(events(&got)?, ["opened", "resolved"]);
    verify(&got[1])?;
    let over = got[1].json()?;
    assert_eq!(over["incident"]["id"], said["incident"]["id"]);
    assert!(over["incident"]["resolvedAt"].is_string(), "{over}");
    assert_ne!(got[1].header("x-reclaimer-delivery"), got[0].header("x-reclaimer-delivery"));
    assert_eq!(alerts(&server).await?["incidents"], json!([]));
    Ok(())
}

#[tokio::test]
async fn a_receiver_that_was_away_is_told_when_it_is_back_also_by_the_next_server() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let mut receiver = Receiver::away()?;
    let setup = setup(folder.path(), &receiver);
    let server = Server::start(folder.path(), &setup).await?;
    let waiting = until("a second attempt", async || {
        let message = alerts(&server).await?["messages"][0].clone();
        Ok((message["attempts"].as_u64() >= Some(2)).then_some(message))
    })
    .await?;
    assert_eq!(waiting["fate"], "waiting");
    let words = ["--config=reclaimer.toml", "--data=data", "doctor"];
    let doctor = reclaimer(folder.path(), &[], &words).await?.expect(0);
    assert!(doctor.contains("1 messages wait for http://127.0.0.1:"), "{doctor}");
    assert!(doctor.contains("the circuit of link `crawler` is open"), "{doctor}");
    let why = waiting["lastError"].as_str().unwrap_or_default();
    assert!(why.starts_with("the receiver cannot be reached: "), "{why}");
    server.stop().await?;

    receiver.answers(503);
    receiver.comes()?;
    let server = Server::start(folder.path(), &setup).await?;
    receiver.gets(1).await?;
    receiver.answers(204);
    let got = receiver.gets(2).await?;
    for delivery in &got {
        verify(delivery)?;
        assert_eq!(delivery.header("x-reclaimer-delivery"), waiting["id"].as_str().context("no id")?);
        assert_eq!(delivery.body, got[0].body);
    }
    let message = until("the message to have arrived", async || {
        let message = alerts(&server).await?["messages"][0].clone();
        Ok((message["fate"] == "delivered").then_some(message))
    })
    .await?;
    assert!(message["attempts"].as_u64() >= Some(4), "{message}");
    Ok(())
}

#[tokio::test]
async fn that_the_database_takes_no_writes_is_told_although_nothing_can_be_kept() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let config =
        setup(folder.path(), &receiver).config.replace("[alerts]\n", "[alerts]\noff = ['breaker_open']\n");
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    let shell = Shell::hold(&server.database(), "BEGIN IMMEDIATE").await?;
    let told = receiver.gets(1).await?.remove(0).json()?;
    assert_eq!(
        (&told["event"], &told["incident"]["rule"]),
        (&json!("opened"), &json!("database_not_writable"))
    );
    shell.release().await?;
    let got = receiver.gets(2).await?;
    assert_eq!(events(&got)?, ["opened", "resolved"]);
    Ok(())
}

#[tokio::test]
async fn a_job_that_nobody_takes_is_told_of() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let config = format!(
        "[alerts]\nwebhook_url = {:?}\ninterval = '100ms'\noldest_queued_above = '100ms'\nresolve_after = '0s'\n",
        receiver.url()
    );
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    server.create(json!({ "command": "X" })).await?;
    let told = receiver.gets(1).await?.remove(0);
    assert_eq!(told.json()?["incident"]["rule"], "oldest_queued");
    assert_eq!(told.header("x-reclaimer-signature"), "", "there is no secret to sign with");
    server.open("w", 1, 0).await?;
    assert_eq!(events(&receiver.gets(2).await?)?, ["opened", "resolved"]);
    Ok(())
}

#[tokio::test]
async fn a_worker_that_dies_again_and_again_is_told_of_and_when_it_lives() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let alive = folder.path().join("alive");
    // It dies until the file is there.
    let script = format!("test -e '{}' && exec sleep 600; exit 7", alive.display());
    let config = format!(
        "[alerts]\nwebhook_url = {:?}\ninterval = '100ms'\nworker_restarts_above = 2\nworker_restarts_within = '1s'\n\
         resolve_after = '0s'\n[supervisor]\nenabled = true\n[[supervisor.worker]]\nname = 'w'\ncommand = 'sh'\n\
         args = ['-c', {script:?}]\nrestart_delay = '10ms'\nmax_restarts = 3\non_exhausted = 'hold'\n",
        receiver.url()
    );
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    let told = receiver.gets(1).await?.remove(0).json()?;
    let incident = &told["incident"];
    assert_eq!((&incident["rule"], &incident["subject"]), (&json!("worker_restarts"), &json!("w")), "{told}");
    assert!(incident["what"].as_str().is_some_and(|what| what.contains("7")), "{told}");
    std::fs::write(&alive, "")?;
    server.admin(Method::POST, "/api/admin/workers/w/restart", None).await?.expect(202);
    assert_eq!(events(&receiver.gets(2).await?)?, ["opened", "resolved"]);
    Ok(())
}

/// A server on which a job fails for good when it fails for the second time, and that tells at once.
async fn that_gives_up(folder: &Path, receiver: &Receiver, rule: &str) -> Result<Server> {
    let config = format!(
        "[alerts]\nwebhook_url = {:?}\ninterval = '100ms'\nresolve_after = '0s'\n{rule}\n\
         [recovery]\nenabled = false\nspread = '0s'\nbudget_per_second = 1000\n",
        receiver.url()
    );
    Server::start(folder, &Setup::with(&config)).await
}

/// Lets so many jobs fail, be recovered, and end like this.
async fn recovered(server: &Server, jobs: u32, end: &str) -> Result<()> {
    for _ in 0..jobs {
        server.create(json!({ "command": "X", "maxAttempts": 2 })).await?;
    }
    for status in ["failed", end] {
        for job in server.open("w", jobs, 30).await? {
            let error = json!({ "error": "no route", "retryable": true });
            let more = if status == "failed" { error } else { json!({}) };
            server.report(&job, status, more).await?.expect(200);
        }
        server.recover("failed").await?;
        // Not to wait for their backoff.
        run_sql(&server.database(), "UPDATE job SET run_at = created_at WHERE status = 'queued'")?;
    }
    Ok(())
}

#[tokio::test]
async fn jobs_that_wait_for_a_person_are_told_of_until_somebody_deals_with_them() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let rule = "quarantined_above = 1\nquarantined_for = '0s'\noff = ['recovery_success']";
    let server = that_gives_up(folder.path(), &receiver, rule).await?;
    recovered(&server, 2, "failed").await?;
    let told = receiver.gets(1).await?.remove(0).json()?;
    assert_eq!(told["incident"]["rule"], "quarantined_jobs", "{told}");
    assert_eq!(told["incident"]["what"], "2 jobs are quarantined and wait for a person");
    let bulk = json!({ "filter": { "status": "quarantined" }, "action": "cancel" });
    server.admin(Method::POST, "/api/admin/jobs/bulk", Some(bulk)).await?.expect(200);
    assert_eq!(events(&receiver.gets(2).await?)?, ["opened", "resolved"]);
    Ok(())
}

#[tokio::test]
async fn that_recovery_helps_little_is_told_and_that_it_helps_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let rule = "recovery_success_below = 0.4\nrecovery_success_for = '0s'\noff = ['quarantined_jobs']";
    let server = that_gives_up(folder.path(), &receiver, rule).await?;
    recovered(&server, 10, "failed").await?;
    let told = receiver.gets(1).await?.remove(0).json()?;
    assert_eq!(told["incident"]["rule"], "recovery_success", "{told}");
    let what = told["incident"]["what"].as_str().context("no text")?;
    assert!(what.starts_with("only 0 of 10 recovered jobs"), "{what}");
    recovered(&server, 10, "completed").await?;
    assert_eq!(events(&receiver.gets(2).await?)?, ["opened", "resolved"]);
    Ok(())
}

#[tokio::test]
async fn a_test_message_says_whether_it_arrived_and_no_secret_is_shown() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let config =
        setup(folder.path(), &receiver).config.replace("[alerts]\n", "[alerts]\noff = ['breaker_open']\n");
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    let run = async |words: &[&str]| {
        reclaimer(folder.path(), &[], &[&["--config=reclaimer.toml", "--data=data"], words].concat()).await
    };
    assert_eq!(run(&["alerts", "test"]).await?.expect(0), "the test message arrived\n");
    let sent = receiver.gets(1).await?.remove(0);
    verify(&sent)?;
    assert_eq!(sent.json()?["event"], "test");

    receiver.answers(404);
    let complaint = run(&["alerts", "test"]).await?.complaint(1);
    assert!(
        complaint.contains("404 Not Found: check the address and the secret (undelivered)"),
        "{complaint}"
    );
    let refused = server.admin(Method::POST, "/api/admin/alerts/test", None).await?;
    assert_eq!(refused.expect(502)["code"], "undelivered");
    server.worker(Method::POST, "/api/admin/alerts/test", None).await?.expect(403);

    let listed = run(&["alerts", "list"]).await?.expect(0);
    assert!(listed.contains("given_up") && listed.contains("messages go to http://127.0.0.1:"), "{listed}");
    let shown = alerts(&server).await?.to_string();
    let settings = run(&["config"]).await?.expect(0);
    server.stop().await?;
    let log = std::fs::read_to_string(folder.path().join("err.log"))?;
    for text in [complaint, listed, shown, settings, log] {
        assert!(!text.contains("sesame"), "{text}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_webhook_incidents_are_found_and_a_test_says_what_is_missing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = "[alerts]\ninterval = '100ms'\noldest_queued_above = '100ms'\n";
    let server = Server::start(folder.path(), &Setup::with(config)).await?;
    server.create(json!({ "command": "X" })).await?;
    until("the incident", async || {
        Ok((alerts(&server).await?["incidents"][0]["rule"] == "oldest_queued").then_some(()))
    })
    .await?;
    let refused = server.admin(Method::POST, "/api/admin/alerts/test", None).await?;
    assert_eq!(refused.expect(409)["code"], "no_webhook");
    assert_eq!(alerts(&server).await?["target"], Value::Null);
    Ok(())
}
