//! `reclaimer recover`.

use std::process::ExitCode;

use anyhow::Result;
use reclaimer_domain::recovery::RecoveryType;
use reqwest::Method;
use serde_json::{Value, json};

use super::Common;
use super::output::{Output, cell};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What to look at: failed, stuck or comprehensive
    #[arg(long = "type", value_name = "TYPE", default_value = "comprehensive")]
    kind: RecoveryType,
    /// Decide the same, change nothing
    #[arg(long)]
    dry_run: bool,
}

pub(super) async fn run(common: &Common, args: Args) -> Result<ExitCode> {
    let (client, output) = (common.client()?, common.output());
    let order = json!({ "type": args.kind, "dryRun": args.dry_run });
    let report = client.ask(Method::POST, &["api", "admin", "jobs", "recovery"], &[], Some(&order)).await?;
    let success = report["success"] == true;
    if output.is_json() {
        output.json(&report)?;
    } else {
        show(output, &report)?;
        output.text(&cell(&report["message"]))?;
        if report["result"]["more"] == true {
            output.text("more is left; the server goes on by itself")?;
        }
    }
    Ok(if success { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The decisions and the errors of a report.
pub(super) fn show(output: Output, report: &Value) -> Result<()> {
    let decisions = report["result"]["decisions"].as_array().cloned().unwrap_or_default();
    if !decisions.is_empty() {
        let rows = decisions.iter().map(|decision| {
            let when =
                if decision["runAt"].is_null() { &decision["lookAgainAt"] } else { &decision["runAt"] };
            [&decision["jobId"], &decision["action"], &decision["rule"], when, &decision["reason"]]
                .map(cell)
                .to_vec()
        });
        output.table(&["job", "decision", "rule", "runs or is looked at again", "why"], rows)?;
    }
    for error in report["result"]["errors"].as_array().into_iter().flatten() {
        output.text(&format!("error: {}", cell(error)))?;
    }
    Ok(())
}
