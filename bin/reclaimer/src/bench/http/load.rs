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
    /// Reports so many jobs finished and takes as many others, with one request.
    GoOn(usize),
}

/// Connections to a server.
#[derive(Clone)]
pub(crate) struct Clients {
    clients: Arc<[Mutex<Client>]>,
    token: Arc<str>,
    /// How many jobs wait.
    waiting: Arc<AtomicU64>,
}

/// A connection, and the reports on the jobs that are held over it.
struct Client {
    connection: Connection,
    reports: Vec<String>,
}

/// The answer to reports that asked for the next jobs.
#[derive(Deserialize)]
struct Next<'a> {
    #[serde(borrow)]
    jobs: Vec<Handed<'a>>,
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
        let mut clients = Vec::new();
        for _ in 0..many {
            clients.push(Mutex::new(Client { connection: address.connect().await?, reports: Vec::new() }));
        }
        Ok(Self { clients: clients.into(), token: token.into(), waiting: Arc::new(AtomicU64::new(0)) })
    }

    /// Each connection sends the same request again and again.
    pub(crate) async fn repeat(&self, request: Vec<u8>, length: Duration) -> Result<Done> {
        let request: Arc<[u8]> = request.into();
        drive(self.clients.len(), length, |number| {
            let (clients, request) = (Arc::clone(&self.clients), Arc::clone(&request));
            move || {
                let (clients, request) = (Arc::clone(&clients), Arc::clone(&request));
                async move {
                    clients[number].lock().await.connection.ask(&request).await?;
                    Ok(1)
                }
            }
        })
        .await
    }

    /// Each connection does this again and again. What is counted is jobs created, or durable operations on jobs: that one
    /// was taken, that one was reported, that one was reported and another taken.
    pub(crate) async fn work(&self, work: Work, length: Duration) -> Result<Done> {
        let create: Arc<[u8]> = match work {
            Work::Create(many) => self.order(many).into(),
            Work::TakeAndReport(_) | Work::GoOn(_) => Arc::default(),
        };
        drive(self.clients.len(), length, |number| {
            let (clients, create) = (self.clone(), Arc::clone(&create));
            move || {
                let (clients, create) = (clients.clone(), Arc::clone(&create));
                async move {
                    let mut client = clients.clients[number].lock().await;
                    match work {
                        Work::Create(many) => {
                            client.connection.ask(&create).await?;
                            clients.waiting.fetch_add(many as u64, Ordering::Relaxed);
                            Ok(many as u64)
                        }
                        Work::TakeAndReport(many) => clients.take_and_report(&mut client, number, many).await,
                        Work::GoOn(many) => clients.go_on(&mut client, number, many).await,
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
        // In turn, so that none is idle for so long that it is closed.
        for client in self.clients.iter().cycle() {
            if self.waiting.load(Ordering::Relaxed) >= wanted {
                break;
            }
            client.lock().await.connection.ask(&order).await?;
            self.waiting.fetch_add(MANY as u64, Ordering::Relaxed);
        }
        Ok(())
    }

    /// Counts as taken what others took.
    pub(crate) fn took(&self, jobs: u64) {
        self.waiting.fetch_sub(jobs, Ordering::Relaxed);
    }

    /// The request that creates so many jobs.
    fn order(&self, many: usize) -> Vec<u8> {
        let job = json!({ "command": "BENCH", "payload": payload() });
        let order = if many == 1 { job } else { vec![job; many].into() };
        request("POST", "/api/jobs", Some(&self.token), &order.to_string())
    }

    async fn take_and_report(&self, client: &mut Client, number: usize, many: usize) -> Result<u64> {
        self.take(client, number, many).await?;
        if client.reports.is_empty() {
            return Ok(0);
        }
        let (taken, _) = self.report(client, "", many).await?;
        client.reports.clear();
        Ok(2 * taken)
    }

    async fn go_on(&self, client: &mut Client, number: usize, many: usize) -> Result<u64> {
        if client.reports.is_empty() {
            self.take(client, number, many).await?;
        }
        if client.reports.is_empty() {
            return Ok(0);
        }
        let query = format!("?workerId=bench-{number}&queue=default&next={many}");
        let (reported, answer) = self.report(client, &query, many).await?;
        let Next { jobs } = serde_json::from_slice(answer).context("a report brought no jobs")?;
        let reports: Vec<String> = jobs.iter().map(Handed::done).collect();
        self.took(reports.len() as u64);
        client.reports = reports;
        Ok(reported)
    }

    /// Takes jobs, and has the reports on them ready.
    async fn take(&self, client: &mut Client, number: usize, many: usize) -> Result<()> {
        let path = format!("/api/internal/jobs/open?workerId=bench-{number}&queue=default&limit={many}");
        let answer = client.connection.ask(&request("GET", &path, Some(&self.token), "")).await?;
        let jobs: Vec<Handed<'_>> = serde_json::from_slice(answer).context("jobs/open answered no jobs")?;
        client.reports = jobs.iter().map(Handed::done).collect();
        self.took(client.reports.len() as u64);
        Ok(())
    }

    /// Sends the reports on what is held; answers how many they were, and the answer.
    async fn report<'a>(&self, client: &'a mut Client, query: &str, many: usize) -> Result<(u64, &'a [u8])> {
        let body = match client.reports.as_slice() {
            [only] if many == 1 => only.clone(),
            all => format!("[{}]", all.join(",")),
        };
        let path = format!("/api/internal/jobs/progress{query}");
        let answer = client.connection.ask(&request("POST", &path, Some(&self.token), &body)).await?;
        let applied = answer.windows(14).filter(|bytes| bytes == b"\"applied\":true").count();
        let held = client.reports.len();
        ensure!(applied == held, "{applied} of {held} reports were applied: a defect");
        Ok((held as u64, answer))
    }
}
