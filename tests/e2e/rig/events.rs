//! A listener to live events.

use anyhow::{Context, Result};
use reqwest::{Client, Response};
use serde_json::Value;
use tokio::time::timeout;

use super::{PATIENCE, Server};

/// A block of the stream.
#[derive(Debug, Clone, Default)]
pub(crate) struct Event {
    pub(crate) id: String,
    /// Its name; empty where it is but a sign of life.
    pub(crate) name: String,
    pub(crate) data: Value,
}

/// Listens.
#[derive(Debug)]
pub(crate) struct Listener {
    answer: Response,
    text: String,
    /// The id of the last block that was heard.
    pub(crate) place: String,
}

impl Listener {
    /// Begins to listen, and waits for the sign that it is heard.
    pub(crate) async fn start(server: &Server, query: &str, from: Option<&str>) -> Result<Self> {
        Self::of(&Client::builder().build()?, server, query, from).await
    }

    /// The same, with a client that others share.
    pub(crate) async fn of(
        client: &Client,
        server: &Server,
        query: &str,
        from: Option<&str>,
    ) -> Result<Self> {
        let request =
            client.get(format!("{}/api/admin/events{query}", server.base)).bearer_auth(&server.admin);
        let request = from.into_iter().fold(request, |request, from| request.header("last-event-id", from));
        let answer = request.send().await?.error_for_status()?;
        assert_eq!(answer.headers()["content-type"], "text/event-stream");
        let mut listener = Self { answer, text: String::new(), place: String::new() };
        let first = listener.block().await?.context("the stream ended at once")?;
        assert!(first.name.is_empty(), "{first:?}");
        Ok(listener)
    }

    /// The next block; `None` when the stream has ended in order.
    pub(crate) async fn block(&mut self) -> Result<Option<Event>> {
        loop {
            if let Some((block, rest)) = self.text.split_once("\n\n") {
                let event = event(block)?;
                self.text = rest.to_owned();
                self.place.clone_from(&event.id);
                return Ok(Some(event));
            }
            let piece = timeout(PATIENCE, self.answer.chunk()).await.context("nothing is heard")??;
            let Some(piece) = piece else { return Ok(None) };
            self.text.push_str(std::str::from_utf8(&piece)?);
        }
    }

    /// The next event of this name.
    pub(crate) async fn next(&mut self, name: &str) -> Result<Event> {
        loop {
            let block = self.block().await?.with_context(|| format!("the stream ended before a `{name}`"))?;
            if block.name == name {
                return Ok(block);
            }
        }
    }

    /// The numbers of so many events of jobs, without anything missing in between.
    pub(crate) async fn jobs(&mut self, count: usize) -> Result<Vec<i64>> {
        let mut numbers = Vec::new();
        while numbers.len() < count {
            let block = self.block().await?.context("the stream ended")?;
            assert!(block.name != "gap" || block.data["jobs"] == false, "{block:?}");
            numbers.extend(block.data["id"].as_i64().filter(|_| block.name == "job"));
        }
        Ok(numbers)
    }
}

fn event(block: &str) -> Result<Event> {
    let mut event = Event::default();
    for line in block.lines() {
        match line.split_once(": ") {
            Some(("id", id)) => id.clone_into(&mut event.id),
            Some(("event", name)) => name.clone_into(&mut event.name),
            Some(("data", data)) => event.data = serde_json::from_str(data)?,
            _ => {}
        }
    }
    Ok(event)
}
