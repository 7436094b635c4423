use chrono::{DateTime, Utc};
use reclaimer_domain::job::report::{Outcome, Report, Retryable};
use reclaimer_domain::secret::Secret;
use reclaimer_domain::wire::{Credentials, JobOnTheWire, read_report};
use reclaimer_testkit::{a_job, noon};

use super::*;
use crate::message::{Fresh, JobsError, Outbound, RefreshAnswer};

fn read(kind: &str, job: Option<&str>, data: Value) -> Result<Heard, Unreadable> {
    let mut frame = json!({ "type": kind, "timestamp": "2025-07-12T10:00:01.000Z", "data": data });
    if let Some(job) = job {
        frame["jobId"] = job.into();
    }
    Flat::default().read(frame.to_string().as_bytes())
}

#[track_caller]
fn report(kind: &str, data: Value) -> Report {
    match read(kind, Some("01JZ9"), data) {
        Ok(Heard::Message(Inbound::Report { report, .. })) => {
            read_report(report, Some(&"w".parse().unwrap())).unwrap()
        }
        other => panic!("{other:?}"),
    }
}

fn line(message: &Outbound) -> String {
    let mut out = Vec::new();
    assert!(Flat::default().write(message, noon(), &mut out));
    String::from_utf8(out).unwrap()
}

#[test]
fn what_the_public_crawler_says_is_understood() {
    let heartbeat = json!({ "activeJobs": 0, "totalProcessed": 0, "systemStatus": "idle", "uptime": 12.5 });
    assert_eq!(read("heartbeat", None, heartbeat), Ok(Heard::Message(Inbound::Heartbeat)));
    let Ok(Heard::Message(Inbound::JobRequest(request))) = read("job_request", None, json!({})) else {
        panic!("no request");
    };
    assert_eq!(request.commands.len(), 9, "only what the dialect has words for");
    assert_eq!(
        read("token_refresh_request", Some("01JZ9"), json!({})),
        Ok(Heard::Message(Inbound::RefreshRequest(RefreshRequest::OfJob("01JZ9".parse().unwrap()))))
    );
    let started = report("job_started", json!({ "entityType": "issue", "entityId": "grp/prj" }));
    assert_eq!(started.outcome, Outcome::Progress);
    let stamp: DateTime<Utc> = "2025-07-12T10:00:01.000Z".parse().unwrap();
    assert_eq!(started.stamp, Some(stamp));
    let progress = report(
        "job_progress",
        json!({ "stage": "fetching", "entityType": "issue", "processed": 3, "total": 9, "resumeState": { "currentPage": 2 } }),
    );
    assert_eq!((&progress.said["processedItems"], &progress.said["stage"]), (&json!(3), &json!("fetching")));
    assert_eq!(progress.resume_state, Some(json!({ "currentPage": 2 })));
    let done = report(
        "job_completed",
        json!({ "success": true, "finalCounts": { "issues": 12 }, "message": "done" }),
    );
    assert_eq!((done.outcome, &done.said["itemsByType"]), (Outcome::Completed, &json!({ "issues": 12 })));
}

