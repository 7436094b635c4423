use super::*;
use crate::area::MAX_PATH;
use serde_json::json;

fn read(value: Value) -> Report {
    read_report(value, None).unwrap()
}

fn refusal(value: Value) -> String {
    read_report(value, None).unwrap_err().to_string()
}

#[test]
fn statuses_come_in_any_case() {
    let of = |status: &str| read(json!({"taskId": "J", "lease": "t", "status": status})).outcome;
    assert_eq!(of("COMPLETED"), Outcome::Completed);
    assert_eq!(of("Processing"), Outcome::Progress);
    assert_eq!(of("paused"), Outcome::Paused);
    assert!(matches!(of("failed"), Outcome::Failed(_)));
}

#[test]
fn a_failure_comes_as_text_or_object() {
    let of = |more: Value| {
        let mut report = json!({"jobId": "J", "lease": {"token": "t"}, "status": "failed"});
        report.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        match read(report).outcome {
            Outcome::Failed(failure) => failure,
            other => panic!("{other:?}"),
        }
    };
    let told = of(json!({"error": "no", "errorType": "HttpError", "retryable": true}));
    assert_eq!(told.error, "no");
    assert_eq!(told.error_type.as_deref(), Some("http_error"));
    assert_eq!(told.retryable, Retryable::Yes);
    let object = of(json!({"error": {"message": "gone", "code": "E-404"}}));
    assert_eq!((object.error.as_str(), object.error_type.as_deref()), ("gone", Some("e_404")));
    assert_eq!(object.retryable, Retryable::AskPolicy);
    assert_eq!(of(json!({})).error, "the worker gave no reason");
}

#[test]
fn an_expired_credential_is_a_recoverable_failure() {
    let report = read(json!({"taskId": "J", "lease": "t", "status": "credential_expiry", "error": "401"}));
    let Outcome::Failed(failure) = report.outcome else { panic!() };
    assert_eq!(failure.error_type.as_deref(), Some("credential_expired"));
    assert_eq!(failure.retryable, Retryable::Yes);
}

#[test]
fn areas_come_in_all_their_shapes() {
    let a = json!({"fullPath": "g/a", "type": "project", "gitlabId": 7, "name": "A"});
    let b = json!({"full_path": "g", "type": "GROUP"});
    for report in [
        json!({"taskId": "J", "lease": "t", "status": "new_areas_discovered", "areas": [a, b]}),
        json!({"taskId": "J", "lease": "t", "status": "new_areas_discovered", "progress": [a, b]}),
        json!({"taskId": "J", "lease": "t", "status": "new_areas_discovered", "0": a, "1": b}),
        json!({"taskId": "J", "lease": "t", "status": "processing", "progress": {"0": a, "1": b}}),
    ] {
        let report = read(report);
        assert_eq!(report.areas.len(), 2);
        assert_eq!(report.areas[0].external_id.as_deref(), Some("7"));
        assert_eq!(report.areas[1].kind.as_str(), "group");
        assert!(!report.said.contains_key("extra"), "{:?}", report.said);
    }
}

#[test]
fn progress_is_merged_but_cannot_forge_recovery_data() {
    let report = read(json!({
        "taskId": "J", "lease": "t", "status": "processing", "processedItems": 3,
        "progress": {"page": 2, "recoveryCount": 99, "retryable": true}, "resumeState": {"cursor": "c"}, "other": 1
    }));
    assert_eq!(
        report.said,
        *json!({"page": 2, "processedItems": 3, "extra": {"other": 1}}).as_object().unwrap()
    );
    assert_eq!(report.resume_state, Some(json!({"cursor": "c"})));
}

#[test]
fn a_pause_without_a_resume_state_takes_the_progress_for_one() {
    let report = read(json!({"taskId": "J", "lease": "t", "status": "paused", "progress": {"page": 2}}));
    assert_eq!(report.resume_state, Some(json!({"page": 2})));
}

#[test]
fn too_many_other_fields_are_dropped_and_said() {
    let report =
        read(json!({"taskId": "J", "lease": "t", "status": "started", "blob": "x".repeat(MAX_EXTRA)}));
    assert!(report.said["extra"]["dropped"].as_str().unwrap().contains("bytes of other fields"));
}

