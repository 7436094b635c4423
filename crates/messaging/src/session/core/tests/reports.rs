use reclaimer_domain::job::report::Holder;

use super::*;

#[test]
fn a_report_without_a_lease_counts_by_the_one_this_connection_holds() {
    let mut rig = Rig::new();
    rig.holds("J", "1");
    let (report, subject) = rig.report(json!({ "taskId": "J", "status": "processing" }));
    assert_eq!(report.holder, Holder::Lease(lease("1")));
    assert_eq!(subject, Subject { task: Some("J".into()), lease: None });
    let (report, _) = rig.report(json!({ "taskId": "J", "lease": "", "status": "completed" }));
    assert_eq!(report.holder, Holder::Lease(lease("1")), "an empty one names none");
    let (report, _) = rig.report(json!({ "taskId": "other", "status": "processing" }));
    assert_eq!(report.holder, Holder::Worker("link:7".parse().unwrap()));
}

#[test]
fn a_lease_is_held_until_its_job_ends_or_is_somebody_elses() {
    for (answer, still_held) in [
        (ReportAnswer::Applied { status: Status::Running, expires_at: None, spawned: 0 }, true),
        (ReportAnswer::Applied { status: Status::Finished, expires_at: None, spawned: 0 }, false),
        (ReportAnswer::Duplicate { status: Status::Failed }, false),
        (ReportAnswer::Stale { status: Status::Queued }, false),
        (ReportAnswer::Refused(Refused::NoSuchJob("J".parse().unwrap())), true),
    ] {
        let mut rig = Rig::new();
        rig.holds("J", "1");
        let done = Done::Reported {
            subject: Subject::default(),
            held: Some(lease("1")),
            outcome: Ok(answer.clone()),
            next: None,
        };
        assert!(rig.core.done(done).is_empty(), "protocol 1 gets no receipts");
        assert_eq!(rig.held() == ["1"], still_held, "{answer:?}");
    }
}

#[test]
fn receipts_are_for_those_who_asked_for_them() {
    let mut rig = Rig::registered();
    let subject = Subject { task: Some("J".into()), lease: Some("1".into()) };
    let mut receipt = |outcome| {
        let done = Done::Reported { subject: subject.clone(), held: None, outcome, next: None };
        match sent(&rig.core.done(done)) {
            Outbound::Receipt(receipt) => receipt.clone(),
            other => panic!("{other:?}"),
        }
    };
    let good = receipt(Ok(ReportAnswer::Duplicate { status: Status::Finished }));
    assert_eq!((good.task.as_deref(), good.lease.as_deref(), good.outcome), (Some("J"), Some("1"), Ok(())));
    let code = |receipt: Receipt| receipt.outcome.unwrap_err().0;
    assert_eq!(code(receipt(Ok(ReportAnswer::Stale { status: Status::Queued }))), "stale_lease");
    assert_eq!(code(receipt(Err(StoreError::Closing))), "shutting_down");
    // Behind the receipts of what came before it.
    let effects = rig.hear(reports(json!({ "taskId": "J", "lease": "1", "status": "done" })));
    let Some(Effect::InTurn(refused)) = effects.into_iter().next() else { panic!() };
    let unknown = rig.core.done(*refused);
    assert!(
        matches!(sent(&unknown), Outbound::Receipt(Receipt { outcome: Err((code, _)), .. }) if code == "unknown_status")
    );
    let unreadable = rig.core.heard(Err(unreadable()), rig.now);
    assert!(matches!(sent(&unreadable), Outbound::Receipt(Receipt { outcome: Err(_), .. })));
}

#[test]
fn a_name_in_a_report_proves_nothing() {
    let mut rig = Rig::registered();
    let lie = json!({ "taskId": "J", "status": "completed", "workerId": "flat:3684" });
    let (report, _) = rig.report(lie);
    assert_eq!(report.holder, Holder::Worker("link:7".parse().unwrap()), "as the kernel tells it");
    assert_eq!(report.sender, Some("w".parse().unwrap()));
    rig.holds("J", "1");
    let (report, _) = rig.report(json!({ "taskId": "J", "status": "completed", "workerId": "flat:3684" }));
    assert_eq!(report.holder, Holder::Lease(lease("1")));
}

#[test]
fn nobody_takes_the_name_of_a_process_that_is_not_its_own() {
    for (name, called) in [
        ("flat:3684", "link:7"),
        ("link:8", "link:7"),
        ("link:7", "link:7"),
        ("link:x", "link:x"),
        ("host:12", "host:12"),
    ] {
        let mut rig = Rig::new();
        let worker = Some(name.parse().unwrap());
        rig.hear(Inbound::Registered(Registration { worker: worker.clone(), ..Registration::default() }));
        assert_eq!(rig.core.worker().as_str(), called, "{name}");
        let mut rig = Rig::new();
        let effects = rig.hear(Inbound::JobRequest(JobRequest { worker, ..JobRequest::default() }));
        assert!(
            matches!(&effects[..], [Effect::Claim { want, .. }] if want.worker.as_str() == called),
            "{name}"
        );
    }
}

#[test]
fn of_those_who_get_no_receipts_counts_what_can_be_read() {
    let report =
        || json!({ "taskId": "J", "lease": "1", "status": "completed", "timestamp": "2025-06-03T16:00:05" });
    let effects = Rig::new().hear(reports(report()));
    assert!(matches!(&effects[..], [Effect::Report { left_out, .. }] if left_out.len() == 1), "{effects:?}");
    let effects = Rig::registered().hear(reports(report()));
    assert!(
        matches!(&effects[..], [Effect::InTurn(done)] if matches!(**done, Done::Refused { .. })),
        "{effects:?}"
    );
}
