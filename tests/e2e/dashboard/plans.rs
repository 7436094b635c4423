//! No page and no list looks through a table that grows: what the engine was asked for each is in the log, and how it would
//! carry that out is asked of the engine. A plan does not depend on how many rows there are, only on what statistics say of
//! them: so it is asked both without any and with those of many rows.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use anyhow::{Context, Result, ensure};
use futures::{TryStreamExt, stream};
use reclaimer_baseline::{Plans, fill_finished};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

use super::{Page, Visitor};
use crate::rig::{Listener, Server, Setup, run_sql, until};

/// More than is looked at in one go.
const FINISHED: u64 = 12_000;
/// So many pages of one kind are opened.
const OF_A_KIND: usize = 2;
const SECRET: &str = "open-sesame";

const ROUTES: &str = include_str!("../../../crates/dashboard/src/routes.rs");

/// The patterns of the pages, as the dashboard's routes name them.
fn pages() -> BTreeSet<&'static str> {
    let routes =
        ROUTES.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")?.split_once("\", get("));
    routes.map(|(path, _)| path).filter(|path| *path != "/login" && !path.starts_with("/assets")).collect()
}

fn is_like(path: &str, pattern: &str) -> bool {
    let (path, pattern) = (path.split('/'), pattern.split('/'));
    path.clone().count() == pattern.clone().count()
        && path.zip(pattern).all(|(its, wanted)| wanted.starts_with('{') || its == wanted)
}

/// What is alike in links to pages of one kind: names and numbers are left out, words of ours are not.
fn kind(link: &str) -> String {
    let word = |text: &str| text.len() < 14 && !text.contains(|c: char| c.is_ascii_digit());
    let (path, query) = link.split_once('?').unwrap_or((link, ""));
    let path: Vec<&str> = path.split('/').map(|part| if word(part) { part } else { "*" }).collect();
    let query: Vec<String> = query
        .split('&')
        .map(|pair| match pair.split_once('=') {
            Some((name @ ("status" | "action"), value)) => format!("{name}={value}"),
            Some((name, _)) => name.to_owned(),
            None => pair.to_owned(),
        })
        .collect();
    format!("{}?{}", path.join("/"), query.join("&"))
}

/// Opens every page that a link or a live part leads to, from the first page and this one on; answers their paths.
async fn open_all(visitor: &Visitor, from: &str) -> Result<BTreeSet<String>> {
    let mut waiting = vec!["/".to_owned(), from.to_owned()];
    let (mut seen, mut opened): (BTreeMap<String, usize>, BTreeSet<String>) = Default::default();
    while let Some(link) = waiting.pop() {
        let of_its_kind = seen.entry(kind(&link)).or_default();
        if *of_its_kind == OF_A_KIND || opened.contains(&link) {
            continue;
        }
        *of_its_kind += 1;
        let page: Page = visitor.get(&link).await?;
        ensure!(page.status == StatusCode::OK, "{link}: {} {}", page.status, page.text);
        opened.insert(link);
        let mut links = page.attributes("a[href]", "href");
        links.extend(page.attributes("[data-from]", "data-from"));
        let ours = |link: &String| link.starts_with('/') && !link.starts_with("/docs");
        waiting.extend(links.into_iter().filter(ours));
    }
    Ok(opened.into_iter().map(|link| link.split('?').next().unwrap_or_default().to_owned()).collect())
}

/// Every choice of filters, by these names, each to be put behind another parameter.
fn filters(names: [&str; 6], several: &str) -> Vec<String> {
    let values = ["default", "BENCH", "a-1", "%2Fnone", "w", "no"];
    let states: [&str; 6] =
        ["", "status=finished", "status=failed", "status=queued", "status=running", several];
    let mut all = Vec::new();
    for chosen in 0..1_u32 << names.len() {
        for state in states {
            let some = names.iter().zip(values).enumerate().filter(|(place, _)| chosen & (1 << place) != 0);
            let some = some.map(|(_, (name, value))| format!("&{name}={value}")).collect::<String>();
            all.push(if state.is_empty() { some } else { format!("&{state}{some}") });
        }
    }
    all
}

/// One job that this worker takes.
async fn take(server: &Server, command: &str) -> Result<Value> {
    let more =
        json!({ "command": command, "accountId": "a-1", "fullPath": "/a", "payload": { "key": SECRET } });
    server.create(more).await?;
    let path = format!("/api/internal/jobs/open?workerId=w&command={command}");
    Ok(server.worker(Method::GET, &path, None).await?.expect(200)[0].take())
}

