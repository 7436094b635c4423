//! One job's way through the server, and the server's own.

use anyhow::Result;
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Server, Setup, query};

#[tokio::test]
async fn a_waiting_worker_gets_a_job_the_moment_it_is_created() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let (jobs, id) = tokio::join!(server.open("w", 1, 60), server.create(json!({ "command": "X" })));
    assert_eq!(jobs?[0]["id"], id?.as_str());
    Ok(())
}

#[tokio::test]
async fn areas_spawn_each_job_once() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config =
        "[recovery]\nenabled = false\n[discovery]\nproject = [\"issues\", \"commits\"]\ngroup = []\n";
    let server = Server::start(folder.path(), &Setup::with(config)).await?;
    let account = json!({ "userId": "u", "providerId": "gitlab", "accessToken": "sesame" });
    server.admin(Method::PUT, "/api/admin/accounts/a", Some(account)).await?;
    let started = server
        .admin(Method::POST, "/api/jobs/discovery", Some(json!({ "accountId": "a" })))
        .await?
        .expect(201);
    assert_eq!(started["outcome"], "created");
    let jobs = server.open("w", 1, 0).await?;
    assert_eq!(jobs[0]["credentials"]["accessToken"], "sesame");
    let areas = json!({ "areas": [
        { "fullPath": "g/a", "type": "project", "name": "A" }, { "fullPath": "g/b", "type": "project" },
        { "fullPath": "g", "type": "group" } ] });
    let first = server.report(&jobs[0], "new_areas_discovered", areas.clone()).await?.expect(200);
    assert_eq!(first["spawned"], 4);
    let second = server.report(&jobs[0], "new_areas_discovered", areas).await?.expect(200);
    assert_eq!(second["spawned"].as_u64().unwrap_or(0), 0);
    server.report(&jobs[0], "completed", json!({})).await?.expect(200);
    let rows = query(
        &server.database(),
        "SELECT command, full_path, account_id, spawned_from IS NOT NULL FROM job WHERE full_path IS NOT NULL ORDER BY 2, 1",
    )?;
    assert_eq!(rows, ["commits|g/a|a|1", "issues|g/a|a|1", "commits|g/b|a|1", "issues|g/b|a|1"]);
    let again = server
        .admin(Method::POST, "/api/jobs/discovery", Some(json!({ "accountId": "a" })))
        .await?
        .expect(200);
    assert_eq!(again["outcome"], "fresh");
    Ok(())
}

#[tokio::test]
async fn an_order_can_be_repeated_safely() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    let order = |body: Value| {
        let request = server.request(Method::POST, "/api/jobs").bearer_auth(&server.admin);
        server.send(request.header("idempotency-key", "k-1").json(&body))
    };
    let first = order(json!({ "command": "X" })).await?.expect(201);
    let again = order(json!({ "command": "X" })).await?.expect(200);
    assert_eq!(first["id"], again["id"]);
    let other = order(json!({ "command": "Y" })).await?.expect(422);
    assert_eq!(other["code"], "idempotency_key_reused");
    let many: Vec<Value> =
        (0..1_000).map(|number| json!({ "command": "BULK", "uniqueKey": number.to_string() })).collect();
    let created = server.admin(Method::POST, "/api/jobs", Some(json!(many))).await?.expect(201);
    assert_eq!(created["items"].as_array().map(Vec::len), Some(1_000));
    let repeated = server.admin(Method::POST, "/api/jobs", Some(json!(many))).await?.expect(201);
    assert_eq!(repeated["items"][999]["created"], false);
    assert_eq!(repeated["items"][999]["id"], created["items"][999]["id"]);
    assert_eq!(query(&server.database(), "SELECT count(*) FROM job")?, ["1001"]);
    let one_more = vec![json!({ "command": "X" }); 1_001];
    server.admin(Method::POST, "/api/jobs", Some(json!(one_more))).await?.expect(400);
    Ok(())
}

