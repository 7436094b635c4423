//! What an on-call engineer does at night.

use anyhow::Result;
use reqwest::StatusCode;
use serde_json::json;

use super::visitor::tiles;
use super::{Page, Visitor};
use crate::rig::{Server, Setup};

/// Recovery does not run by itself, so that what a test sees stays.
const STILL: &str = "[recovery]\nenabled = false\n";

/// A job that failed like this.
async fn failed(server: &Server, command: &str, error: &str) -> Result<String> {
    let id = server.create(json!({ "command": command })).await?;
    let taken = server.open("w-1", 1, 0).await?;
    server.report(&taken[0], "failed", json!({ "error": error })).await?.expect(200);
    Ok(id)
}

#[tokio::test]
async fn the_overview_counts_and_leads_to_the_jobs() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(STILL)).await?;
    failed(&server, "A", "no such host").await?;
    for _ in 0..3 {
        server.create(json!({ "command": "B", "queue": "slow" })).await?;
    }
    let visitor = Visitor::logged_in(&server).await?;
    let page = visitor.get("/").await?;
    let counts = tiles(&page);
    assert_eq!(
        (counts["Queued"].as_str(), counts["Failed"].as_str(), counts["Running"].as_str()),
        ("3", "1", "0")
    );
    assert!(page.one("#health").contains("Recovery does not run by itself"), "{}", page.one("#health"));

    let page = visitor.get("/jobs?status=failed").await?;
    assert_eq!(page.all("table.jobs tbody tr").len(), 1);
    assert!(page.one("table.jobs tbody").contains("no such host"), "{}", page.text);
    assert_eq!(page.all(".tabs a[aria-current]"), ["Failed 1"]);
    let page = visitor.get("/jobs?queue=slow").await?;
    assert_eq!(page.all("table.jobs tbody tr").len(), 3);
    assert_eq!(page.all(".tabs .count")[..2], ["3", "3"]);
    let page = visitor.get("/jobs?text=NO+such").await?;
    assert_eq!(page.all("table.jobs .name"), ["A"], "its error has the text");
    assert!(page.all(".tabs .count").is_empty(), "a number would count others, too");
    let listed = server.admin(reqwest::Method::GET, "/api/jobs?text=such%20host", None).await?.expect(200);
    assert_eq!(listed["items"].as_array().map(Vec::len), Some(1), "{listed}");
    assert!(visitor.get("/jobs?queue=none").await?.text.contains("No job is like this"));
    let wrong = visitor.get("/jobs?status=done").await?;
    assert_eq!(wrong.status, StatusCode::BAD_REQUEST);
    assert!(wrong.text.contains("unknown status"), "{}", wrong.text);
    Ok(())
}

#[tokio::test]
async fn a_long_list_goes_on_where_it_ended() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let jobs: Vec<_> = (0..120).map(|number| json!({ "command": format!("C-{number}") })).collect();
    server.admin(reqwest::Method::POST, "/api/jobs", Some(jobs.into())).await?.expect(201);
    let visitor = Visitor::logged_in(&server).await?;
    let (mut path, mut seen) = ("/jobs".to_owned(), Vec::new());
    loop {
        let page = visitor.get(&path).await?;
        seen.extend(page.all("table.jobs .name"));
        match page.attributes("a[rel=next]", "href").pop() {
            Some(next) => path = next,
            None => break,
        }
    }
    let expected: Vec<String> = (0..120).rev().map(|number| format!("C-{number}")).collect();
    assert_eq!(seen, expected);
    Ok(())
}

