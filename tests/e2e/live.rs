//! Live events: whoever comes back misses nothing, and nobody is slowed down by whoever is slow.

use anyhow::{Context, Result};
use reqwest::{Client, Method};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpSocket, TcpStream};
use tokio::task::JoinSet;
use tokio::time::timeout;

use crate::rig::{Listener, PATIENCE, Server, Setup, query};

/// Creates so many jobs at once; an event each.
async fn create(server: &Server, jobs: usize) -> Result<()> {
    // Long names make long events.
    let job = json!({ "command": "c".repeat(120), "queue": "q".repeat(120) });
    let answer = server.admin(Method::POST, "/api/jobs", Some(Value::Array(vec![job; jobs]))).await?;
    answer.expect(201);
    Ok(())
}

fn all_events(server: &Server) -> Result<Vec<i64>> {
    let ids = query(&server.database(), "SELECT id FROM job_event ORDER BY id")?;
    Ok(ids.iter().map(|id| id.parse()).collect::<Result<_, _>>()?)
}

#[tokio::test]
async fn what_happens_to_a_job_is_told_as_it_happens() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let mut listener = Listener::start(&server, "", None).await?;
    let job = server.create(json!({ "command": "c" })).await?;
    let created = listener.next("job").await?;
    assert_eq!((&created.data["jobId"], &created.data["kind"]), (&json!(job), &json!("created")));
    assert_eq!((&created.data["from"], &created.data["to"]), (&Value::Null, &json!("queued")));
    let taken = server.open("w", 1, 0).await?;
    let claimed = listener.next("job").await?.data;
    assert_eq!((&claimed["kind"], &claimed["actor"]), (&json!("claimed"), &json!("worker:w")));
    server.report(&taken[0], "failed", json!({ "error": "HTTP 503\nand more" })).await?.expect(200);
    let failed = listener.next("job").await?.data;
    assert_eq!((&failed["kind"], &failed["to"]), (&json!("failed"), &json!("failed")));
    let of_history = server.events(&job).await?;
    for (told, kept) in [created.data, claimed, failed].iter().zip(&of_history) {
        for field in ["id", "jobId", "at", "kind", "from", "to", "actor", "reason"] {
            assert_eq!(told[field], kept[field], "{told} {kept}");
        }
        assert_eq!((&told["queue"], &told["command"]), (&json!("default"), &json!("c")));
    }
    Ok(())
}

#[tokio::test]
async fn whoever_comes_back_hears_every_event_of_a_job_once_also_after_a_restart() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let mut listener = Listener::start(&server, "", None).await?;
    let mut heard = Vec::new();
    create(&server, 50).await?;
    heard.extend(listener.jobs(20).await?);
    let place = listener.place.clone();
    drop(listener);
    create(&server, 30).await?;
    let mut listener = Listener::start(&server, "", Some(&place)).await?;
    create(&server, 10).await?;
    heard.extend(listener.jobs(40).await?);
    let place = listener.place.clone();
    server.crash().await?;

    let server = Server::start(folder.path(), &Setup::default()).await?;
    create(&server, 5).await?;
    let mut listener = Listener::start(&server, "", Some(&place)).await?;
    let gap = listener.next("gap").await?;
    assert_eq!(gap.data, json!({ "jobs": false }), "other news may be missing");
    create(&server, 5).await?;
    let all = all_events(&server)?;
    heard.extend(listener.jobs(all.len() - heard.len()).await?);
    assert_eq!(heard, all);
    Ok(())
}

#[tokio::test]
async fn recovery_runs_statistics_and_breakers_are_told() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let setup = Setup::with("[link]\nsocket_path = \"away.sock\"\n");
    let server = Server::start(folder.path(), &setup).await?;
    let mut listener = Listener::start(&server, "?events=run,breaker,stats", None).await?;
    server.create(json!({ "command": "c" })).await?;
    let run = server.recover("failed").await?;
    let begun = listener.next("run").await?.data;
    assert_eq!((&begun["type"], &begun["state"]), (&json!("failed"), &json!("begun")), "{begun}");
    let ended = listener.next("run").await?.data;
    assert_eq!((&ended["runId"], &ended["state"]), (&begun["runId"], &json!("ended")), "{ended} {run}");
    assert_eq!(ended["recoveredJobs"], 0);
    let stats = listener.next("stats").await?.data;
    assert_eq!((&stats["jobs"]["queued"], &stats["jobs"]["quarantined"]), (&json!(1), &json!(0)), "{stats}");
    let link = server.fleet().await?["links"][0]["name"].as_str().context("a link")?.to_owned();
    let path = format!("/api/admin/links/{link}/breaker");
    server.admin(Method::POST, &path, Some(json!({ "state": "forced_open" }))).await?;
    loop {
        let breaker = listener.next("breaker").await?.data;
        assert_eq!(breaker["link"], json!(link));
        if breaker["to"] == "forced_open" {
            return Ok(());
        }
    }
}

