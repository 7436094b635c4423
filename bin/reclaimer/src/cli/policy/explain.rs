//! `reclaimer policy explain`.

use anyhow::Result;
use serde_json::Value;

use crate::cli::output::{Output, cell};

fn mark(holds: &Value) -> &'static str {
    if holds == true { "✔" } else { "✘" }
}

/// Shows an explanation, as the server answered it.
pub(super) fn show(explanation: &Value, output: Output) -> Result<()> {
    if output.is_json() {
        return output.json(explanation);
    }
    let (job, status) = (cell(&explanation["jobId"]), cell(&explanation["status"]));
    output.text(&format!("{job} is {status}: {}", cell(&explanation["summary"])))?;
    tried(explanation, output)?;
    held_against(explanation, output)?;
    let decision = &explanation["decision"];
    if !decision.is_null() {
        let when = match (&decision["runAt"], &decision["lookAgainAt"]) {
            (Value::Null, Value::Null) => String::new(),
            (Value::Null, again) => format!(", to be looked at again from {} on", cell(again)),
            (run_at, _) => format!(", to run at {}", cell(run_at)),
        };
        output.text(&format!("decision: {}{when}", cell(&decision["action"])))?;
    }
    let look = &explanation["nextLook"];
    let at = if look["at"].is_null() { String::new() } else { format!("{}: ", cell(&look["at"])) };
    output.text(&format!("next look: {at}{}", cell(&look["why"])))?;
    let on_record = &explanation["onRecord"];
    if !on_record.is_null() {
        let rule = on_record["rule"].as_str().map(|rule| format!(" by rule `{rule}`")).unwrap_or_default();
        let (kind, at) = (cell(&on_record["kind"]), cell(&on_record["at"]));
        let (run, reason) = (cell(&on_record["runId"]), cell(&on_record["reason"]));
        output.text(&format!("on record: {kind}{rule} at {at}, run {run}: {reason}"))?;
    }
    output.text(&format!("policy {}", cell(&explanation["policyHash"])))
}

/// Every rule that was tried, with one line per condition.
fn tried(explanation: &Value, output: Output) -> Result<()> {
    let mut rows = Vec::new();
    for rule in explanation["rules"].as_array().into_iter().flatten() {
        let mut name = format!("{} {}", mark(&rule["matched"]), cell(&rule["name"]));
        let conditions = rule["conditions"].as_array().map(Vec::as_slice).unwrap_or_default();
        if conditions.is_empty() {
            rows.push(vec![name, String::new(), "every job".to_owned(), String::new(), "✔".to_owned()]);
            continue;
        }
        for condition in conditions {
            let [key, expected, actual] =
                [&condition["key"], &condition["expected"], &condition["actual"]].map(cell);
            rows.push(vec![
                std::mem::take(&mut name),
                key,
                expected,
                actual,
                mark(&condition["holds"]).to_owned(),
            ]);
        }
    }
    if rows.is_empty() {
        return Ok(());
    }
    output.table(&["rule", "condition", "asks for", "found", "holds"], rows)?;
    let behind: Vec<String> = explanation["notTried"].as_array().into_iter().flatten().map(cell).collect();
    if behind.is_empty() { Ok(()) } else { output.text(&format!("not tried: {}", behind.join(", "))) }
}

/// The budgets and requirements that stand between the rule that matched and what it wants.
fn held_against(explanation: &Value, output: Output) -> Result<()> {
    for budget in explanation["budgets"].as_array().into_iter().flatten() {
        let (kind, used, most) = (cell(&budget["kind"]), cell(&budget["used"]), cell(&budget["most"]));
        let left = budget["used"].as_u64() < budget["most"].as_u64();
        output.text(&format!("{} budget {kind}: {used} of {most} used", mark(&left.into())))?;
    }
    for need in explanation["requirements"].as_array().into_iter().flatten() {
        let (key, actual) = (cell(&need["key"]), cell(&need["actual"]));
        output.text(&format!("{} requires {key}: {actual}", mark(&need["holds"])))?;
    }
    Ok(())
}
