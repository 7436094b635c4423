//! How every screen looks: to a checker of accessibility, on a phone, in the dark; and pictures of them.

use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use super::scene::{Scene, failed};
use crate::rig::{Browser, DESK, PHONE, binary};

/// Every screen: what it is called, and where it is.
async fn screens(scene: &Scene) -> Result<Vec<(&'static str, String)>> {
    let report = scene.server.recover("failed").await?;
    let run = report["result"]["runId"].as_str().context("no run")?;
    Ok(vec![
        ("overview", "/".to_owned()),
        ("jobs", "/jobs".to_owned()),
        ("jobs-none", "/jobs?queue=none".to_owned()),
        ("job", format!("/jobs/{}", scene.hopeless)),
        ("late-result", format!("/jobs/{}", scene.late)),
        ("bulk", "/jobs/bulk?all=yes&action=retry&status=failed".to_owned()),
        ("recovery", "/recovery".to_owned()),
        ("recovery-run", format!("/recovery/runs/{run}")),
        ("undo", format!("/recovery/runs/{run}/undo")),
        ("workers", "/workers".to_owned()),
        ("accounts", "/accounts".to_owned()),
        ("policy", "/policy".to_owned()),
        ("simulate", "/policy/simulate".to_owned()),
        ("alerts", "/alerts".to_owned()),
        ("not-found", "/jobs/NONE".to_owned()),
    ])
}

/// The checker, as `tests/run` fetched it.
fn axe() -> Result<String> {
    let target = binary()?.parent().and_then(|debug| debug.parent()).context("no target folder")?;
    let path = target.join("axe-core/package/axe.min.js");
    std::fs::read_to_string(&path).with_context(|| format!("{} is missing; use tests/run", path.display()))
}

/// What the checker finds on the page that is open: serious findings, each with the places.
async fn findings(browser: &Browser, axe: &str) -> Result<Vec<String>> {
    browser.run(axe).await?;
    let answer = browser
        .run_until_answered("axe.run(document).then(arguments[0], e => arguments[0](String(e)))")
        .await?;
    let violations = answer["violations"].as_array().with_context(|| format!("no result: {answer}"))?;
    let checked = answer["passes"].as_array().map_or(0, Vec::len);
    ensure!(
        checked > 10,
        "the checker looked at next to nothing at {}: {checked} rules",
        browser.path().await?
    );
    let serious =
        violations.iter().filter(|it| matches!(it["impact"].as_str(), Some("serious" | "critical")));
    Ok(serious.map(said).collect())
}

fn said(finding: &Value) -> String {
    let nodes = finding["nodes"].as_array().into_iter().flatten();
    let places: Vec<String> =
        nodes.map(|node| format!("{} {}", node["html"], node["failureSummary"])).collect();
    format!("{}: {}", finding["id"].as_str().unwrap_or_default(), places.join("; "))
}

async fn is_accessible(scheme: &str) -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::set(folder.path()).await?;
    let (browser, axe) = (Browser::start(true).await?, axe()?);
    browser.prefer(scheme).await?;
    browser.open(&scene.at("/login")).await?;
    let mut found = findings(&browser, &axe).await?;
    scene.log_in(&browser).await?;
    for (name, path) in screens(&scene).await? {
        browser.open(&scene.at(&path)).await?;
        for size in [DESK, PHONE] {
            browser.size(size).await?;
            // What is folded is looked at too.
            browser.run("document.querySelectorAll('details').forEach(it => { it.open = true })").await?;
            let findings = findings(&browser, &axe).await?;
            found.extend(findings.into_iter().map(|finding| format!("{name} {size:?}: {finding}")));
        }
    }
    assert!(found.is_empty(), "{}", found.join("\n"));
    Ok(())
}

#[tokio::test]
async fn a_checker_finds_nothing_serious_in_the_light() -> Result<()> {
    is_accessible("light").await
}

#[tokio::test]
async fn a_checker_finds_nothing_serious_in_the_dark() -> Result<()> {
    is_accessible("dark").await
}

