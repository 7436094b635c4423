//! `reclaimer queues`.

use anyhow::Result;
use reclaimer_domain::job::Status;
use reqwest::Method;

use super::Common;
use super::output::cell;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List queues with their jobs per state
    List,
    /// Hand out no more jobs of a queue
    Pause {
        /// The queue
        queue: String,
    },
    /// Hand out its jobs again
    Resume {
        /// The queue
        queue: String,
    },
}

pub(super) async fn run(common: &Common, command: Command) -> Result<()> {
    let (client, output) = (common.client()?, common.output());
    let (queue, action) = match &command {
        Command::List => {
            let answer = client.get(&["api", "admin", "queues"]).await?;
            if output.is_json() {
                return output.json(&answer);
            }
            let head: Vec<&str> = ["queue", "handed out", "oldest queued"]
                .into_iter()
                .chain(Status::ALL.map(Status::as_str))
                .collect();
            let rows = answer["items"].as_array().into_iter().flatten().map(|queue| {
                let paused = if queue["paused"] == true { "paused" } else { "yes" };
                let counts = Status::ALL.map(|status| cell(&queue["jobs"][status.as_str()]));
                let about = [cell(&queue["name"]), paused.to_owned(), cell(&queue["oldestQueued"])];
                about.into_iter().chain(counts).collect()
            });
            return output.table(&head, rows);
        }
        Command::Pause { queue } => (queue, "pause"),
        Command::Resume { queue } => (queue, "resume"),
    };
    let answer = client.ask(Method::POST, &["api", "admin", "queues", queue, action], &[], None).await?;
    if output.is_json() {
        return output.json(&answer);
    }
    output.text(&format!("{queue}: {action}d"))
}
