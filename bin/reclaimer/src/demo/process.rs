//! The demo's own server process.

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use reclaimer_domain::secret::Secret;
use tokio::process::{Child, Command};
use url::Url;

/// A server that takes longer than this to listen will not.
const START_WITHIN: Duration = Duration::from_secs(20);

/// A server with a data folder of its own, on a port that was free.
#[derive(Debug)]
pub(super) struct ServerProcess {
    child: Child,
    pub(super) base: Url,
    pub(super) admin_token: Secret,
    pub(super) worker_token: PathBuf,
}

impl ServerProcess {
    /// Starts it and waits until it listens.
    pub(super) async fn start(folder: &Path, settings: &str) -> Result<Self> {
        let (config, data) = (folder.join("reclaimer.toml"), folder.join("data"));
        std::fs::write(&config, settings).with_context(|| format!("cannot write {}", config.display()))?;
        let listen = data.join("listen");
        let log = std::fs::File::create(folder.join("server.log"))?;
        let mut child = Command::new(std::env::current_exe()?)
            .arg("serve")
            .arg("--config")
            .arg(&config)
            .arg("--data")
            .arg(&data)
            .args(["--listen", "127.0.0.1:0"])
            // The pipe closes with the demo, however it ends, and so does the server.
            .arg("--leashed")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(log)
            // Ctrl-C in the terminal is for the demo, which then ends its server in order.
            .process_group(0)
            .kill_on_drop(true)
            .spawn()
            .context("cannot start the server")?;
        let address = tokio::time::timeout(START_WITHIN, address(&mut child, &listen))
            .await
            .context("the server did not listen in time")??;
        let admin_token = Secret::new(std::fs::read_to_string(data.join("admin.token"))?.trim());
        let base = format!("http://{address}/").parse()?;
        Ok(Self { child, base, admin_token, worker_token: data.join("worker.token") })
    }

    /// Ends it in order.
    pub(super) async fn stop(mut self) -> Result<()> {
        if let Some(id) = self.child.id() {
            kill(Pid::from_raw(i32::try_from(id)?), Signal::SIGTERM)?;
        }
        self.child.wait().await?;
        Ok(())
    }
}

/// The TCP address that the server wrote down.
async fn address(child: &mut Child, listen: &Path) -> Result<String> {
    let mut beat = tokio::time::interval(Duration::from_millis(20));
    loop {
        beat.tick().await;
        if let Some(status) = child.try_wait()? {
            bail!(
                "the server ended with {status}; its log is server.log in the demo's folder (--keep DIR keeps it)"
            );
        }
        let lines = std::fs::read_to_string(listen).unwrap_or_default();
        if let Some(line) = lines.lines().find(|line| !line.starts_with("unix:")) {
            return Ok(line.to_owned());
        }
    }
}
