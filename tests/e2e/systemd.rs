//! The service manager: what it is told, and the unit that is shipped for it.

use std::path::{Path, PathBuf};
use std::process::Output;

use anyhow::{Context, Result};
use reqwest::Method;
use tokio::net::UnixDatagram;
use tokio::process::Command;
use tokio::time::timeout;

use crate::rig::{PATIENCE, Server, Setup, binary};

/// A service manager's end of the socket.
struct Manager {
    socket: UnixDatagram,
    path: PathBuf,
}

impl Manager {
    fn listen(folder: &Path) -> Result<Self> {
        let path = folder.join("notify.sock");
        Ok(Self { socket: UnixDatagram::bind(&path)?, path })
    }

    /// A service that it starts, and wants to hear of this often.
    fn starts(&self, watchdog: &str) -> Setup {
        let variable = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let path = self.path.display().to_string();
        let variables = vec![variable("NOTIFY_SOCKET", &path), variable("WATCHDOG_USEC", watchdog)];
        Setup { variables, ..Setup::default() }
    }

    /// The next thing it is told, past signs of life if they are not what is waited for.
    async fn hears(&self, wanted: &str) -> Result<String> {
        let mut buffer = [0; 4_096];
        loop {
            let length =
                timeout(PATIENCE, self.socket.recv(&mut buffer)).await.context(wanted.to_owned())??;
            let said = std::str::from_utf8(&buffer[..length])?.to_owned();
            if said.starts_with(wanted) || !said.starts_with("WATCHDOG") {
                return Ok(said);
            }
        }
    }
}

#[tokio::test]
async fn the_service_manager_hears_of_the_start_of_life_and_of_the_end() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let manager = Manager::listen(folder.path())?;
    let server = Server::start(folder.path(), &manager.starts("60000")).await?;
    let address = server.base.trim_start_matches("http://");
    assert_eq!(manager.hears("READY").await?, format!("READY=1\nSTATUS=serving on {address}\n"));
    server.ask(Method::GET, "/readyz", None, None).await?.expect(200);
    for _ in 0..10 {
        assert_eq!(manager.hears("WATCHDOG").await?, "WATCHDOG=1\n");
    }
    assert_eq!(server.stop().await?.code(), Some(0));
    assert_eq!(manager.hears("STOPPING").await?, "STOPPING=1\nSTATUS=ending: what runs is finished\n");
    Ok(())
}

#[tokio::test]
async fn a_service_manager_that_is_gone_disturbs_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let manager = Manager::listen(folder.path())?;
    let setup = manager.starts("60000");
    drop(manager);
    let server = Server::start(folder.path(), &setup).await?;
    server.ask(Method::GET, "/readyz", None, None).await?.expect(200);
    assert_eq!(server.stop().await?.code(), Some(0));
    Ok(())
}

/// A unit, with the binary at hand in the place of the one to be installed.
fn unit(folder: &Path, name: &str) -> Result<PathBuf> {
    let shipped = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/ops/systemd").join(name);
    let text = std::fs::read_to_string(shipped)?;
    let unit = folder.join(name);
    std::fs::write(&unit, text.replace("/usr/local/bin/reclaimer", &binary()?.display().to_string()))?;
    Ok(unit)
}

async fn analyze(words: &[&str], unit: &Path) -> Result<Output> {
    let mut command = Command::new("systemd-analyze");
    command.args(words).arg(unit).env("SYSTEMD_COLORS", "0");
    command.output().await.context("the systemd-analyze program is missing; tests/run installs it")
}

#[tokio::test]
async fn the_units_are_such_that_systemd_takes_and_are_hardened() -> Result<()> {
    let folder = tempfile::tempdir()?;
    for name in ["reclaimer.service", "reclaimer-backup.service", "reclaimer-backup.timer"] {
        let unit = unit(folder.path(), name)?;
        let verified = analyze(&["verify", "--man=no"], &unit).await?;
        let said = String::from_utf8_lossy(&verified.stderr).into_owned();
        // It may complain of other units that this machine has or lacks.
        assert!(verified.status.success() && !said.contains("reclaimer"), "{said}");
        if name.ends_with(".service") {
            // In tenths; up to 2 is what it calls OK.
            let words = ["security", "--offline=true", "--no-pager", "--threshold=20"];
            let hardened = analyze(&words, &unit).await?;
            assert!(hardened.status.success(), "{}", String::from_utf8_lossy(&hardened.stdout));
        }
    }
    Ok(())
}
