//! What the demo asks its server, as an admin would.

use std::collections::BTreeSet;
use std::sync::Mutex;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::Value;

use crate::client::Client;
use crate::crawler::QUEUE;
use crate::server_process::ServerProcess;

/// A client of the demo's server.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    /// Recovery runs whose decisions were told already.
    seen: Mutex<BTreeSet<String>>,
}

/// How many jobs are in each state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Counts {
    pub(super) queued: u64,
    pub(super) running: u64,
    pub(super) finished: u64,
    pub(super) failed: u64,
    pub(super) quarantined: u64,
}

impl Counts {
    pub(super) fn total(&self) -> u64 {
        self.queued + self.running + self.finished + self.failed + self.quarantined
    }

    /// Whether every job has come to its end.
    pub(super) fn is_over(&self) -> bool {
        self.total() > 0 && self.queued + self.running + self.failed == 0
    }
}

impl Api {
    pub(super) fn new(server: &ServerProcess) -> Result<Self> {
        let client = Client::new(server.base.clone(), server.admin_token.expose().to_owned())?;
        Ok(Self { client, seen: Mutex::default() })
    }

    /// Creates a job.
    pub(super) async fn create(&self, order: &Value) -> Result<()> {
        self.client.ask(Method::POST, &["api", "jobs"], &[], Some(order)).await.map(drop)
    }

    /// How the crawlers' queue stands.
    pub(super) async fn counts(&self) -> Result<Counts> {
        let answer = self.client.get(&["api", "admin", "queues"]).await?;
        let queues = answer["items"].as_array().context("no queues in the answer")?;
        let Some(queue) = queues.iter().find(|queue| queue["name"] == QUEUE) else {
            return Ok(Counts::default());
        };
        let count = |status: &str| queue["jobs"][status].as_u64().unwrap_or(0);
        Ok(Counts {
            queued: count("queued"),
            running: count("running"),
            finished: count("finished"),
            failed: count("failed"),
            quarantined: count("quarantined"),
        })
    }

    /// Decisions of recovery runs that were not told before.
    pub(super) async fn decisions(&self) -> Result<Vec<Value>> {
        let answer = self.client.get(&["api", "admin", "jobs", "recovery"]).await?;
        let mut fresh = Vec::new();
        let Ok(mut seen) = self.seen.lock() else { return Ok(fresh) };
        for run in answer["lastRuns"].as_array().into_iter().flatten() {
            let Some(id) = run["runId"].as_str() else { continue };
            if seen.insert(id.to_owned()) {
                fresh.extend(run["report"]["result"]["decisions"].as_array().into_iter().flatten().cloned());
            }
        }
        Ok(fresh)
    }

    /// Every job of the crawlers' queue.
    pub(super) async fn jobs(&self) -> Result<Vec<Value>> {
        self.client.all(&["api", "jobs"], &[("queue", QUEUE.to_owned())]).await
    }

    /// A job's history.
    pub(super) async fn events(&self, id: &str) -> Result<Vec<Value>> {
        self.client.all(&["api", "jobs", id, "events"], &[]).await
    }
}
