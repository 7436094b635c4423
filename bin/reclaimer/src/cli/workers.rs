//! `reclaimer workers` and `reclaimer links`.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use super::Common;
use super::output::{Output, cell};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List the workers that are connected by links, and the processes that are supervised
    List,
    /// Give a worker no more jobs; what it holds it may finish
    Pause {
        /// The worker, or its process
        worker: String,
    },
    /// Give it jobs again
    Resume {
        /// The worker, or its process
        worker: String,
    },
    /// Start a supervised worker afresh, also one that was given up
    Restart {
        /// The worker of the configuration, or one of its processes
        worker: String,
    },
}

#[derive(Debug, clap::Subcommand)]
pub(super) enum LinkCommand {
    /// List links with their connections and breakers
    List,
    /// Reset or force the breaker of a link that we dial
    Breaker {
        /// The link
        link: String,
        /// What to do with it
        #[arg(value_enum)]
        state: BreakerState,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum BreakerState {
    /// Close it, and forget all that was counted
    Reset,
    /// Refuse everything, and cut the connection there is
    ForcedOpen,
    /// Take a force away
    Auto,
}

pub(super) async fn run(common: &Common, command: Command) -> Result<()> {
    let (client, output) = (common.client()?, common.output());
    let (worker, action, done) = match &command {
        Command::List => {
            let answer = client.get(&["api", "admin", "workers"]).await?;
            return if output.is_json() { output.json(&answer) } else { list(output, &answer) };
        }
        Command::Pause { worker } => (worker, "pause", "paused"),
        Command::Resume { worker } => (worker, "resume", "resumed"),
        Command::Restart { worker } => (worker, "restart", "is started afresh"),
    };
    let answer = client.ask(Method::POST, &["api", "admin", "workers", worker, action], &[], None).await?;
    if output.is_json() {
        return output.json(&answer);
    }
    output.text(&format!("{worker}: {done}"))
}

pub(super) async fn links(common: &Common, command: LinkCommand) -> Result<()> {
    let (client, output) = (common.client()?, common.output());
    let (link, state) = match &command {
        LinkCommand::List => {
            let answer = client.get(&["api", "admin", "workers"]).await?;
            return if output.is_json() {
                output.json(&answer["links"])
            } else {
                list_links(output, &answer)
            };
        }
        LinkCommand::Breaker { link, state } => (link, state),
    };
    let state = match state {
        BreakerState::Reset => "reset",
        BreakerState::ForcedOpen => "forced_open",
        BreakerState::Auto => "auto",
    };
    let path = ["api", "admin", "links", link, "breaker"];
    let answer = client.ask(Method::POST, &path, &[], Some(&json!({ "state": state }))).await?;
    if output.is_json() {
        return output.json(&answer);
    }
    output.text(&format!("{link}: breaker {state}"))
}

fn list(output: Output, fleet: &Value) -> Result<()> {
    let rows = items(fleet, "workers").map(|worker| {
        let columns = [
            "id",
            "link",
            "state",
            "leases",
            "lastHeardAt",
            "pid",
            "process",
            "protocol",
            "messages",
            "ignored",
        ];
        columns.map(|column| cell(&worker[column])).to_vec()
    });
    let head = [
        "worker",
        "link",
        "state",
        "leases",
        "last heard",
        "pid",
        "process",
        "protocol",
        "messages",
        "ignored",
    ];
    output.table(&head, rows)?;
    if items(fleet, "processes").next().is_some() {
        let rows = items(fleet, "processes").map(|process| {
            let columns = ["name", "state", "pid", "restarts", "startsAt"];
            let end = cell(&process["lastEnd"]["message"]);
            columns.map(|column| cell(&process[column])).into_iter().chain([end]).collect()
        });
        output.table(&["process", "state", "pid", "restarts", "starts at", "last end"], rows)?;
    }
    problems(output, fleet)
}

fn list_links(output: Output, fleet: &Value) -> Result<()> {
    let rows = items(fleet, "links").map(|link| {
        let columns = ["name", "mode", "dialect", "connections", "connectionFailures"];
        let breaker = &link["breaker"];
        let next = match &breaker["nextProbeAt"] {
            Value::Null => &link["nextAttemptAt"],
            probe => probe,
        };
        let more = [cell(&breaker["state"]), cell(next), cell(&link["lastError"])];
        columns.map(|column| cell(&link[column])).into_iter().chain(more).collect()
    });
    let head =
        ["link", "mode", "dialect", "connections", "failures", "breaker", "next attempt", "last error"];
    output.table(&head, rows)?;
    problems(output, fleet)
}

fn problems(output: Output, fleet: &Value) -> Result<()> {
    for problem in items(fleet, "problems") {
        output.text(&format!("! {}", cell(problem)))?;
    }
    Ok(())
}

fn items<'a>(fleet: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> + use<'a> {
    fleet[key].as_array().into_iter().flatten()
}
