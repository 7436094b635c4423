//! What a report does to a job, whatever the worker's clock says.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::account::Standing;
use reclaimer_domain::decision::{Action, Decision, StuckSign};
use reclaimer_domain::history::{Actor, HistoryEntry, JobEvent};
use reclaimer_domain::job::lifecycle::{MAX_PROGRESS, Verdict};
use reclaimer_domain::job::{Job, Status};
use reclaimer_domain::time::{after, before};
use reclaimer_domain::wire::read_report;
use reclaimer_testkit::{a_job, noon};
use serde_json::{Value, json};

const LEASE: Duration = Duration::from_secs(60);
const SECOND: Duration = Duration::from_secs(1);

fn held() -> Job {
    a_job().held_by("w").leased_until(after(noon(), LEASE)).build()
}

/// Reports on a job, stamped by its worker's clock, at `now` by ours.
fn report(job: &mut Job, status: &str, stamp: DateTime<Utc>, more: Value, now: DateTime<Utc>) -> Verdict {
    let token = job.lease.as_ref().map_or("gone", |lease| lease.token.expose()).to_owned();
    let mut report = json!({ "taskId": job.id, "lease": token, "status": status, "timestamp": stamp });
    report.as_object_mut().unwrap().extend(more.as_object().cloned().unwrap_or_default());
    job.report(&read_report(report, None).unwrap(), LEASE, now).unwrap()
}

#[test]
fn an_end_counts_whatever_its_timestamp_says() {
    let mut job = held();
    report(&mut job, "processing", noon(), json!({}), noon());
    let verdict = report(&mut job, "completed", before(noon(), SECOND), json!({}), after(noon(), SECOND));
    assert!(matches!(verdict, Verdict::Applied(_)), "{verdict:?}");
    assert_eq!(job.status, Status::Finished);
}

#[test]
fn older_progress_is_a_sign_of_life_and_overwrites_nothing() {
    let mut job = held();
    report(&mut job, "processing", noon(), json!({ "processedItems": 9 }), noon());
    let now = after(noon(), SECOND * 30);
    let verdict = report(&mut job, "processing", before(noon(), SECOND), json!({ "processedItems": 1 }), now);
    assert_eq!(verdict, Verdict::Overtaken);
    assert_eq!(job.progress["processedItems"], 9);
    assert_eq!(job.updated_at, now);
    assert_eq!(job.lease.unwrap().expires_at, after(now, LEASE));
}

#[test]
fn a_timestamp_far_ahead_does_not_make_later_ones_look_old() {
    let mut job = held();
    let year_57000 = DateTime::from_timestamp_millis(1_767_614_400_000_000).unwrap();
    report(&mut job, "processing", year_57000, json!({ "processedItems": 1 }), noon());
    let verdict = report(&mut job, "processing", noon(), json!({ "processedItems": 2 }), noon());
    assert_eq!(verdict, Verdict::Applied(vec![]));
    assert_eq!(job.progress["processedItems"], 2);
}

#[test]
fn a_job_is_heard_of_by_a_report_and_not_by_a_sign_of_its_worker() {
    let mut job = held();
    let now = after(job.updated_at, SECOND);
    job.renew(LEASE, false, now);
    assert!(!job.is_heard_of());
    report(&mut job, "processing", now, json!({}), now);
    assert!(job.is_heard_of());
}

#[test]
fn the_same_report_again_changes_nothing() {
    let mut job = held();
    report(&mut job, "processing", noon(), json!({ "processedItems": 1 }), noon());
    let before = job.clone();
    let again = report(&mut job, "processing", noon(), json!({ "processedItems": 1 }), after(noon(), SECOND));
    assert_eq!((again, job), (Verdict::Duplicate, before));
}

#[test]
fn of_two_reports_of_one_moment_neither_is_applied_again() {
    let mut job = held();
    let one = || json!({ "processedItems": 20 });
    let other = || json!({ "processedItems": 21 });
    report(&mut job, "processing", noon(), one(), noon());
    report(&mut job, "processing", noon(), other(), noon());
    assert_eq!(report(&mut job, "processing", noon(), one(), noon()), Verdict::Duplicate);
    assert_eq!(report(&mut job, "processing", noon(), other(), noon()), Verdict::Duplicate);
    assert_eq!(job.progress["processedItems"], 21);
    assert_ne!(report(&mut job, "processing", after(noon(), SECOND), one(), noon()), Verdict::Duplicate);
}

