//! The worker's side of the link: the envelope dialect, protocol 2, over a socket that the server listens on.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use reclaimer_messaging::frame::{Decoder, Frame, Limits};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::time::timeout;

use super::source::{PAUSE, Reported, TRIES, WAIT_SECONDS, with_lease};

/// Between two signs of life.
const BEAT: Duration = Duration::from_millis(500);
/// A server that says nothing for so long is as good as gone.
const SILENCE: Duration = Duration::from_secs(30);

/// One worker, and its connection while there is one.
#[derive(Debug)]
pub(super) struct Link {
    path: PathBuf,
    worker: String,
    connection: Option<Connection>,
    /// The lease that it holds, by which it is known again after a lost connection.
    held: Option<Value>,
    /// The job whose last report counted; said again, it is a repetition.
    settled: Option<Value>,
}

#[derive(Debug)]
struct Connection {
    stream: UnixStream,
    decoder: Decoder,
}

impl Link {
    pub(super) fn new(path: &Path, worker: String) -> Self {
        Self { path: path.to_owned(), worker, connection: None, held: None, settled: None }
    }

    /// One job, when there is one.
    pub(super) async fn open(&mut self, queue: &str) -> Result<Vec<Value>> {
        let request = json!({ "limit": 1, "queue": queue, "wait": WAIT_SECONDS });
        let answer = self.ask("jobRequest", "request_jobs", &request, |key, _| {
            ["jobs_available", "jobs_error", "START_JOB"].contains(&key)
        });
        let (key, payload) = answer.await?;
        let jobs = match (key.as_str(), payload) {
            ("jobs_available", Value::Array(jobs)) => jobs,
            ("START_JOB", mut job) => {
                job["id"] = job["jobId"].clone();
                vec![job]
            }
            (_, error) => {
                let pause = error["retryAfterMs"].as_u64().unwrap_or(1_000);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                Vec::new()
            }
        };
        self.settled = None;
        self.held = jobs.first().map(|job| job["lease"]["token"].clone());
        Ok(jobs)
    }

    /// Reports on a job, and waits for the receipt.
    pub(super) async fn report(&mut self, job: &Value, report: Value) -> Result<Reported> {
        let last = report["status"] != "started" && report["status"] != "new_areas_discovered";
        let report = with_lease(job, report);
        let receipt = self.ask("message", "PROGRESS_UPDATE", &report, |key, payload| {
            (key == "ack" || key == "nack") && payload["taskId"] == job["id"]
        });
        let (key, payload) = receipt.await?;
        match (key.as_str(), payload["code"].as_str()) {
            ("ack", _) if self.settled.as_ref() == Some(&job["id"]) => Ok(Reported::Duplicate),
            ("ack", _) => {
                if last {
                    self.held = None;
                    self.settled = Some(job["id"].clone());
                }
                Ok(Reported::Applied)
            }
            (_, Some("stale_lease")) => {
                self.held = None;
                Ok(Reported::Stale)
            }
            (_, code) => bail!("a report was refused: {}: {payload}", code.unwrap_or("without a code")),
        }
    }

    /// Reports on a job, and cuts the connection before the receipt is there.
    pub(super) async fn report_and_hang_up(&mut self, job: &Value, report: Value) {
        if let Some(connection) = &mut self.connection {
            let report = with_lease(job, report);
            // What became of it is not known here, whether it was written or not.
            drop(connection.say("message", "PROGRESS_UPDATE", &report).await);
        }
        self.connection = None;
    }

    /// Does something that takes its time, and gives signs of life meanwhile.
    pub(super) async fn beat_during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        let mut beat = tokio::time::interval(BEAT);
        loop {
            tokio::select! {
                done = &mut work => return done,
                _ = beat.tick() => {
                    let lost = match &mut self.connection {
                        Some(connection) => connection.beat().await.is_err(),
                        None => false,
                    };
                    if lost {
                        self.connection = None;
                    }
                }
            }
        }
    }

    /// Says something and waits for an answer, over as many connections as it takes.
    async fn ask(
        &mut self,
        kind: &str,
        key: &str,
        payload: &Value,
        answers: impl Fn(&str, &Value) -> bool,
    ) -> Result<(String, Value)> {
        let mut tries = 0;
        loop {
            tries += 1;
            let mut connection = match self.connection.take() {
                Some(connection) => connection,
                None => match self.connect().await {
                    Ok(connection) => connection,
                    Err(error) if tries >= TRIES => return Err(error),
                    Err(_) => {
                        tokio::time::sleep(PAUSE).await;
                        continue;
                    }
                },
            };
            let asked = async {
                connection.say(kind, key, payload).await?;
                loop {
                    let (key, payload) = connection.hear().await?;
                    if answers(&key, &payload) {
                        return Ok((key, payload));
                    }
                }
            };
            match asked.await {
                Ok(answer) => {
                    self.connection = Some(connection);
                    return Ok(answer);
                }
                Err(error) if tries >= TRIES => return Err(error),
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    /// Connects, and says who it is and what it holds.
    async fn connect(&self) -> Result<Connection> {
        let path = self.path.display();
        let stream = UnixStream::connect(&self.path).await;
        let stream = stream.with_context(|| format!("the server cannot be reached at {path}"))?;
        let mut connection = Connection { stream, decoder: Decoder::new(Limits::default()) };
        while connection.hear().await?.0 != "register" {}
        let registered = json!({
            "workerId": self.worker, "protocol": 2, "features": ["lease", "reattach", "ack"], "capacity": 1,
            "leases": self.held.iter().collect::<Vec<_>>(),
        });
        connection.say("message", "registered", &registered).await?;
        Ok(connection)
    }
}

impl Connection {
    async fn say(&mut self, kind: &str, key: &str, payload: &Value) -> Result<()> {
        let frame = json!({
            "origin": "external-crawler", "destination": "web-server", "type": kind, "key": key, "payload": payload,
        });
        Ok(self.stream.write_all(format!("{frame}\n").as_bytes()).await?)
    }

    async fn beat(&mut self) -> Result<()> {
        self.say("heartbeat", "heartbeat", &json!({})).await
    }

    /// The next message, by its key; signs of life are given while it is waited for.
    async fn hear(&mut self) -> Result<(String, Value)> {
        let mut silent = Duration::ZERO;
        loop {
            if let Some(Frame::Whole(bytes)) = self.decoder.next_frame() {
                let mut message: Value = serde_json::from_slice(bytes)?;
                let key = message["key"].as_str().unwrap_or_default().to_owned();
                return Ok((key, message["payload"].take()));
            }
            match timeout(BEAT, self.stream.read_buf(self.decoder.buffer())).await {
                Ok(Ok(0)) => bail!("the server closed the connection"),
                Ok(read) => {
                    read?;
                    silent = Duration::ZERO;
                }
                Err(_) => {
                    silent += BEAT;
                    if silent >= SILENCE {
                        bail!("nothing was heard of the server for {} s", SILENCE.as_secs());
                    }
                    self.beat().await?;
                }
            }
        }
    }
}
