//! `reclaimer top`, on a real terminal.

use anyhow::Result;
use nix::sys::signal::Signal;
use serde_json::json;

use crate::rig::{Server, Setup, Shell, Terminal, reclaimer};

const DOWN: &str = "\u{1b}[B";

/// A server whose recovery leaves alone what failed.
async fn server(folder: &std::path::Path) -> Result<Server> {
    Server::start(folder, &Setup::with("[recovery]\nenabled = false\n")).await
}

async fn failed(server: &Server, command: &str, error: &str) -> Result<String> {
    let id = server.create(json!({ "command": command })).await?;
    let jobs = server.open("w", 1, 0).await?;
    server.report(&jobs[0], "failed", json!({ "error": error, "retryable": true })).await?.expect(200);
    Ok(id)
}

#[tokio::test]
async fn somebody_in_ssh_sees_what_failed_retries_and_recovers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = server(folder.path()).await?;
    let first = failed(&server, "FIRST", "the site was down").await?;
    let second = failed(&server, "SECOND", "\u{1b}[2Jgone\u{202e}").await?;
    let third = failed(&server, "THIRD", "out of luck").await?;

    let mut top = Terminal::run(folder.path(), &["top"])?;
    top.shows(&["live", "failed 3", "FIRST", "the site was down", "SECOND", "[2Jgone"]).await?;

    // Newest first: the third is chosen, and read in full.
    top.press(DOWN)?;
    top.press("\r")?;
    top.shows(&[&format!("Job {third}"), "next look", "created"]).await?;
    top.press("\u{1b}[B\u{1b}[A")?;
    top.press("q")?;
    top.press("r")?;
    top.shows(&[&format!("job {third}: queued again"), "failed 2", "queued 1"]).await?;
    assert_eq!(server.job(&third).await?["status"], "queued");

    // What gives a job up is asked about.
    top.press(DOWN)?;
    top.press("c")?;
    top.shows(&[&format!("Give up job {second}?")]).await?;
    top.press("n")?;
    top.press("c")?;
    top.press("y")?;
    top.shows(&["cancelled 1", "failed 1"]).await?;
    assert_eq!(server.job(&second).await?["status"], "cancelled");

    // A recovery is asked about, with what it would do.
    top.press("R")?;
    top.shows(&["nothing changed: would be 1 recovered", "y = yes"]).await?;
    assert_eq!(server.job(&first).await?["status"], "failed");
    top.press("y")?;
    top.shows(&["failed 0", "queued 2", "1 × requeue by retryable"]).await?;
    assert_eq!(server.job(&first).await?["status"], "queued");

    // What happens elsewhere is seen here.
    server.create(json!({ "command": "LATER" })).await?;
    top.shows(&["queued 3"]).await?;
    top.press("q")?;
    let (status, as_before) = top.ended().await?;
    assert!(status.success() && as_before, "{status}, {as_before}");
    Ok(())
}

#[tokio::test]
async fn a_server_that_comes_back_is_found_again() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let first = server(folder.path()).await?;
    first.create(json!({ "command": "X" })).await?;
    let top = Terminal::run(folder.path(), &["top"])?;
    top.shows(&["live", "queued 1"]).await?;
    first.stop().await?;
    top.shows(&["not live:", "queued 1"]).await?;
    // On another port.
    let again = server(folder.path()).await?;
    top.shows(&[&again.base, "live", "queued 1"]).await?;
    Ok(())
}

#[tokio::test]
async fn what_is_not_well_is_said() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = "[health]\nstandstill_after = '100ms'\n";
    let server = Server::start(folder.path(), &Setup::with(config)).await?;
    server.create(json!({ "command": "X" })).await?;
    let top = Terminal::run(folder.path(), &["top"])?;
    top.shows(&["live, degraded", "! queue `default` stands still"]).await?;
    let shell = Shell::hold(&server.database(), "BEGIN IMMEDIATE").await?;
    top.shows(&["live, down", "! the database cannot be written", "queued 1"]).await?;
    shell.release().await?;
    top.shows(&["live, degraded"]).await?;
    Ok(())
}

#[tokio::test]
async fn the_terminal_is_given_back_after_a_signal() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let _server = server(folder.path()).await?;
    for signal in [Signal::SIGTERM, Signal::SIGINT, Signal::SIGHUP] {
        let top = Terminal::run(folder.path(), &["top"])?;
        top.shows(&["live"]).await?;
        assert!(top.is_on_its_own_screen());
        top.signal(signal)?;
        let (status, as_before) = top.ended().await?;
        assert!(status.success() && as_before, "{signal}: {status}, {as_before}");
    }
    Ok(())
}

#[tokio::test]
async fn without_a_terminal_or_a_server_it_says_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let complaint = reclaimer(folder.path(), &[], &["top"]).await?.complaint(2);
    assert!(complaint.contains("needs a terminal") && complaint.contains("jobs list"), "{complaint}");
    let top = Terminal::run(folder.path(), &["top"])?;
    top.shows(&["reclaimer: "]).await?;
    assert!(!top.is_on_its_own_screen());
    let (status, as_before) = top.ended().await?;
    assert_eq!((status.code(), as_before), (Some(1), true));
    Ok(())
}