/// Jobs in every state, with whatever a page can show of them; answers the ids of one that has late results,
/// of one with long texts and a long history, and of a recovery run.
async fn fill(server: &Server) -> Result<[String; 3]> {
    let account = json!({ "userId": "u", "providerId": "p", "accessToken": SECRET });
    server.admin(Method::PUT, "/api/admin/accounts/a-1", Some(account)).await?;
    for (command, retryable) in [("F1", true), ("F2", true), ("F3", false)] {
        let job = take(server, command).await?;
        let more = json!({ "error": SECRET, "retryable": retryable });
        server.report(&job, "failed", more).await?.expect(200);
    }
    let late = take(server, "LATE").await?;
    let id = late["id"].as_str().context("no id")?.to_owned();
    let past = "UPDATE job SET lease_expires_at = '2020-01-01 00:00:00.000000'";
    run_sql(&server.database(), &format!("{past} WHERE id = '{id}'"))?;
    let report = server.recover("comprehensive").await?;
    let run = report["result"]["runId"].as_str().context("no run")?.to_owned();
    server.report(&late, "completed", json!({ "text": "x".repeat(5_000) })).await?.expect(409);
    let failed = take(server, "F4").await?;
    server.report(&failed, "failed", json!({ "error": "e", "retryable": true })).await?.expect(200);
    for (command, action) in [("C1", "cancel"), ("P1", "pause")] {
        let job = server.create(json!({ "command": command })).await?;
        server.admin(Method::POST, &format!("/api/admin/jobs/{job}/{action}"), None).await?.expect(200);
    }
    let broken = server.create(json!({ "command": "B1" })).await?;
    run_sql(&server.database(), &format!("UPDATE job SET progress = '{{' WHERE id = '{broken}'"))?;
    take(server, "R1").await?;
    let long =
        json!({ "command": "L1", "payload": { "text": "x".repeat(50_000) }, "fullPath": "/x".repeat(900) });
    let long = server.create(long).await?;
    for _ in 0..60 {
        for action in ["pause", "resume"] {
            server.admin(Method::POST, &format!("/api/admin/jobs/{long}/{action}"), None).await?.expect(200);
        }
    }
    server.recover("failed").await?;
    Ok([id, long, run])
}

/// Every list and every read of the API.
async fn read_all(server: &Server, job: &str, run: &str) -> Result<()> {
    let description: Value = server.ask(Method::GET, "/openapi.json", None, None).await?.expect(200);
    let paths = description["paths"].as_object().context("no paths")?;
    let fill =
        |path: &str| path.replace("{run}", run).replace("accounts/{id}", "accounts/a-1").replace("{id}", job);
    let mut reads: Vec<String> = Vec::new();
    for (path, _) in paths.iter().filter(|(path, its)| its["get"].is_object() && *path != "/api/admin/events")
    {
        reads.push(fill(path));
        let parameters = paths[path]["get"]["parameters"].as_array();
        if parameters.is_some_and(|all| all.iter().any(|its| its["name"] == "limit")) {
            reads.push(format!("{}?limit=1", fill(path)));
        }
    }
    for peek in ["", "&queue=default", "&command=L1", "&queue=default&command=L1"] {
        reads.push(format!("/api/internal/jobs/open?peek=true{peek}"));
    }
    let lists =
        filters(["queue", "command", "accountId", "fullPath", "workerId", "text"], "status=failed,finished");
    reads.extend(lists.iter().map(|filter| format!("/api/jobs?limit=2{filter}")));
    stream::iter(reads.into_iter().map(anyhow::Ok))
        .try_for_each_concurrent(4, async |path| {
            let body = server.admin(Method::GET, &path, None).await?.expect(200);
            let Some(cursor) = body["nextCursor"].as_str() else { return Ok(()) };
            let join = if path.contains('?') { "&" } else { "?" };
            server.admin(Method::GET, &format!("{path}{join}cursor={cursor}"), None).await?.expect(200);
            Ok(())
        })
        .await?;
    // A listener that comes back to what it missed.
    let place = Listener::start(server, "", None).await?.place;
    server.create(json!({ "command": "N1" })).await?;
    let mut listener = Listener::start(server, "", Some(&place)).await?;
    while listener.block().await?.context("the stream ended")?.name != "job" {}
    Ok(())
}

