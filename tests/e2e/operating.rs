//! What the page on operating has people type, typed.

use std::path::Path;
use std::process::Output;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::process::Command;

use crate::rig::{Server, Setup, binary};

/// The commands under a heading.
fn commands(heading: &str) -> Result<String> {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operating.md");
    let page = std::fs::read_to_string(page)?;
    let (_, section) = page.split_once(&format!("\n## {heading}\n")).context("no such heading")?;
    let (_, block) = section.split_once("```sh\n").context("no commands")?;
    Ok(block.split_once("```").context("no end")?.0.to_owned())
}

/// Runs commands as they stand there, on folders of this test's own and without another user.
async fn run(folder: &Path, commands: &str) -> Result<Output> {
    let own = commands
        .replace("/var/lib/reclaimer", &folder.join("data").display().to_string())
        .replace("/var/backups/reclaimer", &folder.join("backups").display().to_string())
        .replace("install -o reclaimer -g reclaimer", "install");
    let reclaimer = format!(
        "reclaimer() {{ {} --config {} --data {} \"$@\"; }}\n",
        binary()?.display(),
        folder.join("reclaimer.toml").display(),
        folder.join("data").display(),
    );
    let ran = Command::new("sh").arg("-euc").arg(reclaimer + &own).current_dir(folder).output().await?;
    ensure!(ran.status.success(), "{own}: {}", String::from_utf8_lossy(&ran.stderr));
    Ok(ran)
}

#[tokio::test]
async fn what_was_backed_up_is_there_again_after_it_was_restored() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    std::fs::create_dir(at.join("backups"))?;
    let server = Server::start(at, &Setup::default()).await?;
    let before = server.create(json!({ "command": "before" })).await?;
    let said = run(at, &commands("Back up")?).await?;
    assert!(String::from_utf8_lossy(&said.stdout).contains("1 jobs, verified"));
    let after = server.create(json!({ "command": "after" })).await?;
    // What it wrote since may be in its log alone.
    server.crash().await?;

    let restore = commands("Restore")?;
    let lines: Vec<&str> = restore.lines().collect();
    let [stop, between @ .., start] = lines.as_slice() else { anyhow::bail!("no commands") };
    assert_eq!((*stop, *start), ("systemctl stop reclaimer", "systemctl start reclaimer"));
    run(at, &between.join("\n")).await?;
    let server = Server::start(at, &Setup::default()).await?;
    assert_eq!(server.job(&before).await?["command"], "before");
    let path = format!("/api/jobs/{after}");
    server.admin(reqwest::Method::GET, &path, None).await?.expect(404);
    let jobs = server.open("w", 10, 0).await?;
    server.report(&jobs[0], "completed", json!({})).await?.expect(200);
    let checked = run(at, "reclaimer doctor").await?;
    assert!(String::from_utf8_lossy(&checked.stdout).contains("integrity"));
    Ok(())
}
