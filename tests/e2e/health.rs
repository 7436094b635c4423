//! Health that cannot lie: what is away, deaf or down says so, and nothing else does.

use anyhow::{Context, Result};
use reqwest::Method;
use serde_json::{Value, json};
use tokio::net::UnixListener;

use crate::rig::{Answer, Peer, Server, Setup, Shell, until};

/// What `/api/health` says, and its status.
pub(crate) async fn health(server: &Server) -> Result<(u16, Value)> {
    let Answer { status, body, .. } = server.admin(Method::GET, "/api/health", None).await?;
    Ok((status.as_u16(), body))
}

/// The indicator of this kind and name.
pub(crate) fn indicator(health: &Value, kind: &str, name: &str) -> Option<Value> {
    let all = health["indicators"].as_array()?;
    all.iter().find(|indicator| indicator["kind"] == kind && indicator["name"] == name).cloned()
}

/// Waits until an indicator has this status; answers it, the status of the whole, and that of the answer.
async fn becomes(server: &Server, kind: &str, name: &str, status: &str) -> Result<(Value, Value, u16)> {
    until(&format!("{kind} {name} to be {status}"), async || {
        let (code, health) = health(server).await?;
        let found = indicator(&health, kind, name).filter(|indicator| indicator["status"] == status);
        Ok(found.map(|indicator| (indicator, health["status"].clone(), code)))
    })
    .await
}

#[tokio::test]
async fn a_server_with_nothing_to_do_is_well_and_its_loops_turn() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let (code, health) = health(&server).await?;
    assert_eq!((code, &health["status"]), (200, &json!("ok")), "{health}");
    let database = indicator(&health, "database", "database").context("no database")?;
    assert_eq!(database["figures"]["writable"], true);
    assert!(database["figures"]["latencyMs"].as_f64().is_some_and(|took| took > 0.0), "{database}");
    for turning in ["recovery", "lease_watch", "retention", "links", "alerts", "writer"] {
        let turning = indicator(&health, "loop", turning).context(turning)?;
        assert_eq!(turning["status"], "ok", "{turning}");
    }
    Ok(())
}

#[tokio::test]
async fn health_is_for_admins_unless_the_settings_say_otherwise() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    server.ask(Method::GET, "/api/health", None, None).await?.expect(401);
    server.worker(Method::GET, "/api/health", None).await?.expect(403);

    let folder = tempfile::tempdir()?;
    let open = Server::start(folder.path(), &Setup::with("[server]\nopen_metrics = true\n")).await?;
    open.ask(Method::GET, "/api/health", None, None).await?.expect(200);
    open.ask(Method::GET, "/api/admin/queues", None, None).await?.expect(401);
    Ok(())
}

#[tokio::test]
async fn a_database_that_somebody_holds_locked_is_down_for_as_long() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let shell = Shell::hold(&server.database(), "BEGIN IMMEDIATE").await?;
    becomes(&server, "database", "database", "down").await?;
    // From a write that takes long, over its end, to the next one that takes long.
    for code in ["storage_busy", "storage_slow"] {
        until(code, async || {
            let (status, health) = health(&server).await?;
            let database = indicator(&health, "database", "database").context("no database")?;
            assert_eq!((status, &database["figures"]["writable"]), (503, &json!(false)), "{database}");
            Ok((database["figures"]["code"] == code).then_some(()))
        })
        .await?;
    }
    shell.release().await?;
    becomes(&server, "database", "database", "ok").await?;
    Ok(())
}

#[tokio::test]
async fn a_crawler_that_is_away_is_degraded_and_never_down() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("crawler.sock");
    let config = format!(
        "[breaker]\nfailure_threshold = 2\nopen_for = '300ms'\n[link]\nreconnect_after = '50ms'\n\
         [[link.each]]\nname = 'crawler'\npath = {:?}\nmode = 'dial'\n",
        socket
    );
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    let open = until("the circuit to be open", async || {
        let (code, health) = health(&server).await?;
        let link = indicator(&health, "link", "crawler").context("no link")?;
        assert_eq!((code, &link["status"]), (200, &json!("degraded")), "{health}");
        Ok((link["figures"]["breaker"]["state"] == "open").then_some(link))
    })
    .await?;
    let figures = &open["figures"];
    assert_eq!(figures["connected"], false, "{open}");
    assert!(figures["connectionFailures"].as_u64() >= Some(2), "{open}");
    assert!(figures["breaker"]["nextProbeAt"].is_string() && open["since"].is_string(), "{open}");
    server.create(json!({ "command": "X" })).await?;

    let listener = UnixListener::bind(&socket)?;
    let mut peer = Peer::accept(&listener).await?;
    peer.register("w", &[]).await?;
    let (link, _, code) = becomes(&server, "link", "crawler", "ok").await?;
    assert_eq!((code, &link["figures"]["connected"]), (200, &json!(true)), "{link}");
    assert!(link["figures"]["lastHeartbeatAt"].is_string(), "{link}");
    Ok(())
}

#[tokio::test]
async fn a_worker_that_is_heard_but_takes_nothing_is_deaf_until_it_asks() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("own.sock");
    let config = format!(
        "[health]\ndeaf_after = '300ms'\nstandstill_after = '1h'\n[link]\nheartbeat_interval = '100ms'\n\
         [[link.each]]\nname = 'own'\npath = {socket:?}\nmode = 'listen'\n"
    );
    let server = Server::start(folder.path(), &Setup::with(&config)).await?;
    let mut peer = Peer::connect(&socket).await?;
    peer.register("w", &[]).await?;
    becomes(&server, "worker", "w", "ok").await?;

    // It beats, as a crawler does whose work hangs.
    server.create(json!({ "command": "X" })).await?;
    let (deaf, whole, code) = until("the worker to be deaf", async || {
        peer.say("heartbeat", "heartbeat", json!({})).await?;
        let (code, health) = health(&server).await?;
        let found = indicator(&health, "worker", "w").filter(|indicator| indicator["status"] == "degraded");
        Ok(found.map(|indicator| (indicator, health["status"].clone(), code)))
    })
    .await?;
    assert_eq!((code, &whole), (200, &json!("degraded")), "{deaf}");
    assert!(deaf["what"].as_str().is_some_and(|what| what.contains("asked for nothing")), "{deaf}");
    let heard = indicator(&health(&server).await?.1, "link", "own").context("no link")?;
    assert_eq!(heard["status"], "ok", "{heard}");

    let jobs = peer.open(1, 0).await?;
    assert_eq!(jobs.len(), 1);
    becomes(&server, "worker", "w", "ok").await?;
    Ok(())
}

#[tokio::test]
async fn a_queue_in_which_nothing_moves_says_so_until_somebody_takes_from_it() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[health]\nstandstill_after = '300ms'\n")).await?;
    for _ in 0..2 {
        server.create(json!({ "command": "X", "queue": "pages" })).await?;
    }
    let (still, whole, code) = becomes(&server, "queue", "pages", "degraded").await?;
    assert_eq!((code, &whole), (200, &json!("degraded")), "{still}");
    assert!(still["figures"]["oldestQueuedAt"].is_string() && still["since"].is_string(), "{still}");

    // Held back by a person is not stuck.
    server.admin(Method::POST, "/api/admin/queues/pages/pause", None).await?.expect(200);
    becomes(&server, "queue", "pages", "ok").await?;
    server.admin(Method::POST, "/api/admin/queues/pages/resume", None).await?.expect(200);
    becomes(&server, "queue", "pages", "degraded").await?;

    server.open("w", 2, 0).await?;
    becomes(&server, "queue", "pages", "ok").await?;
    Ok(())
}
