//! Fields that are meant to be anything but text.

use anyhow::Result;
use reqwest::StatusCode;
use serde_json::json;

use super::Visitor;
use crate::rig::{Server, Setup};

const SCRIPT: &str = "<script>alert(1)</script>";

/// Nothing in a page runs, styles itself, or is loaded from elsewhere.
fn assert_inert(text: &str, path: &str) {
    let page = text.to_lowercase();
    for bad in [
        "<script>",
        "<img src=x",
        "javascript:",
        " style=",
        "<style",
        " onerror=",
        " onclick=",
        "http://",
        "//",
    ] {
        let found = page.match_indices(bad).find(|(place, _)| {
            // `…="http://www.w3.org/…"` would be a namespace; there is none either.
            let before = &page[..*place];
            let inside_tag = before.rfind('<') > before.rfind('>');
            inside_tag || bad.starts_with('<')
        });
        assert_eq!(
            found,
            None,
            "{path}: {}",
            &text[found.map_or(0, |(place, _)| place.saturating_sub(80))..]
        );
    }
    // What a form sends back must be what it was.
    let said: String = text
        .split(" value=\"")
        .enumerate()
        .map(
            |(place, part)| {
                if place == 0 { part } else { part.split_once('"').map_or("", |(_, rest)| rest) }
            },
        )
        .collect();
    for c in ['\u{202e}', '\u{2066}', '\u{200b}', '\0', '\u{1b}'] {
        assert!(!said.contains(c), "{path}: {c:?} stands in the page");
    }
}

#[tokio::test]
async fn a_job_of_scripts_marks_and_endless_strings_shows_as_text() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let long = "A".repeat(900_000);
    let job = server
        .create(json!({
            "command": SCRIPT,
            "queue": "\"><img/src=x/onerror=alert(2)>\u{202e}",
            "fullPath": format!("/\u{202e}txt.exe\u{2066}\u{200b}{SCRIPT}"),
            "uniqueKey": "'><svg/onload=alert(3)>",
            "payload": { "long": long, "<b>": SCRIPT, "nul": "\0", "rtl": "\u{202e}abc" },
        }))
        .await?;
    let taken = server.open("w<b>\u{202e}", 1, 0).await?;
    let failure = json!({ "error": format!("\u{1b}[31m{SCRIPT}\u{202e}{}", "E".repeat(200_000)), "errorType": "UNKNOWN" });
    server.report(&taken[0], "failed", failure).await?.expect(200);

    let visitor = Visitor::logged_in(&server).await?;
    let filtered =
        "/jobs?queue=%22%3E%3Cimg%2Fsrc%3Dx%2Fonerror%3Dalert%282%29%3E%E2%80%AE&path=%3Cscript%3E";
    let preview = format!("/jobs/bulk?action=retry&id={job}&path=%3Cscript%3E");
    let own = format!("/jobs/{job}");
    for path in [
        "/",
        "/jobs",
        filtered,
        &preview,
        &own,
        "/recovery",
        "/recovery/runs/%3Cscript%3E",
        "/workers",
        "/accounts",
        "/policy",
        "/policy/simulate",
        "/alerts",
        "/jobs/%3Cscript%3Ealert(1)%3C%2Fscript%3E",
        "/login?next=%22%3E%3Cscript%3E",
    ] {
        let page = visitor.get(path).await?;
        assert!(matches!(page.status.as_u16(), 200 | 404), "{path}: {}", page.status);
        assert_inert(&page.text, path);
        assert!(page.text.len() < 100_000, "{path} has {} bytes", page.text.len());
    }
    let page = visitor.get(&own).await?;
    assert!(page.one("h1").contains(SCRIPT), "it is all there, as text");
    let shown = page.one(".path");
    assert!(shown.contains("U+202E") && shown.contains("U+200B"), "{shown}");
    let shown = visitor.get("/jobs").await?.one(".error");
    assert!(shown.contains("U+001B"), "{shown}");
    assert!(page.text.contains("<bdi>"), "what comes from outside is isolated");

    let whole = format!("{own}/text/payload");
    assert!(page.attributes("a", "href").contains(&whole), "{:?}", page.attributes("a", "href"));
    let text = visitor.get(&whole).await?;
    assert_eq!(text.status, StatusCode::OK);
    assert_eq!(text.header("content-type"), Some("text/plain; charset=utf-8"));
    assert_eq!(text.header("x-content-type-options"), Some("nosniff"));
    assert!(text.header("content-security-policy").is_some_and(|policy| policy.contains("sandbox")));
    assert!(text.text.contains(&long) && text.text.contains(SCRIPT));
    assert_eq!(visitor.get(&format!("{own}/text/secrets")).await?.status, StatusCode::NOT_FOUND);
    Ok(())
}
