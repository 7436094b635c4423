//! Traces, as a collector gets them.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, Result};
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message;
use reqwest::Method;
use serde_json::{Value, json};

use crate::rig::{Peer, Receiver, Server, Setup, until};

/// A server whose traces go to this receiver.
async fn start(folder: &Path, receiver: &Receiver, config: &str) -> Result<Server> {
    let setup = Setup {
        env: vec![
            ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url()),
            ("OTEL_BSP_SCHEDULE_DELAY", "20".to_owned()),
        ],
        ..Setup::with(config)
    };
    Server::start(folder, &setup).await
}

/// All spans that were received so far.
fn spans(receiver: &Receiver) -> Result<Vec<Span>> {
    let mut all = Vec::new();
    for delivery in receiver.got() {
        assert_eq!(delivery.header("content-type"), "application/x-protobuf");
        let request = ExportTraceServiceRequest::decode(delivery.body.as_slice())?;
        for resource in request.resource_spans {
            all.extend(resource.scope_spans.into_iter().flat_map(|scope| scope.spans));
        }
    }
    Ok(all)
}

/// The spans of one trace by their names, once there are so many.
async fn trace(receiver: &Receiver, id: &str, count: usize) -> Result<BTreeMap<String, Span>> {
    until(&format!("{count} spans of {id}"), async || {
        let spans = spans(receiver)?.into_iter().filter(|span| hex(&span.trace_id) == id);
        let found: Vec<Span> = spans.collect();
        Ok((found.len() >= count).then(|| found.into_iter().map(|span| (span.name.clone(), span)).collect()))
    })
    .await
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The trace and the span of a `traceparent`.
fn parts(traceparent: &Value) -> Result<(String, String)> {
    let text = traceparent.as_str().context("no traceparent")?;
    let parts: Vec<&str> = text.split('-').collect();
    let ["00", trace, span, "01"] = parts[..] else { anyhow::bail!("{text} is no traceparent") };
    Ok((trace.to_owned(), span.to_owned()))
}

#[tokio::test]
async fn one_trace_goes_from_creation_through_claims_reports_and_recovery() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let server =
        start(folder.path(), &receiver, "[recovery]\nlease_check = '50ms'\n[provisioning]\nlease = '1s'\n")
            .await?;
    let id = server.create(json!({ "command": "X", "queue": "pages" })).await?;

    // A worker falls silent, its job is taken back, and it wakes too late; another one finishes it.
    let lost = server.open("zombie", 1, 30).await?.pop().context("no job")?;
    let (trace_id, first_claim) = parts(&lost["traceparent"])?;
    until("the job to be taken back", async || {
        Ok(server.kinds(&id).await?.iter().any(|kind| kind == "reclaimed").then_some(()))
    })
    .await?;
    server.report(&lost, "completed", json!({})).await?.expect(409);
    let job = server.open("w", 1, 30).await?.pop().context("no job")?;
    let (same_trace, second_claim) = parts(&job["traceparent"])?;
    assert_eq!(same_trace, trace_id);
    assert_ne!(second_claim, first_claim);
    server.report(&job, "completed", json!({})).await?.expect(200);

    let spans = trace(&receiver, &trace_id, 6).await?;
    let names: Vec<&str> = spans.keys().map(String::as_str).collect();
    assert_eq!(names, ["job claimed", "job created", "job finished", "job reclaimed", "job stale_report"]);
    let (created, reclaimed) = (&spans["job created"], &spans["job reclaimed"]);
    assert!(created.parent_span_id.is_empty(), "{created:?}");
    assert_eq!(hex(&spans["job claimed"].parent_span_id), hex(&created.span_id));
    for (name, claim) in
        [("job reclaimed", &first_claim), ("job stale_report", &first_claim), ("job finished", &second_claim)]
    {
        assert_eq!(&hex(&spans[name].parent_span_id), claim, "{name} belongs to the claim it is about");
    }
    let said = |span: &Span, key: &str| {
        let found = span.attributes.iter().find(|pair| pair.key == key);
        found.map(|pair| format!("{:?}", pair.value))
    };
    for span in spans.values() {
        assert!(said(span, "reclaimer.job_id").is_some_and(|value| value.contains(&id)), "{span:?}");
    }
    assert!(said(reclaimed, "reclaimer.rule").is_some_and(|rule| rule.contains("stuck")), "{reclaimed:?}");

    // What took it back is a run, whose trace is linked.
    let run = reclaimed.links.first().context("no link")?;
    let run = trace(&receiver, &hex(&run.trace_id), 1).await?;
    assert!(run.contains_key("recovery run"), "{run:?}");
    Ok(())
}

