//! Recovery: on demand, at startup, and what it says.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Server, Setup, query, run_sql, until};

/// Fails `count` jobs of this account.
async fn fail(server: &Server, count: usize, account: &str) -> Result<()> {
    let order = json!({ "command": "PROJECT", "accountId": account });
    let orders = Value::Array(vec![order; count]);
    server.admin(Method::POST, "/api/jobs", Some(orders)).await?.expect(201);
    let jobs = server.open("w", 100, 0).await?;
    assert_eq!(jobs.len(), count);
    for job in jobs {
        let more = json!({ "error": "Missing access token for the account", "retryable": true });
        server.report(&job, "failed", more).await?.expect(200);
    }
    Ok(())
}

#[tokio::test]
async fn jobs_that_must_be_skipped_never_hide_those_that_can_be_recovered() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = "[recovery]\nenabled = false\nbatch_size = 50\ndrain_pause = \"10ms\"\n";
    let server = Server::start(folder.path(), &Setup::with(config)).await?;
    let invalid = json!({ "userId": "u", "providerId": "gitlab", "accessToken": "t",
        "accessTokenExpiresAt": "2020-01-01T00:00:00Z" });
    let valid = json!({ "userId": "u", "providerId": "gitlab", "accessToken": "t" });
    for (id, account) in [("invalid", invalid), ("valid", valid)] {
        let path = format!("/api/admin/accounts/{id}");
        assert!(server.admin(Method::PUT, &path, Some(account)).await?.status.is_success());
    }
    fail(&server, 60, "invalid").await?;
    fail(&server, 10, "valid").await?;

    let first = server.recover("comprehensive").await?;
    assert_eq!(first["success"], true, "{first}");
    // Its drain, if it needs one, runs by itself; all runs are on record.
    let count = |key: &'static str| {
        let server = &server;
        async move {
            let runs = server.admin(Method::GET, "/api/admin/jobs/recovery", None).await?.expect(200);
            let runs = runs["lastRuns"].as_array().cloned().unwrap_or_default();
            anyhow::Ok(runs.iter().filter_map(|run| run["report"]["result"][key].as_u64()).sum::<u64>())
        }
    };
    until("ten recovered", async || Ok((count("recoveredJobs").await? == 10).then_some(()))).await?;
    until("sixty skipped", async || Ok((count("skippedJobs").await? == 60).then_some(()))).await?;

    let database = server.database();
    let by_account =
        query(&database, "SELECT account_id, status, count(*) FROM job GROUP BY 1, 2 ORDER BY 1")?;
    assert_eq!(by_account, ["invalid|failed|60", "valid|queued|10"]);
    let reasons = query(
        &database,
        "SELECT kind, rule, reason, count(*) FROM job_event WHERE actor LIKE 'recovery:%' GROUP BY 1, 2, 3 ORDER BY 1",
    )?;
    assert_eq!(
        reasons,
        [
            "not_recovered|retryable|account invalid has no access or refresh token that is still valid|60",
            "recovered|retryable|it failed with: Missing access token for the account|10",
        ]
    );
    let later =
        query(&database, "SELECT count(*) FROM job WHERE status = 'failed' AND recover_after IS NULL")?;
    assert_eq!(later, ["0"], "each skipped job is looked at again later");
    Ok(())
}

#[tokio::test]
async fn a_dry_run_over_many_jobs_changes_no_byte() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = "[recovery]\nenabled = false\nbatch_size = 10000\nbudget_per_second = 1e6\n";
    let server = Server::start(folder.path(), &Setup::with(config)).await?;
    let many = "WITH RECURSIVE n (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM n WHERE n < 100000) \
                INSERT INTO job (id, command, status, attempt, progress, started_at, finished_at) \
                SELECT printf('01M%023d', n), 'X', 'failed', 1, '{\"error\":\"e\",\"retryable\":true}', \
                '2026-01-05 14:20:00.000000', '2026-01-05 14:21:00.000000' FROM n";
    run_sql(&server.database(), many)?;
    let all = || query(&server.database(), "SELECT * FROM job ORDER BY id");
    let before = all()?;
    let body = json!({ "type": "failed", "dryRun": true });
    let dry = server.admin(Method::POST, "/api/admin/jobs/recovery", Some(body)).await?.expect(200);
    assert_eq!((&dry["result"]["recoveredJobs"], &dry["result"]["more"]), (&json!(10_000), &json!(true)));
    assert!(all()? == before, "a dry run changed the job table");
    assert_eq!(query(&server.database(), "SELECT count(*) FROM job_event")?, ["0"]);
    Ok(())
}

