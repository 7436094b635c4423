//! `/metrics`: everything documented is there, and moves when its cause is provoked.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, Result};
use prometheus_parse::{Scrape, Value};
use reqwest::Method;
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value as Json, json};
use tokio::net::UnixListener;

use crate::rig::{Peer, Server, Setup, Shell, run_sql, until};

/// What `/metrics` says, as a parser of the format reads it.
pub(crate) async fn scrape(server: &Server) -> Result<Scrape> {
    let answer = server.admin(Method::GET, "/metrics", None).await?;
    assert_eq!(answer.status, 200, "{}", answer.body);
    let format = answer.headers.get(CONTENT_TYPE).context("no content type")?.to_str()?;
    assert!(format.starts_with("text/plain; version=0.0.4"), "{format}");
    let text = answer.body.as_str().context("no text")?;
    Ok(Scrape::parse(text.lines().map(|line| Ok(line.to_owned())))?)
}

/// The sum of the series of a metric that have these labels; `None` = there are none.
fn sum(scrape: &Scrape, name: &str, labels: &[(&str, &str)]) -> Option<f64> {
    let with = |sample: &&prometheus_parse::Sample| {
        sample.metric == name && labels.iter().all(|(key, value)| sample.labels.get(key) == Some(*value))
    };
    let found = scrape.samples.iter().filter(with).filter_map(|sample| match sample.value {
        Value::Counter(number) | Value::Gauge(number) | Value::Untyped(number) => Some(number),
        Value::Histogram(_) | Value::Summary(_) => None,
    });
    found.fold(None, |sum, number| Some(sum.unwrap_or(0.0) + number))
}

/// Waits until the series of a metric that have these labels come to this much, or more.
async fn reaches(server: &Server, name: &str, labels: &[(&str, &str)], least: f64) -> Result<f64> {
    until(&format!("{name} with {labels:?} to reach {least}"), async || {
        Ok(sum(&scrape(server).await?, name, labels).filter(|number| *number >= least))
    })
    .await
}

/// The names in the reference page.
fn documented() -> Result<BTreeSet<String>> {
    let page =
        std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/reference/metrics.md"))?;
    let names = page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next());
    Ok(names.map(ToOwned::to_owned).collect())
}

/// The names in an answer, without the endings of histograms.
fn present(scrape: &Scrape) -> BTreeSet<String> {
    let base = |name: &str| {
        let ends = ["_bucket", "_sum", "_count"].into_iter().find_map(|end| name.strip_suffix(end));
        ends.unwrap_or(name).to_owned()
    };
    scrape.samples.iter().map(|sample| base(&sample.metric)).collect()
}

/// A server with a link that we dial, and a worker whose process ends at once, again and again.
fn config(socket: &Path) -> String {
    format!(
        "[recovery]\ninterval = '1h'\nlease_check = '50ms'\n\
         [provisioning]\nlease = '1s'\n\
         [breaker]\nfailure_threshold = 2\nopen_for = '200ms'\n\
         [link]\nreconnect_after = '50ms'\n\
         [[link.each]]\nname = 'away'\npath = {socket:?}\nmode = 'dial'\n\
         [supervisor]\nenabled = true\n\
         [[supervisor.worker]]\nname = 'brief'\ncommand = 'false'\nrestart_delay = '20ms'\nmax_restarts = 3\n"
    )
}

/// One job that this worker takes.
async fn take(server: &Server, worker: &str) -> Result<Json> {
    server.open(worker, 1, 30).await?.pop().context("no job")
}