#[tokio::test]
async fn a_worker_on_a_link_goes_on_with_the_trace_of_its_job() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let config = "[[link]]\nname = \"own\"\npath = \"own.sock\"\nmode = \"listen\"\n";
    let server = start(folder.path(), &receiver, config).await?;
    let mut peer = Peer::connect(&folder.path().join("own.sock")).await?;
    peer.register("w", &[]).await?;
    let id = server.create(json!({ "command": "X" })).await?;
    let job = peer.open(1, 30).await?.first().context("no job")?.clone();
    let (trace_id, claim) = parts(&job["traceparent"])?;
    let report = json!({ "taskId": id, "lease": job["lease"]["token"], "status": "completed" });
    peer.say("message", "PROGRESS_UPDATE", report).await?;
    server.becomes(&id, "finished").await?;
    let spans = trace(&receiver, &trace_id, 3).await?;
    assert_eq!(hex(&spans["job claimed"].span_id), claim);
    assert_eq!(hex(&spans["job finished"].parent_span_id), claim);
    assert_eq!(hex(&spans["job claimed"].parent_span_id), hex(&spans["job created"].span_id));
    Ok(())
}

#[tokio::test]
async fn a_producer_that_records_traces_finds_its_jobs_in_its_own() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let server = start(folder.path(), &receiver, "").await?;
    let (theirs, span) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
    let request = server
        .request(Method::POST, "/api/jobs")
        .bearer_auth(&server.admin)
        .header("traceparent", format!("00-{theirs}-{span}-01"))
        .json(&json!([{ "command": "X" }, { "command": "Y" }]));
    server.send(request).await?.expect(201);

    let request = trace(&receiver, theirs, 1).await?.remove("POST /api/jobs").context("no request")?;
    assert_eq!(hex(&request.parent_span_id), span);
    let mut linked: Vec<String> = request.links.iter().map(|link| hex(&link.trace_id)).collect();
    let mut own = Vec::new();
    for job in server.open("w", 2, 30).await? {
        let (trace_id, _) = parts(&job["traceparent"])?;
        assert!(trace(&receiver, &trace_id, 2).await?.contains_key("job claimed"));
        own.push(trace_id);
    }
    linked.sort();
    own.sort();
    assert_eq!((linked.len(), linked), (2, own));
    Ok(())
}

#[tokio::test]
async fn what_is_held_back_is_sent_when_the_server_ends() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let receiver = Receiver::start()?;
    let env = vec![
        ("OTEL_EXPORTER_OTLP_ENDPOINT", receiver.url()),
        ("OTEL_BSP_SCHEDULE_DELAY", "3600000".to_owned()),
    ];
    let server = Server::start(folder.path(), &Setup { env, ..Setup::default() }).await?;
    server.create(json!({ "command": "X" })).await?;
    assert!(server.stop().await?.success());
    assert!(spans(&receiver)?.iter().any(|span| span.name == "job created"));
    Ok(())
}

#[tokio::test]
async fn without_a_collector_nothing_is_traced_and_with_one_that_is_away_all_goes_on() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let server = Server::start(folder.path(), &Setup::default()).await?;
    server.create(json!({ "command": "X" })).await?;
    let job = server.open("w", 1, 30).await?.pop().context("no job")?;
    assert!(job.get("traceparent").is_none(), "{job}");

    let folder = tempfile::tempdir()?;
    let receiver = Receiver::away()?;
    let server = start(folder.path(), &receiver, "").await?;
    server.create(json!({ "command": "X" })).await?;
    let job = server.open("w", 1, 30).await?.pop().context("no job")?;
    server.report(&job, "completed", json!({})).await?.expect(200);
    let log = folder.path().join("err.log");
    until("a word in the log", async || {
        Ok(std::fs::read_to_string(&log)?.contains("traces cannot be sent").then_some(()))
    })
    .await?;
    assert!(server.stop().await?.success());
    Ok(())
}
