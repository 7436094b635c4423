//! How a running server judges itself, and whether people hear of it.

use serde_json::Value;

use super::super::output::plain;
use super::{Finding, Verdict};
use crate::client::Client;

/// What is not well, worst first; one line when nothing is.
pub(super) async fn indicators(client: &Client) -> Vec<Finding> {
    match client.health().await {
        Ok(health) => judged(&health),
        // That the server does not answer is said elsewhere.
        Err(_) => Vec::new(),
    }
}

fn judged(health: &Value) -> Vec<Finding> {
    let all: Vec<&Value> = health["indicators"].as_array().into_iter().flatten().collect();
    let mut findings: Vec<Finding> = Vec::new();
    for (status, verdict) in [("down", Verdict::Problem), ("degraded", Verdict::Warning)] {
        let ill = all.iter().filter(|indicator| indicator["status"] == status);
        findings.extend(ill.map(|indicator| Finding {
            check: "health",
            verdict,
            found: plain(indicator["what"].as_str().unwrap_or_default()),
            advice: advice(indicator["kind"].as_str().unwrap_or_default()).to_owned(),
        }));
    }
    if findings.is_empty() {
        findings
            .push(Finding::ok("health", format!("all is well with {} things that are looked at", all.len())));
    }
    findings
}

/// What to do about a thing of this kind that is not well.
fn advice(kind: &str) -> &'static str {
    match kind {
        "database" => "see the reason; the server heals by itself when the cause goes",
        "link" => "see `reclaimer links list`, and whether the crawler runs; jobs wait meanwhile",
        "worker" => "restart it: `reclaimer workers restart` where it is supervised",
        "process" => "see `reclaimer workers list` for how it ended, and mend that",
        "recovery" => {
            "see `reclaimer runs list` and `reclaimer runs show` for what it decided and what failed"
        }
        "queues" => "see what `reclaimer recover --dry-run` says it would do, and why not",
        "queue" => "see `reclaimer workers list`: start workers that serve it, or more of them",
        "loop" => {
            "keep the log, and restart the server if it stays so; nothing that was acknowledged is lost"
        }
        _ => "see the reason",
    }
}

/// Whether people hear of incidents.
pub(super) async fn alerts(client: &Client) -> Option<Finding> {
    client.get(&["api", "admin", "alerts"]).await.ok().map(|alerts| heard(&alerts))
}

fn heard(alerts: &Value) -> Finding {
    let Some(target) = alerts["target"].as_str() else {
        return Finding::ok(
            "alerts",
            "incidents are logged, and nobody is told: `alerts.webhook_url` is not set",
        );
    };
    let messages = || alerts["messages"].as_array().into_iter().flatten();
    let refused = |message: &&Value| message["fate"] == "waiting" && message["lastError"].is_string();
    match messages().find(refused) {
        Some(message) => {
            let why = message["lastError"].as_str().unwrap_or_default();
            let waiting = messages().filter(|message| message["fate"] == "waiting").count();
            let found = format!("{waiting} messages wait for {target}: {why}");
            Finding::warning(
                "alerts",
                found,
                "mend the receiver or `[alerts]`; `reclaimer alerts test` tries it",
            )
        }
        None => Finding::ok("alerts", format!("messages go to {target}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn what_is_not_well_is_told_the_worst_first_with_advice() {
        let indicator = |kind: &str, status: &str| json!({ "kind": kind, "status": status, "what": kind });
        let ill = json!({ "indicators": [
            indicator("loop", "degraded"), indicator("recovery", "ok"), indicator("database", "down"),
        ]});
        let findings = judged(&ill);
        let told: Vec<(Verdict, &str)> =
            findings.iter().map(|finding| (finding.verdict, finding.found.as_str())).collect();
        assert_eq!(told, [(Verdict::Problem, "database"), (Verdict::Warning, "loop")]);
        assert!(findings.iter().all(|finding| !finding.advice.is_empty()));
        let well = judged(&json!({ "indicators": [indicator("loop", "ok")] }));
        assert_eq!((well.len(), well[0].verdict), (1, Verdict::Ok));
    }

    #[test]
    fn messages_that_do_not_arrive_are_told() {
        let message = |fate: &str, error: Value| json!({ "fate": fate, "lastError": error });
        let of =
            |target: Value, messages: Vec<Value>| heard(&json!({ "target": target, "messages": messages }));
        let waits = vec![message("waiting", Value::Null), message("waiting", json!("HTTP 503"))];
        let stuck = of(json!("https://x/…"), waits);
        assert_eq!(stuck.verdict, Verdict::Warning);
        assert_eq!(stuck.found, "2 messages wait for https://x/…: HTTP 503");
        let well = of(json!("https://x/…"), vec![message("given_up", json!("HTTP 404"))]);
        assert_eq!(well.verdict, Verdict::Ok, "what was given up is no longer waited for");
        assert_eq!(of(Value::Null, Vec::new()).verdict, Verdict::Ok);
    }
}
