//! The command line against a live server, and on the database beside it.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use anyhow::Result;
use serde_json::{Value, json};

use crate::rig::{Ran, Server, Setup, Shell, query, reclaimer};

/// Asks the server of this folder.
async fn ask(folder: &Path, words: &[&str]) -> Result<Ran> {
    reclaimer(folder, &[], words).await
}

#[tokio::test]
async fn jobs_are_added_listed_shown_and_acted_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let server = Server::start(at, &Setup::with("[recovery]\nenabled = false\n")).await?;
    let id = ask(at, &["jobs", "add", "X", "--payload", "{\"n\": 1}", "--priority", "-5"]).await?.expect(0);
    let id = id.trim();
    let listed = ask(at, &["jobs", "list", "--status", "queued", "--json"]).await?.json(0)?;
    assert_eq!(listed["items"][0]["id"], id);
    assert_eq!(listed["items"][0]["priority"], -5);
    assert!(ask(at, &["jobs", "list"]).await?.expect(0).contains(id));

    // What is not possible is refused with the reason, for each job on its own.
    let results = ask(at, &["jobs", "retry", id, "none", "--json"]).await?.json(1)?;
    assert!(
        results[0]["error"].as_str().is_some_and(|text| text.contains("illegal_transition")),
        "{results}"
    );
    assert!(results[1]["error"].as_str().is_some_and(|text| text.contains("unknown_job")), "{results}");
    for (action, status) in [("pause", "paused"), ("resume", "queued"), ("cancel", "cancelled")] {
        let results = ask(at, &["jobs", action, id, "--json"]).await?.json(0)?;
        assert_eq!(results[0]["job"]["status"], status);
    }
    let results = ask(at, &["jobs", "rerun", id, "--json"]).await?.json(0)?;
    assert_eq!(results[0]["job"]["spawnedFrom"], id);

    let shown = ask(at, &["jobs", "show", id, "--json"]).await?.json(0)?;
    let kinds: Vec<&str> =
        shown["events"].as_array().into_iter().flatten().filter_map(|event| event["kind"].as_str()).collect();
    assert_eq!(kinds, ["created", "paused", "resumed", "cancelled"]);

    let orders: Vec<Value> =
        (0..3).map(|n| json!({ "command": "MANY", "uniqueKey": n.to_string() })).collect();
    std::fs::write(at.join("orders.json"), json!(orders).to_string())?;
    let said = ask(at, &["jobs", "add", "--from", "orders.json"]).await?.expect(0);
    assert_eq!(said.trim(), "3 created, 0 there already");
    let said = ask(at, &["jobs", "add", "--from", "orders.json"]).await?.expect(0);
    assert_eq!(said.trim(), "0 created, 3 there already");
    let first = ask(at, &["jobs", "add", "ONCE", "--idempotency-key", "k"]).await?.expect(0);
    assert_eq!(ask(at, &["jobs", "add", "ONCE", "--idempotency-key", "k"]).await?.expect(0), first);
    drop(server);
    Ok(())
}

#[tokio::test]
async fn recovery_queues_and_accounts_by_command() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let server = Server::start(at, &Setup::with("[recovery]\nenabled = false\n")).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    let jobs = server.open("w", 1, 0).await?;
    server.report(&jobs[0], "failed", json!({ "error": "e", "retryable": true })).await?.expect(200);
    let dry = ask(at, &["recover", "--type", "failed", "--dry-run", "--json"]).await?.json(0)?;
    assert_eq!(dry["result"]["recoveredJobs"], 1);
    assert_eq!(server.job(&id).await?["status"], "failed");
    let said = ask(at, &["recover"]).await?.expect(0);
    assert!(said.contains("retryable") && said.contains("1 recovered"), "{said}");
    assert!(ask(at, &["recover", "--type", "all"]).await?.complaint(2).contains("comprehensive"));

    ask(at, &["queues", "pause", "default"]).await?.expect(0);
    assert_eq!(server.open("w", 1, 0).await?.len(), 0);
    let queues = ask(at, &["queues", "list", "--json"]).await?.json(0)?;
    assert_eq!(queues["items"][0]["paused"], true);
    ask(at, &["queues", "resume", "default"]).await?.expect(0);

    std::fs::write(at.join("token"), "sesame\n")?;
    let words =
        ["accounts", "set", "a", "--user", "u", "--provider", "gitlab", "--access-token-file", "token"];
    assert_eq!(ask(at, &words).await?.expect(0).trim(), "a: valid");
    let listed = ask(at, &["accounts", "list", "--json"]).await?.json(0)?;
    assert_eq!(listed[0]["hasAccessToken"], true);
    assert!(!listed.to_string().contains("sesame"));
    ask(at, &["accounts", "erase", "a"]).await?.expect(0);
    assert_eq!(ask(at, &["accounts", "list", "--json"]).await?.json(0)?, json!([]));
    Ok(())
}

