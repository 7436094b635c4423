//! `reclaimer jobs retry`, `cancel`, `pause`, `resume`, `release`, `rerun` and `bulk`.

use std::process::ExitCode;

use anyhow::Result;
use reclaimer_domain::job::{Counter, UnknownCounter};
use reqwest::Method;
use serde_json::{Value, json};

use super::super::output::{Output, cell};
use super::filter::Filter;
use crate::client::Client;

/// What `retry --help` says.
pub(super) const RETRY: &str = "Queue failed jobs again at once\n\n\
    The counters of attempts, lost leases and recoveries all begin again, unless --reset names those that shall.";

/// What `release --help` says.
pub(super) const RELEASE: &str = "Let quarantined jobs run again\n\n\
    The counters of lost leases and recoveries begin again, unless --reset names those that shall. The attempts do \
    not: a job whose attempts are used up gets one more.";

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Ids {
    /// The jobs
    #[arg(required = true, value_name = "ID")]
    ids: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Requeue {
    #[command(flatten)]
    ids: Ids,
    /// The counters that begin again: `attempts`, `lease_losses`, `recoveries`, separated by commas, or `none`
    #[arg(long, value_name = "COUNTERS", value_parser = counters)]
    reset: Option<Counters>,
}

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Bulk {
    /// What is done to each
    #[arg(value_parser = ["retry", "cancel", "pause", "resume", "release"])]
    action: String,
    #[command(flatten)]
    filter: Filter,
    /// Every job: needed where nothing else says which
    #[arg(long, required_unless_present_any = ["status", "queue", "command", "account", "path", "worker"])]
    all: bool,
    /// At most so many, oldest first, 1 to 1,000
    #[arg(long, default_value_t = 100)]
    limit: u32,
    /// For retry and release: the counters that begin again, as for single jobs
    #[arg(long, value_name = "COUNTERS", value_parser = counters)]
    reset: Option<Counters>,
    /// Only say what would be done
    #[arg(long)]
    dry_run: bool,
}

/// Counters that begin again.
#[derive(Debug, Clone, serde::Serialize)]
#[serde(transparent)]
struct Counters(Vec<Counter>);

fn counters(text: &str) -> Result<Counters, UnknownCounter> {
    if text == "none" {
        return Ok(Counters(Vec::new()));
    }
    text.split(',').map(|word| word.trim().parse()).collect::<Result<_, _>>().map(Counters)
}

/// Queues each job again on its own.
pub(super) async fn requeue(
    client: &Client,
    output: Output,
    action: &str,
    jobs: &Requeue,
) -> Result<ExitCode> {
    let body = jobs.reset.as_ref().map(|reset| json!({ "reset": reset }));
    act_with(client, output, action, &jobs.ids, body.as_ref()).await
}

/// Does one thing to each job on its own.
pub(super) async fn act(client: &Client, output: Output, action: &str, jobs: &Ids) -> Result<ExitCode> {
    act_with(client, output, action, jobs, None).await
}

/// Fails in the end when one was refused.
async fn act_with(
    client: &Client,
    output: Output,
    action: &str,
    jobs: &Ids,
    body: Option<&Value>,
) -> Result<ExitCode> {
    let mut results = Vec::new();
    for id in &jobs.ids {
        let path = ["api", "admin", "jobs", id, action];
        results.push((id, client.ask(Method::POST, &path, &[], body).await));
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
            Ok(job) if job["id"] == id.as_str() => vec![id.clone(), cell(&job["status"]), began_again(&job)],
            Ok(job) => vec![id.clone(), cell(&job["status"]), format!("as job {}", cell(&job["id"]))],
            Err(error) => vec![id.clone(), "refused".to_owned(), format!("{error:#}")],
        });
        output.table(&["job", "now", ""], rows)?;
    }
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// Which counters of a job began again, and what they stood at; and a word where it has no more than one attempt.
fn began_again(job: &Value) -> String {
    let mut said = counts(&job["reset"]);
    let (attempt, most) = (job["attempt"].as_u64(), job["maxAttempts"].as_u64());
    if job["reset"].is_object() && attempt.zip(most).is_some_and(|(attempt, most)| attempt >= most) {
        said.push("its attempts are used up: it gets one more; --reset attempts gives it all".to_owned());
    }
    said.join("; ")
}

fn counts(reset: &Value) -> Vec<String> {
    let counts = reset.as_object().into_iter().flatten().filter(|(_, count)| **count != 0);
    counts.map(|(counter, count)| format!("{counter} {count} → 0")).collect()
}

/// Does one thing to every job of a filter.
pub(super) async fn many(client: &Client, output: Output, bulk: Bulk) -> Result<ExitCode> {
    let filter = bulk.filter.json();
    let mut order = json!({
        "action": bulk.action, "filter": filter, "limit": bulk.limit, "dryRun": bulk.dry_run
    });
    if let Some(reset) = &bulk.reset {
        order["reset"] = json!(reset);
    }
    let path = ["api", "admin", "jobs", "bulk"];
    let answer = client.ask(Method::POST, &path, &[], Some(&order)).await?;
    let refused = answer["refused"] != 0;
    if output.is_json() {
        output.json(&answer)?;
    } else {
        let items = answer["items"].as_array().into_iter().flatten();
        let rows = items.map(|item| {
            let now = match (item["eligible"] == true, bulk.dry_run) {
                (false, _) => "refused",
                (true, true) => "would be done",
                (true, false) => "done",
            };
            let said = if item["reason"].is_null() {
                counts(&item["reset"]).join("; ")
            } else {
                cell(&item["reason"])
            };
            vec![cell(&item["id"]), now.to_owned(), said]
        });
        output.table(&["job", &bulk.action, ""], rows)?;
        let count = |key: &str| cell(&answer[key]);
        output.text(&format!(
            "{} eligible, {} not, {} done",
            count("eligible"),
            count("ineligible"),
            count("done")
        ))?;
        for they in answer["reasons"].as_array().into_iter().flatten() {
            output.text(&format!(
                "{} {}: {}",
                cell(&they["count"]),
                cell(&they["status"]),
                cell(&they["reason"])
            ))?;
        }
        if answer["more"] == true {
            output.text("more are eligible than the limit allows: run it again, or raise --limit")?;
        }
    }
    Ok(if refused { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_are_named_or_none() {
        assert_eq!(counters("none").unwrap().0, []);
        assert_eq!(counters("attempts, recoveries").unwrap().0, [Counter::Attempts, Counter::Recoveries]);
        let error = counters("attempts,tries").unwrap_err().to_string();
        assert!(error.contains("`tries`") && error.contains("lease_losses"), "{error}");
    }
}
