//! The flat dialect, by the conformance list.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use super::{account_that_needs_a_refresh, becomes, fleet, kinds, start};
use crate::rig::{Peer, Provider, Server, Setup, until};

async fn crawler(server: &Server) -> Result<Peer> {
    Peer::connect(&server.data.with_file_name("flat.sock")).await
}

#[tokio::test]
async fn it_needs_no_delimiter_and_survives_any_split() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let id = server.create(json!({ "command": "issues", "fullPath": "grp/prj" })).await?;
    let mut peer = crawler(&server).await?;
    let stamp = "2025-07-12T10:00:00.000Z";
    let started = json!({ "type": "job_started", "timestamp": stamp, "jobId": id,
                          "data": { "entityType": "issue", "entityId": "grp/prj" } });
    let completed = json!({ "type": "job_completed", "timestamp": stamp, "jobId": id,
                            "data": { "success": true, "finalCounts": { "issues": 12 }, "message": "done }{" } });
    let job = peer.flat_open().await?;
    assert_eq!(job["id"], id.as_str());
    let bytes =
        format!("{}{started}{completed}", json!({ "type": "heartbeat", "timestamp": stamp, "data": {} }));
    for part in bytes.as_bytes().chunks(7) {
        peer.send(part).await?;
    }
    let job = becomes(&server, &id, "finished").await?;
    assert_eq!(job["progress"]["itemsByType"]["issues"], 12, "{job}");
    assert_eq!(kinds(&server, &id).await?, ["created", "claimed", "finished"]);
    Ok(())
}

#[tokio::test]
async fn what_it_gets_is_one_line_without_a_brace_or_a_foreign_letter_in_a_string() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let path = "gr{u}p/prøject \u{1F980}\"\\";
    server.create(json!({ "command": "issues", "fullPath": path })).await?;
    let mut peer = crawler(&server).await?;
    peer.flat("job_request", None, json!({})).await?;
    let line = peer.line().await?;
    assert!(line.is_ascii() && line.ends_with('\n'), "{line}");
    // A crawler that counts braces without regard to strings finds the end where it is.
    let mut depth = 0;
    let ends: Vec<usize> = line
        .bytes()
        .enumerate()
        .filter_map(|(at, byte)| {
            depth += i32::from(byte == b'{') - i32::from(byte == b'}');
            (byte == b'}' && depth == 0).then_some(at)
        })
        .collect();
    assert_eq!(ends, [line.len() - 2]);
    let answer: Value = serde_json::from_str(&line)?;
    assert_eq!(answer["data"]["jobs"][0]["entityId"], path);
    Ok(())
}

#[tokio::test]
async fn a_response_has_one_job_in_an_array_and_only_such_as_the_dialect_has_words_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let mut peer = crawler(&server).await?;
    peer.flat("job_request", None, json!({})).await?;
    assert_eq!(peer.hear("job_response").await?["data"], json!({ "jobs": [] }));
    let other = server.create(json!({ "command": "SOMETHING_ELSE", "priority": -20 })).await?;
    let account = json!({ "userId": "u", "providerId": "g", "accessToken": "tok" });
    server.admin(Method::PUT, "/api/admin/accounts/acc", Some(account)).await?;
    let first = server
        .create(json!({ "command": "mergeRequests", "fullPath": "a/b", "accountId": "acc",
                        "payload": { "gitlabGraphQLUrl": "https://gitlab.example/api/graphql" } }))
        .await?;
    server.create(json!({ "command": "issues", "fullPath": "a/b" })).await?;
    peer.flat("job_request", None, json!({})).await?;
    let answer = peer.hear("job_response").await?;
    assert_eq!(
        answer["data"]["jobs"],
        json!([{ "id": first, "entityType": "merge_request", "entityId": "a/b",
                 "gitlabUrl": "https://gitlab.example/api/graphql", "accessToken": "tok" }])
    );
    assert_eq!(server.job(&other).await?["status"], "queued");
    Ok(())
}

#[tokio::test]
async fn a_second_silent_connection_of_the_same_process_changes_nothing() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let id = server.create(json!({ "command": "issues" })).await?;
    let mut peer = crawler(&server).await?;
    let mute = crawler(&server).await?;
    let job = peer.flat_open().await?;
    // The one that works ends, and the mute one lives on: the process still holds its job, and may go on.
    drop(peer);
    until("one connection to be left", async || {
        let fleet = fleet(&server).await?;
        let workers = fleet["workers"].as_array().context("no workers")?;
        Ok((workers.len() == 1 && workers[0]["leases"] == 1).then_some(()))
    })
    .await?;
    let mut again = crawler(&server).await?;
    again.flat("job_completed", Some(&job), json!({ "success": true, "finalCounts": {} })).await?;
    becomes(&server, &id, "finished").await?;
    assert_eq!(kinds(&server, &id).await?, ["created", "claimed", "finished"]);
    drop(mute);
    Ok(())
}

