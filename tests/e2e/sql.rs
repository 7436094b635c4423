//! The statements that people run at night, by the `sqlite3` program, on a live server's file.

use anyhow::Result;
use serde_json::json;

use crate::rig::{Server, Setup, query, run_sql};

const RETRYABLE: &str = "SELECT id, command, status, progress FROM job
 WHERE status = 'failed' AND json_extract(progress, '$.retryable') = true;";
const STUCK: &str = "SELECT id, command, status, updated_at FROM job
 WHERE status = 'running' AND updated_at < datetime('now', '-2 hours');";

#[tokio::test]
async fn the_two_statements_return_the_right_rows() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    for command in ["RETRYABLE", "FINAL", "UNSAID", "FRESH", "SILENT", "DONE", "WAITING"] {
        server.create(json!({ "command": command })).await?;
    }
    for job in server.open("w", 6, 0).await? {
        let (status, more) = match job["command"].as_str() {
            Some("RETRYABLE") => ("failed", json!({ "error": "gone", "retryable": true })),
            Some("FINAL") => ("failed", json!({ "error": "gone", "retryable": false })),
            Some("UNSAID") => ("failed", json!({ "error": "gone" })),
            Some("DONE") => ("completed", json!({})),
            _ => ("processing", json!({ "processedItems": 1 })),
        };
        server.report(&job, status, more).await?.expect(200);
    }
    // Three hours of silence cannot be waited for; they are written down as `datetime` would.
    run_sql(
        &server.database(),
        "UPDATE job SET updated_at = datetime('now', '-3 hours') WHERE command = 'SILENT'",
    )?;

    let retryable = query(&server.database(), RETRYABLE)?;
    assert_eq!(retryable.len(), 1, "{retryable:?}");
    let columns: Vec<&str> = retryable[0].split('|').collect();
    assert_eq!(columns[1..3], ["RETRYABLE", "failed"]);
    let progress: serde_json::Value = serde_json::from_str(columns[3])?;
    assert_eq!(progress["error"], "gone");
    assert_eq!(progress["retryable"], true);

    let stuck = query(&server.database(), STUCK)?;
    assert_eq!(stuck.len(), 1, "{stuck:?}");
    assert_eq!(stuck[0].split('|').nth(1), Some("SILENT"));
    Ok(())
}

#[tokio::test]
async fn a_row_inserted_by_hand_is_handed_out() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    run_sql(&server.database(), "INSERT INTO job (id, command) VALUES ('by-hand', 'X')")?;
    let jobs = server.open("w", 1, 0).await?;
    assert_eq!(jobs[0]["id"], "by-hand");
    server.report(&jobs[0], "completed", json!({})).await?.expect(200);
    assert_eq!(server.job("by-hand").await?["status"], "finished");
    Ok(())
}
