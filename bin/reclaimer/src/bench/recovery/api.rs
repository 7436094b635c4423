//! What the measurements ask their server, as an admin would.

use anyhow::{Context, Result};
use reclaimer_domain::job::NewJob;
use reqwest::Method;
use serde_json::{Value, json};

use crate::client::Client;
use crate::server_process::ServerProcess;

pub(super) struct Api(Client);

impl Api {
    pub(super) fn new(server: &ServerProcess) -> Result<Self> {
        Ok(Self(Client::new(server.base.clone(), server.admin_token.expose().to_owned())?))
    }

    /// Creates so many jobs; answers when they are durable. However often its worker dies, none is given up.
    pub(super) async fn create(&self, command: &str, many: usize) -> Result<()> {
        let job = json!({ "command": command, "maxAttempts": NewJob::MOST_ATTEMPTS });
        let order = Value::from(vec![job; many]);
        self.0.ask(Method::POST, &["api", "jobs"], &[], Some(&order)).await.map(drop)
    }

    /// How many jobs are not at their end.
    pub(super) async fn under_way(&self) -> Result<u64> {
        let answer = self.0.get(&["api", "admin", "queues"]).await?;
        let queues = answer["items"].as_array().context("no queues in the answer")?;
        let states = queues.iter().filter_map(|queue| queue["jobs"].as_object()).flatten();
        Ok(states.filter(|(state, _)| *state != "finished").filter_map(|(_, jobs)| jobs.as_u64()).sum())
    }
}
