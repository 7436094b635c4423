//! The policy file: what it decides, how it is read anew, and what it says of a job.

use std::path::Path;

use anyhow::Result;
use nix::sys::signal::{Signal, kill};
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Server, Setup, reclaimer, until};

const CONFIG: &str = "[recovery]\nenabled = false\npolicy = \"policy.toml\"\n";

/// Jobs that need more memory go where there is some.
const BIG_MEMORY: &str = r#"
[[rule]]
name = "big-memory"
match = { status = "failed", error_type = "out_of_memory" }
action = "requeue"
queue = "big-memory"
backoff = { kind = "fixed", delay = "0s" }
"#;

/// A server that decides by this policy.
async fn server(folder: &Path, policy: &str) -> Result<Server> {
    write(folder, policy)?;
    Server::start(folder, &Setup::with(CONFIG)).await
}

fn write(folder: &Path, policy: &str) -> Result<()> {
    Ok(std::fs::write(folder.join("policy.toml"), policy)?)
}

async fn in_force(server: &Server) -> Result<Value> {
    Ok(server.admin(Method::GET, "/api/admin/policy", None).await?.expect(200))
}

async fn reload(server: &Server) -> Result<crate::rig::Answer> {
    server.admin(Method::POST, "/api/admin/policy/reload", None).await
}

/// A job that failed like this.
async fn failed(server: &Server, said: Value) -> Result<String> {
    let id = server.create(json!({ "command": "X" })).await?;
    let jobs = server.open("w", 1, 0).await?;
    assert_eq!(jobs[0]["id"], id.as_str());
    server.report(&jobs[0], "failed", said).await?.expect(200);
    Ok(id)
}

fn out_of_memory() -> Value {
    json!({ "error": "killed", "errorType": "out_of_memory" })
}

async fn last_event(server: &Server, id: &str) -> Result<Value> {
    Ok(server.events(id).await?.pop().unwrap_or_default())
}

fn rules(view: &Value) -> Vec<&str> {
    view["rules"].as_array().into_iter().flatten().filter_map(|rule| rule["name"].as_str()).collect()
}

#[tokio::test]
async fn a_policy_file_decides_and_its_hash_and_rule_are_kept() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = server(folder.path(), BIG_MEMORY).await?;
    let view = in_force(&server).await?;
    assert_eq!((&view["file"], &view["refused"]), (&"policy.toml".into(), &Value::Null));
    assert_eq!(rules(&view)[0], "big-memory");
    assert_eq!(
        view["rules"][0],
        json!({ "name": "big-memory", "match": { "status": "failed", "error_type": ["out_of_memory"] },
            "action": "requeue", "queue": "big-memory", "origin": "file", "line": 3,
            "backoff": { "kind": "fixed", "delay": "0s", "cap": "0s", "jitter": "none" } })
    );

    let id = failed(&server, out_of_memory()).await?;
    let report = server.recover("failed").await?;
    assert_eq!(report["result"]["policyHash"], view["hash"]);
    assert_eq!(report["result"]["decisions"][0]["queue"], "big-memory");
    let event = last_event(&server, &id).await?;
    assert_eq!((&event["kind"], &event["rule"]), (&"recovered".into(), &"big-memory".into()));
    assert_eq!(event["detail"]["policy"], view["hash"]);
    assert_eq!(event["detail"]["toQueue"], "big-memory");
    assert_eq!(server.job(&id).await?["queue"], "big-memory");
    Ok(())
}

#[tokio::test]
async fn a_policy_is_read_anew_by_signal_api_and_command() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let server = server(at, "").await?;
    let first = in_force(&server).await?;
    assert!(!rules(&first).contains(&"big-memory"), "{first}");
    let id = failed(&server, out_of_memory()).await?;
    assert_eq!(server.recover("failed").await?["result"]["skippedJobs"], 1);
    assert_eq!(last_event(&server, &id).await?["detail"]["policy"], first["hash"]);

    write(at, BIG_MEMORY)?;
    assert_eq!(in_force(&server).await?, first, "nobody asked for it yet");
    kill(server.pid()?, Signal::SIGHUP)?;
    let second = until("the signal to be heeded", async || {
        let view = in_force(&server).await?;
        Ok((view["hash"] != first["hash"]).then_some(view))
    })
    .await?;
    assert_eq!(rules(&second)[0], "big-memory");
    // A job that was left by the old policy is looked at again after its rest.
    let another = failed(&server, out_of_memory()).await?;
    server.recover("failed").await?;
    assert_eq!(last_event(&server, &another).await?["detail"]["policy"], second["hash"]);

    write(at, &format!("builtin = false\n{BIG_MEMORY}"))?;
    let third = reload(&server).await?.expect(200);
    assert_eq!(rules(&third), ["big-memory"]);
    assert_eq!(in_force(&server).await?, third);
    assert_eq!(reload(&server).await?.expect(200), third, "what says the same stays in force since then");

    write(at, "builtin = false\n")?;
    let fourth = reclaimer(at, &[], &["policy", "reload", "--json"]).await?.json(0)?;
    assert_eq!((rules(&fourth), &in_force(&server).await?), (vec![], &fourth));
    Ok(())
}

