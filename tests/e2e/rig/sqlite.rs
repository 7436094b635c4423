//! The `sqlite3` program.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, ensure};

/// Runs SQL with the `sqlite3` program and answers its lines, columns parted by `|`.
pub(crate) fn query(database: &Path, sql: &str) -> Result<Vec<String>> {
    let output = Command::new("sqlite3")
        .arg("-batch")
        .args(["-cmd", ".timeout 5000"])
        .arg(database)
        .arg(sql)
        .output()
        .context("the sqlite3 program is missing; tests/run installs it")?;
    let said = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success() && said.is_empty(), "sqlite3 failed on {sql}: {said}");
    Ok(String::from_utf8(output.stdout)?.lines().map(ToOwned::to_owned).collect())
}

/// Runs SQL for its effect.
pub(crate) fn run_sql(database: &Path, sql: &str) -> Result<()> {
    query(database, sql).map(drop)
}
