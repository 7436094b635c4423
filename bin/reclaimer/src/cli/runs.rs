//! `reclaimer runs`.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use super::output::{Output, cell};
use super::{Common, recover};
use crate::client::Client;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List recovery runs, newest first
    List {
        /// At most so many, 1 to 500
        #[arg(long, default_value_t = 20)]
        limit: u32,
        /// Where to go on: what the part before ended with
        #[arg(long)]
        cursor: Option<String>,
    },
    /// Show one run with every decision
    Show {
        /// The run
        id: String,
    },
    /// Put back what a run changed, as far as nothing has happened to it since
    Undo {
        /// The run
        id: String,
        /// Only say what would be put back
        #[arg(long)]
        dry_run: bool,
    },
}

const PATH: [&str; 5] = ["api", "admin", "jobs", "recovery", "runs"];

pub(super) async fn run(common: &Common, command: Command) -> Result<()> {
    let (client, output) = (common.client()?, common.output());
    match command {
        Command::List { limit, cursor } => list(&client, output, limit, cursor).await,
        Command::Show { id } => show(&client, output, &id).await,
        Command::Undo { id, dry_run } => undo(&client, output, &id, dry_run).await,
    }
}

async fn list(client: &Client, output: Output, limit: u32, cursor: Option<String>) -> Result<()> {
    let place = [("limit", Some(limit.to_string())), ("cursor", cursor)];
    let query: Vec<(&str, String)> =
        place.into_iter().filter_map(|(name, value)| Some((name, value?))).collect();
    let answer = client.ask(Method::GET, &PATH, &query, None).await?;
    if output.is_json() {
        return output.json(&answer);
    }
    let rows = answer["items"].as_array().into_iter().flatten().map(|run| {
        let counts = run["counts"].as_array().into_iter().flatten().map(|count| {
            let rule =
                if count["rule"].is_null() { String::new() } else { format!(" by {}", cell(&count["rule"])) };
            format!("{} {}{rule}", cell(&count["jobs"]), cell(&count["action"]))
        });
        let what = counts.collect::<Vec<_>>().join(", ");
        [&run["runId"], &run["startedAt"], &run["type"], &run["trigger"]]
            .map(cell)
            .into_iter()
            .chain([what])
            .collect()
    });
    output.table(&["run", "began", "type", "set off by", "decided"], rows)?;
    if let Some(cursor) = answer["nextCursor"].as_str() {
        output.text(&format!("more: --cursor {cursor}"))?;
    }
    Ok(())
}

async fn show(client: &Client, output: Output, id: &str) -> Result<()> {
    let run = client.get(&[&PATH[..], &[id]].concat()).await?;
    if output.is_json() {
        return output.json(&run);
    }
    let fields = ["runId", "type", "trigger", "startedAt", "finishedAt"];
    output.table(&["field", "value"], fields.map(|name| vec![name.to_owned(), cell(&run[name])]))?;
    if !run["report"].is_null() {
        recover::show(output, &run["report"])?;
        output.text(&cell(&run["report"]["message"]))?;
    }
    Ok(())
}

async fn undo(client: &Client, output: Output, id: &str, dry_run: bool) -> Result<()> {
    let order = json!({ "dryRun": dry_run });
    let answer = client.ask(Method::POST, &[&PATH[..], &[id, "undo"]].concat(), &[], Some(&order)).await?;
    if output.is_json() {
        return output.json(&answer);
    }
    let jobs = |key: &str| answer[key].as_array().cloned().unwrap_or_default();
    let (undone, left) = (jobs("undone"), jobs("left"));
    let word = if dry_run { "would be" } else { "is" };
    let put_back = |job: &Value| vec![cell(&job["jobId"]), format!("{word} {} again", cell(&job["status"]))];
    let kept = |job: &Value| vec![cell(&job["jobId"]), format!("left alone: {}", cell(&job["reason"]))];
    let rows = undone.iter().map(put_back).chain(left.iter().map(kept));
    output.table(&["job", ""], rows)?;
    let done = if dry_run { "would be put back" } else { "put back" };
    output.text(&format!("{} {done}, {} left alone", undone.len(), left.len()))
}
