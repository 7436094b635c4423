//! `docs/ops/`: rules and dashboard use metrics that there are, and Prometheus' own tools find nothing wrong with them.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use reqwest::Method;
use serde_json::Value;

use crate::rig::{Server, Setup};

fn docs(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs").join(name)
}

/// Runs Prometheus' tool, which must be content; answers what it says.
fn promtool(words: &[&str], input: &str) -> Result<String> {
    let mut tool = Command::new("promtool")
        .args(words)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("promtool is missing; tests/run installs it (Debian's package `prometheus`)")?;
    tool.stdin.take().context("no input")?.write_all(input.as_bytes())?;
    let output = tool.wait_with_output()?;
    let said =
        format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    ensure!(output.status.success(), "promtool {words:?}: {said}");
    Ok(said)
}

/// Each documented metric with its labels; a histogram's by the endings of its series.
fn documented() -> Result<BTreeMap<String, BTreeSet<String>>> {
    let page = fs::read_to_string(docs("reference/metrics.md"))?;
    let mut all = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let [_, name, kind, labels, ..] = cells[..] else { continue };
        let mut labels: BTreeSet<String> = labels
            .split(", ")
            .map(|label| label.trim_matches('`').to_owned())
            .filter(|it| it != "–")
            .collect();
        labels.extend(["instance", "job"].map(ToOwned::to_owned));
        let name = name.trim_matches('`');
        if kind == "histogram" {
            all.insert(format!("{name}_sum"), labels.clone());
            all.insert(format!("{name}_count"), labels.clone());
            labels.insert("le".to_owned());
            all.insert(format!("{name}_bucket"), labels);
        } else {
            all.insert(name.to_owned(), labels);
        }
    }
    ensure!(all.len() > 20, "the page of metrics has no table: {all:?}");
    Ok(all)
}

/// What is wrong with the metrics and labels of an expression.
fn complaints(expression: &str, documented: &BTreeMap<String, BTreeSet<String>>) -> Vec<String> {
    let word = |text: &str| -> String {
        text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect()
    };
    let mut wrong = Vec::new();
    let mut used = BTreeSet::new();
    let mut known = BTreeSet::new();
    for (at, _) in expression.match_indices("reclaimer_") {
        let name = word(&expression[at..]);
        let Some(labels) = documented.get(&name) else {
            wrong.push(format!("there is no metric {name} in {expression}"));
            continue;
        };
        known.extend(labels.iter().cloned());
        let selector = expression[at + name.len()..].strip_prefix('{').and_then(|rest| rest.split_once('}'));
        for part in selector.map_or("", |(selector, _)| selector).split(',').map(str::trim) {
            let label = word(part);
            if !label.is_empty() && !labels.contains(&label) {
                wrong.push(format!("{name} has no label {label} in {expression}"));
            }
        }
        used.insert(name);
    }
    if used.is_empty() && wrong.is_empty() {
        wrong.push(format!("no metric in {expression}"));
    }
    for (at, by) in expression.match_indices("by (") {
        let labels = expression[at + by.len()..].split(')').next().unwrap_or_default();
        let unknown = labels.split(", ").filter(|label| !known.contains(*label));
        wrong.extend(unknown.map(|label| format!("nothing has the label {label} in {expression}")));
    }
    wrong
}

#[test]
fn an_expression_that_could_never_be_true_is_found() -> Result<()> {
    let documented = documented()?;
    let wrong = |expression| complaints(expression, &documented).len();
    assert_eq!(wrong(r#"sum by (queue) (reclaimer_jobs{instance="a", status="queued"}) > 5"#), 0);
    assert_eq!(wrong("rate(reclaimer_http_request_seconds_count[5m])"), 0);
    for expression in [
        "reclaimer_job > 5",
        "rate(reclaimer_http_request_seconds[5m])",
        r#"reclaimer_jobs{state="queued"}"#,
        "sum by (rule) (reclaimer_jobs)",
        "up == 0",
    ] {
        assert_eq!(wrong(expression), 1, "{expression}");
    }
    Ok(())
}

#[test]
fn the_alert_rules_are_valid_and_each_is_shown_to_fire() -> Result<()> {
    let (rules, tests) = (docs("ops/alerts.yml"), docs("ops/alerts.test.yml"));
    promtool(&["check", "rules", &rules.to_string_lossy()], "")?;
    promtool(&["test", "rules", &tests.to_string_lossy()], "")?;

    let (rules, tests) = (fs::read_to_string(rules)?, fs::read_to_string(tests)?);
    let documented = documented()?;
    let alerts: Vec<&str> = rules.split("- alert: ").skip(1).collect();
    ensure!(alerts.len() > 10, "no rules");
    for alert in alerts {
        let name = alert.lines().next().context("no name")?;
        ensure!(tests.contains(&format!("alertname=\"{name}\"")), "no test shows that {name} fires");
        ensure!(alert.contains("summary: ") && alert.contains("action: "), "{name} says not what to do");
        let expression = alert.split_once("expr: ").context("no expression")?.1;
        let expression = expression.split("\n        for: ").next().unwrap_or_default();
        let expression = expression.split("\n        labels: ").next().unwrap_or_default();
        assert_eq!(complaints(expression, &documented), [""; 0], "{name}");
    }
    Ok(())
}

/// Every expression in a dashboard, wherever it stands.
fn expressions(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(fields) => {
            found.extend(fields.get("expr").and_then(Value::as_str).map(ToOwned::to_owned));
            fields.values().for_each(|value| expressions(value, found));
        }
        Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_dashboard_uses_only_metrics_that_there_are() -> Result<()> {
    let dashboard: Value = serde_json::from_str(&fs::read_to_string(docs("ops/grafana.json"))?)?;
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    ensure!(found.len() > 20, "the dashboard shows nothing");
    let documented = documented()?;
    let mut wrong: Vec<String> = found.iter().flat_map(|it| complaints(it, &documented)).collect();
    let panels = dashboard["panels"].as_array().context("no panels")?;
    let ids: BTreeSet<u64> = panels.iter().filter_map(|panel| panel["id"].as_u64()).collect();
    assert_eq!(ids.len(), panels.len(), "each panel has an id of its own");
    let server =
        dashboard["templating"]["list"][1]["query"]["query"].as_str().context("no choice of servers")?;
    wrong.extend(complaints(server, &documented));
    assert_eq!(wrong, [""; 0]);

    // What Grafana puts in for its variables makes each a valid expression.
    let mut rules = "groups:\n  - name: dashboard\n    rules:\n".to_owned();
    for (number, expression) in found.iter().enumerate() {
        let expression = expression.replace("$__rate_interval", "5m").replace("$instance", ".*");
        rules.push_str(&format!(
            "      - record: panel:{number}\n        expr: {}\n",
            Value::from(expression)
        ));
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("dashboard.yml");
    fs::write(&path, rules)?;
    promtool(&["check", "rules", &path.to_string_lossy()], "")?;
    Ok(())
}

#[tokio::test]
async fn prometheus_finds_nothing_wrong_with_our_metrics() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    server.create(serde_json::json!({ "command": "X" })).await?;
    let answer = server.admin(Method::GET, "/metrics", None).await?;
    let text = answer.body.as_str().context("no text")?;
    let said = promtool(&["check", "metrics"], text)?;
    assert_eq!(said, "");
    Ok(())
}
