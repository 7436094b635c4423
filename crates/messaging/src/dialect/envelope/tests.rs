use reclaimer_domain::wire::read_report;
use serde_json::json;

use super::*;
use crate::message::{Fresh, JobsError, Outbound, Receipt, RefreshAnswer};
use reclaimer_domain::secret::Secret;
use reclaimer_domain::wire::{Credentials, JobOnTheWire};
use reclaimer_testkit::{a_job, noon};

fn envelope() -> Envelope {
    Envelope {
        id: "web-server".into(),
        kind: "web-server".into(),
        pid: 4_211,
        peer: "external-crawler".into(),
        command_peer: "crawler".into(),
    }
}

fn read(kind: &str, key: &str, payload: Value) -> Result<Heard, Unreadable> {
    let frame = json!({
        "origin": "external-crawler", "destination": "web-server", "type": kind, "key": key, "payload": payload,
        "timestamp": 1_748_966_400_000_i64,
    });
    envelope().read(frame.to_string().as_bytes())
}

#[track_caller]
fn message(kind: &str, key: &str, payload: Value) -> Inbound {
    match read(kind, key, payload) {
        Ok(Heard::Message(message)) => message,
        other => panic!("{other:?}"),
    }
}

fn written(message: &Outbound) -> Value {
    let mut out = Vec::new();
    assert!(envelope().write(message, noon(), &mut out));
    assert_eq!(out.pop(), Some(b'\n'));
    let frame: Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(
        (&frame["origin"], &frame["timestamp"]),
        (&json!("web-server"), &json!(noon().timestamp_millis()))
    );
    frame
}

#[test]
fn what_the_original_crawler_says_is_understood() {
    assert_eq!(message("heartbeat", "heartbeat", json!({ "timestamp": "soon" })), Inbound::Heartbeat);
    let request = JobRequest { request_id: Some(json!("r-17")), ..JobRequest::default() };
    assert_eq!(
        message("jobRequest", "request_jobs", json!({ "requestId": "r-17" })),
        Inbound::JobRequest(request)
    );
    assert_eq!(message("jobRequest", "request_jobs", json!({})), Inbound::JobRequest(JobRequest::default()));
    assert_eq!(
        message("message", "PROGRESS_UPDATE", json!({ "taskId": "J" })),
        Inbound::Report { report: json!({ "taskId": "J", "status": "processing" }), next: None }
    );
    assert_eq!(
        message("message", "statusUpdate", json!({ "queued": 3 })),
        Inbound::Status(json!({ "queued": 3 }))
    );
    assert_eq!(
        message("message", "shutdown", json!({ "signal": "SIGTERM" })),
        Inbound::Leaving { reason: Some("SIGTERM".into()) }
    );
    let logs = json!({ "jobId": "J", "error": "e", "stackTrace": "…" });
    assert_eq!(
        message("message", "JOB_FAILURE_LOGS", logs.clone()),
        Inbound::FailureLogs { job: "J".parse().unwrap(), detail: logs }
    );
    assert_eq!(
        message(
            "message",
            "TOKEN_REFRESH_REQUEST",
            json!({ "requestId": "t", "providerId": "g", "accountId": "a" })
        ),
        Inbound::RefreshRequest(RefreshRequest::OfAccount {
            request_id: "t".into(),
            provider: "g".parse().unwrap(),
            account: Some("a".parse().unwrap()),
            user: None,
        })
    );
}

#[test]
fn a_short_update_is_a_report_whose_progress_is_the_cursor() {
    let Inbound::Report { report, .. } = message(
        "message",
        "jobUpdate",
        json!({ "jobId": "J", "status": "paused", "progress": { "page": 2 }, "timestamp": 1 }),
    ) else {
        panic!("no report");
    };
    let report = read_report(report, Some(&"w".parse().unwrap())).unwrap();
    assert_eq!(report.resume_state, Some(json!({ "page": 2 })));
    let Inbound::Report { report, .. } =
        message("message", "jobUpdate", json!({ "jobId": "J", "status": "failed", "error": "e" }))
    else {
        panic!("no report");
    };
    let report = read_report(report, Some(&"w".parse().unwrap())).unwrap();
    assert_eq!(report.resume_state, None, "the cursor that is kept stays");
}

#[test]
fn what_workers_of_protocol_2_add_is_understood() {
    let registration = Registration {
        worker: Some("w".parse().unwrap()),
        features: vec!["ack".into()],
        capacity: Some(3),
        leases: vec!["t".parse().unwrap()],
        no_leases: vec![Secret::new("")],
    };
    let said = json!({ "workerId": "w", "protocol": 2, "features": ["ack"], "capacity": 3, "leases": ["t", ""], "more": 1 });
    assert_eq!(message("message", "registered", said), Inbound::Registered(registration));
    // What of it cannot be read is as if it were not said, and a later protocol is ours as well.
    let said =
        json!({ "workerId": "a b", "protocol": 3, "features": "ack", "capacity": "many", "leases": {} });
    assert_eq!(message("message", "registered", said), Inbound::Registered(Registration::default()));
    let request = JobRequest {
        limit: Some(5),
        queue: Some("q".parse().unwrap()),
        commands: vec!["X".parse().unwrap()],
        wait: Duration::from_millis(1_500),
        ..JobRequest::default()
    };
    let said = json!({ "limit": 5, "queue": "q", "commands": ["X"], "wait": 1.5 });
    assert_eq!(message("jobRequest", "request_jobs", said), Inbound::JobRequest(request));
}

