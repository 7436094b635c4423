//! The crawlers: real processes that are hired, killed, stopped, woken and dismissed.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use url::Url;

/// What every crawler is told.
#[derive(Debug)]
pub(super) struct Orders {
    pub(super) server: Url,
    pub(super) token_file: PathBuf,
    /// The socket of the link.
    pub(super) socket: PathBuf,
    pub(super) pace: Duration,
    pub(super) confusion: f64,
    pub(super) seed: u64,
}

/// What a crawler experiences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// It took a job.
    Took { crawler: String, job: String, path: String },
    /// It reported a job done, and that counted.
    Done,
    /// It repeated a report, which counted once.
    Repeated { crawler: String, path: String },
    /// It reported too late: the job was somebody else's.
    Refused { crawler: String, path: String },
    /// It hung up before it read the answer to a report.
    HungUp { crawler: String, path: String },
    /// Its process ended.
    Gone { crawler: String },
}

/// All crawlers.
#[derive(Debug)]
pub(super) struct Fleet {
    orders: Orders,
    hired: u32,
    silent: bool,
    crawlers: BTreeMap<String, Child>,
    news: mpsc::UnboundedReceiver<News>,
    tell: mpsc::UnboundedSender<News>,
}

impl Fleet {
    pub(super) fn new(orders: Orders) -> Result<Self> {
        let (tell, news) = mpsc::unbounded_channel();
        Ok(Self { orders, hired: 0, silent: false, crawlers: BTreeMap::new(), news, tell })
    }

    /// Starts one more crawler.
    pub(super) fn hire(&mut self) -> Result<()> {
        self.hired += 1;
        let name = format!("crawler-{}", self.hired);
        let mut command = Command::new(std::env::current_exe()?);
        command.arg("crawl");
        // One over HTTP, one over the link, and so on in turns.
        if self.hired.is_multiple_of(2) {
            command.arg("--socket").arg(&self.orders.socket);
        } else {
            command.args(["--server", self.orders.server.as_str()]);
            command.arg("--token-file").arg(&self.orders.token_file);
        }
        command
            .args(["--worker", &name])
            .args(["--pace", &humantime::format_duration(self.orders.pace).to_string()])
            .args(["--confusion", &self.orders.confusion.to_string()])
            .args(["--seed", &self.orders.seed.to_string()])
            .args(self.silent.then_some("--no-areas"))
            // The pipe closes with the demo, however it ends, and so does the crawler.
            .arg("--leashed")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = command.spawn().context("cannot start a crawler")?;
        let lines = BufReader::new(child.stdout.take().context("a crawler without output")?).lines();
        tokio::spawn(listen(name.clone(), lines, self.tell.clone()));
        self.crawlers.insert(name, child);
        Ok(())
    }

    /// The next thing that a crawler experiences.
    pub(super) async fn news(&mut self) -> News {
        match self.news.recv().await {
            Some(news) => {
                if let News::Gone { crawler } = &news {
                    self.crawlers.remove(crawler);
                }
                news
            }
            // Cannot happen while `tell` lives; waiting for ever is what no news means.
            None => std::future::pending().await,
        }
    }

    /// Kills a crawler, as a crash does.
    pub(super) fn kill(&self, crawler: &str) -> Result<()> {
        self.signal(crawler, Signal::SIGKILL)
    }

    /// Stops a crawler, as a hang does, and wakes it after a while.
    pub(super) fn stop_for(&self, crawler: &str, length: Duration) -> Result<()> {
        self.signal(crawler, Signal::SIGSTOP)?;
        if let Some(pid) = self.pid(crawler) {
            tokio::spawn(async move {
                tokio::time::sleep(length).await;
                // It may have ended meanwhile; then there is nobody to wake.
                let _ = kill(pid, Signal::SIGCONT);
            });
        }
        Ok(())
    }

    /// Tells every crawler, present and future, to report no more finds.
    pub(super) fn silence(&mut self) {
        if !std::mem::replace(&mut self.silent, true) {
            for crawler in self.crawlers.keys() {
                // One that has just ended needs no telling.
                let _ = self.signal(crawler, Signal::SIGUSR1);
            }
        }
    }

    /// Ends every crawler in order.
    pub(super) async fn dismiss(&mut self) {
        for crawler in self.crawlers.keys() {
            let _ = self.signal(crawler, Signal::SIGCONT);
            let _ = self.signal(crawler, Signal::SIGTERM);
        }
        for child in self.crawlers.values_mut() {
            let _ = child.wait().await;
        }
        self.crawlers.clear();
    }

    fn pid(&self, crawler: &str) -> Option<Pid> {
        let id = self.crawlers.get(crawler)?.id()?;
        Some(Pid::from_raw(i32::try_from(id).ok()?))
    }

    fn signal(&self, crawler: &str, signal: Signal) -> Result<()> {
        if let Some(pid) = self.pid(crawler) {
            kill(pid, signal).with_context(|| format!("cannot send {signal} to {crawler}"))?;
        }
        Ok(())
    }
}

/// Reads what a crawler says until it ends.
async fn listen(
    crawler: String,
    mut lines: tokio::io::Lines<BufReader<tokio::process::ChildStdout>>,
    tell: mpsc::UnboundedSender<News>,
) {
    let mut path = String::new();
    while let Ok(Some(line)) = lines.next_line().await {
        let Ok(said) = serde_json::from_str::<Value>(&line) else { continue };
        if let Some(taken) = said["path"].as_str() {
            taken.clone_into(&mut path);
        }
        let (crawler, path) = (crawler.clone(), path.clone());
        let job = said["job"].as_str().unwrap_or_default().to_owned();
        let news = match said["did"].as_str() {
            Some("took") => News::Took { crawler, job, path },
            Some("applied") => News::Done,
            Some("duplicate") => News::Repeated { crawler, path },
            Some("refused") => News::Refused { crawler, path },
            Some("hung_up") => News::HungUp { crawler, path },
            _ => continue,
        };
        // The demo may have ended; then nobody wants to know.
        let _ = tell.send(news);
    }
    let _ = tell.send(News::Gone { crawler });
}
