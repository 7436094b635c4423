//! The `sqlite3` program.

use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, ChildStdin};

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

/// A `sqlite3` program in the middle of its work. It stays there until this is dropped.
#[derive(Debug)]
pub(crate) struct Shell {
    program: Child,
    _input: ChildStdin,
}

impl Shell {
    /// Runs SQL and keeps the connection open, with whatever it holds locked.
    pub(crate) async fn hold(database: &Path, sql: &str) -> Result<Self> {
        let mut program = tokio::process::Command::new("sqlite3")
            .arg("-batch")
            .arg(database)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .context("the sqlite3 program is missing; tests/run installs it")?;
        let mut input = program.stdin.take().context("no input")?;
        let mut lines = BufReader::new(program.stdout.take().context("no output")?).lines();
        input.write_all(format!(".timeout 5000\n{sql};\nSELECT 'held';\n").as_bytes()).await?;
        while lines.next_line().await?.context("the shell ended")? != "held" {}
        Ok(Self { program, _input: input })
    }

    /// Lets go.
    pub(crate) async fn release(mut self) -> Result<()> {
        Ok(self.program.kill().await?)
    }
}