#[tokio::test]
async fn the_checker_finds_what_is_wrong() -> Result<()> {
    let browser = Browser::start(true).await?;
    browser.open("data:text/html,<html><body><img src=x><button></button><p>text</p></body></html>").await?;
    browser.run(&axe()?).await?;
    let answer = browser.run_until_answered("axe.run(document).then(arguments[0])").await?;
    let ids: Vec<&str> =
        answer["violations"].as_array().into_iter().flatten().filter_map(|it| it["id"].as_str()).collect();
    assert!(ids.contains(&"image-alt") && ids.contains(&"button-name"), "{ids:?}");
    Ok(())
}

/// What makes a page wider than its window.
const STICKS_OUT: &str = "return [...document.querySelectorAll('body *')]
    .filter(it => it.getBoundingClientRect().right > innerWidth && !it.closest('.scroll'))
    .map(it => it.outerHTML.slice(0, 80)).slice(0, 5)";

#[tokio::test]
async fn every_screen_fits_a_phone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::set(folder.path()).await?;
    let long = "an/endless/path".repeat(60);
    let odd = scene
        .server
        .create(json!({ "command": "C".repeat(128), "queue": "q".repeat(128), "fullPath": long }))
        .await?;
    failed(&scene.server, "LONG", json!({ "error": "E".repeat(900) })).await?;
    let browser = Browser::start(true).await?;
    browser.size(PHONE).await?;
    scene.log_in(&browser).await?;
    let mut screens = screens(&scene).await?;
    screens.push(("a job with long names", format!("/jobs/{odd}")));
    let mut too_wide = Vec::new();
    for (name, path) in screens {
        browser.open(&scene.at(&path)).await?;
        let width = browser.run("return document.scrollingElement.scrollWidth").await?;
        let wide = browser.run(STICKS_OUT).await?;
        if width != PHONE.0 {
            too_wide.push(format!("{name} is {width} wide: {wide}"));
        }
    }
    assert!(too_wide.is_empty(), "{}", too_wide.join("\n"));
    Ok(())
}

#[tokio::test]
async fn a_dark_screen_is_dark() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let scene = Scene::set(folder.path()).await?;
    let browser = Browser::start(true).await?;
    scene.log_in(&browser).await?;
    let brightness =
        "const [r, g, b] = getComputedStyle(document.body).backgroundColor.match(/\\d+/g).map(Number);
        return (r + g + b) / 3;";
    browser.prefer("light").await?;
    assert!(browser.run(brightness).await?.as_f64().is_some_and(|light| light > 200.0));
    browser.prefer("dark").await?;
    assert!(browser.run(brightness).await?.as_f64().is_some_and(|dark| dark < 60.0));
    Ok(())
}

/// Makes the pictures of the README anew:
/// `cargo build -p reclaimer && cargo test -p reclaimer-tests --test e2e -- --ignored pictures`.
#[tokio::test]
#[ignore = "makes docs/images anew; run it when a screen has changed"]
async fn pictures_of_every_screen() -> Result<()> {
    let images = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../docs/images"));
    std::fs::create_dir_all(&images)?;
    let folder = tempfile::tempdir()?;
    let scene = Scene::set(folder.path()).await?;
    let browser = Browser::start(true).await?;
    browser.prefer("light").await?;
    scene.log_in(&browser).await?;
    let mut pictures = Vec::new();
    for (name, path) in screens(&scene).await? {
        if !matches!(name, "jobs-none" | "not-found") {
            browser.open(&scene.at(&path)).await?;
            pictures.push((name.to_owned(), browser.picture().await?));
        }
    }
    browser.prefer("dark").await?;
    browser.open(&scene.at("/")).await?;
    pictures.push(("overview-dark".to_owned(), browser.picture().await?));
    browser.size(PHONE).await?;
    browser.open(&scene.at(&format!("/jobs/{}", scene.hopeless))).await?;
    pictures.push(("job-phone-dark".to_owned(), browser.picture().await?));
    for (name, picture) in pictures {
        let picture = base64::Engine::decode(&base64::prelude::BASE64_STANDARD, picture)?;
        ensure!(picture.len() <= 150 * 1_024, "{name} is too large: {} bytes", picture.len());
        std::fs::write(images.join(format!("{name}.png")), picture)?;
    }
    Ok(())
}
