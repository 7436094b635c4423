//! A server with something to see.

use std::path::Path;

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Browser, Server, Setup, run_sql};

/// Recovery does not run by itself, so that what a test sees stays; what it queues again may run at once.
const STILL: &str = "[recovery]\nenabled = false\nspread = \"0s\"\n";

/// A server and the jobs on it.
#[derive(Debug)]
pub(super) struct Scene {
    pub(super) server: Server,
    /// Failed for good: recovery leaves it.
    pub(super) hopeless: String,
    /// Failed, and is to be recovered.
    pub(super) curable: String,
    /// Lost by its worker, whose result came late.
    pub(super) late: String,
    /// Queued before all others.
    pub(super) queued: String,
}

impl Scene {
    pub(super) async fn set(folder: &Path) -> Result<Self> {
        let server = Server::start(folder, &Setup::with(STILL)).await?;
        let late = overdue(&server).await?;
        server.recover("stuck").await?;
        let answer = server.report(&late, "completed", json!({ "processedItems": 3 })).await?;
        assert_eq!(answer.expect(409)["code"], "stale_lease");
        let late = late["id"].as_str().context("no id")?.to_owned();
        let curable = failed(&server, "IMPORT", json!({ "error": "HTTP 503", "retryable": true })).await?;
        let hopeless =
            failed(&server, "EXPORT", json!({ "error": "no such project", "retryable": false })).await?;
        let queued = server
            .create(json!({ "command": "REPORT", "fullPath": "group/project", "priority": -10 }))
            .await?;
        Ok(Self { server, hopeless, curable, late, queued })
    }

    /// The address of a page.
    pub(super) fn at(&self, path: &str) -> String {
        format!("{}{path}", self.server.base)
    }

    /// Logs in.
    pub(super) async fn log_in(&self, browser: &Browser) -> Result<()> {
        browser.open(&self.at("/")).await?;
        browser.fill("#token", &self.server.admin).await?;
        browser.press("Log in").await?;
        browser.sees("h1", "Overview").await
    }

    /// A job's status.
    pub(super) async fn status(&self, job: &str) -> Result<String> {
        Ok(self.server.job(job).await?["status"].as_str().unwrap_or_default().to_owned())
    }
}

async fn take(server: &Server, command: &str) -> Result<Value> {
    let path = format!("/api/internal/jobs/open?workerId=crawler-1&command={command}");
    Ok(server.worker(Method::GET, &path, None).await?.expect(200)[0].take())
}

/// A job that failed like this.
pub(super) async fn failed(server: &Server, command: &str, more: Value) -> Result<String> {
    let id = server.create(json!({ "command": command, "fullPath": "group/project" })).await?;
    let taken = take(server, command).await?;
    server.report(&taken, "failed", more).await?.expect(200);
    Ok(id)
}

/// A job whose lease ended a while ago.
async fn overdue(server: &Server) -> Result<Value> {
    server.create(json!({ "command": "CRAWL", "fullPath": "group/slow" })).await?;
    let job = take(server, "CRAWL").await?;
    let past =
        "UPDATE job SET lease_expires_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '-9 minutes') || '000'";
    let id = job["id"].as_str().unwrap_or_default();
    run_sql(&server.database(), &format!("{past} WHERE id = '{id}'"))?;
    Ok(job)
}
