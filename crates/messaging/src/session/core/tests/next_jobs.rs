//! Reports that come with a request for the next jobs.

use super::*;
use crate::session::effect::Next;

/// A worker of so much room that holds jobs under leases of these names.
fn worker(capacity: u32, held: &[&str]) -> Rig {
    let mut rig = Rig::new();
    let features = ["ack", "next"].map(str::to_owned).to_vec();
    let registration = Registration { features, capacity: Some(capacity), ..Registration::default() };
    rig.hear(Inbound::Registered(registration));
    held.iter().for_each(|token| rig.holds(&format!("J{token}"), token));
    rig
}

/// A report on what is held by a lease, by a worker that wants so many jobs next.
fn report(token: &str, status: &str, limit: u32) -> Inbound {
    let request = JobRequest { limit: Some(limit), ..JobRequest::default() };
    let report = json!({ "taskId": format!("J{token}"), "lease": token, "status": status, "next": {} });
    Inbound::Report { report, next: Some(Ok(request)) }
}

/// How many jobs are to be leased with a report.
fn wanted(effects: &[Effect]) -> u32 {
    match effects {
        [Effect::Report { next: Some(next), .. }] => next.want.limit,
        [Effect::Report { next: None, .. }, Effect::InTurn(answer)] => match &**answer {
            Done::Answered(Outbound::Jobs(jobs)) if jobs.is_empty() => 0,
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

/// The end of what is held by a lease was applied, and these jobs were leased.
fn done(effects: Vec<Effect>, token: &str, jobs: Vec<JobOnTheWire>) -> Done {
    let Some(Effect::Report { next: Some(next), subject, .. }) = effects.into_iter().next() else { panic!() };
    let outcome = Ok(ReportAnswer::Applied { status: Status::Finished, expires_at: None, spawned: 0 });
    Done::Reported { subject, held: Some(lease(token)), outcome, next: Some((next, Ok(jobs))) }
}

#[test]
fn a_place_that_becomes_free_is_filled_by_the_same_report() {
    let mut rig = worker(2, &["1", "2"]);
    let first = rig.hear(report("1", "completed", 5));
    assert_eq!(wanted(&first), 1);
    assert_eq!(wanted(&rig.hear(report("2", "processing", 5))), 0, "it goes on, and the free place is taken");
    let effects = rig.core.done(done(first, "1", vec![handed_out("J3", "3")]));
    let [Effect::Send(Outbound::Receipt(_)), Effect::Send(Outbound::Jobs(jobs))] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((jobs.len(), rig.held()), (1, vec!["2", "3"]));
    assert_eq!(wanted(&rig.hear(report("2", "failed", 1))), 1);
}

#[test]
fn an_end_that_was_not_applied_frees_no_place() {
    let mut rig = worker(1, &["1"]);
    let Some(Effect::Report { next: Some(next), subject, .. }) = rig.hear(report("1", "completed", 1)).pop()
    else {
        panic!()
    };
    let busy = StoreError::Busy { reason: "too much waits".into() };
    let jobs = Err(crate::message::JobsError::of(None, &busy));
    let done =
        Done::Reported { subject, held: Some(lease("1")), outcome: Err(busy), next: Some((next, jobs)) };
    let effects = rig.core.done(done);
    let [Effect::Send(Outbound::Receipt(receipt)), Effect::Send(Outbound::JobsError(error))] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!(receipt.outcome.as_ref().unwrap_err().0, "storage_busy");
    assert_eq!(error.error_type, "storage_busy");
    assert_eq!(wanted(&rig.hear(report("1", "processing", 1))), 0);
}

#[test]
fn who_waits_for_the_next_job_waits_behind_the_receipt() {
    let mut rig = worker(1, &["1"]);
    let request = JobRequest { limit: Some(1), wait: SECOND, ..JobRequest::default() };
    let said = json!({ "taskId": "J1", "lease": "1", "status": "completed" });
    let asked = rig.hear(Inbound::Report { report: said, next: Some(Ok(request)) });
    let effects = rig.core.done(done(asked, "1", vec![]));
    let [Effect::Send(Outbound::Receipt(_)), Effect::Claim { want, .. }] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!((want.limit, want.wait), (1, SECOND));
    let claimed = Done::Claimed { request_id: None, limit: 1, outcome: Ok(vec![handed_out("J2", "2")]) };
    assert!(matches!(sent(&rig.core.done(claimed)), Outbound::Jobs(jobs) if jobs.len() == 1));
}

#[test]
fn who_is_paused_meanwhile_gets_the_receipt_and_no_jobs() {
    let mut rig = worker(1, &["1"]);
    let asked = rig.hear(report("1", "completed", 1));
    rig.core.command(Command::Pause);
    let effects = rig.core.done(done(asked, "1", vec![handed_out("J2", "2")]));
    let [
        Effect::Send(Outbound::Receipt(_)),
        Effect::Release { leases, .. },
        Effect::Send(Outbound::Jobs(jobs)),
    ] = &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert_eq!((leases, jobs.len()), (&vec![lease("2")], 0));
    rig.core.command(Command::Resume);
    rig.holds("J3", "3");
    assert_eq!(wanted(&rig.hear(report("3", "completed", 1))), 1, "nothing is left of what was asked before");
}

#[test]
fn a_report_that_cannot_be_read_brings_no_jobs() {
    let mut rig = worker(2, &["1"]);
    let effects = rig.hear(report("1", "unheard-of", 1));
    let [Effect::InTurn(refused), Effect::InTurn(answer)] = &effects[..] else { panic!("{effects:?}") };
    assert!(matches!(&**refused, Done::Refused { code, .. } if code == "unknown_status"));
    assert!(matches!(&**answer, Done::Answered(Outbound::Jobs(jobs)) if jobs.is_empty()));
}

#[test]
fn a_request_that_cannot_be_read_does_not_spoil_its_report() {
    let mut rig = worker(1, &["1"]);
    let bad = BadRequest::Jobs { request_id: Some(json!(7)), reason: "`limit` is a number".into() };
    let said = json!({ "taskId": "J1", "lease": "1", "status": "completed", "next": { "limit": "x" } });
    let effects = rig.hear(Inbound::Report { report: said, next: Some(Err(bad)) });
    let [Effect::Report { report, next: None, .. }, Effect::InTurn(answer)] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert!(!report.said.contains_key("extra"), "{:?}", report.said);
    let Done::Answered(Outbound::JobsError(error)) = &**answer else { panic!("{answer:?}") };
    assert_eq!((error.error_type, error.request_id.as_ref()), ("invalid_request", Some(&json!(7))));
}

#[test]
fn who_does_not_know_the_word_means_something_else_by_it() {
    let mut rig = Rig::new();
    rig.hear(Inbound::Registered(Registration { features: vec!["ack".into()], ..Registration::default() }));
    let effects = rig.hear(report("1", "processing", 1));
    let [Effect::Report { report, next: None, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!(report.said["extra"]["next"], json!({}));
}

#[test]
fn no_more_wait_at_once_than_else() {
    let mut rig = worker(1_000, &["1"]);
    for _ in 0..32 {
        let wait = JobRequest { limit: Some(1), wait: SECOND, ..JobRequest::default() };
        assert!(matches!(&rig.hear(Inbound::JobRequest(wait))[..], [Effect::Claim { .. }]));
    }
    let want = reclaimer_provisioning::Want {
        wait: SECOND,
        limit: 1,
        ..reclaimer_provisioning::Want::of("w".parse().unwrap())
    };
    let next = Next { request_id: None, want };
    let effects = rig.core.got_next(next, Ok(vec![]));
    assert!(matches!(sent(&effects), Outbound::JobsError(error) if error.error_type == "too_many_waiting"));
}