#[test]
fn a_pause_uses_up_no_attempt() {
    let mut job = a_job().held_by("w").leased_until(after(noon(), LEASE)).attempt(4, 5).build();
    report(&mut job, "paused", noon(), json!({}), noon());
    assert_eq!((job.status, job.attempt), (Status::Paused, 3));
}

#[test]
fn a_failure_is_on_record_with_what_a_policy_may_ask_of_it() {
    let detail = |more: Value| {
        let verdict = report(&mut held(), "failed", noon(), more, noon());
        let Verdict::Applied(entries) = verdict else { panic!("{verdict:?}") };
        let detail = entries[0].detail.clone().unwrap();
        (entries[0].reason.clone().unwrap(), detail["errorType"].clone(), detail["retryable"].clone())
    };
    let said = json!({ "error": "HTTP 503", "errorType": "http_5xx", "retryable": true });
    assert_eq!(detail(said), ("HTTP 503".to_owned(), "http_5xx".into(), true.into()));
    assert_eq!(detail(json!({ "error": "boom" })), ("boom".to_owned(), Value::Null, Value::Null));
}

#[test]
fn a_lease_left_over_in_a_row_that_does_not_run_is_nobodys() {
    let mut job = held();
    job.status = Status::Queued;
    let before = job.clone();
    let verdict = report(&mut job, "processing", noon(), json!({}), noon());
    assert_eq!((verdict, job), (Verdict::Stale, before));
}

#[test]
fn progress_does_not_grow_without_bound() {
    let mut job = held();
    for number in 0..200 {
        let more = json!({ "progress": { format!("key-{number}"): "x".repeat(1_000) } });
        report(&mut job, "processing", after(noon(), SECOND * number), more, noon());
    }
    let size = serde_json::to_string(&job.progress).unwrap().len();
    assert!(size <= MAX_PROGRESS + 1_000, "{size}");
    assert!(job.progress["dropped"].as_str().unwrap().contains("a report"));
    report(&mut job, "completed", noon(), json!({}), noon());
    assert_eq!(job.status, Status::Finished, "what is too long to be kept still ends the job");
}

/// What history says of a report by somebody whose lease ended like this.
fn said(end: impl FnOnce(&mut Job) -> HistoryEntry) -> String {
    let mut job = held();
    let token = job.lease.as_ref().unwrap().token.clone();
    let event = JobEvent { id: 1, job_id: job.id.clone(), entry: end(&mut job) };
    let late = json!({ "taskId": job.id, "lease": token.expose(), "workerId": "w", "status": "failed" });
    let late = read_report(late, None).unwrap();
    job.stale_report(&late, &[event], 0, after(noon(), SECOND * 19)).unwrap().entry.reason.unwrap()
}

#[test]
fn a_late_report_is_told_by_what_ended_its_lease() {
    let reported = |status: &'static str| {
        said(move |job| match report(job, status, noon(), json!({}), noon()) {
            Verdict::Applied(entries) => entries[0].clone(),
            other => panic!("{other:?}"),
        })
    };
    assert_eq!(
        reported("completed"),
        "worker w reported failed 19 s after it had reported completed; nothing was changed"
    );
    assert!(reported("paused").contains("19 s after it had reported paused"));
    let given_back = said(|job| job.give_back(None, Duration::ZERO, noon()).unwrap());
    assert!(given_back.contains("19 s after it had given the job back"), "{given_back}");
    let cancelled = said(|job| job.cancel(Actor::Admin, noon()).unwrap());
    assert!(cancelled.contains("19 s after the job was cancelled"), "{cancelled}");
    let lost = said(|job| {
        let action = Action::Requeue { run_at: noon(), priority: None, queue: None };
        let decision = Decision {
            action,
            rule: None,
            reason: "r".to_owned(),
            sign: Some(StuckSign::LeaseExpired),
            account: Standing::NotNeeded,
            policy: "a1b2c3d4e5f6".parse().unwrap(),
        };
        job.recover(&decision, &"R".parse().unwrap(), noon()).unwrap()
    });
    assert!(lost.contains("19 s after its lease was lost"), "{lost}");
}
