use reclaimer_provisioning::HeldJob;

use super::*;

fn held_job(job: &str, token: &str, heard_of: bool) -> HeldJob {
    let lease =
        Lease { worker: "w".parse().unwrap(), token: lease(token), expires_at: noon(), excused: false };
    HeldJob { job: job.parse().unwrap(), lease, account: None, heard_of }
}

/// Before how many requests a worker has forgotten what it had.
#[track_caller]
fn forgot(effects: &[Effect]) -> u64 {
    match effects {
        [Effect::InTurn(done), Effect::Claim { .. }] => match **done {
            Done::Forgot { before } => before,
            ref other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[test]
fn who_asks_when_idle_and_asks_again_has_forgotten_what_it_had() {
    let mut rig = Rig::new();
    rig.core.settings.asks_when_idle = true;
    let ask = || Inbound::JobRequest(JobRequest::default());
    assert!(matches!(&rig.hear(ask())[..], [Effect::Claim { .. }]));
    rig.holds("J", "1");
    assert!(matches!(&rig.hear(ask())[..], [Effect::Claim { .. }]), "it crossed the answer");
    rig.holds("K", "2");
    rig.holds("L", "3");
    let effects = rig.hear(ask());
    let before = forgot(&effects);
    let effects = rig.core.done(Done::Forgot { before });
    assert!(matches!(&effects[..], [Effect::Abandon(leases)] if *leases == [lease("1")]), "{effects:?}");
    assert_eq!(rig.held(), ["2", "3"]);

    // What it reported just before it asked comes first.
    let effects = rig.hear(ask());
    let before = forgot(&effects);
    for token in ["2", "3"] {
        let outcome = Ok(ReportAnswer::Duplicate { status: Status::Finished });
        rig.core.done(Done::Reported {
            subject: Subject::default(),
            held: Some(lease(token)),
            outcome,
            next: None,
        });
    }
    assert!(rig.core.done(Done::Forgot { before }).is_empty());

    let mut busy = Rig::new();
    for _ in 0..3 {
        busy.holds("J", "1");
        assert!(matches!(&busy.hear(ask())[..], [Effect::Claim { .. }]), "others may ask for more");
    }
}

#[test]
fn a_living_worker_keeps_its_leases() {
    let mut rig = Rig::new();
    rig.holds("J", "1");
    assert!(rig.hear(Inbound::Heartbeat).is_empty(), "not at each beat");
    rig.now += SECOND * 15;
    assert!(matches!(&rig.hear(Inbound::Heartbeat)[..], [Effect::Keep(leases)] if *leases == [lease("1")]));
    assert!(rig.hear(Inbound::Heartbeat).is_empty());
}

#[test]
fn whose_lease_is_gone_is_told_so() {
    let mut rig = Rig::registered();
    for (job, token) in [("J", "1"), ("K", "2"), ("L", "3")] {
        rig.holds(job, token);
    }
    let renewed = Renewed {
        cancelled: vec![("J".parse().unwrap(), lease("1"))],
        lost: vec![lease("2")],
        ..Renewed::default()
    };
    let effects = rig.core.done(Done::Kept(Ok(renewed)));
    assert!(matches!(
        &effects[..],
        [Effect::Send(Outbound::CancelJob { .. }), Effect::Send(Outbound::LeaseLost { .. })]
    ));
    let taken = Command::Taken { job: "L".parse().unwrap(), token: lease("3"), why: Taken::Reclaimed };
    assert!(matches!(sent(&rig.core.command(taken)), Outbound::LeaseLost { job: Some(_), .. }));
    assert!(rig.held().is_empty());
    let again = Command::Taken { job: "L".parse().unwrap(), token: lease("3"), why: Taken::Reclaimed };
    assert!(rig.core.command(again).is_empty(), "once");
}

#[test]
fn leases_from_before_the_connection_are_held_again_or_lost() {
    let mut rig = Rig::new();
    let leases = vec![lease("1"), lease("2")];
    let effects =
        rig.hear(Inbound::Registered(Registration { leases: leases.clone(), ..Registration::default() }));
    assert!(matches!(&effects[..], [Effect::Reattach(asked)] if *asked == leases));
    let held = Lease { worker: "w".parse().unwrap(), token: lease("1"), expires_at: noon(), excused: false };
    let outcome = Ok(Renewed {
        renewed: vec![("J".parse().unwrap(), held)],
        lost: vec![lease("2")],
        ..Renewed::default()
    });
    let effects = rig.core.done(Done::Reattached { asked: leases, outcome });
    assert!(matches!(
        &effects[..],
        [Effect::Send(Outbound::Reattached { .. }), Effect::Send(Outbound::NotReattached { lease })] if lease.expose() == "2"
    ));
    assert_eq!(rig.held(), ["1"]);
}

#[test]
fn what_cannot_be_found_out_about_leases_from_before_is_asked_again_and_not_called_lost() {
    let mut rig = Rig::new();
    let away = || StoreError::Unavailable { reason: "gone".into(), source: None };
    for _ in 0..2 {
        let done = Done::Adopted { worker: "link:7".parse().unwrap(), outcome: Err(away()) };
        assert!(rig.core.done(done).is_empty());
        assert!(rig.core.done(Done::Reattached { asked: vec![lease("1")], outcome: Err(away()) }).is_empty());
        let effects = rig.hear(Inbound::Heartbeat);
        assert!(
            matches!(&effects[..], [Effect::Adopt(_), Effect::Reattach(asked)] if *asked == [lease("1")])
        );
        assert!(rig.hear(Inbound::Heartbeat).is_empty(), "one attempt at a time");
    }
    let found = vec![held_job("J", "2", true)];
    rig.core.done(Done::Adopted { worker: "link:7".parse().unwrap(), outcome: Ok(found) });
    assert_eq!(rig.held(), ["2"]);
}

#[test]
fn a_second_connection_takes_over_what_the_first_held() {
    let mut rig = Rig::new();
    let leases = vec![lease("1"), lease("2")];
    let effects = rig.core.command(Command::Inherit(leases.clone()));
    assert!(matches!(&effects[..], [Effect::TakeOver(asked)] if *asked == leases));
    // Here the second one was reported on meanwhile.
    let outcome = Ok(vec![held_job("J", "1", true)]);
    assert!(rig.core.done(Done::TookOver { asked: leases, outcome }).is_empty());
    assert_eq!(rig.held(), ["1"]);
    assert_eq!(rig.core.take_changes(), (vec![lease("1")], vec![]));
}

#[test]
fn who_leaves_in_order_gives_its_jobs_back() {
    let mut rig = Rig::new();
    rig.holds("J", "1");
    let effects = rig.hear(Inbound::Leaving { reason: Some("SIGTERM".into()) });
    let [Effect::StopClaiming, Effect::InTurn(done)] = &effects[..] else { panic!("{effects:?}") };
    let Done::Left { reason } = &**done else { panic!("{effects:?}") };
    assert_eq!(rig.held(), ["1"], "what it reported before comes first");
    let effects = rig.core.done(Done::Left { reason: reason.clone() });
    let [Effect::Release { leases, reason }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((leases, reason.as_str()), (&vec![lease("1")], "worker link:7 left in order: SIGTERM"));
    assert!(rig.held().is_empty());
    assert_eq!(rig.core.peer_closed(), Closed::Left);
    assert!(
        matches!(sent(&rig.hear(Inbound::JobRequest(JobRequest::default()))), Outbound::Jobs(jobs) if jobs.is_empty())
    );
}

#[test]
fn what_can_be_no_lease_is_lost_and_the_others_are_held_again() {
    let mut rig = Rig::new();
    let registration = Registration {
        leases: vec![lease("1")],
        no_leases: vec![reclaimer_domain::secret::Secret::new("")],
        ..Registration::default()
    };
    let effects = rig.hear(Inbound::Registered(registration));
    assert!(matches!(
        &effects[..],
        [Effect::Send(Outbound::NotReattached { lease: none }), Effect::Reattach(asked)]
            if none.expose().is_empty() && *asked == [lease("1")]
    ));
}

#[test]
fn what_may_never_have_arrived_is_not_kept_by_heartbeats_alone() {
    let mut rig = Rig::new();
    let outcome = Ok(vec![held_job("J", "1", false), held_job("K", "2", true)]);
    rig.core.done(Done::Adopted { worker: "link:7".parse().unwrap(), outcome });
    let kept = |rig: &mut Rig| {
        rig.now += SECOND * 15;
        match rig.hear(Inbound::Heartbeat).pop() {
            Some(Effect::Keep(mut leases)) => {
                leases.sort_by(|one, other| one.expose().cmp(other.expose()));
                leases
            }
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(kept(&mut rig), [lease("2")]);
    assert!(!rig.core.is_known(&lease("1")));
    let (report, subject) = rig.report(json!({ "taskId": "J", "status": "processing" }));
    assert_eq!(report.holder, reclaimer_domain::job::report::Holder::Lease(lease("1")));
    let outcome = Ok(ReportAnswer::Applied { status: Status::Running, expires_at: None, spawned: 0 });
    rig.core.done(Done::Reported { subject, held: Some(lease("1")), outcome, next: None });
    assert_eq!(kept(&mut rig), [lease("1"), lease("2")]);
}
