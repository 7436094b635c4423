//! One connection of the worker link: envelope dialect, protocol 2.

use std::path::Path;

use anyhow::{Context, Result, bail, ensure};
use reclaimer_messaging::frame::{Decoder, Frame, Limits};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;

use crate::bench::http::load::Handed;

/// A worker's end of it.
pub(crate) struct Session {
    stream: UnixStream,
    decoder: Decoder,
    out: String,
}

#[derive(Deserialize)]
struct Key<'a> {
    key: &'a str,
}

#[derive(Deserialize)]
struct Jobs<'a> {
    #[serde(borrow)]
    payload: Vec<Handed<'a>>,
}

impl Session {
    /// Connects to the socket of a link, and introduces the worker of this name.
    pub(crate) async fn connect(socket: &Path, worker: &str) -> Result<Self> {
        let stream = UnixStream::connect(socket).await.context("the link cannot be reached")?;
        let mut session = Self { stream, decoder: Decoder::new(Limits::default()), out: String::new() };
        session.hear("register", |_| Ok(())).await?;
        let registered =
            format!(r#"{{"workerId":"{worker}","protocol":2,"features":["ack","next"],"capacity":1000}}"#);
        session.say("message", "registered", &registered);
        session.send().await?;
        Ok(session)
    }

    /// Asks for up to so many jobs, and to be answered at once, or within so many seconds.
    pub(crate) fn request(&mut self, limit: usize, wait: u64) {
        let asked = format!(r#"{{"limit":{limit},"queue":"default","wait":{wait}}}"#);
        self.say("jobRequest", "request_jobs", &asked);
    }

    /// Reads the answer to a request for jobs.
    ///
    /// # Cancel safety
    /// What was read so far is kept.
    pub(crate) async fn jobs<T>(&mut self, read: fn(&Handed<'_>) -> T) -> Result<Vec<T>> {
        self.hear("jobs_available", |frame| {
            let jobs: Jobs<'_> = serde_json::from_slice(frame).context("jobs that cannot be read")?;
            Ok(jobs.payload.iter().map(read).collect())
        })
        .await
    }

    /// Puts a report with what is sent next; it will be receipted.
    pub(crate) fn report(&mut self, report: &str) {
        self.say("message", "PROGRESS_UPDATE", report);
    }

    /// The same of a report that asks for up to so many jobs next: they come behind its receipt.
    pub(crate) fn report_for_next(&mut self, report: &str, limit: usize) {
        let fields = report.trim_end_matches('}');
        self.report(&format!(r#"{fields},"next":{{"limit":{limit},"queue":"default"}}}}"#));
    }

    /// Waits for the receipt of a report.
    pub(crate) async fn receipt(&mut self) -> Result<()> {
        self.hear("ack", |_| Ok(())).await
    }

    /// Sends a sign of life.
    pub(crate) async fn beat(&mut self) -> Result<()> {
        self.say("heartbeat", "heartbeat", "{}");
        self.send().await
    }

    /// Sends what was said.
    pub(crate) async fn send(&mut self) -> Result<()> {
        self.stream.write_all(self.out.as_bytes()).await?;
        self.out.clear();
        Ok(())
    }

    /// Puts a frame with those that are sent next.
    fn say(&mut self, kind: &str, key: &str, payload: &str) {
        self.out.push_str(r#"{"origin":"external-crawler","destination":"web-server","type":""#);
        for part in [kind, r#"","key":""#, key, r#"","payload":"#, payload, "}\n"] {
            self.out.push_str(part);
        }
    }

    /// The next frame that is no sign of life, which is to have this key.
    async fn hear<T>(&mut self, wanted: &str, read: impl FnOnce(&[u8]) -> Result<T>) -> Result<T> {
        loop {
            if let Some(frame) = self.decoder.next_frame() {
                let Frame::Whole(bytes) = frame else { bail!("the server sent rubbish: a defect") };
                let Key { key } = serde_json::from_slice(bytes)?;
                if key == "heartbeat" {
                    continue;
                }
                ensure!(key == wanted, "instead of `{wanted}` came {}", String::from_utf8_lossy(bytes));
                return read(bytes);
            }
            ensure!(
                self.stream.read_buf(self.decoder.buffer()).await? > 0,
                "the server closed the connection"
            );
        }
    }
}
