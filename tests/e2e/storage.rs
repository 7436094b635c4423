//! The database cannot be written: workers get an answer they understand, and it heals by itself.

use std::fs::{self, Permissions};
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use crate::health::{health, indicator};
use crate::rig::{Answer, Server, Setup, until};

const OPEN: &str = "/api/internal/jobs/open?workerId=w&limit=1";

/// Asks for jobs and checks that the answer is the error payload, 200, with all of its parts.
async fn assert_cannot_provision(server: &Server, message: &str) -> Result<()> {
    let Answer { status, headers, body } = server.worker(Method::GET, OPEN, None).await?;
    assert_eq!(status, 200, "{body}");
    assert_eq!(body["error"], "Job provisioning failed", "{body}");
    assert_eq!(body["errorType"], "storage_unavailable", "{body}");
    assert!(body["message"].as_str().is_some_and(|text| text.contains(message)), "{body}");
    assert!(!body["message"].to_string().contains("not available"), "said once: {body}");
    assert_eq!(body["retryable"], true);
    assert!(
        body["retryAfterMs"].is_u64() && body["timestamp"].is_string() && body["requestId"].is_string(),
        "{body}"
    );
    assert_eq!(headers["x-reclaimer-error"], "storage_unavailable");

    let ready = server.ask(Method::GET, "/readyz", None, None).await?.expect(503);
    assert_eq!(ready["code"], "storage_unavailable", "{ready}");
    assert!(ready["detail"].as_str().is_some_and(|text| text.contains(message)), "{ready}");
    server.ask(Method::GET, "/healthz", None, None).await?.expect(200);

    let database = until("health to say so", async || {
        let (code, health) = health(server).await?;
        let database = indicator(&health, "database", "database");
        Ok(database.filter(|_| code == 503 && health["status"] == "down"))
    })
    .await?;
    assert_eq!(
        (&database["status"], &database["figures"]["code"]),
        (&"down".into(), &"storage_unavailable".into())
    );
    assert!(database["what"].as_str().is_some_and(|text| text.contains(message)), "{database}");
    assert!(database["since"].is_string(), "{database}");
    Ok(())
}

async fn wait_until_ready(server: &Server) -> Result<()> {
    until("health to be well again", async || Ok((health(server).await?.0 == 200).then_some(()))).await?;
    until("the server to be ready again", async || {
        Ok((server.ask(Method::GET, "/readyz", None, None).await?.status == 200).then_some(()))
    })
    .await
}

/// Gets the one job there is and finishes it.
async fn assert_works(server: &Server) -> Result<()> {
    let jobs = server.open("w", 1, 0).await?;
    assert_eq!(jobs.len(), 1);
    server.report(&jobs[0], "completed", json!({})).await?.expect(200);
    Ok(())
}

#[tokio::test]
async fn a_deleted_file_is_missed_and_welcomed_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    server.create(json!({ "command": "X" })).await?;
    let (path, away) = (server.database(), folder.path().join("away.db"));
    fs::rename(&path, &away)?;
    assert_cannot_provision(&server, "the database file is gone").await?;
    let refused = server.admin(Method::POST, "/api/jobs", Some(json!({ "command": "Y" }))).await?;
    assert_eq!(refused.expect(503)["code"], "storage_unavailable");
    fs::rename(&away, &path)?;
    wait_until_ready(&server).await?;
    assert_works(&server).await
}

/// Stops the server and starts it again on a file that it may only read.
async fn restart_read_only(folder: &Path, server: Server) -> Result<Server> {
    assert!(server.stop().await?.success());
    // Root writes to read-only files as well, so the server runs as somebody else.
    let root = nix::unistd::geteuid().is_root();
    let setup = Setup { uid: root.then_some(65_534), ..Setup::default() };
    if root {
        give_away(folder, 65_534)?;
    }
    fs::set_permissions(folder.join("data/reclaimer.db"), Permissions::from_mode(0o444))?;
    Server::start(folder, &setup).await
}