#[tokio::test]
async fn a_listener_hears_only_what_it_asked_for() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let jobs =
        [server.create(json!({ "command": "c" })).await?, server.create(json!({ "command": "c" })).await?];
    // From the history, and then live.
    let query = format!("?events=job&job={}", jobs[1]);
    let mut listener = Listener::start(&server, &query, Some("0")).await?;
    for job in &jobs {
        server.admin(Method::POST, &format!("/api/admin/jobs/{job}/cancel"), None).await?;
    }
    for kind in ["created", "cancelled"] {
        let event = listener.block().await?.context("the stream ended")?;
        assert_eq!((&event.data["jobId"], &event.data["kind"]), (&json!(jobs[1]), &json!(kind)), "{event:?}");
    }
    for wrong in ["?events=frobs", "?job=", "?events=job,,run", "?queue=q"] {
        let answer = server.admin(Method::GET, &format!("/api/admin/events{wrong}"), None).await?;
        assert_eq!(
            (answer.status.as_u16(), &answer.body["code"]),
            (400, &json!("invalid_parameter")),
            "{wrong}"
        );
    }
    let request = server.request(Method::GET, "/api/admin/events").bearer_auth(&server.admin);
    let answer = server.send(request.header("last-event-id", "yesterday")).await?;
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (400, &json!("invalid_header")));
    let answer = server.worker(Method::GET, "/api/admin/events", None).await?;
    assert_eq!(answer.status.as_u16(), 403);
    Ok(())
}

/// Asks for the stream and reads nothing of it.
async fn slow_listener(server: &Server) -> Result<TcpStream> {
    let address = server.base.trim_start_matches("http://");
    let socket = TcpSocket::new_v4()?;
    socket.set_recv_buffer_size(4_096)?;
    let mut stream = socket.connect(address.parse()?).await?;
    let token = &server.admin;
    let request =
        format!("GET /api/admin/events HTTP/1.1\r\nhost: {address}\r\nauthorization: Bearer {token}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    // It is heard from when the answer's head is there.
    stream.readable().await?;
    Ok(stream)
}

#[tokio::test]
async fn a_slow_listener_is_let_go_and_a_quick_one_hears_everything() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    let mut quick = Listener::start(&server, "", None).await?;
    let mut slow = slow_listener(&server).await?;
    let mut heard = Vec::new();
    // More than the ring and what the kernel takes in for a connection.
    for _ in 0..24 {
        create(&server, 1_000).await?;
        heard.extend(quick.jobs(1_000).await?);
    }
    assert_eq!(heard, all_events(&server)?);
    // Now it reads: what the kernel took in for it, and then no more.
    let mut text = Vec::new();
    timeout(PATIENCE, slow.read_to_end(&mut text)).await.context("it is not let go")??;
    let text = String::from_utf8_lossy(&text);
    let told = text.matches("event: job\n").count();
    assert!(told > 0 && told < heard.len(), "{told} of {}", heard.len());
    Ok(())
}

/// The memory that a process has in use.
fn resident(server: &Server) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{}/status", server.pid()?))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? * 1_024)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_listeners_cost_bounded_memory_and_all_hear_everything() -> Result<()> {
    const LISTENERS: usize = 1_000;
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    create(&server, 1_000).await?;
    let before = resident(&server)?;
    let client = Client::builder().build()?;
    let mut listeners = Vec::new();
    for _ in 0..LISTENERS {
        listeners.push(Listener::of(&client, &server, "", None).await?);
    }
    create(&server, 300).await?;
    let mut reading = JoinSet::new();
    for mut listener in listeners {
        reading.spawn(async move { anyhow::Ok((listener.jobs(300).await?, listener)) });
    }
    let mut listeners = Vec::new();
    while let Some(read) = reading.join_next().await {
        let (heard, listener) = read??;
        assert_eq!(heard, (1_001..=1_300).collect::<Vec<_>>());
        listeners.push(listener);
    }
    // Nobody reads any more, and more comes than the ring holds.
    for _ in 0..12 {
        create(&server, 1_000).await?;
    }
    let grown = resident(&server)?.saturating_sub(before);
    assert!(grown < 64 * 1_024 * 1_024, "{grown} bytes");
    Ok(())
}

#[tokio::test]
async fn streams_end_with_the_server() -> Result<()> {
    let folder = tempfile::tempdir()?;
    // Whoever waited for the stream to end would wait in vain.
    let server = Server::start(folder.path(), &Setup::with("[server]\nshutdown_grace = \"10m\"\n")).await?;
    let mut listener = Listener::start(&server, "", None).await?;
    assert!(server.stop().await?.success());
    while listener.block().await?.is_some() {}
    Ok(())
}

#[tokio::test]
async fn where_all_places_are_taken_a_listener_is_told_to_come_back() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[server]\nconnections = 4\n")).await?;
    let mut listeners = Vec::new();
    for _ in 0..3 {
        listeners.push(Listener::start(&server, "", None).await?);
    }
    let answer = server.admin(Method::GET, "/api/admin/events", None).await?;
    assert_eq!((answer.status.as_u16(), &answer.body["code"]), (503, &json!("too_many_waiting")));
    assert!(answer.headers.contains_key("retry-after"));
    Ok(())
}
