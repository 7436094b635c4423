//! Rows that somebody broke by hand.

use anyhow::Result;
use serde_json::json;

use crate::rig::{Server, Setup, query, run_sql};

#[tokio::test]
async fn a_broken_row_is_set_aside_and_hides_no_other() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    let database = server.database();
    // Queued: one broken before, one sound after it.
    let broken = server.create(json!({ "command": "BROKEN" })).await?;
    let sound = server.create(json!({ "command": "SOUND" })).await?;
    run_sql(&database, &format!("UPDATE job SET progress = '{{\"a\":' WHERE id = '{broken}'"))?;
    let jobs = server.open("w", 10, 0).await?;
    assert_eq!(jobs.len(), 1);
    assert_eq!(jobs[0]["id"], sound.as_str());
    let job = server.job(&broken).await?;
    assert_eq!(job["status"], "quarantined");
    let events = server.events(&broken).await?;
    let last = &events[events.len() - 1];
    assert_eq!(last["kind"], "set_aside");
    assert!(last["reason"].as_str().is_some_and(|reason| reason.contains("`progress`: not JSON")), "{last}");
    assert_eq!(last["detail"]["stored"]["progress"], "{\"a\":", "what was unreadable is kept");

    // Failed: broken JSON, an unknown status, and a sound one, by one recovery run.
    server.report(&jobs[0], "failed", json!({ "error": "e", "retryable": true })).await?.expect(200);
    let rotten = server.create(json!({ "command": "ROTTEN" })).await?;
    let strange = server.create(json!({ "command": "STRANGE" })).await?;
    run_sql(
        &database,
        &format!("UPDATE job SET status = 'failed', progress = 'oops' WHERE id = '{rotten}'"),
    )?;
    run_sql(&database, &format!("UPDATE job SET status = 'exploded' WHERE id = '{strange}'"))?;
    assert_eq!(server.open("w", 10, 0).await?.len(), 0, "neither is handed out, neither breaks the answer");
    let report = server.recover("comprehensive").await?;
    assert_eq!(report["success"], true, "{report}");
    assert_eq!(report["result"]["recoveredJobs"], 1);
    assert_eq!(report["result"]["quarantinedJobs"], 2);
    let errors = report["result"]["errors"].to_string();
    assert!(errors.contains(&rotten) && errors.contains(&strange), "{errors}");
    assert!(errors.contains("unknown status `exploded`"), "{errors}");
    assert_eq!(server.job(&sound).await?["status"], "queued");
    let rows = query(&database, "SELECT command, status FROM job ORDER BY id")?;
    assert_eq!(rows, ["BROKEN|quarantined", "SOUND|queued", "ROTTEN|quarantined", "STRANGE|quarantined"]);
    let said = "SELECT coalesce(from_status, json_extract(detail, '$.stored.status')) FROM job_event \
                WHERE kind = 'set_aside' ORDER BY id";
    assert_eq!(
        query(&database, said)?,
        ["queued", "exploded", "failed"],
        "a status that is none is evidence"
    );

    // Set aside is not lost: a person can let it run again.
    let path = format!("/api/admin/jobs/{rotten}/release");
    server.admin(reqwest::Method::POST, &path, None).await?.expect(200);
    assert_eq!(server.job(&rotten).await?["status"], "queued");
    Ok(())
}

#[tokio::test]
async fn lists_show_broken_rows_as_such() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    let broken = server.create(json!({ "command": "BROKEN" })).await?;
    server.create(json!({ "command": "SOUND" })).await?;
    run_sql(&server.database(), &format!("UPDATE job SET payload = 'x' WHERE id = '{broken}'"))?;
    let list = server.admin(reqwest::Method::GET, "/api/jobs", None).await?.expect(200);
    let items = list["items"].as_array().cloned().unwrap_or_default();
    assert_eq!(items.len(), 2);
    assert_eq!(items[1]["id"], broken.as_str());
    assert!(items[1]["broken"].as_str().is_some_and(|reason| reason.contains("`payload`")), "{list}");
    Ok(())
}

#[tokio::test]
async fn a_moment_in_another_form_is_set_aside_instead_of_being_waited_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    // As text, a `T` comes after every time of the day that stands behind a space.
    run_sql(
        &server.database(),
        "INSERT INTO job (id, command, run_at) VALUES ('foreign', 'X', strftime('%Y-%m-%dT%H:%M:%SZ', 'now', '-1 hour'))",
    )?;
    assert_eq!(server.open("w", 1, 0).await?.len(), 0);
    let report = server.recover("comprehensive").await?;
    assert_eq!(report["result"]["quarantinedJobs"], 1, "{report}");
    assert!(report["result"]["errors"].to_string().contains("`run_at`: not a timestamp"), "{report}");
    server.admin(reqwest::Method::POST, "/api/admin/jobs/foreign/release", None).await?.expect(200);
    assert_eq!(server.open("w", 1, 0).await?[0]["id"], "foreign");
    Ok(())
}

#[tokio::test]
async fn a_queued_row_with_a_lease_left_in_it_by_hand_blocks_nobody() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    let held = server.open("w", 1, 0).await?;
    run_sql(
        &server.database(),
        &format!("UPDATE job SET status = 'queued', worker_id = NULL WHERE id = '{id}'"),
    )?;
    server.report(&held[0], "completed", json!({})).await?.expect(409);
    let jobs = server.open("w2", 1, 0).await?;
    assert_eq!(jobs[0]["id"], id.as_str());
    server.report(&jobs[0], "completed", json!({})).await?.expect(200);
    Ok(())
}