#[tokio::test]
async fn a_file_that_cannot_be_used_changes_nothing_and_says_so() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let server = server(at, BIG_MEMORY).await?;
    let good = in_force(&server).await?;
    let wrong =
        "policy.toml:5:10: rule `big-memory`: `action`: one of `requeue`, `quarantine`, `leave`, got `stay`";
    write(at, &BIG_MEMORY.replace("\"requeue\"", "\"stay\""))?;

    let refused = reload(&server).await?.expect(422);
    assert_eq!(refused["code"], "policy_refused");
    let detail = refused["detail"].as_str().unwrap_or_default();
    let hash = good["hash"].as_str().unwrap_or_default();
    assert_eq!(detail, format!("{wrong}; the policy {hash} stays in force"));
    let view = in_force(&server).await?;
    assert_eq!(view["refused"]["message"], wrong);
    assert_eq!(
        (&view["refused"]["findings"][0]["line"], &view["refused"]["findings"][0]["key"]),
        (&5.into(), &"action".into())
    );
    assert_eq!(
        (&view["hash"], &view["since"], &view["rules"]),
        (&good["hash"], &good["since"], &good["rules"])
    );
    let log = std::fs::read_to_string(at.join("err.log"))?;
    assert!(log.lines().any(|line| line.contains("\"ERROR\"") && line.contains("policy.toml:5:10")), "{log}");

    // The old one decides on.
    let id = failed(&server, out_of_memory()).await?;
    server.recover("failed").await?;
    let event = last_event(&server, &id).await?;
    assert_eq!((&event["rule"], &event["detail"]["policy"]), (&"big-memory".into(), &good["hash"]));

    // A signal is answered in the same way.
    std::fs::remove_file(at.join("policy.toml"))?;
    kill(server.pid()?, Signal::SIGHUP)?;
    until("the signal to be heeded", async || {
        let view = in_force(&server).await?;
        assert_eq!(view["hash"], good["hash"]);
        let message = view["refused"]["message"].as_str().unwrap_or_default().to_owned();
        Ok(message.starts_with("policy.toml: cannot be read: ").then_some(()))
    })
    .await?;
    let findings = reclaimer(at, &[], &["doctor", "--json"]).await?.json(1)?;
    let of = |check: &str| {
        let found = findings.as_array().into_iter().flatten().find(|finding| finding["check"] == check);
        found.map(|finding| finding["verdict"].clone())
    };
    assert_eq!(
        (of("policy"), of("policy in force")),
        (Some("problem".into()), Some("warning".into())),
        "{findings}"
    );

    write(at, BIG_MEMORY)?;
    let view = reload(&server).await?.expect(200);
    assert_eq!((&view["hash"], &view["refused"]), (&good["hash"], &Value::Null));
    Ok(())
}

#[tokio::test]
async fn no_server_starts_with_a_policy_that_cannot_be_used() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    std::fs::write(at.join("reclaimer.toml"), CONFIG)?;
    write(
        at,
        "[defaults]\nmax_recoverys = 5\n[[rule]]\nname = \"x\"\naction = \"leave\"\nmatch = { error_regex = \"(\" }\n",
    )?;
    let complaint = reclaimer(at, &[], &["serve", "--listen", "127.0.0.1:0"]).await?.complaint(1);
    let expected = "reclaimer: the policy file of `recovery.policy` cannot be used:\n  \
                    policy.toml:2:1: unknown key `max_recoverys`; did you mean `max_recoveries`?\n";
    assert_eq!(complaint, expected);
    Ok(())
}

#[tokio::test]
async fn without_a_policy_file_there_is_nothing_to_read_anew() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let view = in_force(&server).await?;
    assert_eq!(view["file"], Value::Null);
    let builtin = ["retryable", "unknown-data-type", "missing-account-data", "missing-access-token", "stuck"];
    assert_eq!(rules(&view), builtin);
    assert_eq!(reload(&server).await?.expect(409)["code"], "no_policy_file");
    kill(server.pid()?, Signal::SIGHUP)?;
    assert_eq!(in_force(&server).await?, view, "a signal that asks for nothing does not end the server");
    let worker = server.worker(Method::GET, "/api/admin/policy", None).await?;
    assert_eq!(worker.status.as_u16(), 403);
    Ok(())
}

