//! Workers, links, accounts and alerts.

use anyhow::Result;
use reqwest::{Method, StatusCode};
use serde_json::json;

use super::Visitor;
use crate::rig::{Peer, Receiver, Server, Setup, until};

const LINKS: &str = "[[link]]\nname = \"own\"\npath = \"own.sock\"\nmode = \"listen\"\n\
                     [[link]]\nname = \"away\"\npath = \"away.sock\"\n";

#[tokio::test]
async fn a_worker_is_paused_and_a_breaker_is_forced() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with(LINKS)).await?;
    let mut worker = Peer::connect(&folder.path().join("own.sock")).await?;
    worker.register("crawler-1", &[]).await?;
    let visitor = Visitor::logged_in(&server).await?;
    let page = visitor.get("/workers").await?;
    let connected = page.one("div[aria-label='Connected workers'] tbody tr");
    assert!(connected.starts_with("crawler-1 link own"), "{connected}");
    let paused = "div[aria-label='Connected workers'] form";
    let done = visitor.submit(&page, paused, &[("action", "pause")]).await?;
    let page = visitor.follow(done).await?;
    assert!(page.one("#notice").starts_with("crawler-1 is paused"), "{}", page.one("#notice"));
    assert!(page.one("div[aria-label='Connected workers'] tbody tr").contains("Paused"), "{}", page.text);
    let done = visitor.submit(&page, paused, &[("action", "resume")]).await?;
    assert_eq!(visitor.follow(done).await?.one("#notice"), "crawler-1 gets jobs again.");
    let restart = visitor.submit(&page, paused, &[("action", "restart")]).await?;
    assert_eq!(restart.status, StatusCode::CONFLICT, "it is no process of ours");

    assert_eq!(page.all(".cards h3")[0].split(' ').next(), Some("own"));
    let breaker = ".cards form";
    let done = visitor.submit(&page, breaker, &[("action", "forced_open")]).await?;
    let page = visitor.follow(done).await?;
    assert!(
        page.one("#notice").starts_with("The breaker of link away is forced open"),
        "{}",
        page.one("#notice")
    );
    assert!(page.all(".cards .card")[1].contains("Forced open"), "{:?}", page.all(".cards .card"));
    let overview = visitor.get("/").await?;
    assert!(
        overview.one("#overview-fleet").contains("1 worker is connected and holds 0 jobs"),
        "{}",
        overview.text
    );
    // Health is looked at from time to time, and remembered in between.
    let health = until("the link as a problem", async || {
        let page = visitor.get("/live/overview/health").await?;
        Ok(page.one("#health").contains("Link `away` is forced open").then_some(page))
    });
    assert_eq!(health.await?.attributes("#health", "data-status"), ["degraded"]);
    let unknown =
        visitor.post("/workers", &[("csrf", &page.csrf()), ("worker", "x"), ("action", "pause")]).await?;
    assert_eq!(unknown.status, StatusCode::NOT_FOUND);
    Ok(())
}

#[tokio::test]
async fn accounts_show_whether_they_hold_and_no_secret() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let account = |token: &str| json!({ "userId": "<i>u</i>", "providerId": "p", "accessToken": token });
    server.admin(Method::PUT, "/api/admin/accounts/a-1", Some(account("sesame"))).await?;
    let ended = json!({ "userId": "u", "providerId": "p", "accessToken": "sesame", "accessTokenExpiresAt": "2020-01-01T00:00:00Z" });
    server.admin(Method::PUT, "/api/admin/accounts/a-2", Some(ended)).await?;
    let page = Visitor::logged_in(&server).await?.get("/accounts").await?;
    let rows = page.all("div[aria-label='Accounts'] tbody tr");
    assert!(rows[0].starts_with("a-1 user <i>u</i> p Yes does not end none"), "{rows:?}");
    assert!(rows[1].starts_with("a-2 user u p No ended"), "{rows:?}");
    assert!(!page.text.contains("sesame"), "{}", page.text);
    Ok(())
}

#[tokio::test]
async fn a_test_message_says_whether_it_arrived() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let config = format!("[alerts]\nwebhook_url = {:?}\n", receiver.url());
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    let visitor = Visitor::logged_in(&server).await?;
    let page = visitor.get("/alerts").await?;
    assert!(page.one("#incidents-title + p").contains("Nothing is wrong"), "{}", page.text);
    let done = visitor.submit(&page, "#test", &[]).await?;
    let page = visitor.follow(done).await?;
    assert_eq!(page.one("#notice"), "The test message arrived.");
    assert_eq!(receiver.gets(1).await?.len(), 1);
    receiver.answers(500);
    let done = visitor.submit(&page, "#test", &[]).await?;
    let page = visitor.follow(done).await?;
    assert!(page.one("#notice").starts_with("No test message arrived"), "{}", page.one("#notice"));
    Ok(())
}

#[tokio::test]
async fn without_a_webhook_there_is_nothing_to_test() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let page = Visitor::logged_in(&server).await?.get("/alerts").await?;
    assert!(page.one("main").contains("Nobody is told of anything"), "{}", page.one("main"));
    assert!(page.form("#test").is_err());
    Ok(())
}
