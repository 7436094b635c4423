//! The demo, as a newcomer runs it.

use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::process::{Child, ChildStdout, Command};

use crate::rig::{PATIENCE, binary, reclaimer, until};

#[tokio::test]
async fn the_demo_crawls_the_documentation_in_spite_of_chaos_and_proves_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let words = ["demo", "--chaos", "0.4", "--pace", "20ms", "--seed", "7"];
    let said = reclaimer(folder.path(), &[], &words).await?.expect(0);
    assert!(
        said.contains("✔ each page was crawled exactly once as far as the job table is concerned"),
        "{said}"
    );
    assert!(said.contains("✔ nothing was lost"), "{said}");
    // The lines that tell of it, not those of the table, where every word stands in any case.
    let told = |what: &str| said.lines().any(|line| line.starts_with(what));
    for what in ["killed ", "stopped ", "hung up ", "recovered /docs/"] {
        assert!(told(what), "{what}: {said}");
    }
    assert!(told("repeated ") || told("refused "), "{said}");
    Ok(())
}

#[tokio::test]
async fn the_demo_walks_a_folder_tree() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let tree = folder.path().join("tree");
    for number in 0..10 {
        let below = tree.join(format!("{}/{number}", number % 3));
        std::fs::create_dir_all(&below)?;
        std::fs::write(below.join("file"), "text")?;
    }
    let words = ["demo", "--path", "tree", "--chaos", "0.2", "--pace", "10ms", "--keep", "kept"];
    let said = reclaimer(folder.path(), &[], &words).await?.expect(0);
    // The root, 3 folders, 10 folders in them, 10 files.
    let finished = said.lines().find(|line| line.contains("finished") && line.contains("24"));
    assert!(finished.is_some(), "{said}");
    assert!(folder.path().join("kept/data/reclaimer.db").exists());
    Ok(())
}

#[tokio::test]
async fn a_target_that_is_none_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let complaint = reclaimer(folder.path(), &[], &["demo", "--target", "ftp://x/"]).await?.complaint(1);
    assert!(complaint.contains("http or https"), "{complaint}");
    let complaint = reclaimer(folder.path(), &[], &["demo", "--path", "nowhere"]).await?.complaint(1);
    assert!(complaint.contains("cannot walk nowhere"), "{complaint}");
    std::fs::write(folder.path().join("file"), "text")?;
    let complaint = reclaimer(folder.path(), &[], &["demo", "--path", "file"]).await?.complaint(1);
    assert!(complaint.contains("cannot walk file: it is no folder"), "{complaint}");
    // Port 1 is nobody's: there is nothing to crawl, and no hour of failed visits is needed to find out.
    let words = ["demo", "--target", "http://127.0.0.1:1/", "--chaos", "0"];
    let complaint = reclaimer(folder.path(), &[], &words).await?.complaint(1);
    assert!(complaint.contains("cannot crawl http://127.0.0.1:1/"), "{complaint}");
    Ok(())
}

/// A demo that crawls the documentation slowly, and what it says.
async fn slow_demo(folder: &Path) -> Result<(Child, Lines<BufReader<ChildStdout>>)> {
    let mut demo = Command::new(binary()?)
        .args(["demo", "--pace", "500ms", "--chaos", "0.9", "--crawlers", "3", "--keep", "kept"])
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(demo.stdout.take().context("no output")?).lines();
    // Once a crawler is stopped, its server and all crawlers are there, and one of them hears nobody.
    while !lines.next_line().await?.context("it ended early")?.starts_with("stopped ") {}
    Ok((demo, lines))
}

/// How many processes work in this folder.
fn processes_in(folder: &Path) -> Result<usize> {
    let mut found = 0;
    for entry in std::fs::read_dir("/proc")? {
        let working_in = std::fs::read_link(entry?.path().join("cwd"));
        found += usize::from(working_in.is_ok_and(|path| path == folder));
    }
    Ok(found)
}

#[tokio::test]
async fn a_demo_that_is_told_to_end_says_so_and_takes_its_processes_along() -> Result<()> {
    for signal in [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP] {
        let folder = tempfile::tempdir()?;
        let at = folder.path().canonicalize()?;
        let (mut demo, mut lines) = slow_demo(&at).await?;
        kill(Pid::from_raw(i32::try_from(demo.id().context("it has ended")?)?), signal)?;
        let mut said = String::new();
        while let Some(line) = tokio::time::timeout(PATIENCE, lines.next_line()).await?? {
            said.push_str(&line);
        }
        assert!(said.contains("✘ each page was crawled exactly once"), "{signal}: {said}");
        assert_eq!(tokio::time::timeout(PATIENCE, demo.wait()).await??.code(), Some(1), "{signal}");
        assert_eq!(processes_in(&at)?, 0, "{signal}");
    }
    Ok(())
}

#[tokio::test]
async fn a_demo_that_is_killed_leaves_nobody_behind() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path().canonicalize()?;
    let (mut demo, _lines) = slow_demo(&at).await?;
    assert!(processes_in(&at)? > 1, "its server and its crawlers work where it works");
    demo.kill().await?;
    until("its processes to end", async || Ok((processes_in(&at)? == 0).then_some(()))).await
}

#[tokio::test]
async fn a_folder_that_was_used_before_is_refused() -> Result<()> {
    let folder = tempfile::tempdir()?;
    std::fs::create_dir_all(folder.path().join("tree/below"))?;
    let words = ["demo", "--path", "tree", "--chaos", "0", "--pace", "10ms", "--keep", "kept"];
    reclaimer(folder.path(), &[], &words).await?.expect(0);
    let complaint = reclaimer(folder.path(), &[], &words).await?.complaint(1);
    assert!(complaint.contains("kept holds an earlier demo"), "{complaint}");
    // Settings that lie where the demo would write its own are somebody's.
    std::fs::write(folder.path().join("reclaimer.toml"), "[log]\n")?;
    let words = ["demo", "--path", "tree", "--keep", "."];
    reclaimer(folder.path(), &[], &words).await?.complaint(1);
    assert_eq!(std::fs::read_to_string(folder.path().join("reclaimer.toml"))?, "[log]\n");
    Ok(())
}