#[tokio::test]
async fn the_report_is_the_documented_one_and_a_dry_run_changes_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    let jobs = server.open("w", 1, 0).await?;
    server.report(&jobs[0], "failed", json!({ "error": "e", "retryable": true })).await?.expect(200);

    let before = query(&server.database(), "SELECT * FROM job")?;
    let body = json!({ "type": "failed", "dryRun": true });
    let dry = server.admin(Method::POST, "/api/admin/jobs/recovery", Some(body)).await?.expect(200);
    assert_eq!(query(&server.database(), "SELECT * FROM job")?, before);
    let wet = server.recover("failed").await?;
    for (report, is_dry) in [(&dry, true), (&wet, false)] {
        assert_eq!(report["success"], true);
        assert_eq!(report["type"], "failed");
        let result = &report["result"];
        for (key, value) in
            [("recoveredJobs", 1), ("failedRecoveries", 0), ("skippedJobs", 0), ("quarantinedJobs", 0)]
        {
            assert_eq!(result[key], value, "{key} of {report}");
        }
        assert_eq!(result["errors"], json!([]));
        assert_eq!(result["trigger"], "manual");
        assert_eq!(result["dryRun"], is_dry);
        assert_eq!(result["more"], false);
        assert!(result["runId"].is_string() && result["durationMs"].is_u64());
        assert_eq!(result["decisions"][0]["jobId"], id.as_str());
        assert_eq!(result["decisions"][0]["action"], "requeue");
        assert_eq!(result["decisions"][0]["rule"], "retryable");
    }
    assert_eq!(wet["message"], "Job recovery completed: 1 recovered, 0 failed, 0 skipped");
    let said = "Job recovery dry run, nothing changed: would be 1 recovered, 0 failed, 0 skipped";
    assert_eq!(dry["message"], said);
    let job = server.job(&id).await?;
    assert_eq!(job["status"], "queued");
    assert_eq!(job["recoveries"], 1);
    assert_eq!(job["progress"]["recoveryCount"], 1);
    assert_eq!(job["progress"]["recoveryRule"], "retryable");
    assert_eq!(job["progress"]["previousError"], "e");

    let wrong = json!({ "type": "everything" });
    let refused = server.admin(Method::POST, "/api/admin/jobs/recovery", Some(wrong)).await?.expect(400);
    for name in ["failed", "stuck", "comprehensive"] {
        assert!(refused["detail"].as_str().is_some_and(|detail| detail.contains(name)), "{refused}");
    }
    Ok(())
}

#[tokio::test]
async fn a_silent_job_whose_lease_lives_is_recovered_as_stuck() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    let held = server.open("w", 1, 0).await?;
    run_sql(
        &server.database(),
        "UPDATE job SET updated_at = datetime('now', '-3 hours'), lease_expires_at = datetime('now', '+1 hour')",
    )?;
    let report = server.recover("stuck").await?;
    assert_eq!(report["result"]["recoveredJobs"], 1, "{report}");
    let job = server.job(&id).await?;
    assert_eq!(job["status"], "queued");
    assert_eq!(job["progress"]["resetReason"], "stuck_job_recovery");
    assert_eq!(job["progress"]["previousStatus"], "running");
    server.report(&held[0], "completed", json!({})).await?.expect(409);
    Ok(())
}

#[tokio::test]
async fn a_server_that_comes_up_recovers_what_failed_before() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    let jobs = server.open("w", 1, 0).await?;
    server.report(&jobs[0], "failed", json!({ "error": "e", "retryable": true })).await?.expect(200);
    assert!(server.stop().await?.success());

    let server =
        Server::start(folder.path(), &Setup::with("[recovery]\nstartup_delay = \"100ms\"\n")).await?;
    until("the job to be recovered", async || {
        Ok((server.job(&id).await?["status"] == "queued").then_some(()))
    })
    .await?;
    let runs = server.admin(Method::GET, "/api/admin/jobs/recovery", None).await?.expect(200);
    assert_eq!(runs["lastRuns"][0]["trigger"], "startup", "{runs}");
    Ok(())
}
