//! Who sees a page, and whose forms have an effect.

use anyhow::Result;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Page, Visitor};
use crate::rig::{Server, Setup};

/// A page of each kind.
const PAGES: [&str; 5] =
    ["/", "/jobs", "/jobs?status=failed", "/jobs/none", "/jobs/bulk?action=retry&all=yes"];

/// What every answer of the dashboard says to the browser.
fn assert_headers(page: &Page, path: &str) {
    let policy = page.header("content-security-policy").unwrap_or_default();
    for word in [
        "default-src 'none'",
        "style-src 'self'",
        "script-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",
        "form-action 'self'",
        "frame-ancestors 'none'",
        "base-uri 'none'",
    ] {
        assert!(policy.split("; ").any(|part| part == word), "{path}: no {word} in {policy:?}");
    }
    assert!(!policy.contains("unsafe"), "{path}: {policy}");
    assert_eq!(page.header("x-content-type-options"), Some("nosniff"), "{path}");
    assert_eq!(page.header("referrer-policy"), Some("no-referrer"), "{path}");
    assert_eq!(page.header("cache-control"), Some("no-store"), "{path}");
}

#[tokio::test]
async fn nobody_sees_a_page_without_having_logged_in() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let visitor = Visitor::new(&server)?;
    for path in PAGES {
        let page = visitor.get(path).await?;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "{path}");
        assert!(page.location().is_some_and(|to| to.starts_with("/login")), "{path}: {:?}", page.location());
        assert!(page.text.is_empty(), "{path}: {}", page.text);
        assert_headers(&page, path);
    }
    let page = visitor.get("/jobs?status=failed").await?;
    assert_eq!(page.location(), Some("/login?next=%2Fjobs%3Fstatus%3Dfailed"));
    for (path, token) in [("/", &server.admin), ("/jobs", &server.worker)] {
        let page = visitor.send(visitor.request(Method::GET, path).bearer_auth(token)).await?;
        assert_eq!(page.status, StatusCode::SEE_OTHER, "a page takes no bearer token");
    }
    // The script asks for a part, and must not get a login page in its place.
    let part =
        visitor.send(visitor.request(Method::GET, "/live/overview/states").header("x-live", "1")).await?;
    assert_eq!((part.status, part.text.as_str()), (StatusCode::UNAUTHORIZED, ""));
    let page = visitor.post("/queues", &[("queue", "default"), ("action", "pause")]).await?;
    assert_eq!((page.status, page.location()), (StatusCode::SEE_OTHER, Some("/login?undone=yes")));
    let page = visitor.post("/jobs/bulk", &[("action", "cancel"), ("all", "yes")]).await?;
    assert_eq!(page.location(), Some("/login?next=%2Fjobs&undone=yes"));
    let page = visitor.follow(page).await?;
    assert!(page.one("#undone").starts_with("Nothing was done"), "{}", page.text);
    assert_eq!(page.form("form")?.1, [("next".to_owned(), "/jobs".to_owned())]);
    Ok(())
}

#[tokio::test]
async fn a_login_gives_a_cookie_that_no_script_reads_and_no_other_site_sends() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let mut visitor = Visitor::new(&server)?;
    let form = visitor.get("/login?next=%2Fjobs%3Fqueue%3Da").await?;
    assert_headers(&form, "/login");
    for wrong in ["", "wrong", &server.worker] {
        let page = visitor.log_in(wrong).await?;
        assert_eq!((page.status, page.header("set-cookie")), (StatusCode::UNAUTHORIZED, None));
        assert_headers(&page, "/login");
        assert!(page.one("#refused").contains("not the admin token"), "{}", page.text);
    }
    // Three were wrong: the next must wait, and is not even looked at.
    let page = visitor.log_in(&server.admin).await?;
    assert_eq!(page.status, StatusCode::TOO_MANY_REQUESTS);
    assert_eq!(page.header("retry-after"), Some("1"));
    let page = crate::rig::until("the wait to be over", async || {
        let (action, fields) = form.form("form")?;
        let next = fields.iter().find(|(name, _)| name == "next").map(|(_, value)| value.clone());
        let fields = [("next", next.as_deref().unwrap_or_default()), ("token", server.admin.as_str())];
        let page = visitor.post(&action, &fields).await?;
        Ok((page.status == StatusCode::SEE_OTHER).then_some(page))
    })
    .await?;
    assert_eq!(page.location(), Some("/jobs?queue=a"));
    let cookie = page.header("set-cookie").unwrap_or_default();
    let words: Vec<&str> = cookie.split("; ").collect();
    for word in ["HttpOnly", "SameSite=Strict", "Path=/"] {
        assert!(words.contains(&word), "{cookie}");
    }
    visitor.cookie = cookie.split_once(';').map(|(pair, _)| pair.to_owned());
    for path in PAGES {
        let page = visitor.get(path).await?;
        assert!(matches!(page.status.as_u16(), 200 | 404), "{path}: {}", page.status);
        assert_headers(&page, path);
    }
    let log = std::fs::read_to_string(folder.path().join("err.log"))?;
    assert!(log.contains("somebody logged in to the dashboard") && log.contains("was refused"), "{log}");
    assert!(!log.contains(&server.admin) && !log.contains(&words[0]["reclaimer_session=".len()..]), "{log}");

    let page = visitor.get("/").await?;
    let page = visitor.submit(&page, "form[action='/logout']", &[]).await?;
    assert_eq!(page.location(), Some("/login"));
    assert!(page.header("set-cookie").is_some_and(|set| set.contains("Max-Age=0")), "{:?}", page.headers);
    assert_eq!(visitor.get("/").await?.status, StatusCode::SEE_OTHER, "the old cookie opens nothing");
    Ok(())
}

