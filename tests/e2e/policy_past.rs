//! Policies tried on what a real server did, and limits advised by it.

use std::path::Path;

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Server, Setup, reclaimer, run_sql};

const POLICY: &str = r#"
builtin = false

[[rule]]
name = "outage"
match = { status = "failed", error_type = "http_5xx" }
action = "requeue"
backoff = { kind = "fixed", delay = "0s" }

[[rule]]
name = "hopeless"
match = { status = "failed", error_contains = "revoked" }
action = "quarantine"

[[rule]]
name = "lost"
match = { status = "running" }
action = "requeue"
backoff = { kind = "fixed", delay = "0s" }
"#;

const OTHER: &str = r#"
builtin = false

[[rule]]
name = "everything"
match = { status = "failed" }
action = "requeue"
"#;

async fn take(server: &Server, command: &str) -> Result<Value> {
    let path = format!("/api/internal/jobs/open?workerId=w&command={command}");
    Ok(server.worker(Method::GET, &path, None).await?.expect(200)[0].take())
}

/// A server that has seen an outage, a job that is hopeless, one that no rule is for, and a worker that died.
async fn eventful(at: &Path) -> Result<(Server, Value)> {
    std::fs::write(at.join("policy.toml"), POLICY)?;
    std::fs::write(at.join("other.toml"), OTHER)?;
    let policy = at.join("policy.toml");
    let config = format!("[recovery]\nenabled = false\nspread = \"0s\"\npolicy = {policy:?}\n");
    let server = Server::start(at, &Setup::with(&config)).await?;
    for (command, more) in [
        ("OUTAGE", json!({ "error": "HTTP 503", "errorType": "http_5xx" })),
        ("HOPELESS", json!({ "error": "the token was revoked" })),
        ("NOBODYS", json!({ "error": "boom" })),
    ] {
        server.create(json!({ "command": command })).await?;
        server.report(&take(&server, command).await?, "failed", more).await?.expect(200);
    }
    let lost = server.create(json!({ "command": "LOST" })).await?;
    take(&server, "LOST").await?;
    let past =
        "UPDATE job SET lease_expires_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '-9 minutes') || '000'";
    run_sql(&server.database(), &format!("{past} WHERE id = '{lost}'"))?;
    let report = server.recover("comprehensive").await?;
    for command in ["OUTAGE", "LOST"] {
        server.report(&take(&server, command).await?, "completed", json!({})).await?.expect(200);
    }
    Ok((server, report))
}

#[tokio::test]
async fn the_policy_in_force_is_predicted_to_do_what_it_did() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let (_server, report) = eventful(at).await?;
    let result = &report["result"];
    assert_eq!((&result["recoveredJobs"], &result["quarantinedJobs"]), (&json!(2), &json!(1)), "{report}");

    let forecast = reclaimer(at, &[], &["policy", "simulate", "--json"]).await?.json(0)?;
    assert_eq!(
        (&forecast["cases"], &forecast["differing"], &forecast["undecided"]),
        (&json!(4), &json!(0), &json!(0))
    );
    assert_eq!(forecast["policyHash"], result["policyHash"]);
    let mut rules: Vec<Value> = forecast["rules"].as_array().cloned().unwrap_or_default();
    rules.sort_by_key(|rule| rule["rule"].to_string());
    let rule = |name: Value, fields: [u64; 7]| {
        let [requeued, quarantined, skipped, left, really, finished, failed] = fields;
        json!({ "rule": name, "requeued": requeued, "quarantined": quarantined, "skipped": skipped, "left": left,
            "reallyRequeued": really, "thenFinished": finished, "thenFailed": failed })
    };
    let expected = [
        rule(json!("hopeless"), [0, 1, 0, 0, 0, 0, 0]),
        rule(json!("lost"), [1, 0, 0, 0, 1, 1, 0]),
        rule(json!("outage"), [1, 0, 0, 0, 1, 1, 0]),
        rule(Value::Null, [0, 0, 0, 1, 0, 0, 0]),
    ];
    assert_eq!(rules, expected);
    Ok(())
}

#[tokio::test]
async fn another_policy_shows_what_would_change() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let (server, _) = eventful(at).await?;
    // The file is read without its server, too.
    server.stop().await?;
    let file = at.join("other.toml").display().to_string();
    let forecast = reclaimer(at, &[], &["policy", "simulate", &file, "--json"]).await?.json(0)?;
    let changes = forecast["differences"].as_array().into_iter().flatten().map(|it| {
        let of = |key: &str| it[key]["action"].as_str().unwrap_or_default().to_owned();
        format!("{} → {}, {}", of("really"), of("instead"), it["then"].as_str().unwrap_or_default())
    });
    let mut changes: Vec<String> = changes.collect();
    changes.sort();
    assert_eq!(changes, ["leave → requeue, open", "quarantine → requeue, open", "requeue → leave, finished"]);

    let shown = reclaimer(at, &[], &["policy", "simulate", &file]).await?.expect(0);
    assert!(shown.contains("requeue by everything") && shown.contains("3 would have come out"), "{shown}");
    let nothing = reclaimer(at, &[], &["policy", "simulate", &file, "--since", "0s"]).await?.expect(0);
    assert!(nothing.contains("nothing is on record"), "{nothing}");
    let none = at.join("none.toml").display().to_string();
    let refused = reclaimer(at, &[], &["policy", "simulate", &none]).await?.complaint(1);
    assert!(refused.contains("none.toml") && refused.contains("cannot be read"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn silences_advise_a_limit() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let server =
        Server::start(at, &Setup::with("[recovery]\nenabled = false\nstuck_after = \"30m\"\n")).await?;
    server.create(json!({ "command": "EXPORT" })).await?;
    let job = take(&server, "EXPORT").await?;
    let silent = "UPDATE job SET updated_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '-55 minutes') || '000'";
    run_sql(&server.database(), silent)?;
    server.report(&job, "completed", json!({})).await?.expect(200);
    let advice = reclaimer(at, &[], &["policy", "advise", "--json"]).await?.json(0)?;
    assert_eq!((&advice[0]["command"], &advice[0]["advised"]), (&json!("EXPORT"), &json!(7_200)));
    let shown = reclaimer(at, &[], &["policy", "advise"]).await?.expect(0);
    assert!(shown.contains("`stuck_after` of 30 min would have taken 1 live job; 2 h"), "{shown}");
    Ok(())
}
