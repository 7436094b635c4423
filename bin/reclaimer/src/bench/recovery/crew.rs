//! The workers: real processes that are started, listened to, killed, stopped and cut off.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::time::{Instant, timeout};

use super::PATIENCE;

/// How a worker takes jobs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Over {
    Http,
    Link,
}

/// The sockets of a measurement.
#[derive(Debug)]
pub(super) struct Sockets {
    folder: tempfile::TempDir,
}

impl Sockets {
    pub(super) fn new() -> Result<Self> {
        Ok(Self { folder: tempfile::tempdir()? })
    }

    pub(super) fn http(&self) -> PathBuf {
        self.folder.path().join("http")
    }

    pub(super) fn link(&self) -> PathBuf {
        self.folder.path().join("link")
    }

    /// Where workers tell what they do.
    pub(super) fn tell(&self) -> PathBuf {
        self.folder.path().join("tell")
    }
}

/// What a worker did, and when that was known here.
#[derive(Debug)]
pub(super) struct News {
    pub(super) at: Instant,
    pub(super) worker: String,
    pub(super) what: What,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) enum What {
    /// Its process runs.
    Came(Pid),
    /// It was handed a job, for so many a time.
    Took { job: String, epoch: u64 },
    /// It has done what a job asks for, and will report it.
    Did { job: String },
    /// Its report was taken.
    Done { job: String },
    /// Its process is gone, which was this one.
    Gone(Option<Pid>),
}

/// All workers.
#[derive(Debug)]
pub(super) struct Crew {
    sockets: Sockets,
    hired: usize,
    /// Those that were started from here.
    children: HashMap<String, Child>,
    /// Those that run.
    present: HashMap<String, Pid>,
    /// How many have ended.
    pub(super) gone: usize,
    news: mpsc::UnboundedReceiver<News>,
}

impl Crew {
    /// Nobody yet.
    pub(super) fn new(sockets: Sockets) -> Result<Self> {
        let listener = UnixListener::bind(sockets.tell())?;
        let (tell, news) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(listen(stream, tell.clone()));
            }
        });
        Ok(Self { sockets, hired: 0, children: HashMap::new(), present: HashMap::new(), gone: 0, news })
    }

    /// Starts one more worker.
    pub(super) fn hire(&mut self, over: Over) -> Result<()> {
        self.hired += 1;
        let name = format!("w{}", self.hired);
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["bench", "worker"]).arg(self.sockets.tell()).args(["--name", &name]);
        match over {
            Over::Http => command.arg("--http").arg(self.sockets.http()),
            Over::Link => command.arg("--link").arg(self.sockets.link()),
        };
        command
            // The pipe closes with this process, however it ends, and so does the worker.
            .arg("--leashed")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        self.children.insert(name, command.spawn().context("cannot start a worker")?);
        Ok(())
    }

    /// The next thing that a worker does.
    pub(super) async fn news(&mut self) -> Result<News> {
        let news = timeout(PATIENCE, self.news.recv()).await.context("no worker does anything: a defect")?;
        let news = news.context("the listener to the workers has ended")?;
        match &news.what {
            What::Came(pid) => drop(self.present.insert(news.worker.clone(), *pid)),
            What::Gone(pid) => {
                self.gone += 1;
                // One that takes its place under the same name may have come already.
                if self.present.get(&news.worker) == pid.as_ref() {
                    self.present.remove(&news.worker);
                }
                self.children.remove(&news.worker);
            }
            What::Took { .. } | What::Did { .. } | What::Done { .. } => {}
        }
        Ok(news)
    }

    /// Waits until so many are there, whatever else happens meanwhile.
    pub(super) async fn present(&mut self, many: usize) -> Result<()> {
        while self.present.len() < many {
            self.news().await?;
        }
        Ok(())
    }

    /// Those that are there.
    pub(super) fn names(&self) -> impl ExactSizeIterator<Item = &String> {
        self.present.keys()
    }

    /// Counts a worker that was killed as gone, before its end is heard.
    pub(super) fn forget(&mut self, worker: &str) {
        self.present.remove(worker);
    }

    /// Sends a worker a signal; false when it is gone already.
    pub(super) fn signal(&self, worker: &str, signal: Signal) -> bool {
        self.present.get(worker).is_some_and(|pid| kill(*pid, signal).is_ok())
    }
}

/// Reads what a worker tells until it is gone.
async fn listen(stream: UnixStream, tell: mpsc::UnboundedSender<News>) {
    let mut lines = BufReader::new(stream).lines();
    let (mut worker, mut process) = (String::new(), None);
    while let Ok(Some(line)) = lines.next_line().await {
        let at = Instant::now();
        let words: Vec<&str> = line.split(' ').collect();
        let what = match words.as_slice() {
            ["came", name, pid] => {
                (*name).clone_into(&mut worker);
                process = pid.parse().ok().map(Pid::from_raw);
                process.map(What::Came)
            }
            ["took", job, epoch] => {
                epoch.parse().ok().map(|epoch| What::Took { job: (*job).to_owned(), epoch })
            }
            ["did", job] => Some(What::Did { job: (*job).to_owned() }),
            ["done", job] => Some(What::Done { job: (*job).to_owned() }),
            _ => None,
        };
        // Whoever measures may have ended; then nobody wants to know.
        let _ = what.map(|what| tell.send(News { at, worker: worker.clone(), what }));
    }
    let _ = tell.send(News { at: Instant::now(), worker, what: What::Gone(process) });
}

/// A configuration of a path.
pub(super) fn quoted(path: &Path) -> String {
    format!("{:?}", path.to_string_lossy())
}