#[tokio::test]
async fn a_read_only_file_is_said_and_heals() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    server.create(json!({ "command": "X" })).await?;
    let server = restart_read_only(folder.path(), server).await?;
    assert_cannot_provision(&server, "not writable").await?;
    let list = server.admin(Method::GET, "/api/jobs", None).await?.expect(200);
    assert_eq!(list["items"].as_array().map(Vec::len), Some(1), "what is there can still be read");
    fs::set_permissions(server.database(), Permissions::from_mode(0o600))?;
    wait_until_ready(&server).await?;
    assert_works(&server).await
}

#[tokio::test]
async fn a_read_only_file_is_said_where_no_job_waits() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let server = restart_read_only(folder.path(), server).await?;
    assert_said_while_idle(&server, folder.path(), "not writable").await?;
    fs::set_permissions(server.database(), Permissions::from_mode(0o600))?;
    assert_heals_while_idle(&server, folder.path()).await
}

/// A worker that finds nothing is told, again and again, that nothing could be given to it; the log says it once.
async fn assert_said_while_idle(server: &Server, folder: &Path, message: &str) -> Result<()> {
    for _ in 0..3 {
        assert_cannot_provision(server, message).await?;
    }
    assert_eq!(log_lines(folder, "the database cannot be written")?, 1);
    assert_eq!(log_lines(folder, "the database is back")?, 0);
    Ok(())
}

async fn assert_heals_while_idle(server: &Server, folder: &Path) -> Result<()> {
    wait_until_ready(server).await?;
    assert_eq!(server.open("w", 1, 0).await?.len(), 0);
    assert_eq!(log_lines(folder, "the database is back")?, 1);
    Ok(())
}

fn log_lines(folder: &Path, what: &str) -> Result<usize> {
    let log = fs::read_to_string(folder.join("err.log"))?;
    Ok(log.lines().filter(|line| line.contains(what)).count())
}

/// Gives a folder and everything in it to another user.
fn give_away(path: &Path, uid: u32) -> Result<()> {
    chown(path, Some(uid), Some(uid))?;
    if path.is_dir() {
        for entry in fs::read_dir(path)? {
            give_away(&entry?.path(), uid)?;
        }
    }
    Ok(())
}

/// A server whose data folder is a small disk of its own: a tmpfs in its own mount namespace, with its own user namespace
/// where the test is not run by root. This is done there before it starts.
async fn on_a_small_disk(folder: &Path, before_it_starts: &str) -> Result<Server> {
    let data = folder.join("data");
    fs::create_dir(&data)?;
    fs::set_permissions(&data, Permissions::from_mode(0o700))?;
    let mount = "mount -t tmpfs -o size=4m,mode=0700 tmpfs \"$0\"";
    let script = format!("{mount} && (cd \"$0\" && {before_it_starts}) && exec \"$@\"");
    let mut before: Vec<std::ffi::OsString> = vec!["unshare".into(), "--mount".into()];
    if !nix::unistd::geteuid().is_root() {
        before.extend(["--user".into(), "--map-root-user".into()]);
    }
    before.extend(["sh".into(), "-c".into(), script.into(), data.into_os_string()]);
    let config = "[database]\nmin_free = \"0B\"\n".to_owned();
    Server::start(folder, &Setup { before, config, own_mounts: true, ..Setup::default() }).await
}

#[tokio::test]
async fn a_full_disk_is_said_and_heals() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = &on_a_small_disk(folder.path(), "true").await?;
    server.create(json!({ "command": "X" })).await?;

    let ballast = server.data.join("ballast");
    fill(&ballast)?;
    until("the disk to be noticed", async || {
        let body = server.worker(Method::GET, OPEN, None).await?.expect(200);
        Ok(body.get("error").map(drop))
    })
    .await?;
    assert_cannot_provision(server, "database is not writable: disk full").await?;
    fs::remove_file(&ballast)?;
    wait_until_ready(server).await?;
    let left = server.admin(Method::GET, "/api/jobs?status=queued", None).await?.expect(200);
    assert_eq!(left["items"].as_array().map(Vec::len), Some(1), "nothing was lost");
    assert_works(server).await
}

