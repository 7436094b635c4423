//! What `docs/worker-protocol.md` says is what the dialects read.

#![expect(clippy::panic, reason = "a failing example is to fail the test")]

use reclaimer_messaging::dialect::{Dialect, Envelope, Flat};
use reclaimer_messaging::message::Heard;

const PAGE: &str = include_str!("../../../docs/worker-protocol.md");

/// The lines of its examples.
fn examples() -> impl Iterator<Item = &'static str> {
    PAGE.split("```json\n").skip(1).flat_map(|block| block.split("```").next().unwrap_or_default().lines())
}

fn heard(dialect: &Dialect, example: &str) {
    match dialect.read(example.as_bytes()) {
        Ok(Heard::Message(_)) => {}
        other => panic!("{example}: {other:?}"),
    }
}

#[test]
fn its_examples_are_understood() {
    let envelope = Dialect::Envelope(Envelope {
        id: "web-server".into(),
        kind: "web-server".into(),
        pid: 1,
        peer: "external-crawler".into(),
        command_peer: "external-crawler".into(),
    });
    let flat = Dialect::Flat(Flat::default());
    let (of_envelope, of_flat): (Vec<_>, Vec<_>) =
        examples().partition(|example| example.contains("\"origin\""));
    of_envelope.iter().for_each(|example| heard(&envelope, example));
    of_flat.iter().for_each(|example| heard(&flat, example));
    // Each that a worker may send has an example.
    for key in [
        "registered",
        "heartbeat",
        "request_jobs",
        "PROGRESS_UPDATE",
        "jobUpdate",
        "statusUpdate",
        "JOB_FAILURE_LOGS",
        "TOKEN_REFRESH_REQUEST",
        "shutdown",
    ] {
        let key = format!("\"key\":\"{key}\"");
        assert!(of_envelope.iter().any(|example| example.contains(&key)), "no example with {key}");
    }
    for kind in [
        "heartbeat",
        "job_request",
        "job_started",
        "job_progress",
        "job_completed",
        "job_failed",
        "jobs_discovered",
        "discovery",
        "token_refresh_request",
    ] {
        let kind = format!("\"type\":\"{kind}\"");
        assert!(of_flat.iter().any(|example| example.contains(&kind)), "no example with {kind}");
    }
}