#[tokio::test]
async fn every_documented_metric_is_there_and_moves_when_its_cause_is_provoked() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("away.sock");
    let server = Server::start(folder.path(), &Setup::with(&config(&socket))).await?;

    // Jobs wait, are taken, and end in each way.
    let queue = [("queue", "pages")];
    let order = json!({ "command": "X", "queue": "pages", "maxAttempts": 3 });
    for _ in 0..4 {
        server.create(order.clone()).await?;
    }
    reaches(&server, "reclaimer_jobs", &[("queue", "pages"), ("status", "queued")], 4.0).await?;
    reaches(&server, "reclaimer_job_oldest_queued_seconds", &queue, 0.01).await?;
    for (status, outcome) in [("completed", "finished"), ("failed", "failed"), ("paused", "paused")] {
        let job = take(&server, "w").await?;
        let more = json!({ "error": "it broke", "retryable": true });
        server.report(&job, status, if status == "failed" { more } else { json!({}) }).await?.expect(200);
        reaches(&server, "reclaimer_jobs_reported_total", &[("outcome", outcome)], 1.0).await?;
    }
    reaches(&server, "reclaimer_jobs_claimed_total", &[], 3.0).await?;
    reaches(&server, "reclaimer_claim_wait_seconds_count", &[], 3.0).await?;

    // A worker falls silent, its job is taken back, and it wakes too late.
    let zombie = take(&server, "zombie").await?;
    let id = zombie["id"].as_str().context("no id")?;
    until("the job to be taken back", async || {
        Ok(server.kinds(id).await?.iter().any(|kind| kind == "reclaimed").then_some(()))
    })
    .await?;
    let late = server.report(&zombie, "completed", json!({})).await?;
    assert_eq!(late.status, 409, "{}", late.body);
    reaches(&server, "reclaimer_stale_reports_total", &[], 1.0).await?;
    let lost = [("action", "requeue"), ("rule", "stuck"), ("cause", "lease_expired")];
    reaches(&server, "reclaimer_recovery_jobs_total", &lost, 1.0).await?;
    let watch = [("trigger", "lease_watch"), ("type", "stuck"), ("outcome", "completed")];
    reaches(&server, "reclaimer_recovery_runs_total", &watch, 1.0).await?;

    // A failed job is recovered by hand, and both recovered jobs finish.
    server.recover("failed").await?;
    let failed = [("action", "requeue"), ("rule", "retryable"), ("cause", "failed")];
    reaches(&server, "reclaimer_recovery_jobs_total", &failed, 1.0).await?;
    let by_hand = [("trigger", "manual"), ("type", "failed"), ("outcome", "completed")];
    reaches(&server, "reclaimer_recovery_runs_total", &by_hand, 1.0).await?;
    reaches(&server, "reclaimer_recovery_duration_seconds_count", &[], 2.0).await?;
    for _ in 0..2 {
        let job = take(&server, "w").await?;
        server.report(&job, "completed", json!({})).await?.expect(200);
    }
    reaches(&server, "reclaimer_recovered_finished_total", &[], 2.0).await?;
    reaches(&server, "reclaimer_recovered_ended_total", &[], 2.0).await?;

    // Nobody answers at the link; then somebody does.
    let link = [("link", "away")];
    reaches(&server, "reclaimer_breaker_state", &link, 2.0).await?;
    reaches(&server, "reclaimer_link_connection_failures", &link, 2.0).await?;
    reaches(&server, "reclaimer_health_status", &[], 1.0).await?;
    reaches(&server, "reclaimer_indicator_status", &[("kind", "link"), ("name", "away")], 1.0).await?;
    assert_eq!(sum(&scrape(&server).await?, "reclaimer_link_connected", &link), Some(0.0));
    let listener = UnixListener::bind(&socket)?;
    let mut peer = Peer::accept(&listener).await?;
    peer.register("w", &[]).await?;
    reaches(&server, "reclaimer_link_connected", &link, 1.0).await?;
    until("the circuit to be closed", async || {
        Ok((sum(&scrape(&server).await?, "reclaimer_breaker_state", &link) == Some(0.0)).then_some(()))
    })
    .await?;
    reaches(&server, "reclaimer_breaker_transitions_total", &link, 3.0).await?;
    reaches(&server, "reclaimer_worker_restarts_total", &[("worker", "brief")], 1.0).await?;

    // Requests, by their template; and the writer, held up by another program.
    let route = [("route", "/api/jobs/:id"), ("status", "404")];
    server.admin(Method::GET, "/api/jobs/none", None).await?.expect(404);
    reaches(&server, "reclaimer_http_request_seconds_count", &route, 1.0).await?;
    let before = sum(&scrape(&server).await?, "reclaimer_store_commit_seconds_count", &[]).context("none")?;
    let held = Shell::hold(&server.database(), "BEGIN IMMEDIATE").await?;
    // Those that come before the writer tries to begin are of its group and do not wait: so one more each time.
    let creating = std::cell::RefCell::new(Vec::new());
    until("writes to wait", async || {
        let create = server.request(Method::POST, "/api/jobs").bearer_auth(&server.admin).json(&order).send();
        creating.borrow_mut().push(tokio::spawn(create));
        let waiting = sum(&scrape(&server).await?, "reclaimer_store_queue_depth", &[]);
        Ok(waiting.is_some_and(|waiting| waiting >= 3.0).then_some(()))
    })
    .await?;
    held.release().await?;
    futures::future::try_join_all(creating.into_inner()).await?;
    reaches(&server, "reclaimer_store_commit_seconds_count", &[], before + 1.0).await?;
    reaches(&server, "reclaimer_store_group_size_count", &[], before + 1.0).await?;
    until("nothing to wait", async || {
        Ok((sum(&scrape(&server).await?, "reclaimer_store_queue_depth", &[]) == Some(0.0)).then_some(()))
    })
    .await?;

    let scrape = scrape(&server).await?;
    assert_eq!(present(&scrape), documented()?);
    assert_eq!(sum(&scrape, "reclaimer_build_info", &[]), Some(1.0));
    Ok(())
}