#[tokio::test]
async fn a_server_comes_up_on_a_full_disk_and_heals() -> Result<()> {
    // There was room for the tokens, and maybe for a database; then the disk filled up to the last byte.
    for made in ["true", "\"$1\" migrate --data ."] {
        let folder = tempfile::tempdir()?;
        let tokens = "echo a > admin.token && echo w > worker.token";
        let fill = format!("{made} && {tokens} && ! cat /dev/zero > ballast 2>/dev/null");
        let server = &on_a_small_disk(folder.path(), &fill).await?;
        assert_cannot_provision(server, "database is not writable: disk full").await?;
        fs::remove_file(server.data.join("ballast"))?;
        wait_until_ready(server).await?;
        server.create(json!({ "command": "X" })).await?;
        assert_works(server).await?;
        assert_addresses_follow(server).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_server_comes_up_in_a_folder_that_it_cannot_write_and_heals() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    server.create(json!({ "command": "X" })).await?;
    let data = server.data.clone();
    assert!(server.stop().await?.success());
    fs::remove_file(data.join("lock"))?;
    let root = nix::unistd::geteuid().is_root();
    let setup = Setup { uid: root.then_some(65_534), ..Setup::default() };
    if root {
        give_away(folder.path(), 65_534)?;
    }
    fs::set_permissions(&data, Permissions::from_mode(0o500))?;
    let server = Server::start(folder.path(), &setup).await?;
    assert_cannot_provision(&server, "not writable").await?;
    fs::set_permissions(&data, Permissions::from_mode(0o700))?;
    wait_until_ready(&server).await?;
    assert_works(&server).await?;
    assert_addresses_follow(&server).await
}

/// What could not be written down at the start is written down as soon as it can.
async fn assert_addresses_follow(server: &Server) -> Result<()> {
    until("the addresses to be written down", async || {
        let written = fs::read_to_string(server.data.join("listen")).unwrap_or_default();
        Ok(server.base.ends_with(written.trim()).then_some(()).filter(|()| !written.is_empty()))
    })
    .await
}

#[tokio::test]
async fn a_full_disk_is_said_where_no_job_waits() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = &on_a_small_disk(folder.path(), "true").await?;
    let ballast = server.data.join("ballast");
    fill(&ballast)?;
    until("the disk to be noticed", async || {
        Ok((server.ask(Method::GET, "/readyz", None, None).await?.status == 503).then_some(()))
    })
    .await?;
    assert_said_while_idle(server, folder.path(), "disk full").await?;
    fs::remove_file(&ballast)?;
    assert_heals_while_idle(server, folder.path()).await
}

/// Fills the disk to the last byte.
fn fill(path: &Path) -> Result<()> {
    use std::io::Write;
    let mut file = fs::File::create(path)?;
    for size in [65_536, 512, 1] {
        let block = vec![0_u8; size];
        while file.write_all(&block).is_ok() {}
    }
    Ok(())
}

#[tokio::test]
async fn low_disk_refuses_new_jobs_and_takes_reports() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    server.create(json!({ "command": "X" })).await?;
    assert!(server.stop().await?.success());
    let setup = Setup::with("[database]\nmin_free = \"1000TB\"\n");
    let server = Server::start(folder.path(), &setup).await?;
    let refused = server.admin(Method::POST, "/api/jobs", Some(json!({ "command": "Y" }))).await?;
    let refused: Value = refused.expect(503);
    assert_eq!(refused["code"], "storage_low", "{refused}");
    assert_works(&server).await
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // As on a disk without room.
    let before = ["sh", "-c", "exec \"$@\" 2>/dev/full", "sh"].map(Into::into).to_vec();
    let server = Server::start(folder.path(), &Setup { before, ..Setup::default() }).await?;
    server.create(json!({ "command": "X" })).await?;
    assert_works(&server).await?;
    assert_eq!(server.stop().await?.code(), Some(0));
    Ok(())
}