#[tokio::test]
async fn an_orderly_end_answers_who_waits_and_leaves_a_whole_file() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    server.create(json!({ "command": "X" })).await?;
    server.open("w", 1, 0).await?;
    // A worker waits while the server ends: it is answered, not cut off.
    let waiting = tokio::spawn({
        let request = server.request(Method::GET, "/api/internal/jobs/open?workerId=w&wait=60");
        request.bearer_auth(&server.worker).send()
    });
    let peeked = server.worker(Method::GET, "/api/internal/jobs/open?peek=true", None).await?.expect(200);
    assert_eq!(peeked, json!([]));
    let (database, folder_path) = (server.database(), folder.path().to_owned());
    assert!(server.stop().await?.success());
    match waiting.await? {
        Ok(answer) => assert_eq!(answer.text().await?, "[]"),
        Err(error) => assert!(error.is_connect() || error.is_request(), "not yet accepted: {error}"),
    }
    assert!(!folder_path.join("data/reclaimer.db-wal").exists(), "the log was folded into the file");
    assert!(!folder_path.join("data/listen").exists());
    assert_eq!(query(&database, "SELECT status FROM job")?, ["running"]);
    let said = std::fs::read_to_string(folder_path.join("err.log"))?;
    assert!(said.contains("SIGTERM"), "the reason is in the log: {said}");
    for line in said.lines() {
        let line: Value = serde_json::from_str(line)?;
        assert!(
            line["area"].is_string() || line["fields"]["area"].is_string(),
            "each line names its area: {line}"
        );
    }
    Ok(())
}

#[tokio::test]
async fn an_empty_token_is_none() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let account = json!({ "userId": "u", "providerId": "gitlab", "accessToken": "", "refreshToken": "" });
    let set = server.admin(Method::PUT, "/api/admin/accounts/a", Some(account)).await?.expect(201);
    let read = server.admin(Method::GET, "/api/admin/accounts/a", None).await?.expect(200);
    for account in [set, read] {
        let has = (&account["hasAccessToken"], &account["hasRefreshToken"], &account["valid"]);
        assert_eq!(has, (&json!(false), &json!(false), &json!(false)));
    }
    Ok(())
}

#[tokio::test]
async fn secrets_stay_where_they_are() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let config = "[log]\nlevel = \"trace\"\n";
    let server = Server::start(folder.path(), &Setup::with(config)).await?;
    let account = json!({ "userId": "u", "providerId": "gitlab", "accessToken": "open-sesame",
        "refreshToken": "refresh-sesame" });
    server.admin(Method::PUT, "/api/admin/accounts/a", Some(account)).await?;
    let read = server.admin(Method::GET, "/api/admin/accounts/a", None).await?.expect(200);
    assert_eq!((&read["hasAccessToken"], &read["hasRefreshToken"]), (&json!(true), &json!(true)));
    assert!(!read.to_string().contains("sesame"), "{read}");
    server
        .create(json!({ "command": "X", "accountId": "a", "payload": { "password": "payload-sesame" } }))
        .await?;
    let jobs = server.open("w", 1, 0).await?;
    let leases = json!({ "workerId": "w", "leases": [jobs[0]["lease"]["token"]] });
    server.worker(Method::POST, "/api/internal/jobs/heartbeat", Some(leases)).await?.expect(200);
    server.report(&jobs[0], "completed", json!({})).await?.expect(200);
    let token = jobs[0]["lease"]["token"].as_str().unwrap_or_default().to_owned();
    let (admin, worker) = (server.admin.clone(), server.worker.clone());
    assert!(server.stop().await?.success());
    let logs = std::fs::read_to_string(folder.path().join("err.log"))?
        + &std::fs::read_to_string(folder.path().join("out.log"))?;
    assert!(logs.contains("signs of life") && logs.contains("\"worker_id\":\"w\""), "who sends them is said");
    for secret in ["sesame", &token, &admin, &worker] {
        assert!(!logs.contains(secret), "`{secret}` is in the log");
    }
    Ok(())
}