#[tokio::test]
async fn a_live_database_is_backed_up_whole_and_for_its_owner_alone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let server = Server::start(at, &Setup::default()).await?;
    server.create(json!({ "command": "X" })).await?;
    std::fs::write(at.join("copy.partial"), "somebody else's")?;
    let report = ask(at, &["backup", "copy.db", "--json"]).await?.json(0)?;
    assert_eq!(report["jobs"], 1);
    let copy = at.join("copy.db");
    assert_eq!(std::fs::metadata(&copy)?.permissions().mode() & 0o777, 0o600);
    assert_eq!(query(&copy, "PRAGMA integrity_check; SELECT command FROM job")?, ["ok", "X"]);
    let complaint = ask(at, &["backup", "copy.db"]).await?.complaint(1);
    assert_eq!(complaint.trim(), "reclaimer: the backup's file exists already; choose another name");
    let complaint = ask(at, &["backup", "nowhere/copy.db"]).await?.complaint(1);
    assert!(complaint.starts_with("reclaimer: the backup's folder cannot be written"), "{complaint}");
    let mut left: Vec<String> = Vec::new();
    for entry in std::fs::read_dir(at)? {
        left.push(entry?.file_name().to_string_lossy().into_owned());
    }
    assert!(left.contains(&"copy.partial".to_owned()), "another file's name is not ours: {left:?}");
    assert!(!left.iter().any(|name| name.starts_with(".reclaimer-backup")), "{left:?}");
    Ok(())
}

#[tokio::test]
async fn the_doctor_finds_what_is_wrong_and_says_what_to_do() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let config = "[server]\nlisten = [\"127.0.0.1:0\", \"unix:data/api.sock\"]\n";
    let listen = ["127.0.0.1:0", "unix:data/api.sock"];
    let server =
        Server::start(at, &Setup { listen: listen.map(str::to_owned).to_vec(), ..Setup::with(config) })
            .await?;
    let well = ask(at, &["doctor", "--json"]).await?.json(0)?;
    let verdict = |findings: &Value, check: &str| {
        let found = findings.as_array().into_iter().flatten().find(|finding| finding["check"] == check);
        found.map(|finding| finding["verdict"].as_str().unwrap_or_default().to_owned())
    };
    for check in ["integrity", "migrations", "stuck jobs", "disk", "token files", "socket", "server", "clock"]
    {
        assert_eq!(verdict(&well, check).as_deref(), Some("ok"), "{check}: {well}");
    }

    for command in ["LOST", "SILENT", "LATE", "WELL"] {
        server.create(json!({ "command": command, "timeoutSeconds": 7_200 })).await?;
    }
    server.open("w", 4, 0).await?;
    let database = server.database();
    server.crash().await?;
    crate::rig::run_sql(
        &database,
        "UPDATE job SET lease_expires_at = datetime('now', '+1 hour');
         UPDATE job SET lease_expires_at = datetime('now', '-2 minutes') WHERE command = 'LOST';
         UPDATE job SET updated_at = datetime('now', '-3 hours') WHERE command = 'SILENT';
         UPDATE job SET started_at = datetime('now', '-3 hours') WHERE command = 'LATE'",
    )?;
    let token = at.join("data/admin.token");
    std::fs::set_permissions(&token, std::fs::Permissions::from_mode(0o644))?;
    let ill = ask(at, &["doctor", "--json"]).await?.json(1)?;
    assert_eq!(verdict(&ill, "stuck jobs").as_deref(), Some("problem"), "{ill}");
    let stuck =
        "3 running jobs are overdue: 1 with an expired lease, 1 past its timeout, 1 silent for too long";
    assert!(ill.to_string().contains(stuck), "{ill}");
    assert_eq!(verdict(&ill, "token files").as_deref(), Some("problem"), "{ill}");
    assert_eq!(verdict(&ill, "server").as_deref(), Some("problem"), "{ill}");
    assert_eq!(verdict(&ill, "socket").as_deref(), Some("problem"), "{ill}");
    for finding in ill.as_array().into_iter().flatten().filter(|finding| finding["verdict"] != "ok") {
        assert!(finding["advice"].as_str().is_some_and(|advice| !advice.is_empty()), "{finding}");
    }
    Ok(())
}