#[test]
fn failures_say_whether_trying_again_can_help() {
    let failure = |data: Value| match report("job_failed", data).outcome {
        Outcome::Failed(failure) => failure,
        other => panic!("{other:?}"),
    };
    let lost = failure(json!({ "error": "HTTP 404", "errorType": "Error", "isRecoverable": true }));
    assert_eq!((lost.retryable, lost.error_type.as_deref()), (Retryable::Yes, Some("error")));
    let forbidden = failure(json!({ "error": "403 forbidden", "isRecoverable": false }));
    assert_eq!(forbidden.retryable, Retryable::No);
    let expired = failure(json!({ "error": "HTTP 401 unauthorized", "isRecoverable": false }));
    assert_eq!(expired.error_type.as_deref(), Some("credential_expired"));
    assert_eq!(expired.retryable, Retryable::Yes, "as soon as the account is valid again");
    // Digits are not a status, wherever they stand, and what the provider answered comes first.
    for (error, recoverable, status, is_expired, retryable) in [
        ("Project 14012 was archived", false, Value::Null, false, Retryable::No),
        ("GET /projects/401 timed out", true, Value::Null, false, Retryable::Yes),
        ("GET /projects/401 is gone", false, Value::Null, false, Retryable::No),
        ("HTTP 401", true, Value::Null, true, Retryable::Yes),
        ("HTTP 401", false, Value::Null, false, Retryable::No),
        ("TypeError: undefined", true, json!(401), true, Retryable::Yes),
        ("user is unauthorized to do so", false, json!(403), false, Retryable::No),
    ] {
        let context = json!({ "httpStatus": status });
        let told = failure(json!({ "error": error, "isRecoverable": recoverable, "context": context }));
        let expired = told.error_type.as_deref() == Some("credential_expired");
        assert_eq!((expired, told.retryable), (is_expired, retryable), "{error} {status}");
    }
}

#[test]
fn a_stamp_that_is_none_and_an_area_that_is_none_cost_nothing_else() {
    let salvaged = |frame: Value| match Flat::default().read(frame.to_string().as_bytes()) {
        Ok(Heard::Message(Inbound::Report { report, .. })) => {
            reclaimer_domain::wire::salvage_report(report, Some(&"w".parse().unwrap())).unwrap()
        }
        other => panic!("{other:?}"),
    };
    for (stamp, left_out) in [(json!(1_752_314_400_000_u64), 0), (json!("soon"), 1), (json!(1.5), 1)] {
        let (report, faults) =
            salvaged(json!({ "type": "job_completed", "timestamp": stamp, "jobId": "J", "data": {} }));
        assert_eq!((report.outcome, faults.len()), (Outcome::Completed, left_out), "{stamp}");
    }
    let jobs = json!({ "discovered_jobs": [
        { "job_type": "crawl_group", "namespace_path": "" },
        { "job_type": "crawl_group", "namespace_path": "x".repeat(5_000) },
        { "job_type": "crawl_group" },
        { "job_type": "crawl_project", "namespace_path": "g/p" },
    ] });
    let (report, faults) = salvaged(json!({ "type": "jobs_discovered", "jobId": "J", "data": jobs }));
    assert_eq!((report.areas.len(), faults.len()), (1, 3));
}

#[test]
fn whoever_asks_for_credentials_is_answered_whatever_job_it_names() {
    for job in [json!(7), json!(""), Value::Null] {
        let frame = json!({ "type": "token_refresh_request", "timestamp": 1, "jobId": job, "data": {} });
        let bad = Flat::default().read(frame.to_string().as_bytes()).unwrap();
        let Heard::Message(Inbound::BadRequest(BadRequest::Credentials { subject, reason })) = bad else {
            panic!("{bad:?}");
        };
        let said: Value = serde_json::from_str(&line(&Outbound::NoCredentials { subject, reason })).unwrap();
        assert_eq!((&said["jobId"], &said["data"]["refreshSuccessful"]), (&job, &json!(false)));
    }
}

#[test]
fn a_resume_state_is_kept_only_of_what_can_be_tried_again() {
    let state = |recoverable| {
        report("job_failed", json!({ "error": "e", "isRecoverable": recoverable, "resumeState": { "p": 1 } }))
            .resume_state
    };
    assert_eq!((state(true), state(false)), (Some(json!({ "p": 1 })), None));
}

#[test]
fn discoveries_are_areas() {
    let jobs = json!({ "discovered_jobs": [
        { "job_type": "crawl_group", "entity_id": "7", "namespace_path": "g", "entity_name": "G", "priority": 1 },
        { "job_type": "crawl_project", "entity_id": "8", "namespace_path": "g/p", "entity_name": "P", "priority": 1 },
        { "job_type": "discover_namespaces", "entity_id": "9", "namespace_path": "x", "entity_name": "X" },
    ] });
    let areas = report("jobs_discovered", jobs).areas;
    let found: Vec<_> = areas.iter().map(|area| (area.full_path.as_str(), area.kind.as_str())).collect();
    assert_eq!(found, [("g", "group"), ("g/p", "project")]);
    let entities =
        json!({ "entityType": "project", "entities": [{ "id": "1", "name": "P", "path": "g/p" }] });
    assert_eq!(report("discovery", entities).areas[0].external_id.as_deref(), Some("1"));
}