/// What a person does on the pages that looks at many rows.
async fn look_at_many(visitor: &Visitor, run: &str) -> Result<()> {
    let lists =
        filters(["queue", "command", "account", "path", "worker", "text"], "status=failed&status=finished");
    stream::iter(lists.into_iter().map(anyhow::Ok))
        .try_for_each_concurrent(4, async |filter| {
            for path in ["/jobs?before=zz", "/live/jobs?before=zz", "/jobs/bulk?all=yes&action=retry"] {
                let page = visitor.get(&format!("{path}{filter}")).await?;
                ensure!(page.status == StatusCode::OK, "{path}{filter}: {}", page.text);
            }
            Ok(())
        })
        .await?;
    let page = visitor.get("/policy/simulate").await?;
    let harsh = "[[rule]]\nname = \"harsh\"\nmatch = { status = \"failed\" }\naction = \"quarantine\"\n";
    let tried = visitor.submit(&page, "#simulate", &[("policy", harsh), ("hours", "720")]).await?;
    assert_eq!(tried.status, StatusCode::OK, "{}", tried.text);
    let page = visitor.get("/recovery").await?;
    visitor.submit(&page, "#recover", &[("type", "comprehensive"), ("do", "look")]).await?;
    let page = visitor.get(&format!("/recovery/runs/{run}/undo")).await?;
    visitor.submit(&page, "form.confirm", &[]).await?;
    for what in ["retry&status=failed", "pause&queue=default", "cancel&command=L1"] {
        let page = visitor.get(&format!("/jobs/bulk?all=yes&action={what}")).await?;
        visitor.submit(&page, "form.confirm", &[]).await?;
    }
    Ok(())
}

/// The statements in a log.
fn statements(log: &Path) -> Result<BTreeSet<String>> {
    let text = std::fs::read_to_string(log)?;
    let lines = text.lines().filter(|line| line.contains("\"sql\":"));
    lines
        .map(|line| Ok(serde_json::from_str::<Value>(line)?["sql"].as_str().context("no text")?.to_owned()))
        .collect()
}

#[tokio::test]
async fn no_page_and_no_list_looks_through_a_table_that_grows() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let log = folder.path().join("err.log");
    let still = "[recovery]\nenabled = false\n[log]\nformat = \"json\"\n";
    // The tables are made before anything is noted: while that is done, much is looked through.
    let server = Server::start(folder.path(), &Setup::with(still)).await?;
    let database = server.database();
    assert!(server.stop().await?.success());
    fill_finished(&database, FINISHED)?;
    let server = Server::start(folder.path(), &Setup::with(&format!("{still}level = \"trace\"\n"))).await?;
    let [job, long, run] = fill(&server).await?;

    let visitor = Visitor::logged_in(&server).await?;
    let opened = open_all(&visitor, &format!("/jobs/{long}")).await?;
    let never = |page: &&&str| !opened.iter().any(|path| is_like(path, page));
    let pages = pages();
    let unopened: Vec<&&str> = pages.iter().filter(never).collect();
    assert!(pages.len() > 20 && unopened.is_empty(), "no link leads to {unopened:?}");
    read_all(&server, &job, &run).await?;
    look_at_many(&visitor, &run).await?;
    until("the statements to be logged", async || Ok((statements(&log)?.len() > 50).then_some(()))).await?;
    assert!(server.stop().await?.success());

    let ran = statements(&log)?;
    assert!(ran.iter().any(|sql| sql.contains("FROM job ") && sql.contains("full_path = ")), "{ran:#?}");
    let said = std::fs::read_to_string(&log)?;
    assert!(
        !said.lines().any(|line| line.contains("\"sql\":") && line.contains(SECRET)),
        "a value is logged"
    );
    for statistics in [false, true] {
        if statistics {
            run_sql(&database, "ANALYZE")?;
        }
        let mut plans = Plans::of(&database)?;
        let mut faults = Vec::new();
        for sql in &ran {
            let first = sql.split_whitespace().next().unwrap_or_default();
            if ["SELECT", "INSERT", "UPDATE", "DELETE", "WITH"].contains(&first) {
                faults.extend(plans.scan(sql)?.map(|step| format!("{step}\n{sql}")));
            }
        }
        assert!(faults.is_empty(), "statistics: {statistics}\n{}", faults.join("\n\n"));
    }
    Ok(())
}