#[tokio::test]
async fn a_failed_job_says_why_and_is_retried_with_one_button() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(STILL)).await?;
    let id = failed(&server, "A", "the disk is full").await?;
    let visitor = Visitor::logged_in(&server).await?;
    let path = format!("/jobs/{id}");
    let page = visitor.get(&path).await?;
    let explained =
        server.admin(reqwest::Method::GET, &format!("/api/admin/jobs/{id}/explain"), None).await?;
    let summary = explained.expect(200)["summary"].as_str().unwrap_or_default().to_owned();
    assert_eq!(page.one("#why").to_lowercase(), format!("{summary}.").to_lowercase());
    assert!(page.one("#next").contains("recovery does not run by itself"), "{}", page.one("#next"));
    let events = page.all(".timeline li strong");
    assert_eq!(events, ["Created", "Taken by a worker", "Failed"]);

    let done =
        visitor.submit(&page, "#act-retry form", &[("action", "retry"), ("reset", "recoveries")]).await?;
    let page = visitor.follow(done).await?;
    assert_eq!(page.one("#notice"), "The job was retried.");
    assert_eq!(page.one(".state .badge"), "Queued");
    let job = server.job(&id).await?;
    assert_eq!((&job["status"], &job["attempt"]), (&json!("queued"), &json!(1)), "attempts were not ticked");
    assert_eq!(visitor.get(&path).await?.all("#notice").len(), 0, "it is said once");

    let page = visitor.get(&path).await?;
    assert!(page.form("#act-retry form").is_err(), "a queued job cannot be retried");
    let refused = visitor.post(&path, &[("action", "retry"), ("csrf", &page.csrf())]).await?;
    assert_eq!(refused.status, StatusCode::CONFLICT);
    assert!(refused.text.contains("illegal_transition"), "{}", refused.text);
    Ok(())
}

#[tokio::test]
async fn many_jobs_are_retried_after_a_look_at_what_would_be_done() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(STILL)).await?;
    let mut ids = Vec::new();
    for number in 0..4 {
        ids.push(failed(&server, &format!("A-{number}"), "no route").await?);
    }
    let queued = server.create(json!({ "command": "B", "queue": "other" })).await?;
    let visitor = Visitor::logged_in(&server).await?;
    let statuses = async || -> Result<Vec<String>> {
        let mut found = Vec::new();
        for id in &ids {
            found.push(server.job(id).await?["status"].as_str().unwrap_or_default().to_owned());
        }
        Ok(found)
    };

    // Two that are ticked, one of which cannot be.
    let preview = format!("/jobs/bulk?action=retry&status=failed&id={}&id={queued}", ids[0]);
    let page = visitor.get(&preview).await?;
    assert_eq!(page.one("h1"), "Retry 1 job?");
    assert!(page.one("main").contains("only failed jobs can be retried"), "{}", page.one("main"));
    assert_eq!(statuses().await?, ["failed"; 4], "a look changes nothing");
    let done = visitor.submit(&page, "form.confirm", &[]).await?;
    let page = visitor.follow(done).await?;
    assert!(page.one("#notice").starts_with("1 job was retried. 1 was not: "), "{}", page.one("#notice"));
    assert_eq!(statuses().await?, ["queued", "failed", "failed", "failed"]);

    // All that are left.
    let page = visitor.get("/jobs?status=failed").await?;
    let all = page.attributes(".bulk a", "href").into_iter().find(|href| href.contains("action=retry"));
    let page = visitor.get(&all.unwrap_or_default()).await?;
    assert_eq!(page.one("h1"), "Retry 3 jobs?");
    let done = visitor.submit(&page, "form.confirm", &[]).await?;
    assert_eq!(visitor.follow(done).await?.one("#notice"), "3 jobs were retried.");
    assert_eq!(statuses().await?, ["queued"; 4]);

    let none: Page = visitor.get("/jobs/bulk?action=retry").await?;
    assert_eq!(none.status, StatusCode::BAD_REQUEST);
    assert!(none.text.contains("no job is ticked"), "{}", none.text);
    Ok(())
}

#[tokio::test]
async fn a_queue_is_paused_and_goes_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    server.create(json!({ "command": "X" })).await?;
    let visitor = Visitor::logged_in(&server).await?;
    let page = visitor.get("/").await?;
    assert!(page.one("#health").contains("All is well"), "{}", page.one("#health"));
    let done = visitor.submit(&page, "form[action='/queues']", &[("action", "pause")]).await?;
    let page = visitor.follow(done).await?;
    assert!(page.one("#notice").starts_with("Queue default is paused"), "{}", page.one("#notice"));
    assert!(server.open("w", 1, 0).await?.is_empty());
    let done = visitor.submit(&page, "form[action='/queues']", &[("action", "resume")]).await?;
    visitor.follow(done).await?;
    assert_eq!(server.open("w", 1, 0).await?.len(), 1);
    Ok(())
}
