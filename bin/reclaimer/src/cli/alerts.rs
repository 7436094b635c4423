//! `reclaimer alerts`.

use anyhow::Result;
use reqwest::Method;
use serde_json::Value;

use super::Common;
use super::output::{Output, cell};

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// List incidents that last, and the last messages about these and earlier ones
    List,
    /// Send a test message, and say whether it arrived
    Test,
}

pub(super) async fn run(common: &Common, command: Command) -> Result<()> {
    let (client, output) = (common.client()?, common.output());
    let answer = match command {
        Command::List => client.get(&["api", "admin", "alerts"]).await?,
        Command::Test => client.ask(Method::POST, &["api", "admin", "alerts", "test"], &[], None).await?,
    };
    if output.is_json() {
        return output.json(&answer);
    }
    match command {
        Command::List => list(output, &answer),
        Command::Test => output.text("the test message arrived"),
    }
}

fn list(output: Output, alerts: &Value) -> Result<()> {
    let items = |key: &str| alerts[key].as_array().cloned().unwrap_or_default();
    let incidents = items("incidents")
        .into_iter()
        .map(|incident| ["since", "rule", "subject", "what"].map(|column| cell(&incident[column])).to_vec());
    output.table(&["since", "rule", "about", "incident that lasts"], incidents)?;
    let messages = items("messages").into_iter().map(|message| {
        let incident = &message["incident"];
        [
            &message["at"],
            &message["event"],
            &incident["rule"],
            &incident["subject"],
            &message["fate"],
            &message["attempts"],
            &message["lastError"],
        ]
        .map(cell)
        .to_vec()
    });
    output.table(
        &["at", "message", "rule", "about", "what became of it", "attempts", "last error"],
        messages,
    )?;
    let target = match &alerts["target"] {
        Value::Null => "messages go nowhere: set `alerts.webhook_url`".to_owned(),
        target => format!("messages go to {}", cell(target)),
    };
    output.text(&target)
}
