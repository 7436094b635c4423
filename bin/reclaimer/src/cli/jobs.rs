//! `reclaimer jobs`.

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Map, Value, json};

use super::Common;
use super::output::{Output, cell};
use crate::client::Client;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List jobs, newest first
    List(List),
    /// Show one job and its whole history
    Show {
        /// The job
        id: String,
    },
    /// Create a job, or many from a file
    Add(Box<Add>),
    /// Queue failed jobs again at once
    Retry(Ids),
    /// Give jobs up
    Cancel(Ids),
    /// Keep queued jobs from being taken
    Pause(Ids),
    /// Let paused jobs go on
    Resume(Ids),
    /// Let quarantined jobs run again
    Release(Ids),
    /// Run finished or cancelled jobs again, as new jobs
    Rerun(Ids),
}

#[derive(Debug, clap::Args)]
pub(super) struct Ids {
    /// The jobs
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    /// Only in these states, separated by commas
    #[arg(long)]
    status: Option<String>,
    /// Only of this queue
    #[arg(long)]
    queue: Option<String>,
    /// Only of this command
    #[arg(long)]
    command: Option<String>,
    /// Only of this account
    #[arg(long)]
    account: Option<String>,
    /// Only about this path
    #[arg(long)]
    path: Option<String>,
    /// Only held by this worker
    #[arg(long)]
    worker: Option<String>,
    /// At most so many, 1 to 500
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Where to go on: what the part before ended with
    #[arg(long)]
    cursor: Option<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Add {
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

pub(super) async fn run(common: &Common, command: Command) -> Result<ExitCode> {
    let (client, output) = (common.client()?, common.output());
    match command {
        Command::List(list) => show_list(&client, output, list).await?,
        Command::Show { id } => show(&client, output, &id).await?,
        Command::Add(add) => create(&client, output, *add).await?,
        Command::Retry(ids) => return act(&client, output, "retry", &ids).await,
        Command::Cancel(ids) => return act(&client, output, "cancel", &ids).await,
        Command::Pause(ids) => return act(&client, output, "pause", &ids).await,
        Command::Resume(ids) => return act(&client, output, "resume", &ids).await,
        Command::Release(ids) => return act(&client, output, "release", &ids).await,
        Command::Rerun(ids) => return act(&client, output, "rerun", &ids).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn show_list(client: &Client, output: Output, list: List) -> Result<()> {
    let filters = [
        ("status", list.status),
        ("queue", list.queue),
        ("command", list.command),
        ("accountId", list.account),
        ("fullPath", list.path),
        ("workerId", list.worker),
        ("limit", Some(list.limit.to_string())),
        ("cursor", list.cursor),
    ];
    let query: Vec<(&str, String)> =
        filters.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let answer = client.ask(Method::GET, &["api", "jobs"], &query, None).await?;
    if output.is_json() {
        return output.json(&answer);
    }
    let rows = answer["items"].as_array().into_iter().flatten().map(|job| {
        let what = match &job["broken"] {
            Value::Null => job["progress"]["error"].clone(),
            broken => broken.clone(),
        };
        [
            &job["id"],
            &job["status"],
            &job["queue"],
            &job["command"],
            &job["fullPath"],
            &job["attempt"],
            &job["updatedAt"],
            &what,
        ]
        .map(cell)
        .to_vec()
    });
    output.table(&["id", "status", "queue", "command", "path", "attempt", "updated", "error"], rows)?;
    if let Some(cursor) = answer["nextCursor"].as_str() {
        output.text(&format!("more: --cursor {cursor}"))?;
    }
    Ok(())
}

async fn show(client: &Client, output: Output, id: &str) -> Result<()> {
    let job = client.get(&["api", "jobs", id]).await?;
    let events = client.all(&["api", "jobs", id, "events"], &[]).await?;
    if output.is_json() {
        return output.json(&json!({ "job": job, "events": events }));
    }
    let fields = job.as_object().into_iter().flatten().filter(|(_, value)| !value.is_null());
    output.table(&["field", "value"], fields.map(|(name, value)| vec![name.clone(), cell(value)]))?;
    let rows = events.iter().map(|event| {
        [
            &event["at"],
            &event["kind"],
            &event["from"],
            &event["to"],
            &event["actor"],
            &event["rule"],
            &event["reason"],
        ]
        .map(cell)
        .to_vec()
    });
    output.table(&["at", "what", "from", "to", "by", "rule", "why"], rows)
}

async fn create(client: &Client, output: Output, add: Add) -> Result<()> {
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

/// Does one thing to each job on its own; fails in the end when one was refused.
async fn act(client: &Client, output: Output, action: &str, ids: &Ids) -> Result<ExitCode> {
    let mut results = Vec::new();
    for id in &ids.ids {
        let path = ["api", "admin", "jobs", id, action];
        results.push((id, client.ask(Method::POST, &path, &[], None).await));
    }
    let refused = results.iter().any(|(_, result)| result.is_err());
    if output.is_json() {
        let items: Vec<Value> = results
            .into_iter()
            .map(|(id, result)| match result {
                Ok(job) => json!({ "id": id, "job": job }),
                Err(error) => json!({ "id": id, "error": format!("{error:#}") }),
            })
            .collect();
        output.json(&items)?;
    } else {
        let rows = results.into_iter().map(|(id, result)| match result {
            Ok(job) if job["id"] == id.as_str() => vec![id.clone(), cell(&job["status"]), String::new()],
            Ok(job) => vec![id.clone(), cell(&job["status"]), format!("as job {}", cell(&job["id"]))],
            Err(error) => vec![id.clone(), "refused".to_owned(), format!("{error:#}")],
        });
        output.table(&["job", "now", ""], rows)?;
    }
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
