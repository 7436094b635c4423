//! A program on a terminal of its own, and what stands on its screen.

use std::fs::File;
use std::io::{Read, Write};
use std::num::NonZero;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail};
use nix::pty::{Winsize, openpty};
use nix::sys::signal::{Signal, kill};
use nix::sys::termios::{Termios, tcgetattr};
use nix::unistd::Pid;
use tokio::process::{Child, Command};

use super::server::binary;
use super::{PATIENCE, until};

const ROWS: NonZero<u16> = NonZero::new(40).unwrap();
const COLUMNS: NonZero<u16> = NonZero::new(140).unwrap();

/// `reclaimer` on a terminal.
#[derive(Debug)]
pub(crate) struct Terminal {
    child: Child,
    keys: File,
    /// Kept open, so that its settings can be read after the program.
    slave: OwnedFd,
    before: Termios,
    screen: Arc<Mutex<Screen>>,
}

struct Screen(vt100::Parser);

impl std::fmt::Debug for Screen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0.screen().contents())
    }
}

impl Terminal {
    /// Starts it in this folder, as the program of a session whose terminal this is.
    pub(crate) fn run(folder: &Path, words: &[&str]) -> Result<Self> {
        let size = Winsize { ws_row: ROWS.get(), ws_col: COLUMNS.get(), ws_xpixel: 0, ws_ypixel: 0 };
        let pty = openpty(Some(&size), None)?;
        let slave = || -> Result<Stdio> { Ok(pty.slave.as_fd().try_clone_to_owned()?.into()) };
        let before = tcgetattr(&pty.slave)?;
        let child = Command::new("setsid")
            .arg("--ctty")
            .arg(binary()?)
            .args(words)
            .current_dir(folder)
            .env("TERM", "xterm-256color")
            .env_remove("RECLAIMER_TOKEN")
            .stdin(slave()?)
            .stdout(slave()?)
            .stderr(slave()?)
            .kill_on_drop(true)
            .spawn()
            .context("the setsid program is missing; tests/run installs it")?;
        let screen = Arc::new(Mutex::new(Screen(vt100::Parser::new(ROWS, COLUMNS, 0))));
        let mut said = File::from(pty.master.as_fd().try_clone_to_owned()?);
        let drawn = Arc::clone(&screen);
        std::thread::spawn(move || {
            let mut part = [0; 4_096];
            // Reading ends when the last who could write has gone.
            while let Ok(read @ 1..) = said.read(&mut part) {
                drawn.lock().unwrap_or_else(PoisonError::into_inner).0.process(&part[..read]);
            }
        });
        Ok(Self { child, keys: File::from(pty.master), slave: pty.slave, before, screen })
    }

    /// What stands on the screen.
    pub(crate) fn screen(&self) -> String {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).0.screen().contents()
    }

    /// Whether it draws on the screen that programs have for themselves.
    pub(crate) fn is_on_its_own_screen(&self) -> bool {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).0.screen().alternate_screen()
    }

    /// Presses keys.
    pub(crate) fn press(&mut self, keys: &str) -> Result<()> {
        Ok(self.keys.write_all(keys.as_bytes())?)
    }

    /// Waits until the screen shows all of this.
    pub(crate) async fn shows(&self, parts: &[&str]) -> Result<String> {
        let what = format!("{parts:?} to be shown");
        let shown = until(&what, async || {
            let screen = self.screen();
            Ok(parts.iter().all(|part| screen.contains(part)).then_some(screen))
        });
        match shown.await {
            Ok(screen) => Ok(screen),
            Err(error) => bail!("{error}; the screen:\n{}", self.screen()),
        }
    }

    /// Sends it a signal.
    pub(crate) fn signal(&self, signal: Signal) -> Result<()> {
        let pid = self.child.id().context("it has ended")?;
        Ok(kill(Pid::from_raw(i32::try_from(pid)?), signal)?)
    }

    /// Waits for its end, and answers how it ended and whether the terminal is as it was before.
    pub(crate) async fn ended(mut self) -> Result<(ExitStatus, bool)> {
        let status = tokio::time::timeout(PATIENCE, self.child.wait()).await??;
        let as_before = tcgetattr(&self.slave)?.local_flags == self.before.local_flags;
        until("the shell's screen to be back", async || Ok((!self.is_on_its_own_screen()).then_some(())))
            .await?;
        Ok((status, as_before))
    }
}
