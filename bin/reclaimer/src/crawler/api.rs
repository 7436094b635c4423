//! The worker's side of the HTTP API.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use reclaimer_domain::secret::Secret;
use reqwest::{Client, StatusCode};
use serde_json::Value;
use url::Url;

use super::source::{PAUSE, Reported, TRIES, WAIT_SECONDS, with_lease};

/// A client with a worker's name and token.
#[derive(Debug)]
pub(super) struct Api {
    client: Client,
    server: Url,
    token: Secret,
    worker: String,
}

impl Api {
    pub(super) fn new(server: Url, token: String, worker: String) -> Result<Self> {
        let client = Client::builder().timeout(Duration::from_secs(WAIT_SECONDS + 10)).build()?;
        Ok(Self { client, server, token: Secret::new(token), worker })
    }

    /// One job, when there is one; none when provisioning is out of order for the moment.
    pub(super) async fn open(&self, queue: &str) -> Result<Vec<Value>> {
        let mut url = self.server.join("/api/internal/jobs/open")?;
        url.query_pairs_mut()
            .append_pair("workerId", &self.worker)
            .append_pair("queue", queue)
            .append_pair("limit", "1")
            .append_pair("wait", &WAIT_SECONDS.to_string());
        let answer = self.insist(|| self.client.get(url.clone())).await?;
        let (status, body) =
            (answer.status(), answer.json::<Value>().await.context("jobs/open answered no JSON")?);
        match (status, body) {
            (StatusCode::OK, Value::Array(jobs)) => Ok(jobs),
            (StatusCode::OK, Value::Object(error)) => {
                let pause = error.get("retryAfterMs").and_then(Value::as_u64).unwrap_or(1_000);
                tokio::time::sleep(Duration::from_millis(pause)).await;
                Ok(Vec::new())
            }
            (status, body) => bail!("jobs/open answered {status}: {body}"),
        }
    }

    /// Reports on a job.
    pub(super) async fn report(&self, job: &Value, report: Value) -> Result<Reported> {
        let url = self.server.join("/api/internal/jobs/progress")?;
        let report = with_lease(job, report);
        let answer = self.insist(|| self.client.post(url.clone()).json(&report)).await?;
        let (status, body) = (answer.status(), answer.json::<Value>().await.unwrap_or_default());
        match status {
            StatusCode::OK if body["duplicate"] == true => Ok(Reported::Duplicate),
            StatusCode::OK => Ok(Reported::Applied),
            StatusCode::CONFLICT => Ok(Reported::Stale),
            _ => bail!("a report was answered {status}: {body}"),
        }
    }

    /// Reports on a job over a connection of its own, and throws away the answer.
    pub(super) async fn report_and_hang_up(&self, job: &Value, report: Value) {
        let Ok(url) = self.server.join("/api/internal/jobs/progress") else { return };
        let Ok(client) = Client::builder().pool_max_idle_per_host(0).build() else { return };
        // Dropping the answer unread closes its connection; what the server did with the report is not known here.
        drop(client.post(url).bearer_auth(self.token.expose()).json(&with_lease(job, report)).send().await);
    }

    /// Sends a request, again and again while the server cannot be reached or is out of order.
    async fn insist(&self, request: impl Fn() -> reqwest::RequestBuilder) -> Result<reqwest::Response> {
        let mut tries = 0;
        loop {
            tries += 1;
            match request().bearer_auth(self.token.expose()).send().await {
                Ok(answer) if answer.status().is_server_error() && tries < TRIES => {}
                Ok(answer) => return Ok(answer),
                Err(error) if tries >= TRIES => return Err(error).context("the server cannot be reached"),
                Err(_) => {}
            }
            tokio::time::sleep(PAUSE).await;
        }
    }
}