#[test]
fn a_report_is_nested_only_so_deep() {
    let nested = |levels| (0..levels).fold(json!(1), |inner, _| json!({ "x": inner }));
    let report = |levels| json!({"taskId": "J", "lease": "t", "status": "started", "x": nested(levels)});
    assert!(read_report(report(MAX_DEPTH - 1), None).is_ok());
    assert!(refusal(report(MAX_DEPTH)).contains("nested too deeply: at most 64 levels"));
}

#[test]
fn what_is_wrong_is_named() {
    assert_eq!(refusal(json!([])), "a report is a JSON object, got an array");
    assert_eq!(refusal(json!({"lease": "t"})), "the report has no `taskId`");
    assert_eq!(refusal(json!({"taskId": "J"})), "the report has no `lease`");
    assert_eq!(refusal(json!({"taskId": "J", "lease": "t"})), "the report has no `status`");
    assert_eq!(refusal(json!({"taskId": "J", "workerId": "http:x"})), "the report has no `lease`");
    assert!(
        refusal(json!({"taskId": "J", "jobId": "K", "lease": "t"})).contains("`K` is not the taskId `J`")
    );
    assert!(refusal(json!({"taskId": 7})).contains("`taskId` of the report: a text, got a number"));
    let unknown = refusal(json!({"taskId": "J", "lease": "t", "status": "done"}));
    assert!(unknown.starts_with("unknown status `done`; a report's status is one of `started`"), "{unknown}");
    let area = json!({"taskId": "J", "lease": "t", "status": "started", "areas": [{"type": "group"}]});
    assert!(refusal(area).contains("areas[0].fullPath"));
}

#[test]
fn the_workers_page_names_every_status_and_field() {
    let page = include_str!("../../../../../docs/worker-http.md");
    for word in STATUSES.iter().chain(&SAID) {
        assert!(page.contains(&format!("`{word}`")), "docs/worker-http.md: {word} is missing");
    }
}

#[test]
fn timestamps_come_as_text_or_milliseconds() {
    let of = |at: Value| {
        read(json!({"taskId": "J", "lease": "t", "status": "started", "timestamp": at})).stamp.unwrap()
    };
    assert_eq!(of(json!("2026-01-05T14:20:00Z")), of(json!(1_767_622_800_000_u64)));
    assert!(
        refusal(json!({"taskId": "J", "lease": "t", "status": "x", "timestamp": "soon"})).contains("`soon`")
    );
}

#[test]
fn of_a_report_that_nobody_can_mend_counts_what_can_be_read() {
    let good = json!({"fullPath": "g", "type": "group"});
    let report = json!({
        "taskId": "J", "lease": "t", "status": "completed", "timestamp": "2025-06-03T16:00:05", "progress": "50%",
        "areas": [{"fullPath": "a"}, good, 7, {"fullPath": "x".repeat(MAX_PATH + 1), "type": "group"}],
        "errorType": 7, "retryable": "yes",
    });
    assert!(read_report(report.clone(), None).is_err());
    let (report, left_out) = salvage_report(report, None).unwrap();
    assert_eq!((report.outcome, report.stamp, report.areas.len()), (Outcome::Completed, None, 1));
    let left_out: Vec<String> = left_out.iter().map(ToString::to_string).collect();
    assert_eq!(left_out.len(), 4, "{left_out:?}");
    assert!(left_out[1].starts_with("`areas[0].type` of the report: missing"), "{left_out:?}");

    let failed = json!({"taskId": "J", "lease": "t", "status": "failed", "errorType": 7, "retryable": "yes"});
    let (report, left_out) = salvage_report(failed, None).unwrap();
    assert!(matches!(report.outcome, Outcome::Failed(failure) if failure.retryable == Retryable::AskPolicy));
    assert_eq!(left_out.len(), 2);

    // What decides is not guessed.
    for report in [
        json!({"taskId": "J", "status": "completed"}),
        json!({"taskId": "J", "lease": "t", "status": "done"}),
        json!({"lease": "t", "status": "completed"}),
    ] {
        assert!(salvage_report(report, None).is_err());
    }
}

#[test]
fn progress_that_is_a_number_or_a_text_is_kept_like_any_other_field() {
    for progress in [json!(50), json!("50%")] {
        let report = read(json!({"taskId": "J", "lease": "t", "status": "processing", "progress": progress}));
        assert_eq!(report.said["extra"]["progress"], progress);
    }
}
