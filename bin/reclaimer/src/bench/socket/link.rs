//! Workers of the link: envelope dialect, protocol 2.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use reclaimer_messaging::frame::{Decoder, Frame, Limits};
use serde::Deserialize;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::Mutex;

use crate::bench::drive::{Done, drive};
use crate::bench::http::load::Handed;

/// Connected workers.
#[derive(Clone)]
pub(super) struct Workers(Arc<[Mutex<Worker>]>);

/// One worker and its connection.
struct Worker {
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

impl Workers {
    /// So many workers at the socket of a link.
    pub(super) async fn connect(socket: &Path, many: usize) -> Result<Self> {
        let mut workers = Vec::new();
        for number in 0..many {
            workers.push(Mutex::new(Worker::connect(socket, number).await?));
        }
        Ok(Self(workers.into()))
    }

    /// Each takes so many jobs with a request and reports each finished, again and again. What is counted is durable
    /// operations on jobs: that one was taken, and that one was reported.
    pub(super) async fn take_and_report(&self, many: usize, length: Duration) -> Result<Done> {
        drive(self.0.len(), length, |number| {
            let workers = self.clone();
            move || {
                let workers = workers.clone();
                async move { workers.0[number].lock().await.take_and_report(many).await }
            }
        })
        .await
    }
}

impl Worker {
    async fn connect(socket: &Path, number: usize) -> Result<Self> {
        let stream = UnixStream::connect(socket).await.context("the link cannot be reached")?;
        let mut worker = Self { stream, decoder: Decoder::new(Limits::default()), out: String::new() };
        worker.hear("register", |_| Ok(())).await?;
        let registered =
            format!(r#"{{"workerId":"bench-{number}","protocol":2,"features":["ack"],"capacity":1000}}"#);
        worker.say("message", "registered", &registered);
        worker.send().await?;
        Ok(worker)
    }

    async fn take_and_report(&mut self, many: usize) -> Result<u64> {
        self.say("jobRequest", "request_jobs", &format!(r#"{{"limit":{many},"queue":"default"}}"#));
        self.send().await?;
        let reports = self
            .hear("jobs_available", |frame| {
                let jobs: Jobs<'_> = serde_json::from_slice(frame).context("jobs that cannot be read")?;
                Ok(jobs.payload.iter().map(Handed::done).collect::<Vec<_>>())
            })
            .await?;
        for report in &reports {
            self.say("message", "PROGRESS_UPDATE", report);
        }
        self.send().await?;
        for _ in &reports {
            self.hear("ack", |_| Ok(())).await?;
        }
        Ok(2 * reports.len() as u64)
    }

    /// Puts a frame with those that are sent next.
    fn say(&mut self, kind: &str, key: &str, payload: &str) {
        self.out.push_str(r#"{"origin":"external-crawler","destination":"web-server","type":""#);
        for part in [kind, r#"","key":""#, key, r#"","payload":"#, payload, "}\n"] {
            self.out.push_str(part);
        }
    }

    async fn send(&mut self) -> Result<()> {
        self.stream.write_all(self.out.as_bytes()).await?;
        self.out.clear();
        Ok(())
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
