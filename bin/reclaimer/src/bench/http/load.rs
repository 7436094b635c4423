//! What clients ask, over connections that are kept.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use serde_json::json;
use tokio::sync::Mutex;

use super::wire::{Address, Connection, request};
use crate::bench::drive::{Done, drive};
use crate::bench::store::payload;

/// What a client asks of our server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Work {
    /// Creates so many jobs with a request.
    Create(usize),
    /// Takes so many jobs with a request, and reports them finished with another.
    TakeAndReport(usize),
}

/// Connections to a server.
#[derive(Clone)]
pub(crate) struct Clients {
    connections: Arc<[Mutex<Connection>]>,
    token: Arc<str>,
    /// How many jobs wait.
    waiting: Arc<AtomicU64>,
}

/// What a client reads of a job that it was handed.
#[derive(Deserialize)]
pub(crate) struct Handed<'a> {
    pub(crate) id: &'a str,
    pub(crate) command: &'a str,
    #[serde(borrow)]
    pub(crate) lease: Lease<'a>,
}

#[derive(Deserialize)]
pub(crate) struct Lease<'a> {
    token: &'a str,
    /// How often the job was handed out, this time included.
    pub(crate) epoch: u64,
}

impl Handed<'_> {
    /// The report that it is being worked on.
    pub(crate) fn under_way(&self) -> String {
        let (id, lease) = (self.id, self.lease.token);
        format!(r#"{{"taskId":"{id}","lease":"{lease}","status":"processing","message":"page 4 of issues"}}"#)
    }

    /// The report that it is done.
    pub(crate) fn done(&self) -> String {
        format!(r#"{{"taskId":"{}","lease":"{}","status":"completed"}}"#, self.id, self.lease.token)
    }
}

impl Clients {
    /// So many connections, with this token.
    pub(crate) async fn connect(address: &Address, many: usize, token: &str) -> Result<Self> {
        let mut connections = Vec::new();
        for _ in 0..many {
            connections.push(Mutex::new(address.connect().await?));
        }
        Ok(Self {
            connections: connections.into(),
            token: token.into(),
            waiting: Arc::new(AtomicU64::new(0)),
        })
    }

    /// Each connection sends the same request again and again.
    pub(crate) async fn repeat(&self, request: Vec<u8>, length: Duration) -> Result<Done> {
        let request: Arc<[u8]> = request.into();
        drive(self.connections.len(), length, |number| {
            let (connections, request) = (Arc::clone(&self.connections), Arc::clone(&request));
            move || {
                let (connections, request) = (Arc::clone(&connections), Arc::clone(&request));
                async move {
                    connections[number].lock().await.ask(&request).await?;
                    Ok(1)
                }
            }
        })
        .await
    }

    /// Each connection does this again and again. What is counted is jobs created, or durable operations on jobs: that one
    /// was taken, and that one was reported.
    pub(crate) async fn work(&self, work: Work, length: Duration) -> Result<Done> {
        let create: Arc<[u8]> = match work {
            Work::Create(many) => self.order(many).into(),
            Work::TakeAndReport(_) => Arc::default(),
        };
        drive(self.connections.len(), length, |number| {
            let (clients, create) = (self.clone(), Arc::clone(&create));
            move || {
                let (clients, create) = (clients.clone(), Arc::clone(&create));
                async move {
                    let mut connection = clients.connections[number].lock().await;
                    match work {
                        Work::Create(many) => {
                            connection.ask(&create).await?;
                            clients.waiting.fetch_add(many as u64, Ordering::Relaxed);
                            Ok(many as u64)
                        }
                        Work::TakeAndReport(many) => {
                            clients.take_and_report(&mut connection, number, many).await
                        }
                    }
                }
            }
        })
        .await
    }

    /// Creates jobs until at least so many wait.
    pub(crate) async fn top_up(&self, wanted: u64) -> Result<()> {
        const MANY: usize = 500;
        let order = self.order(MANY);
        while self.waiting.load(Ordering::Relaxed) < wanted {
            self.connections[0].lock().await.ask(&order).await?;
            self.waiting.fetch_add(MANY as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Counts as taken what others took and reported: two operations each.
    pub(crate) fn took(&self, done: Done) -> Result<Done> {
        self.waiting.fetch_sub(done.times() / 2, Ordering::Relaxed);
        Ok(done)
    }

    /// The request that creates so many jobs.
    fn order(&self, many: usize) -> Vec<u8> {
        let job = json!({ "command": "BENCH", "payload": payload() });
        let order = if many == 1 { job } else { vec![job; many].into() };
        request("POST", "/api/jobs", Some(&self.token), &order.to_string())
    }

    async fn take_and_report(&self, connection: &mut Connection, number: usize, many: usize) -> Result<u64> {
        let path = format!("/api/internal/jobs/open?workerId=bench-{number}&queue=default&limit={many}");
        let answer = connection.ask(&request("GET", &path, Some(&self.token), "")).await?;
        let jobs: Vec<Handed<'_>> = serde_json::from_slice(answer).context("jobs/open answered no jobs")?;
        if jobs.is_empty() {
            return Ok(0);
        }
        let taken = jobs.len() as u64;
        let body = match jobs.as_slice() {
            [only] if many == 1 => only.done(),
            all => format!("[{}]", all.iter().map(Handed::done).collect::<Vec<_>>().join(",")),
        };
        let report = request("POST", "/api/internal/jobs/progress", Some(&self.token), &body);
        let answer = connection.ask(&report).await?;
        let applied = answer.windows(14).filter(|bytes| bytes == b"\"applied\":true").count() as u64;
        ensure!(applied == taken, "{applied} of {taken} reports were applied: a defect");
        self.waiting.fetch_sub(taken, Ordering::Relaxed);
        Ok(2 * taken)
    }
}
