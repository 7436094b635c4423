//! Running recovery, undoing what it did, and trying another policy.

use anyhow::Result;
use reqwest::StatusCode;
use serde_json::json;

use super::Visitor;
use crate::rig::{Server, Setup};

/// Recovery does not run by itself, so that what a test sees stays.
const STILL: &str = "[recovery]\nenabled = false\n";

/// A job that failed, and whose worker said whether trying again can help.
async fn failed(server: &Server, retryable: bool) -> Result<String> {
    let id = server.create(json!({ "command": "A" })).await?;
    let taken = server.open("w-1", 1, 0).await?;
    let more = json!({ "error": "no route", "retryable": retryable });
    server.report(&taken[0], "failed", more).await?.expect(200);
    Ok(id)
}

#[tokio::test]
async fn recovery_is_looked_at_run_and_undone() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(STILL)).await?;
    let (helps, does_not) = (failed(&server, true).await?, failed(&server, false).await?);
    let visitor = Visitor::logged_in(&server).await?;
    let page = visitor.get("/recovery").await?;
    assert!(page.one("#schedule").contains("does not run by itself"), "{}", page.one("#schedule"));
    assert!(page.one("#recovery-runs").contains("No run is on record yet"), "{}", page.text);

    let look = visitor.submit(&page, "#recover", &[("type", "failed"), ("do", "look")]).await?;
    assert_eq!(look.status, StatusCode::OK, "{}", look.text);
    assert!(look.one("#look").contains("Nothing has been done yet"), "{}", look.one("#look"));
    let decisions = look.all("div[aria-label='Decisions'] tbody tr").join("\n");
    assert!(decisions.contains(&helps) && decisions.contains("queue it again retryable"), "{decisions}");
    assert!(decisions.contains(&does_not) && decisions.contains("leave it"), "{decisions}");
    assert_eq!(server.job(&helps).await?["status"], "failed", "a look changes nothing");

    let done = visitor.submit(&look, "#recover", &[("do", "run")]).await?;
    let run = visitor.follow(done).await?;
    assert!(run.one("#notice").contains("1 recovered, 0 failed, 1 skipped"), "{}", run.one("#notice"));
    assert_eq!(run.all(".tiles .value"), ["1", "0", "1", "0"]);
    assert_eq!(server.job(&helps).await?["status"], "queued");
    let page = visitor.get("/recovery").await?;
    let past = page.one("#recovery-runs tbody tr");
    assert!(past.contains("failed a person Job recovery completed: 1 recovered"), "{past}");
    let policy = visitor.get("/policy").await?;
    let rule =
        policy.all("#policy-rules tbody tr").into_iter().find(|rule| rule.contains("retryable built in"));
    assert!(rule.as_deref().is_some_and(|rule| rule.contains("1 queued again")), "{rule:?}");
    assert!(visitor.get("/").await?.one("#chart-recovery .soft").contains("1 queued again"));

    let preview = visitor.get(&run.attributes("#undo", "href")[0]).await?;
    assert!(preview.one("#preview").starts_with("1 job would be as before"), "{}", preview.one("#preview"));
    assert_eq!(server.job(&helps).await?["status"], "queued", "a look changes nothing");
    let done = visitor.submit(&preview, "form.confirm", &[]).await?;
    assert_eq!(visitor.follow(done).await?.one("#notice"), "1 job was put back.");
    assert_eq!(server.job(&helps).await?["status"], "failed");
    let preview = visitor.get(&run.attributes("#undo", "href")[0]).await?;
    assert!(preview.one("#preview").starts_with("Nothing can be put back"), "{}", preview.one("#preview"));

    assert_eq!(visitor.get("/recovery/runs/none").await?.status, StatusCode::NOT_FOUND);
    let nothing = visitor.post("/recovery", &[("csrf", &page.csrf())]).await?;
    assert_eq!(nothing.status, StatusCode::BAD_REQUEST);
    let unknown = visitor.submit(&page, "#recover", &[("type", "all"), ("do", "look")]).await?;
    assert_eq!(unknown.status, StatusCode::BAD_REQUEST);
    assert!(unknown.text.contains("a type is one of"), "{}", unknown.text);
    Ok(())
}

#[tokio::test]
async fn a_policy_is_tried_on_what_happened() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(STILL)).await?;
    let id = failed(&server, true).await?;
    server.recover("failed").await?;
    let visitor = Visitor::logged_in(&server).await?;
    let page = visitor.get("/policy/simulate").await?;
    assert!(page.one("#policy").contains("[[rule]]"), "an example is there to begin with");

    let harsh = "[[rule]]\nname = \"harsh\"\nmatch = { status = \"failed\" }\naction = \"quarantine\"\n";
    let tried = visitor.submit(&page, "#simulate", &[("policy", harsh), ("hours", "1")]).await?;
    assert_eq!(tried.status, StatusCode::OK, "{}", tried.text);
    assert_eq!(tried.one("#differing"), "1 decision of 1 would have come out differently.");
    let different = tried.one("#outcome");
    assert!(
        different.contains(&id) && different.contains("set it aside for a person, by harsh"),
        "{different}"
    );
    assert_eq!(tried.one("#policy"), harsh.split_whitespace().collect::<Vec<_>>().join(" "));
    assert_eq!(server.job(&id).await?["status"], "queued", "trying changes nothing");

    let wrong = visitor.submit(&page, "#simulate", &[("policy", "[[rule]]\nnam = \"<b>\"\n")]).await?;
    assert_eq!(wrong.status, StatusCode::OK);
    assert!(wrong.one("#refused").contains("unknown key `nam`"), "{}", wrong.one("#refused"));
    let far = visitor.submit(&page, "#simulate", &[("policy", harsh), ("hours", "9999")]).await?;
    assert_eq!(far.status, StatusCode::BAD_REQUEST);
    Ok(())
}

#[tokio::test]
async fn the_policy_file_is_read_anew_and_what_is_wrong_with_it_is_shown() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("policy.toml");
    let rule = |name: &str| {
        format!("[[rule]]\nname = \"{name}\"\nmatch = {{ status = \"failed\" }}\naction = \"leave\"\n")
    };
    std::fs::write(&file, rule("first"))?;
    let config = format!("[recovery]\nenabled = false\npolicy = {file:?}\n");
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    let visitor = Visitor::logged_in(&server).await?;
    let page = visitor.get("/policy").await?;
    assert!(
        page.one("#policy-rules tbody").contains("first line 2 of the file"),
        "{}",
        page.one("#policy-rules")
    );
    std::fs::write(&file, rule("second"))?;
    let done = visitor.submit(&page, "form[action='/policy']", &[]).await?;
    let page = visitor.follow(done).await?;
    assert!(page.one("#notice").ends_with("is in force now."), "{}", page.one("#notice"));
    assert!(page.one("#policy-rules tbody").contains("second"));
    std::fs::write(&file, "[[rule]]\nname = \"third\"\nactoin = \"leave\"\n")?;
    let done = visitor.submit(&page, "form[action='/policy']", &[]).await?;
    let page = visitor.follow(done).await?;
    assert!(page.one(".notice.bad").contains("Line 3"), "{}", page.one(".notice.bad"));
    assert!(page.one("#policy-rules tbody").contains("second"), "the policy before it stays");
    Ok(())
}
