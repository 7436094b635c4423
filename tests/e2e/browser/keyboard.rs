//! Without a mouse.

use anyhow::Result;

use super::scene::Scene;
use crate::rig::{Browser, ENTER, SPACE, TAB};

#[tokio::test]
async fn everything_can_be_done_by_keys() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::set(folder.path()).await?;
    let browser = Browser::start(true).await?;
    let enter = ENTER.to_string();

    // The field has the focus already.
    browser.open(&scene.at("/")).await?;
    assert_eq!(browser.focused().await?, "Admin token");
    browser.strike(&scene.server.admin).await?;
    browser.strike(&enter).await?;
    browser.sees("h1", "Overview").await?;

    // The first stop skips what is the same on every page, and is seen.
    browser.strike(&TAB.to_string()).await?;
    assert_eq!(browser.focused().await?, "Skip to the content");
    browser.strike(&enter).await?;
    assert_eq!(browser.run("return document.activeElement.id").await?, "main");
    let outline = "return getComputedStyle(document.activeElement).outlineStyle";
    browser.strike(&TAB.to_string()).await?;
    assert_eq!(browser.run(outline).await?, "solid", "one sees where one is");

    browser.open(&scene.at("/jobs?status=failed")).await?;
    browser.tab_to(&format!("Select job {}", scene.hopeless)).await?;
    browser.strike(&SPACE.to_string()).await?;
    browser.tab_to("Retry…").await?;
    browser.strike(&enter).await?;
    browser.sees("h1", "Retry 1 job?").await?;
    browser.tab_to("Retry 1 job").await?;
    browser.strike(&enter).await?;
    browser.sees("#notice", "1 job was retried").await?;
    assert_eq!(scene.status(&scene.hopeless).await?, "queued");

    // What cannot be undone asks once more.
    browser.open(&scene.at(&format!("/jobs/{}", scene.hopeless))).await?;
    browser.run("document.querySelector('#act-cancel summary').focus()").await?;
    browser.strike(&enter).await?;
    browser.tab_to("Cancel the job").await?;
    assert_eq!(scene.status(&scene.hopeless).await?, "queued");
    browser.strike(&enter).await?;
    browser.sees("#notice", "cancelled").await?;
    assert_eq!(scene.status(&scene.hopeless).await?, "cancelled");

    browser.tab_to("Recovery").await?;
    browser.strike(&enter).await?;
    browser.sees("h1", "Recovery").await?;
    browser.tab_to("Look first (dry run)").await?;
    browser.strike(&enter).await?;
    browser.sees("h1", "What a run would do").await?;
    browser.tab_to("Log out").await?;
    browser.strike(&enter).await?;
    browser.sees("h1", "Log in").await
}
