//! What has been kept for long enough goes; what is still needed of it stays.

use anyhow::Result;
use reqwest::Method;
use serde_json::json;

use crate::rig::{Server, Setup, query, reclaimer, run_sql, until};

#[tokio::test]
async fn a_finished_job_goes_and_its_history_stays() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let at = folder.path();
    let config = "[recovery]\nenabled = false\n[retention]\ninterval = \"100ms\"\n";
    let server = Server::start(at, &Setup::with(config)).await?;
    let kept = server.create(json!({ "command": "KEPT" })).await?;
    let gone = server.create(json!({ "command": "GONE" })).await?;
    let path = "/api/internal/jobs/open?workerId=w&command=GONE";
    let jobs = server.worker(Method::GET, path, None).await?.expect(200);
    server.report(&jobs[0], "completed", json!({})).await?.expect(200);
    let old = "UPDATE job SET finished_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '-8 days') || '000'";
    run_sql(&server.database(), &format!("{old} WHERE id = '{gone}'"))?;

    let path = format!("/api/jobs/{gone}");
    until("the job to be removed", async || {
        Ok((server.admin(Method::GET, &path, None).await?.status == 404).then_some(()))
    })
    .await?;
    assert_eq!(server.job(&kept).await?["status"], "queued");
    let events = format!("SELECT count(*) FROM job_event WHERE job_id = '{gone}'");
    assert_eq!(query(&server.database(), &events)?, ["3"]);
    let advice = reclaimer(at, &[], &["policy", "advise", "--json"]).await?.json(0)?;
    assert_eq!((&advice[0]["command"], &advice[0]["attempts"]), (&json!("GONE"), &json!(1)));

    run_sql(
        &server.database(),
        "UPDATE job_event SET at = strftime('%Y-%m-%d %H:%M:%f', 'now', '-31 days') || '000'",
    )?;
    until("its history to be removed", async || {
        Ok((query(&server.database(), &events)? == ["0"]).then_some(()))
    })
    .await?;
    assert_eq!(server.events(&kept).await?.len(), 1, "the history of a job that is not over stays");
    let settings = reclaimer(at, &[], &["config"]).await?.expect(0);
    assert!(settings.contains("retention.finished") && settings.contains("7days"), "{settings}");
    Ok(())
}