#[test]
fn foreign_and_unknown_messages_are_told_apart() {
    let foreign =
        json!({ "origin": "a", "destination": "supervisor", "type": "heartbeat", "key": "heartbeat" });
    assert_eq!(
        envelope().read(foreign.to_string().as_bytes()),
        Ok(Heard::Foreign { destination: "supervisor".into() })
    );
    let everybody = json!({ "origin": "a", "destination": "*", "type": "heartbeat", "key": "heartbeat" });
    assert_eq!(envelope().read(everybody.to_string().as_bytes()), Ok(Heard::Message(Inbound::Heartbeat)));
    assert_eq!(read("message", "gossip", json!({})), Ok(Heard::Unknown { kind: "message gossip".into() }));
}

#[test]
fn what_cannot_be_read_says_why() {
    let why = |kind: &str, key: &str, payload: Value| read(kind, key, payload).unwrap_err().to_string();
    assert!(envelope().read(b"{\"type\":\"x\"}").unwrap_err().to_string().contains("destination"));
    assert!(envelope().read(b"{\"destination\":\"\xff\"}").is_err(), "invalid UTF-8");
    assert!(why("message", "registered", json!({ "protocol": 1 })).contains("`protocol` is 2"));
    assert!(why("message", "PROGRESS_UPDATE", json!([1])).contains("PROGRESS_UPDATE"));
    assert!(why("message", "JOB_FAILURE_LOGS", json!({ "error": "e" })).contains("jobId"));
}

#[test]
fn what_we_say_has_the_documented_frames() {
    let register = written(&Outbound::Register);
    assert_eq!((&register["type"], &register["key"]), (&json!("command"), &json!("register")));
    assert_eq!(register["destination"], "external-crawler");
    let payload = json!({
        "id": "web-server", "pid": 4211, "type": "web-server", "protocol": 2,
        "features": ["lease", "cancel", "reattach", "ack", "next"],
    });
    assert_eq!(register["payload"], payload);
    assert_eq!(written(&Outbound::Jobs(vec![]))["payload"], json!([]));
    let error = written(&Outbound::JobsError(JobsError {
        request_id: Some(json!("r-17")),
        message: "database is locked".into(),
        error_type: "storage_busy",
        retryable: true,
        retry_after: Duration::from_secs(1),
    }));
    assert_eq!((&error["type"], &error["key"]), (&json!("jobResponse"), &json!("jobs_error")));
    assert_eq!(error["payload"]["error"], "database is locked");
    assert_eq!(
        (&error["payload"]["requestId"], &error["payload"]["retryAfterMs"]),
        (&json!("r-17"), &json!(1_000))
    );
    assert_eq!(written(&Outbound::Pause)["payload"], json!({ "type": "PAUSE_CRAWLER" }));
    assert_eq!(written(&Outbound::Resume)["destination"], "crawler");
    let cancel = Outbound::CancelJob {
        job: "J".parse().unwrap(),
        lease: "t".parse().unwrap(),
        reason: "cancelled".into(),
    };
    let payload = json!({ "type": "CANCEL_JOB", "jobId": "J", "lease": "t", "reason": "cancelled" });
    assert_eq!(written(&cancel)["payload"], payload);
    let nack = Outbound::Receipt(Receipt {
        task: Some("J".into()),
        lease: Some("t".into()),
        outcome: Err(("stale_lease".into(), "gone".into())),
    });
    let payload = json!({ "taskId": "J", "lease": "t", "code": "stale_lease", "message": "gone" });
    assert_eq!((&written(&nack)["key"], &written(&nack)["payload"]), (&json!("nack"), &payload));
}

#[test]
fn a_job_that_was_not_asked_for_names_all_that_the_original_named() {
    let mut job = a_job().command("issues").held_by("w").build();
    job.full_path = Some("grp/prj".into());
    job.payload = json!({ "branch": "main", "from": null });
    job.resume_state = Some(json!({ "cursor": "c" }));
    let credentials = Credentials {
        access_token: "tok".into(),
        token_type: "Bearer",
        expires_at: None,
        provider_id: "gitlab".parse().unwrap(),
    };
    let start = written(&Outbound::StartJob(Box::new(JobOnTheWire::new(job, Some(credentials)))));
    assert_eq!((&start["key"], &start["destination"]), (&json!("START_JOB"), &json!("crawler")));
    let payload = &start["payload"];
    assert_eq!((&payload["type"], &payload["command"]), (&json!("START_JOB"), &json!("issues")));
    assert_eq!((&payload["fullPath"], &payload["branch"]), (&json!("grp/prj"), &json!("main")));
    assert!(payload.get("from").is_none());
    assert_eq!(payload["progress"], json!({ "cursor": "c" }));
    assert!(payload["lease"]["token"].is_string());
    assert_eq!(payload["credentials"]["accessToken"], "tok");
}

