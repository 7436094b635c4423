//! A server of one's own, as the demo and the measurements need it: a process that ends with its parent.

use std::io::ErrorKind;
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
pub(crate) struct ServerProcess {
    child: Child,
    /// Where it listens on TCP, as `IP:PORT`.
    pub(crate) address: String,
    pub(crate) base: Url,
    pub(crate) admin_token: Secret,
    pub(crate) worker_token: PathBuf,
}

impl ServerProcess {
    /// Starts it in this folder with these settings, which need not say where it listens, and waits until it does: at a TCP
    /// port that was free, and at `socket` where one is named.
    pub(crate) async fn start(folder: &Path, settings: &str, socket: Option<&Path>) -> Result<Self> {
        let (config, data) = (folder.join("reclaimer.toml"), folder.join("data"));
        std::fs::write(&config, settings).with_context(|| format!("cannot write {}", config.display()))?;
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("serve").arg("--config").arg(&config).arg("--data").arg(&data);
        command.args(["--listen", "127.0.0.1:0"]).arg("--leashed");
        if let Some(socket) = socket {
            command.arg("--listen").arg(format!("unix:{}", socket.display()));
        }
        let (child, address) =
            start_leashed(command, &data.join("listen"), &folder.join("server.log")).await?;
        let admin_token = Secret::new(std::fs::read_to_string(data.join("admin.token"))?.trim());
        let base = format!("http://{address}/").parse()?;
        Ok(Self { child, address, base, admin_token, worker_token: data.join("worker.token") })
    }

    /// Its process.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.child.id().context("the server has ended by itself")
    }

    /// Ends it as a crash does.
    pub(crate) async fn kill(mut self) -> Result<()> {
        Ok(self.child.kill().await?)
    }

    /// Ends it in order.
    pub(crate) async fn stop(mut self) -> Result<()> {
        kill(Pid::from_raw(i32::try_from(self.pid()?)?), Signal::SIGTERM)?;
        self.child.wait().await?;
        Ok(())
    }
}

/// Starts a server that ends when its standard input closes, and waits until it has written down where it listens;
/// answers its first TCP address. What it says goes to `log`.
pub(crate) async fn start_leashed(
    mut command: Command,
    listen: &Path,
    log: &Path,
) -> Result<(Child, String)> {
    // What an earlier one wrote down, and could not take away, is not its.
    match std::fs::remove_file(listen) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error.into()),
        Ok(()) | Err(_) => {}
    }
    let mut child = command
        // The pipe closes with this process, however it ends, and so does the server.
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(std::fs::File::create(log)?)
        // Ctrl-C in the terminal is for this process, which then ends its server in order.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start the server")?;
    let address = tokio::time::timeout(START_WITHIN, address(&mut child, listen, log))
        .await
        .context("the server did not listen in time")??;
    Ok((child, address))
}

/// The TCP address that the server wrote down.
async fn address(child: &mut Child, listen: &Path, log: &Path) -> Result<String> {
    let mut beat = tokio::time::interval(Duration::from_millis(2));
    loop {
        beat.tick().await;
        if let Some(status) = child.try_wait()? {
            let said = std::fs::read_to_string(log).unwrap_or_default();
            bail!("the server ended with {status}: {}", said.lines().last().unwrap_or("it said nothing"));
        }
        let lines = std::fs::read_to_string(listen).unwrap_or_default();
        if let Some(line) = lines.lines().find(|line| !line.starts_with("unix:")) {
            return Ok(line.to_owned());
        }
    }
}