#[tokio::test]
async fn jobs_that_lost_their_lease_and_are_not_looked_after_count_as_stuck() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::with("[recovery]\nenabled = false\n")).await?;
    server.create(json!({ "command": "X" })).await?;
    let job = take(&server, "w").await?;
    assert_eq!(sum(&scrape(&server).await?, "reclaimer_jobs_stuck", &[]), Some(0.0));
    let past =
        "UPDATE job SET lease_expires_at = strftime('%Y-%m-%d %H:%M:%f', 'now', '-9 minutes') || '000'";
    run_sql(&server.database(), past)?;
    reaches(&server, "reclaimer_jobs_stuck", &[], 1.0).await?;
    reaches(&server, "reclaimer_health_status", &[], 1.0).await?;
    server.recover("stuck").await?;
    until("none to be stuck", async || {
        Ok((sum(&scrape(&server).await?, "reclaimer_jobs_stuck", &[]) == Some(0.0)).then_some(()))
    })
    .await?;
    assert_eq!(server.report(&job, "completed", json!({})).await?.status, 409);
    Ok(())
}

#[tokio::test]
async fn metrics_are_for_admins_unless_the_settings_say_otherwise() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    server.ask(Method::GET, "/metrics", None, None).await?.expect(401);
    server.worker(Method::GET, "/metrics", None).await?.expect(403);

    let folder = tempfile::tempdir()?;
    let open = Server::start(folder.path(), &Setup::with("[server]\nopen_metrics = true\n")).await?;
    open.ask(Method::GET, "/metrics", None, None).await?.expect(200);
    Ok(())
}

#[tokio::test]
async fn paths_from_outside_make_no_series() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    for number in 0..20 {
        server.admin(Method::GET, &format!("/nothing/{number}"), None).await?.expect(404);
        server.admin(Method::GET, &format!("/api/jobs/none-{number}"), None).await?.expect(404);
    }
    let scrape = scrape(&server).await?;
    let routes = scrape.samples.iter().filter_map(|sample| sample.labels.get("route"));
    let routes: BTreeSet<&str> = routes.collect();
    assert_eq!(routes, BTreeSet::from(["-", "/api/jobs/:id"]));
    Ok(())
}
