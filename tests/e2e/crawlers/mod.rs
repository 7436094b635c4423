//! The crawlers of `examples/crawlers` as real processes against the real server.

mod envelope;
mod flat;

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use crate::rig::{PATIENCE, until};

/// Leases of lost workers live on for a moment, and are looked at often.
const BRISK: &str = "[recovery]\nreclaim_grace = \"500ms\"\nlease_check = \"50ms\"\n";
/// They live on for as long as a test takes.
const PATIENT: &str = "[recovery]\nreclaim_grace = \"5m\"\nlease_check = \"50ms\"\n";

/// A crawler that runs. It ends with the test that started it.
struct Crawler {
    name: String,
    child: Child,
    log: PathBuf,
}

impl Crawler {
    /// Starts an example in this folder; what it says goes into a file of this name there.
    fn start(folder: &Path, name: &str, example: &str, words: &[impl AsRef<OsStr>]) -> Result<Self> {
        let log = folder.join(format!("{name}.log"));
        let said = std::fs::File::options().create(true).append(true).open(&log)?;
        let child = Command::new("python3")
            .arg(format!("{}/../examples/crawlers/{example}", env!("CARGO_MANIFEST_DIR")))
            .args(words)
            .current_dir(folder)
            .env_remove("SOCKET_PATH")
            .stdin(Stdio::null())
            .stdout(said.try_clone()?)
            .stderr(said)
            .kill_on_drop(true)
            .spawn()?;
        Ok(Self { name: name.to_owned(), child, log })
    }

    /// Waits until it has said this.
    async fn says(&self, words: &str) -> Result<()> {
        until(&format!("{} to say: {words}", self.log.display()), async || {
            Ok(std::fs::read_to_string(&self.log)?.contains(words).then_some(()))
        })
        .await
        .with_context(|| format!("it said: {}", std::fs::read_to_string(&self.log).unwrap_or_default()))
    }

    fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().context("it has ended")?;
        Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
    }

    /// Ends it without a chance to say anything.
    async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Waits until it has ended by itself.
    async fn ended(mut self) -> Result<ExitStatus> {
        Ok(tokio::time::timeout(PATIENCE, self.child.wait()).await.context("it does not end")??)
    }
}

/// A file whose being there ends the jobs that wait for it.
struct Gate(PathBuf);

impl Gate {
    fn closed(folder: &Path) -> Self {
        Self(folder.join("gate"))
    }

    fn open(&self) -> Result<()> {
        Ok(std::fs::write(&self.0, "")?)
    }
}