#[tokio::test]
async fn a_policy_file_is_checked_before_it_is_used() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let complaint = reclaimer(at, &[], &["policy", "check"]).await?.complaint(1);
    assert!(complaint.contains("recovery.policy"), "{complaint}");
    std::fs::write(at.join("reclaimer.toml"), CONFIG)?;

    let never = "[[rule]]\nname = \"again\"\nmatch = { status = \"failed\", error_type = \"out_of_memory\", queue = \"x\" }\n\
                 action = \"quarantine\"\n";
    write(at, &format!("{BIG_MEMORY}{never}"))?;
    let said = reclaimer(at, &[], &["policy", "check"]).await?.expect(0);
    let warning = "warning: policy.toml:9:8: rule `again`: it never matches: rule `big-memory` in line 3 takes every \
                   job that it would\n";
    assert!(said.starts_with(warning) && said.contains("a policy of 7 rules"), "{said}");
    let report = reclaimer(at, &[], &["policy", "check", "policy.toml", "--json"]).await?.json(0)?;
    assert_eq!((&report["usable"], &report["warnings"][0]["line"]), (&true.into(), &9.into()));
    let findings = reclaimer(at, &[], &["doctor", "--json"]).await?.out;
    assert!(findings.contains("it never matches"), "{findings}");

    std::fs::write(at.join("other.toml"), "[[rule]]\nname = \"x\"\n")?;
    let said = reclaimer(at, &[], &["policy", "check", "other.toml"]).await?.expect(1);
    assert!(said.starts_with("error: other.toml:1:1: rule `x`: a rule needs `action`\n"), "{said}");
    let report = reclaimer(at, &[], &["policy", "check", "other.toml", "--json"]).await?.json(1)?;
    assert_eq!((&report["usable"], &report["errors"][0]["line"]), (&false.into(), &1.into()));
    Ok(())
}

#[tokio::test]
async fn a_job_is_explained_alike_by_api_and_command() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let server = server(at, BIG_MEMORY).await?;
    let account = json!({ "userId": "u", "providerId": "gitlab" });
    server.admin(Method::PUT, "/api/admin/accounts/a", Some(account)).await?;
    let id = server.create(json!({ "command": "X", "accountId": "a" })).await?;
    let jobs = server.open("w", 1, 0).await?;
    let path = format!("/api/admin/jobs/{id}/explain");
    let explain = async || anyhow::Ok(server.admin(Method::GET, &path, None).await?.expect(200));
    let running = explain().await?;
    assert!(running["summary"].as_str().is_some_and(|text| text.contains("worker w holds it")), "{running}");
    assert!(running.get("decision").is_none() && running["nextLook"]["at"].is_string(), "{running}");

    server.report(&jobs[0], "failed", json!({ "error": "boom", "retryable": true })).await?.expect(200);
    let fresh = explain().await?;
    assert!(fresh.get("onRecord").is_none(), "{fresh}");
    assert_eq!(fresh["decision"]["action"], "skip");
    assert_eq!(
        fresh["rules"][0]["conditions"][1],
        json!({ "key": "error_type", "expected": "`out_of_memory`", "actual": "no type", "holds": false })
    );
    assert_eq!(
        (&fresh["rules"][1]["name"], &fresh["rules"][1]["matched"]),
        (&"retryable".into(), &true.into())
    );
    let hash = in_force(&server).await?["hash"].clone();
    assert_eq!(fresh["policyHash"], hash);

    // What a run says of it is what the explanation said, and is kept.
    let report = server.recover("failed").await?;
    assert_eq!(report["result"]["decisions"][0]["reason"], fresh["decision"]["reason"]);
    let later = explain().await?;
    let on_record = &later["onRecord"];
    assert_eq!((&on_record["kind"], &on_record["rule"]), (&"not_recovered".into(), &"retryable".into()));
    assert_eq!((&on_record["reason"], &on_record["policyHash"]), (&fresh["decision"]["reason"], &hash));
    assert_eq!(on_record["runId"], report["result"]["runId"]);

    let mut by_command = reclaimer(at, &[], &["policy", "explain", &id, "--json"]).await?.json(0)?;
    let mut by_api = later.clone();
    for explanation in [&mut by_command, &mut by_api] {
        explanation["at"] = Value::Null;
        explanation["decision"]["lookAgainAt"] = Value::Null;
    }
    assert_eq!(by_command, by_api);
    let said = reclaimer(at, &[], &["policy", "explain", &id]).await?.expect(0);
    for words in ["summary", "nextLook.why", "onRecord.reason"] {
        let value = words.split('.').fold(&later, |value, word| &value[word]);
        let text = value.as_str().unwrap_or_default();
        assert!(!text.is_empty() && said.contains(text), "{words}: {text}\n{said}");
    }
    assert!(
        said.contains("✘ big-memory") && said.contains("✔ retryable") && said.contains("not tried: "),
        "{said}"
    );

    let unknown = server.admin(Method::GET, "/api/admin/jobs/none/explain", None).await?.expect(404);
    assert_eq!(unknown["code"], "unknown_job");
    Ok(())
}

#[tokio::test]
async fn a_job_that_is_skipped_again_and_again_has_its_reason_on_record_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = server(folder.path(), "[defaults]\nlook_again = \"1s\"\n").await?;
    let id = failed(&server, json!({ "error": "boom" })).await?;
    for _ in 0..3 {
        until("the job to be looked at again", async || {
            let report = server.recover("failed").await?;
            Ok((report["result"]["skippedJobs"] == 1).then_some(()))
        })
        .await?;
    }
    let events = server.events(&id).await?;
    let said: Vec<&Value> = events.iter().filter(|event| event["kind"] == "not_recovered").collect();
    assert_eq!(said.len(), 1, "{events:?}");
    assert_eq!(said[0]["reason"], "no rule recovers it; it failed with: boom");
    Ok(())
}