#[test]
fn what_cannot_be_read_says_why() {
    assert!(read("job_started", None, json!({})).unwrap_err().to_string().contains("jobId"));
    assert!(
        read("jobs_discovered", Some("J"), json!({})).unwrap_err().to_string().contains("discovered_jobs")
    );
    assert!(read("job_failed", Some("J"), json!([])).unwrap_err().to_string().contains("job_failed"));
    assert_eq!(read("gossip", None, json!({})), Ok(Heard::Unknown { kind: "gossip".into() }));
    assert!(Flat::default().read(b"{}").is_err());
}

#[test]
fn a_job_is_one_line_without_braces_or_other_letters_in_its_strings() {
    let mut job = a_job().id("01JZ9").command("issues").held_by("w").build();
    job.full_path = Some("grp/{prj}/ü🚀".into());
    job.payload = json!({ "gitlabGraphQLUrl": "https://gitlab.example/api/graphql" });
    let credentials = Credentials {
        access_token: "tok}".into(),
        token_type: "Bearer",
        expires_at: None,
        provider_id: "gitlab".parse().unwrap(),
    };
    let said = line(&Outbound::Jobs(vec![JobOnTheWire::new(job, Some(credentials))]));
    assert_eq!(said.matches('\n').count(), 1);
    assert!(said.ends_with('\n') && said.is_ascii());
    assert_eq!(said.matches('{').count(), 3, "a frame, its data, one job: {said}");
    assert_eq!(said.matches('}').count(), 3);
    let read: Value = serde_json::from_str(&said).unwrap();
    let job = json!({
        "id": "01JZ9", "entityType": "issue", "entityId": "grp/{prj}/ü🚀",
        "gitlabUrl": "https://gitlab.example/api/graphql", "accessToken": "tok}",
    });
    assert_eq!((&read["type"], &read["data"]["jobs"]), (&json!("job_response"), &json!([job])));
}

#[test]
fn an_error_is_an_empty_list_and_what_has_no_word_is_not_said() {
    let error = JobsError {
        request_id: None,
        message: "disk full".into(),
        error_type: "storage_unavailable",
        retryable: true,
        retry_after: std::time::Duration::from_secs(5),
    };
    let read: Value = serde_json::from_str(&line(&Outbound::JobsError(error))).unwrap();
    assert_eq!(read["data"], json!({ "jobs": [] }));
    let mut out = Vec::new();
    for message in [Outbound::Register, Outbound::Heartbeat, Outbound::Pause] {
        assert!(!Flat::default().write(&message, noon(), &mut out));
    }
    assert!(out.is_empty());
}

#[test]
fn credentials_are_whole_or_said_to_have_failed() {
    let answer = |outcome| {
        let request = RefreshRequest::OfJob("01JZ9".parse().unwrap());
        let said = line(&Outbound::Refreshed(RefreshAnswer { request, outcome }));
        serde_json::from_str::<Value>(&said).unwrap()
    };
    let fresh = Fresh {
        access_token: Secret::new("tok2"),
        expires_at: None,
        refresh_token: None,
        provider: "g".parse().unwrap(),
    };
    let good = answer(Ok(fresh));
    assert_eq!((&good["jobId"], &good["data"]["accessToken"]), (&json!("01JZ9"), &json!("tok2")));
    assert_eq!(good["data"]["refreshSuccessful"], true);
    assert!(good["data"]["expiresAt"].as_str().is_some_and(|at| !at.is_empty()));
    let bad = answer(Err("gone".into()));
    assert_eq!(bad["data"], json!({ "accessToken": "", "expiresAt": "", "refreshSuccessful": false }));
}
