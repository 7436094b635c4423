//! A night on call: what went wrong, why it was left so, and putting it right.

use anyhow::Result;
use reqwest::Method;

use super::scene::Scene;
use crate::rig::{Browser, Server, Setup};

/// All that a person does without SQL, by clicks. It is the same with and without scripts.
async fn on_call(scripts: bool) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::set(folder.path()).await?;
    let browser = Browser::start(scripts).await?;
    scene.log_in(&browser).await?;

    // A job that failed, and why recovery left it.
    browser.click(".tiles .is-failed a").await?;
    browser.sees(".tabs [aria-current]", "Failed").await?;
    browser.press("EXPORT").await?;
    browser.sees(".state .badge", "Failed").await?;
    let path = format!("/api/admin/jobs/{}/explain", scene.hopeless);
    let explained = scene.server.admin(Method::GET, &path, None).await?.expect(200);
    let summary = explained["summary"].as_str().unwrap_or_default().to_lowercase();
    let why = browser.text("#why").await?.to_lowercase();
    assert!(!summary.is_empty() && why.contains(&summary), "{why} {explained}");

    // Looking first, and then recovering.
    browser.press("Recovery").await?;
    browser.click("#recover input[value=failed]").await?;
    browser.press("Look first (dry run)").await?;
    browser.sees("#look", "Nothing has been done yet").await?;
    assert_eq!(scene.status(&scene.curable).await?, "failed", "a look changes nothing");
    browser.press("Run it for real").await?;
    browser.sees("h1", "Recovery run").await?;
    assert_eq!(scene.status(&scene.curable).await?, "queued");
    assert_eq!(scene.status(&scene.hopeless).await?, "failed");

    // Undoing it.
    browser.press("Undo this run…").await?;
    browser.sees("#preview", "1 job would be as before").await?;
    assert_eq!(scene.status(&scene.curable).await?, "queued", "a look changes nothing");
    browser.press("Put back 1 job").await?;
    browser.sees("#notice", "1 job was put back").await?;
    assert_eq!(scene.status(&scene.curable).await?, "failed");

    // Both that failed, by hand.
    browser.press("Jobs").await?;
    browser.click(".tabs a.is-failed").await?;
    browser.press("Retry all…").await?;
    browser.sees("#preview", "2 jobs would be retried. Nothing has been done yet").await?;
    browser.press("Retry 2 jobs").await?;
    browser.sees("#notice", "2 jobs were retried").await?;
    for job in [&scene.hopeless, &scene.curable] {
        assert_eq!(scene.status(job).await?, "queued");
    }

    // A result that came too late.
    browser.open(&scene.at(&format!("/jobs/{}", scene.late))).await?;
    browser.press("Accept it; the job does not run again").await?;
    browser.sees(".state .badge", "Finished").await?;
    assert_eq!(scene.status(&scene.late).await?, "finished");

    browser.press("Log out").await?;
    browser.sees("h1", "Log in").await?;
    browser.open(&scene.at("/jobs")).await?;
    browser.sees("h1", "Log in").await
}

#[tokio::test]
async fn a_night_on_call() -> Result<()> {
    on_call(true).await
}

#[tokio::test]
async fn a_night_on_call_without_scripts() -> Result<()> {
    on_call(false).await
}

#[tokio::test]
async fn a_page_follows_what_happens_without_being_loaded_anew() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::set(folder.path()).await?;
    let browser = Browser::start(true).await?;
    scene.log_in(&browser).await?;
    browser.open(&scene.at(&format!("/jobs/{}", scene.queued))).await?;
    browser.sees("#live", "Live").await?;
    browser.run("window.same = true").await?;
    let taken = scene.server.open("crawler-1", 1, 0).await?;
    assert_eq!(taken[0]["id"], scene.queued.as_str());
    browser.sees(".state .badge", "Running").await?;
    browser.sees("#job-timeline", "Taken by a worker").await?;
    scene
        .server
        .report(&taken[0], "failed", serde_json::json!({ "error": "out of quota" }))
        .await?
        .expect(200);
    browser.sees(".state .badge", "Failed").await?;
    browser.sees("#why", "out of quota").await?;
    browser.sees("#actions-title + *", "").await?;
    assert_eq!(browser.run("return window.same").await?, true, "it is still the same page");
    Ok(())
}

#[tokio::test]
async fn a_page_whose_server_goes_says_so_and_asks_for_a_login_when_it_is_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::set(folder.path()).await?;
    let browser = Browser::start(true).await?;
    scene.log_in(&browser).await?;
    let page = format!("/jobs/{}", scene.queued);
    browser.open(&scene.at(&page)).await?;
    browser.sees("#live", "Live").await?;
    let listen = vec![scene.server.base.trim_start_matches("http://").to_owned()];
    assert!(scene.server.stop().await?.success());
    browser.sees("#live", "Not live").await?;
    // Sessions end with their server: the old page must not stand there as if it were true.
    let server = Server::start(folder.path(), &Setup { listen, ..Setup::default() }).await?;
    browser.sees("h1", "Log in").await?;
    browser.fill("#token", &server.admin).await?;
    browser.press("Log in").await?;
    browser.sees("h1", "REPORT").await?;
    assert_eq!(browser.path().await?, page);
    browser.sees("#live", "Live").await
}
