//! `reclaimer policy check`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use reclaimer_policy::file::Checked;
use serde_json::json;

use crate::cli::output::Output;
use crate::config::Recovery;
use crate::policy::read;

/// Says everything that is wrong or doubtful. Only what is wrong is a failure.
pub(super) fn run(settings: &Recovery, file: Option<PathBuf>, output: Output) -> Result<ExitCode> {
    let file = file
        .or_else(|| settings.policy.clone())
        .context("no policy file: name one, or set `recovery.policy`")?;
    let checked = read(&file, settings.policy_defaults());
    let code = if checked.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE };
    if output.is_json() {
        output.json(&match &checked {
            Ok(Checked { policy, warnings }) => json!({
                "file": file, "usable": true, "hash": policy.hash(), "warnings": warnings,
                "rules": policy.rules().map(|rule| &rule.name).collect::<Vec<_>>(),
            }),
            Err(unusable) => json!({
                "file": file, "usable": false, "errors": unusable.findings, "message": unusable.to_string(),
            }),
        })?;
        return Ok(code);
    }
    let file = file.display();
    match checked {
        Ok(checked) => {
            for warning in &checked.warnings {
                output.text(&format!("warning: {file}:{warning}"))?;
            }
            let (rules, doubts) = (checked.policy.rules().len(), checked.warnings.len());
            let hash = checked.policy.hash();
            output.text(&format!("{file}: a policy of {rules} rules, {hash}; {doubts} warnings"))?;
        }
        Err(unusable) => {
            for line in unusable.lines() {
                output.text(&format!("error: {line}"))?;
            }
            output.text(&format!("{file}: cannot be used"))?;
        }
    }
    Ok(code)
}