#[test]
fn credentials_go_out_with_what_they_are_and_failures_with_why() {
    let request = RefreshRequest::OfAccount {
        request_id: "t-3".into(),
        provider: "g".parse().unwrap(),
        account: Some("a".parse().unwrap()),
        user: None,
    };
    let fresh = Fresh {
        access_token: Secret::new("tok"),
        expires_at: Some(noon()),
        refresh_token: None,
        provider: "g".parse().unwrap(),
    };
    let answer =
        written(&Outbound::Refreshed(RefreshAnswer { request: request.clone(), outcome: Ok(fresh) }));
    let payload = json!({
        "requestId": "t-3", "success": true, "accessToken": "tok", "expiresAt": "2026-01-05T12:00:00.000Z",
        "providerId": "g",
    });
    assert_eq!(answer["payload"], payload);
    let answer = written(&Outbound::Refreshed(RefreshAnswer { request, outcome: Err("gone".into()) }));
    assert_eq!(answer["payload"], json!({ "requestId": "t-3", "success": false, "error": "gone" }));
}

#[test]
fn the_log_hears_nothing_of_what_cannot_be_read() {
    let frame = json!({ "destination": "web-server", "type": "message", "key": ["LEASE-SECRET-1"] });
    let unreadable = envelope().read(frame.to_string().as_bytes()).unwrap_err();
    assert!(!unreadable.without_content().contains("SECRET"), "{}", unreadable.without_content());
    let unreadable = read("message", "PROGRESS_UPDATE", json!("LEASE-SECRET-1")).unwrap_err();
    assert!(unreadable.to_string().contains("SECRET"), "its sender may hear it: {unreadable}");
    assert!(!unreadable.without_content().contains("SECRET"), "{}", unreadable.without_content());
}

#[test]
fn a_report_may_ask_for_the_next_jobs_as_a_request_does() {
    let asked = |next: Value| {
        let said = json!({ "taskId": "J", "status": "completed", "next": next });
        match message("message", "PROGRESS_UPDATE", said.clone()) {
            Inbound::Report { report, next } if report == said => next,
            other => panic!("{other:?}"),
        }
    };
    let request = JobRequest {
        request_id: Some(json!(7)),
        limit: Some(2),
        queue: Some("big".parse().unwrap()),
        commands: vec!["X".parse().unwrap()],
        wait: Duration::from_secs(30),
        worker: None,
    };
    let said = json!({ "requestId": 7, "limit": 2, "queue": "big", "commands": ["X"], "wait": 30 });
    assert_eq!(asked(said), Some(Ok(request)));
    assert_eq!(asked(json!({})), Some(Ok(JobRequest::default())));
    assert_eq!(asked(Value::Null), None);
    for (next, id) in [(json!(3), None), (json!({ "requestId": "r", "limit": "2" }), Some(json!("r")))] {
        match asked(next) {
            Some(Err(BadRequest::Jobs { request_id, .. })) => assert_eq!(request_id, id),
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn requests_are_held_to_what_is_allowed_or_answered() {
    let asked = |payload: Value| match message("jobRequest", "request_jobs", payload) {
        Inbound::JobRequest(request) => (request.limit, request.wait),
        other => panic!("{other:?}"),
    };
    assert_eq!(asked(json!({ "limit": -1, "wait": -1 })), (Some(0), Duration::ZERO));
    assert_eq!(asked(json!({ "limit": 1e12, "wait": 120 })), (Some(u32::MAX), Duration::from_secs(60)));
    assert_eq!(asked(Value::Null), (None, Duration::ZERO));
    for (payload, id) in [
        (json!({ "requestId": "r", "limit": "5" }), Some(json!("r"))),
        (json!({ "requestId": 7, "wait": "1" }), Some(json!(7))),
        (json!({ "requestId": "r", "commands": "X" }), Some(json!("r"))),
        (json!({ "requestId": "r", "queue": "my queue" }), Some(json!("r"))),
        (json!([]), None),
    ] {
        let bad = message("jobRequest", "request_jobs", payload);
        assert!(
            matches!(&bad, Inbound::BadRequest(BadRequest::Jobs { request_id, .. }) if *request_id == id),
            "{bad:?}"
        );
    }
    for (payload, id) in [
        (json!({ "requestId": 5, "providerId": "" }), json!(5)),
        (json!({ "requestId": "t", "providerId": "g", "accountId": 42 }), json!("t")),
        (json!({ "requestId": "t" }), json!("t")),
        (json!({ "providerId": "g", "accountId": "a" }), Value::Null),
    ] {
        let bad = message("message", "TOKEN_REFRESH_REQUEST", payload);
        let Inbound::BadRequest(BadRequest::Credentials { subject, reason }) = bad else { panic!("{bad:?}") };
        assert_eq!(subject, id);
        let answer = written(&Outbound::NoCredentials { subject, reason: reason.clone() });
        assert_eq!(answer["payload"], json!({ "requestId": id, "success": false, "error": reason }));
    }
}
