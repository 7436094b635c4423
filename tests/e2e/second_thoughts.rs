//! What people can take back or make count afterwards: late results, and recovery runs.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Server, Setup, query, reclaimer, run_sql};

const CONFIG: &str = "[recovery]\nenabled = false\nspread = \"0s\"\n";
const RUNS: &str = "/api/admin/jobs/recovery/runs";

/// A job that worker `w` holds, and whose lease ended a while ago.
async fn overdue(server: &Server, command: &str) -> Result<Value> {
    server.create(json!({ "command": command })).await?;
    let path = format!("/api/internal/jobs/open?workerId=w&command={command}");
    let job = server.worker(Method::GET, &path, None).await?.expect(200)[0].take();
    let past =
        "UPDATE job SET lease_expires_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '-9 minutes') || '000'";
    run_sql(&server.database(), &format!("{past} WHERE id = '{}'", id(&job)))?;
    Ok(job)
}

fn id(job: &Value) -> String {
    job["id"].as_str().unwrap_or_default().to_owned()
}

#[tokio::test]
async fn a_late_result_is_kept_shown_and_accepted() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let server = Server::start(at, &Setup::with(CONFIG)).await?;
    let job = overdue(&server, "A").await?;
    let id = id(&job);
    assert_eq!(server.recover("stuck").await?["result"]["recoveredJobs"], 1);
    let more = json!({ "processedItems": 3 });
    assert_eq!(server.report(&job, "completed", more).await?.expect(409)["code"], "stale_lease");

    let late = server.admin(Method::GET, &format!("/api/jobs/{id}/late-results"), None).await?.expect(200);
    let summary = late["items"][0]["summary"].as_str().unwrap_or_default().to_owned();
    assert!(summary.starts_with("finished late by worker w, "), "{late}");
    assert!(summary.ends_with(" after its lease was lost"), "{late}");
    let shown = reclaimer(at, &[], &["jobs", "show", &id]).await?.expect(0);
    assert!(shown.contains(&summary) && shown.contains("jobs accept"), "{shown}");

    reclaimer(at, &[], &["jobs", "accept", &id, "2"]).await?.complaint(1);
    let said = reclaimer(at, &[], &["jobs", "accept", &id]).await?.expect(0);
    assert!(said.contains("is finished by late result 1"), "{said}");
    let job = server.job(&id).await?;
    assert_eq!((&job["status"], &job["progress"]["processedItems"]), (&json!("finished"), &json!(3)));
    let events = server.events(&id).await?;
    let kinds: Vec<&Value> = events.iter().map(|event| &event["kind"]).collect();
    assert_eq!(kinds, ["created", "claimed", "reclaimed", "stale_report", "late_accepted"]);
    let path = format!("/api/admin/jobs/{id}/late-results/1/accept");
    assert_eq!(server.admin(Method::POST, &path, None).await?.expect(409)["code"], "accepted_before");
    Ok(())
}

#[tokio::test]
async fn a_run_is_listed_shown_and_undone_for_what_has_not_moved_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let server = Server::start(at, &Setup::with(CONFIG)).await?;
    let running = overdue(&server, "RUNS").await?;
    let mut failed = Vec::new();
    for command in ["STAYS", "STARTS"] {
        let job = server.create(json!({ "command": command })).await?;
        let path = format!("/api/internal/jobs/open?workerId=w&command={command}");
        let taken = server.worker(Method::GET, &path, None).await?.expect(200);
        server.report(&taken[0], "failed", json!({ "error": "e", "retryable": true })).await?.expect(200);
        failed.push(job);
    }
    let columns = "SELECT status, priority, attempt, recoveries, lease_losses, run_at, progress, updated_at, \
                   finished_at, lease_token FROM job WHERE command IN ('RUNS', 'STAYS') ORDER BY id";
    let before = query(&server.database(), columns)?;
    let report = server.recover("comprehensive").await?;
    assert_eq!(report["result"]["recoveredJobs"], 3, "{report}");
    let run = report["result"]["runId"].as_str().unwrap_or_default().to_owned();
    // Not to wait for its backoff.
    run_sql(&server.database(), "UPDATE job SET run_at = started_at WHERE command = 'STARTS'")?;
    let path = "/api/internal/jobs/open?workerId=v&command=STARTS";
    assert_eq!(server.worker(Method::GET, path, None).await?.expect(200)[0]["id"], failed[1].as_str());

    let listed = server.admin(Method::GET, RUNS, None).await?.expect(200);
    assert_eq!(
        (&listed["items"][0]["runId"], &listed["items"][0]["trigger"]),
        (&json!(run), &json!("manual"))
    );
    let counts =
        json!([{ "action": "requeue", "rule": "retryable", "reason": "it failed with: e", "jobs": 2 }]);
    assert_eq!(listed["items"][0]["counts"][0], counts[0]);
    assert_eq!(listed["items"][0]["policyHash"], report["result"]["policyHash"]);
    assert!(listed["items"][0]["policyHash"].is_string(), "{listed}");
    let shown = server.admin(Method::GET, &format!("{RUNS}/{run}"), None).await?.expect(200);
    assert_eq!(shown["report"], report);
    assert_eq!(
        server.admin(Method::GET, &format!("{RUNS}/NONE"), None).await?.expect(404)["code"],
        "unknown_run"
    );

    let dry =
        server.admin(Method::POST, &format!("{RUNS}/{run}/undo"), Some(json!({ "dryRun": true }))).await?;
    let dry = dry.expect(200);
    assert_eq!(query(&server.database(), "SELECT count(*) FROM job WHERE status = 'queued'")?, ["2"]);
    let said = reclaimer(at, &[], &["runs", "undo", &run, "--json"]).await?.json(0)?;
    assert_eq!((&said["undone"], &said["left"]), (&dry["undone"], &dry["left"]));
    let left = json!([{ "jobId": failed[1], "reason": "it was started since, and is running now" }]);
    assert_eq!((said["undone"].as_array().map(Vec::len), &said["left"]), (Some(2), &left));
    assert_eq!(query(&server.database(), columns)?, before);
    server.report(&running, "completed", json!({})).await?.expect(200);

    let table = reclaimer(at, &[], &["runs", "list"]).await?.expect(0);
    assert!(table.contains(&run) && table.contains("2 requeue by retryable"), "{table}");
    let table = reclaimer(at, &[], &["runs", "show", &run]).await?.expect(0);
    assert!(table.contains(&failed[0]) && table.contains("3 recovered"), "{table}");
    Ok(())
}