#[tokio::test]
async fn a_crawler_that_never_reports_progress_keeps_its_job_by_its_heartbeats() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // The lease is far shorter than the job.
    let config = "[provisioning]\nlease = \"400ms\"\n[recovery]\nlease_check = \"50ms\"\n";
    let server = start(folder.path(), config).await?;
    let id = server.create(json!({ "command": "issues" })).await?;
    let mut peer = crawler(&server).await?;
    let job = peer.flat_open().await?;
    let first = server.job(&id).await?["leaseExpiresAt"].clone();
    until("the lease to be renewed beyond its second end", async || {
        peer.flat("heartbeat", None, json!({ "activeJobs": 0, "totalProcessed": 0, "systemStatus": "idle" }))
            .await?;
        let renewed: chrono::DateTime<chrono::Utc> =
            server.job(&id).await?["leaseExpiresAt"].as_str().context("not leased")?.parse()?;
        let first: chrono::DateTime<chrono::Utc> = first.as_str().context("not leased")?.parse()?;
        Ok((renewed > first + chrono::Duration::milliseconds(800)).then_some(()))
    })
    .await?;
    peer.flat("job_completed", Some(&job), json!({ "success": true, "finalCounts": {} })).await?;
    becomes(&server, &id, "finished").await?;
    assert_eq!(kinds(&server, &id).await?, ["created", "claimed", "finished"], "it was never lost");
    Ok(())
}

#[tokio::test]
async fn a_crawler_that_asks_again_has_forgotten_its_job_which_goes_to_the_next() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "[recovery]\nlease_check = \"50ms\"\n").await?;
    let id = server.create(json!({ "command": "issues" })).await?;
    let mut peer = crawler(&server).await?;
    assert_eq!(peer.flat_open().await?["id"], id.as_str());
    // Its last word was lost. It beats, and polls as it does when it is idle.
    let again = peer.flat_open().await?;
    assert_eq!(again["id"], id.as_str());
    peer.flat("job_completed", Some(&again), json!({ "success": true, "finalCounts": {} })).await?;
    becomes(&server, &id, "finished").await?;
    assert_eq!(kinds(&server, &id).await?, ["created", "claimed", "reclaimed", "claimed", "finished"]);
    Ok(())
}

#[tokio::test]
async fn what_a_discovery_found_is_kept_although_it_failed() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let id = server.create(json!({ "command": "GROUP_PROJECT_DISCOVERY" })).await?;
    let mut peer = crawler(&server).await?;
    let job = peer.flat_open().await?;
    assert_eq!(job["entityType"], "areas");
    let found = json!({ "discovered_jobs": [
        { "job_type": "crawl_group", "entity_id": "7", "namespace_path": "grp", "entity_name": "G", "priority": 1 },
        { "job_type": "crawl_project", "entity_id": "8", "namespace_path": "grp/prj", "entity_name": "P", "priority": 1 },
    ], "discovery_summary": { "total_groups": 1, "total_projects": 1 } });
    peer.flat("jobs_discovered", Some(&job), found).await?;
    let failed = json!({ "error": "TypeError: undefined is not an object", "errorType": "TypeError", "isRecoverable": true });
    peer.flat("job_failed", Some(&job), failed).await?;
    let job = becomes(&server, &id, "failed").await?;
    assert_eq!(
        (&job["progress"]["errorType"], &job["progress"]["retryable"]),
        (&json!("type_error"), &json!(true)),
        "{job}"
    );
    let jobs = server.admin(Method::GET, "/api/jobs?limit=500", None).await?.expect(200);
    let of = |path: &str| {
        let jobs = jobs["items"].as_array().into_iter().flatten();
        jobs.filter(|job| job["fullPath"] == path && job["spawnedFrom"] == id.as_str()).count()
    };
    assert_eq!((of("grp"), of("grp/prj")), (4, 5), "{jobs}");
    Ok(())
}