#[tokio::test]
async fn a_link_from_elsewhere_leads_to_the_page_and_a_form_from_elsewhere_nowhere() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let visitor = Visitor::new(&server)?;
    // The browser keeps the cookie back here, so that nobody can tell whether there is one: the page asks for itself.
    let request = visitor.request(Method::GET, "/jobs?queue=%22%3E").header("sec-fetch-site", "cross-site");
    let page = visitor.send(request).await?;
    assert_eq!(page.status, StatusCode::OK);
    assert_eq!(page.attributes("meta[http-equiv=refresh]", "content"), ["0; url=/jobs?queue=%22%3E"]);
    assert_headers(&page, "/jobs");
    let request = visitor.request(Method::POST, "/login").header("sec-fetch-site", "cross-site");
    let page = visitor.send(request.body(format!("token={}", server.admin))).await?;
    assert_eq!((page.status, page.header("set-cookie")), (StatusCode::FORBIDDEN, None));
    Ok(())
}

#[tokio::test]
async fn a_form_has_an_effect_only_with_the_token_of_its_session() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let job = server.create(json!({ "command": "X" })).await?;
    let (visitor, other) = (Visitor::logged_in(&server).await?, Visitor::logged_in(&server).await?);
    let (path, mine) = (format!("/jobs/{job}"), visitor.get("/").await?.csrf());
    let others = other.get("/").await?.csrf();
    assert!(mine.len() == 64 && mine != others);
    let cookie = visitor.cookie.as_deref().and_then(|pair| pair.split_once('=')).map(|(_, id)| id.to_owned());
    for wrong in ["", "0", &mine[1..], &others, cookie.as_deref().unwrap_or_default(), &server.admin] {
        let page = visitor.post(&path, &[("action", "cancel"), ("csrf", wrong)]).await?;
        assert_eq!(page.status, StatusCode::FORBIDDEN, "{wrong}");
    }
    let page = visitor.post(&path, &[("action", "cancel")]).await?;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    let page = visitor.post("/logout", &[]).await?;
    assert_eq!(page.status, StatusCode::FORBIDDEN);
    assert_eq!(server.job(&job).await?["status"], "queued");
    let page = visitor.post(&path, &[("action", "cancel"), ("csrf", &mine)]).await?;
    assert_eq!((page.status, page.location()), (StatusCode::SEE_OTHER, Some(path.as_str())));
    assert_eq!(server.job(&job).await?["status"], "cancelled");
    Ok(())
}

#[tokio::test]
async fn the_api_takes_a_session_with_its_token_for_what_has_an_effect() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let job = server.create(json!({ "command": "X" })).await?;
    let visitor = Visitor::logged_in(&server).await?;
    let csrf = visitor.get("/").await?.csrf();
    let ask = async |method: Method, path: &str, csrf: Option<&str>| -> Result<(u16, Value)> {
        let mut request = visitor.request(method, path);
        if let Some(csrf) = csrf {
            request = request.header("x-csrf-token", csrf);
        }
        let page = visitor.send(request).await?;
        Ok((page.status.as_u16(), serde_json::from_str(&page.text).unwrap_or_default()))
    };
    assert_eq!(ask(Method::GET, "/api/admin/queues", None).await?.0, 200, "reading needs no token");
    let cancel = format!("/api/admin/jobs/{job}/cancel");
    for wrong in [None, Some("wrong")] {
        let (status, problem) = ask(Method::POST, &cancel, wrong).await?;
        assert_eq!((status, &problem["code"]), (403, &json!("csrf")), "{problem}");
    }
    // This read hands jobs out.
    let open = "/api/internal/jobs/open?workerId=w";
    assert_eq!(ask(Method::GET, open, None).await?.0, 403);
    assert_eq!(server.job(&job).await?["status"], "queued");
    assert_eq!(ask(Method::GET, "/api/jobs", Some(&csrf)).await?.0, 200);
    let (status, changed) = ask(Method::POST, &cancel, Some(&csrf)).await?;
    assert_eq!((status, &changed["status"]), (200, &json!("cancelled")));

    let mut stranger = visitor;
    stranger.cookie = Some(format!("reclaimer_session={}", "0".repeat(64)));
    let page = stranger.get("/api/admin/queues").await?;
    assert_eq!(page.status, StatusCode::UNAUTHORIZED);
    Ok(())
}

#[tokio::test]
async fn assets_are_kept_for_good_and_pages_have_nothing_else() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let visitor = Visitor::logged_in(&server).await?;
    let page = visitor.get("/").await?;
    let mut assets = page.attributes("link[href]", "href");
    assets.extend(page.attributes("script[src]", "src"));
    assert_eq!(assets.len(), 3, "{assets:?}");
    for path in &assets {
        let asset = Visitor::new(&server)?.get(path).await?;
        assert_eq!(asset.status, StatusCode::OK, "{path}");
        assert_eq!(asset.header("cache-control"), Some("public, max-age=31536000, immutable"), "{path}");
        assert_eq!(asset.header("x-content-type-options"), Some("nosniff"), "{path}");
    }
    assert_eq!(Visitor::new(&server)?.get("/assets/style-0.css").await?.status, StatusCode::NOT_FOUND);
    Ok(())
}