#[tokio::test]
async fn the_doctor_advises_by_the_kind_of_trouble() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let server = Server::start(at, &Setup::default()).await?;
    let database = server.database();
    assert!(server.stop().await?.success());
    let advice = async || -> Result<String> {
        let findings = ask(at, &["doctor", "--json"]).await?.json(1)?;
        let bad = findings.as_array().into_iter().flatten().filter(|finding| finding["verdict"] == "problem");
        let advice: Vec<&str> = bad.filter_map(|finding| finding["advice"].as_str()).collect();
        Ok(advice.join("; "))
    };

    // Somebody works in the shell and keeps everybody out.
    let shell = Shell::hold(&database, "PRAGMA locking_mode = EXCLUSIVE; BEGIN EXCLUSIVE").await?;
    let told = advice().await?;
    assert!(told.contains("another process"), "{told}");
    shell.release().await?;

    std::fs::write(&database, "no database ".repeat(1_000))?;
    let told = advice().await?;
    assert!(told.contains("restore the latest backup") && !told.contains("version"), "{told}");
    Ok(())
}

#[tokio::test]
async fn migrations_are_listed_and_run_without_a_server() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let complaint = ask(at, &["migrate"]).await?.complaint(1);
    assert!(complaint.starts_with("reclaimer: the database's folder does not exist"), "{complaint}");
    std::fs::create_dir(at.join("data"))?;
    assert!(ask(at, &["migrate", "--check"]).await?.expect(1).contains("pending: "));
    assert!(ask(at, &["migrate"]).await?.expect(0).contains("applied: "));
    assert_eq!(ask(at, &["migrate", "--check"]).await?.expect(0).trim(), "the database is up to date");
    Ok(())
}

#[tokio::test]
async fn what_is_generated_is_what_the_repository_has() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let stored = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/openapi.json"))?;
    assert!(ask(at, &["openapi"]).await?.expect(0) == stored);
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        assert!(ask(at, &["completions", shell]).await?.expect(0).contains("reclaimer"), "{shell}");
    }
    Ok(())
}

#[tokio::test]
async fn wrong_use_and_a_missing_server_are_told_apart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    assert!(ask(at, &["jobs", "lst"]).await?.complaint(2).contains("list"));
    let words = ["jobs", "add", "X", "--payload", "{"];
    assert!(ask(at, &words).await?.complaint(2).contains("not JSON"));
    let none = ask(at, &["jobs", "list"]).await?.complaint(1);
    assert!(none.contains("no server runs on the data folder"), "{none}");
    let away = ask(at, &["jobs", "list", "--server", "http://127.0.0.1:9"]).await?.complaint(1);
    assert!(away.contains("no admin token"), "{away}");
    let variables = [("RECLAIMER_TOKEN", "t"), ("RECLAIMER_SERVER", "http://127.0.0.1:9")];
    let away = reclaimer(at, &variables, &["jobs", "list"]).await?.complaint(1);
    assert!(away.contains("cannot be reached"), "{away}");
    Ok(())
}