#[tokio::test]
async fn a_job_that_ends_after_its_lease_counts_until_it_was_taken_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // Recovery looks at nothing by itself.
    let config = "[provisioning]\nlease = \"100ms\"\n[recovery]\nenabled = false\n";
    let server = start(folder.path(), config).await?;
    let id = server.create(json!({ "command": "issues" })).await?;
    let mut peer = crawler(&server).await?;
    let job = peer.flat_open().await?;
    let ends: chrono::DateTime<chrono::Utc> =
        server.job(&id).await?["leaseExpiresAt"].as_str().context("not leased")?.parse()?;
    until("the lease to be over", async || {
        let answer = server.ask(Method::GET, "/healthz", None, None).await?;
        let date = answer.headers["date"].to_str()?.to_owned();
        let now = chrono::DateTime::parse_from_rfc2822(&date)?;
        Ok((now > ends).then_some(()))
    })
    .await?;
    peer.flat("job_completed", Some(&job), json!({ "success": true, "finalCounts": {} })).await?;
    becomes(&server, &id, "finished").await?;

    // One that was taken back is somebody else's.
    let id = server.create(json!({ "command": "issues" })).await?;
    let job = peer.flat_open().await?;
    until("the job to be taken back", async || {
        server.recover("stuck").await?;
        Ok((server.job(&id).await?["status"] == "queued").then_some(()))
    })
    .await?;
    peer.flat("job_completed", Some(&job), json!({ "success": true, "finalCounts": {} })).await?;
    until("the late report to be on record", async || {
        Ok(kinds(&server, &id).await?.contains(&"stale_report".to_owned()).then_some(()))
    })
    .await?;
    assert_eq!(server.job(&id).await?["status"], "queued");
    Ok(())
}

#[tokio::test]
async fn credentials_are_always_answered_with_an_empty_token_when_there_are_none() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let good = Provider::answering(
        200,
        json!({ "access_token": "fresh", "token_type": "bearer", "expires_in": 7_200 }),
    )
    .await?;
    let bad = Provider::answering(400, json!({ "error": "invalid_grant" })).await?;
    let config = format!(
        "[[link]]\nname = \"flat\"\npath = \"flat.sock\"\ndialect = \"flat\"\njobs_at_once = 3\n{}{}",
        good.config(),
        bad.config().replace("id = \"g\"", "id = \"h\"")
    );
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    account_that_needs_a_refresh(&server, "acc").await?;
    let other = json!({ "userId": "u", "providerId": "h", "accessToken": "old", "refreshToken": "r",
                        "accessTokenExpiresAt": "2020-01-01T00:00:00Z" });
    server.admin(Method::PUT, "/api/admin/accounts/other", Some(other)).await?;
    let with = server.create(json!({ "command": "issues", "accountId": "acc" })).await?;
    let refused = server.create(json!({ "command": "issues", "accountId": "other" })).await?;
    let without = server.create(json!({ "command": "issues" })).await?;
    let mut peer = crawler(&server).await?;
    peer.flat_open().await?;
    let later = server.create(json!({ "command": "issues", "accountId": "acc" })).await?;
    for (id, token) in [
        (with.as_str(), "fresh"),
        (&refused, ""),
        (&without, ""),
        ("01NOSUCHJOB", ""),
        (&later, ""),
        ("", ""),
    ] {
        peer.flat("token_refresh_request", Some(&json!({ "id": id })), json!({})).await?;
        let answer = peer.hear("token_refresh_response").await?;
        assert_eq!(answer["jobId"], id, "{answer}");
        let data = &answer["data"];
        assert_eq!(
            (&data["accessToken"], &data["refreshSuccessful"]),
            (&json!(token), &json!(!token.is_empty())),
            "{answer}"
        );
        assert_eq!(
            data["expiresAt"].as_str().is_some_and(|at| !at.is_empty()),
            !token.is_empty(),
            "{answer}"
        );
    }
    // Nor are there any for a job that is over.
    peer.flat("job_completed", Some(&json!({ "id": with })), json!({ "success": true, "finalCounts": {} }))
        .await?;
    peer.flat("token_refresh_request", Some(&json!({ "id": with })), json!({})).await?;
    assert_eq!(peer.hear("token_refresh_response").await?["data"]["accessToken"], "");
    Ok(())
}

#[tokio::test]
async fn a_last_word_counts_however_it_is_stamped_and_what_is_left_out_is_said() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = start(folder.path(), "").await?;
    let mut peer = crawler(&server).await?;
    for stamp in [json!(1_752_314_400_000_u64), json!("2025-06-03T16:00:05"), json!("")] {
        let id = server.create(json!({ "command": "issues" })).await?;
        peer.flat_open().await?;
        let data = json!({ "success": true, "finalCounts": {} });
        let done = json!({ "type": "job_completed", "timestamp": stamp, "jobId": id, "data": data });
        peer.send(done.to_string()).await?;
        becomes(&server, &id, "finished").await?;
    }
    let log = std::fs::read_to_string(folder.path().join("err.log"))?;
    assert!(log.contains("a report counts without what could not be read"), "{log}");
    // A report that does not count at all is said as well: this crawler gets no receipt.
    peer.flat("job_completed", Some(&json!({ "id": "01NEVERWAS" })), json!({})).await?;
    until("the refusal to be said", async || {
        let log = std::fs::read_to_string(folder.path().join("err.log"))?;
        Ok((log.contains("a report was refused") && log.contains("unknown_job")).then_some(()))
    })
    .await
}
