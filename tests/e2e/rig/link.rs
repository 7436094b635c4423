//! A worker's end of a link, spoken by hand.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::timeout;

use super::{PATIENCE, until};

/// One connection.
#[derive(Debug)]
pub(crate) struct Peer {
    reader: BufReader<OwnedReadHalf>,
    writer: OwnedWriteHalf,
}

impl Peer {
    /// Connects to the socket of a listening link, as soon as it is there.
    pub(crate) async fn connect(path: &Path) -> Result<Self> {
        let stream = until("the link's socket", async || Ok(UnixStream::connect(path).await.ok())).await?;
        Ok(Self::new(stream))
    }

    /// Waits to be connected to.
    pub(crate) async fn accept(listener: &UnixListener) -> Result<Self> {
        let (stream, _) = timeout(PATIENCE, listener.accept()).await.context("nobody connects")??;
        Ok(Self::new(stream))
    }

    fn new(stream: UnixStream) -> Self {
        let (reader, writer) = stream.into_split();
        Self { reader: BufReader::new(reader), writer }
    }

    /// Sends bytes as they are.
    pub(crate) async fn send(&mut self, bytes: impl AsRef<[u8]>) -> Result<()> {
        timeout(PATIENCE, self.writer.write_all(bytes.as_ref())).await.context("it takes nothing in")??;
        Ok(())
    }

    /// Says something in the envelope dialect.
    pub(crate) async fn say(&mut self, kind: &str, key: &str, payload: Value) -> Result<()> {
        self.send(envelope(kind, key, payload)).await
    }

    /// Says something in the flat dialect, without a delimiter, as its crawlers do.
    pub(crate) async fn flat(&mut self, kind: &str, job: Option<&Value>, data: Value) -> Result<()> {
        let mut frame = json!({ "type": kind, "timestamp": "2025-07-12T10:00:00.000Z", "data": data });
        if let Some(job) = job {
            frame["jobId"] = job["id"].clone();
        }
        self.send(frame.to_string()).await
    }

    /// The next line as it is, with its newline; empty at the end.
    pub(crate) async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        timeout(PATIENCE, self.reader.read_line(&mut line)).await.context("nothing is said")??;
        Ok(line)
    }

    /// Takes in some bytes, whatever they say.
    pub(crate) async fn take_in(&mut self, count: usize) -> Result<()> {
        self.reader.read_exact(&mut vec![0; count]).await?;
        Ok(())
    }

    /// The next message of this key or type, past others.
    pub(crate) async fn hear(&mut self, key: &str) -> Result<Value> {
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                bail!("the connection ended before `{key}` was said");
            }
            let message: Value = serde_json::from_str(&line).with_context(|| line.clone())?;
            if message["key"] == key || (message["key"].is_null() && message["type"] == key) {
                return Ok(message);
            }
        }
    }

    /// Waits until the other end closes, whatever it says before.
    pub(crate) async fn closed(&mut self) -> Result<()> {
        let mut rest = Vec::new();
        match timeout(PATIENCE, self.reader.read_to_end(&mut rest)).await.context("it does not close")? {
            // What was sent and not read resets the connection.
            Err(error) if error.kind() != std::io::ErrorKind::ConnectionReset => Err(error.into()),
            Ok(_) | Err(_) => Ok(()),
        }
    }

    /// Says that nothing more comes, and still listens.
    pub(crate) async fn half_close(&mut self) -> Result<()> {
        Ok(self.writer.shutdown().await?)
    }

    /// Introduces itself as a worker of protocol 2, which holds these leases from before.
    pub(crate) async fn register(&mut self, worker: &str, leases: &[&Value]) -> Result<()> {
        let features = ["lease", "cancel", "reattach", "ack"];
        let payload = json!({ "workerId": worker, "protocol": 2, "features": features, "leases": leases });
        self.say("message", "registered", payload).await
    }

    /// Asks for jobs and answers those it gets.
    pub(crate) async fn open(&mut self, limit: u32, wait: u32) -> Result<Vec<Value>> {
        self.say("jobRequest", "request_jobs", json!({ "limit": limit, "wait": wait })).await?;
        let answer = self.hear("jobs_available").await?;
        answer["payload"].as_array().cloned().context("no array of jobs")
    }

    /// Reports on a job by its lease.
    pub(crate) async fn report(&mut self, job: &Value, status: &str) -> Result<()> {
        let payload = json!({ "taskId": job["id"], "lease": job["lease"]["token"], "status": status });
        self.say("message", "PROGRESS_UPDATE", payload).await
    }

    /// Asks for one job in the flat dialect, again and again until there is one.
    pub(crate) async fn flat_open(&mut self) -> Result<Value> {
        timeout(PATIENCE, async {
            loop {
                self.flat("job_request", None, json!({})).await?;
                let answer = self.hear("job_response").await?;
                let jobs = answer["data"]["jobs"].as_array().context("no array of jobs")?;
                if let Some(job) = jobs.first() {
                    return Ok(job.clone());
                }
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
        })
        .await
        .context("no job")?
    }
}

/// The bytes of an envelope.
pub(crate) fn envelope(kind: &str, key: &str, payload: Value) -> Vec<u8> {
    let frame = json!({
        "origin": "external-crawler", "destination": "web-server", "type": kind, "key": key,
        "payload": payload, "timestamp": 1_748_966_400_000_u64,
    });
    frame.to_string().into_bytes()
}

/// A provider of credentials that counts how often it is asked.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) url: String,
    asked: Arc<AtomicUsize>,
}

impl Provider {
    /// One that answers with this status and body.
    pub(crate) async fn answering(status: u16, body: Value) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}/token", listener.local_addr()?);
        let asked = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&asked);
        let body = body.to_string();
        let answer = format!(
            "HTTP/1.1 {status} X\r\ncontent-type: application/json\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                let mut request = [0; 4_096];
                // The whole request comes in one piece over loopback, and what it says does not matter here.
                drop(stream.read(&mut request).await);
                drop(stream.write_all(answer.as_bytes()).await);
            }
        });
        Ok(Self { url, asked })
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.asked.load(Ordering::Relaxed)
    }

    /// The settings of it, as the provider `g`.
    pub(crate) fn config(&self) -> String {
        format!("[[oauth.provider]]\nid = \"g\"\ntoken_url = \"{}\"\nclient_id = \"us\"\n", self.url)
    }
}
