//! `reclaimer jobs`.

mod act;
mod add;
mod filter;

use std::process::ExitCode;

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

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
    Add(Box<add::Add>),
    /// Queue failed jobs again at once
    #[command(long_about = act::RETRY)]
    Retry(act::Requeue),
    /// Give jobs up
    Cancel(act::Ids),
    /// Keep queued jobs from being taken
    Pause(act::Ids),
    /// Let paused jobs go on
    Resume(act::Ids),
    /// Let quarantined jobs run again
    #[command(long_about = act::RELEASE)]
    Release(act::Requeue),
    /// Run finished or cancelled jobs again, as new jobs
    Rerun(act::Ids),
    /// Accept what a worker reported too late, instead of running the job again
    Accept {
        /// The job
        id: String,
        /// Which of its late results; `jobs show` lists them
        #[arg(default_value_t = 1)]
        number: u32,
    },
    /// Do one thing to every job of a filter, or say what would be done
    Bulk(act::Bulk),
}

#[derive(Debug, clap::Args)]
pub(super) struct List {
    #[command(flatten)]
    filter: filter::Filter,
    /// At most so many, 1 to 500
    #[arg(long, default_value_t = 50)]
    limit: u32,
    /// Where to go on: what the part before ended with
    #[arg(long)]
    cursor: Option<String>,
}

pub(super) async fn run(common: &Common, command: Command) -> Result<ExitCode> {
    let (client, output) = (common.client()?, common.output());
    match command {
        Command::List(list) => show_list(&client, output, list).await?,
        Command::Show { id } => show(&client, output, &id).await?,
        Command::Add(add) => add::create(&client, output, *add).await?,
        Command::Retry(jobs) => return act::requeue(&client, output, "retry", &jobs).await,
        Command::Cancel(jobs) => return act::act(&client, output, "cancel", &jobs).await,
        Command::Pause(jobs) => return act::act(&client, output, "pause", &jobs).await,
        Command::Resume(jobs) => return act::act(&client, output, "resume", &jobs).await,
        Command::Release(jobs) => return act::requeue(&client, output, "release", &jobs).await,
        Command::Rerun(jobs) => return act::act(&client, output, "rerun", &jobs).await,
        Command::Accept { id, number } => accept(&client, output, &id, number).await?,
        Command::Bulk(bulk) => return act::many(&client, output, bulk).await,
    }
    Ok(ExitCode::SUCCESS)
}

async fn show_list(client: &Client, output: Output, list: List) -> Result<()> {
    let place = [("limit", Some(list.limit.to_string())), ("cursor", list.cursor)];
    let place = place.into_iter().filter_map(|(name, value)| Some((name, value?)));
    let query: Vec<(&str, String)> = list.filter.fields().chain(place).collect();
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
    let late = client.get(&["api", "jobs", id, "late-results"]).await?["items"].take();
    if output.is_json() {
        return output.json(&json!({ "job": job, "events": events, "lateResults": late }));
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
    output.table(&["at", "what", "from", "to", "by", "rule", "why"], rows)?;
    for result in late.as_array().into_iter().flatten() {
        let number = cell(&result["number"]);
        output.text(&match &result["acceptedAt"] {
            Value::Null => format!(
                "late result {number}: {}; `reclaimer jobs accept {id} {number}` makes it count",
                cell(&result["summary"])
            ),
            at => format!("late result {number}: {}; accepted {}", cell(&result["summary"]), cell(at)),
        })?;
    }
    Ok(())
}

async fn accept(client: &Client, output: Output, id: &str, number: u32) -> Result<()> {
    let path = ["api", "admin", "jobs", id, "late-results", &number.to_string(), "accept"];
    let job = client.ask(Method::POST, &path, &[], None).await?;
    if output.is_json() {
        return output.json(&job);
    }
    output.text(&format!("job {id} is {} by late result {number}", cell(&job["status"])))
}
