//! `reclaimer jobs add`.

use std::io::Read;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::super::output::{Output, cell};
use crate::client::Client;

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Add {
    /// What to do
    #[arg(required_unless_present = "from", conflicts_with = "from")]
    command: Option<String>,
    /// Read a job, or an array of up to 1,000, as JSON from this file; `-` is standard input
    #[arg(long, value_name = "FILE")]
    from: Option<String>,
    /// Which workers may take it
    #[arg(long, conflicts_with = "from")]
    queue: Option<String>,
    /// What it is about
    #[arg(long, conflicts_with = "from")]
    path: Option<String>,
    /// Whose credentials it needs
    #[arg(long, conflicts_with = "from")]
    account: Option<String>,
    /// Its arguments
    #[arg(long, value_name = "JSON", value_parser = json, conflicts_with = "from")]
    payload: Option<Value>,
    /// How soon it runs: -20 (soonest) to 19
    #[arg(long, allow_negative_numbers = true, conflicts_with = "from")]
    priority: Option<i8>,
    /// Not handed out before this moment, e.g. 2026-01-05T14:20:00Z
    #[arg(long, value_name = "TIMESTAMP", conflicts_with = "from")]
    run_at: Option<String>,
    /// Failed attempts until it is quarantined
    #[arg(long, value_name = "N", conflicts_with = "from")]
    max_attempts: Option<u32>,
    /// A run longer than this is stuck
    #[arg(long, value_name = "SECONDS", conflicts_with = "from")]
    timeout: Option<u64>,
    /// At most one live job has this key
    #[arg(long, value_name = "KEY", conflicts_with = "from")]
    unique_key: Option<String>,
    /// Makes the order repeatable
    #[arg(long, value_name = "KEY")]
    idempotency_key: Option<String>,
}

fn json(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| format!("not JSON: {error}"))
}

pub(super) async fn create(client: &Client, output: Output, add: Add) -> Result<()> {
    let order = match &add.from {
        Some(from) => read_order(from)?,
        None => order(&add),
    };
    let answer = match &add.idempotency_key {
        None => client.ask(Method::POST, &["api", "jobs"], &[], Some(&order)).await?,
        Some(key) => client.create_once(&order, key).await?,
    };
    if output.is_json() {
        return output.json(&answer);
    }
    match answer["items"].as_array() {
        None => output.text(&cell(&answer["id"])),
        Some(items) => {
            let new = items.iter().filter(|item| item["created"] == true).count();
            output.text(&format!("{new} created, {} there already", items.len() - new))
        }
    }
}

fn read_order(from: &str) -> Result<Value> {
    let text = if from == "-" {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).context("cannot read standard input")?;
        text
    } else {
        std::fs::read_to_string(from).with_context(|| format!("cannot read {from}"))?
    };
    serde_json::from_str(&text).with_context(|| format!("{from} is not JSON"))
}

fn order(add: &Add) -> Value {
    let fields = [
        ("command", json!(add.command)),
        ("queue", json!(add.queue)),
        ("fullPath", json!(add.path)),
        ("accountId", json!(add.account)),
        ("payload", json!(add.payload)),
        ("priority", json!(add.priority)),
        ("runAt", json!(add.run_at)),
        ("maxAttempts", json!(add.max_attempts)),
        ("timeoutSeconds", json!(add.timeout)),
        ("uniqueKey", json!(add.unique_key)),
    ];
    let set = fields.into_iter().filter(|(_, value)| !value.is_null());
    Value::Object(set.map(|(name, value)| (name.to_owned(), value)).collect::<Map<_, _>>())
}
