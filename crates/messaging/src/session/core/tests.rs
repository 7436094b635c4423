use reclaimer_domain::job::{Lease, Status};
use reclaimer_domain::ports::{Refused, Renewed, ReportAnswer, StoreError, Taken};
use reclaimer_domain::time::after;
use reclaimer_domain::wire::JobOnTheWire;
use reclaimer_testkit::{a_job, noon};
use serde_json::json;

use super::super::effect::Done;
use super::*;
use crate::message::RefreshRequest;

const SECOND: Duration = Duration::from_secs(1);

fn settings() -> Settings {
    Settings {
        speaks_first: true,
        asks_when_idle: false,
        heartbeat_interval: SECOND * 10,
        heartbeat_timeout: SECOND * 30,
        first_frame_within: SECOND * 15,
        renew_every: SECOND * 15,
        jobs_at_once: 10,
        most_jobs: 100,
        queue: None,
    }
}

fn peer() -> Peer {
    Peer { worker: "link:7".parse().unwrap(), is_process: true }
}

/// A session in progress.
struct Rig {
    core: Core,
    now: Instant,
}

impl Rig {
    fn new() -> Self {
        let now = Instant::now();
        Self { core: Core::open(settings(), peer(), false, now).0, now }
    }

    /// A worker of protocol 2.
    fn registered() -> Self {
        let mut rig = Self::new();
        let features = ["lease", "cancel", "reattach", "ack"].map(str::to_owned).to_vec();
        let registration =
            Registration { worker: Some("w".parse().unwrap()), features, ..Registration::default() };
        assert!(rig.hear(Inbound::Registered(registration)).is_empty());
        rig
    }

    fn hear(&mut self, message: Inbound) -> Vec<Effect> {
        self.core.heard(Ok(Heard::Message(message)), self.now)
    }

    fn pass(&mut self, length: Duration) -> Vec<Effect> {
        self.now += length;
        self.core.tick(self.now)
    }

    /// Hands a job out.
    fn holds(&mut self, job: &str, token: &str) {
        let done = Done::Claimed { request_id: None, limit: 1, outcome: Ok(vec![handed_out(job, token)]) };
        assert!(matches!(&self.core.done(done)[..], [Effect::Send(Outbound::Jobs(jobs))] if jobs.len() == 1));
    }

    fn held(&self) -> Vec<&str> {
        let mut held: Vec<&str> = self.core.held().map(|(token, _)| token.expose()).collect();
        held.sort_unstable();
        held
    }

    fn report(&mut self, report: Value) -> (Box<reclaimer_domain::job::report::Report>, Subject) {
        match self.hear(Inbound::Report(report)).pop() {
            Some(Effect::Report { report, subject }) => (report, subject),
            other => panic!("{other:?}"),
        }
    }
}

fn handed_out(job: &str, token: &str) -> JobOnTheWire {
    let mut job = a_job().id(job).held_by("w").build();
    job.lease = Some(Lease {
        worker: "w".parse().unwrap(),
        token: token.parse().unwrap(),
        expires_at: after(noon(), SECOND * 60),
        excused: false,
    });
    JobOnTheWire::new(job, None)
}

fn lease(token: &str) -> LeaseToken {
    token.parse().unwrap()
}

fn sent(effects: &[Effect]) -> &Outbound {
    match effects {
        [Effect::Send(message)] => message,
        other => panic!("{other:?}"),
    }
}

#[test]
fn it_registers_first_and_asks_what_the_process_holds_from_before() {
    let (_, effects) = Core::open(settings(), peer(), false, Instant::now());
    assert!(
        matches!(&effects[..], [Effect::Send(Outbound::Register), Effect::Adopt(worker)] if worker.as_str() == "link:7")
    );
    let flat = Settings { speaks_first: false, ..settings() };
    let (core, effects) = Core::open(flat, peer(), false, Instant::now());
    assert!(matches!(&effects[..], [Effect::Adopt(_)]));
    assert_eq!(core.next_tick(), core.opened_at + SECOND * 15, "it does not beat");
}

#[test]
fn it_beats_and_listens() {
    let mut rig = Rig::new();
    assert!(matches!(sent(&rig.pass(SECOND * 10)), Outbound::Heartbeat));
    rig.hear(Inbound::Heartbeat);
    assert!(matches!(sent(&rig.pass(SECOND * 10)), Outbound::Heartbeat));
    assert!(matches!(sent(&rig.pass(SECOND * 10)), Outbound::Heartbeat));
    assert!(
        matches!(&rig.pass(SECOND * 10)[..], [Effect::Close(Closed::Silent)]),
        "30 s after the last sign"
    );
}

#[test]
fn any_traffic_is_a_sign_of_life() {
    let mut rig = Rig::new();
    rig.hear(Inbound::Heartbeat);
    rig.pass(SECOND * 25);
    rig.core.traffic(rig.now);
    assert!(!matches!(&rig.pass(SECOND * 25)[..], [Effect::Close(_)]));
}

#[test]
fn a_peer_that_never_says_anything_is_let_go_soon() {
    let mut rig = Rig::new();
    rig.pass(SECOND * 10);
    rig.core.traffic(rig.now);
    assert!(matches!(&rig.pass(SECOND * 5)[..], [Effect::Close(Closed::Mute)]), "bytes alone prove nothing");
}

#[test]
fn our_own_lateness_is_not_held_against_the_peer() {
    let mut rig = Rig::new();
    rig.hear(Inbound::Heartbeat);
    assert!(matches!(sent(&rig.pass(SECOND * 300)), Outbound::Heartbeat));
    assert!(!matches!(&rig.pass(SECOND * 10)[..], [Effect::Close(_)]));
}

#[test]
fn a_request_is_a_claim_by_the_worker() {
    let mut rig = Rig::new();
    let effects =
        rig.hear(Inbound::JobRequest(JobRequest { request_id: Some("r".into()), ..JobRequest::default() }));
    let [Effect::Claim { request_id, want }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((request_id.as_deref(), want.worker.as_str(), want.limit), (Some("r"), "link:7", 10));
    let greedy =
        JobRequest { limit: Some(5_000), worker: Some("other".parse().unwrap()), ..JobRequest::default() };
    let effects = rig.hear(Inbound::JobRequest(greedy));
    let [Effect::Claim { want, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((want.worker.as_str(), want.limit), ("other", 100));
}

#[test]
fn an_error_of_provisioning_is_forwarded_with_the_request() {
    let mut rig = Rig::new();
    let full = StoreError::Unavailable { reason: "disk full".into(), source: None };
    let done = Done::Claimed { request_id: Some("r".into()), limit: 10, outcome: Err(full) };
    let effects = rig.core.done(done);
    let Outbound::JobsError(error) = sent(&effects) else { panic!("{effects:?}") };
    assert_eq!((error.request_id.as_deref(), error.error_type), (Some("r"), "storage_unavailable"));
    assert!(error.retryable && error.message.contains("disk full"));
    let none = Done::Claimed { request_id: None, limit: 10, outcome: Ok(vec![]) };
    assert!(matches!(sent(&rig.core.done(none)), Outbound::Jobs(jobs) if jobs.is_empty()));
}

#[test]
fn nobody_gets_more_than_he_can_run() {
    let mut rig = Rig::new();
    rig.hear(Inbound::Registered(Registration { capacity: Some(3), ..Registration::default() }));
    rig.holds("J", "1");
    let mut asked = || match rig
        .hear(Inbound::JobRequest(JobRequest { limit: Some(1), ..JobRequest::default() }))
        .pop()
    {
        Some(Effect::Claim { want, .. }) => want.limit,
        Some(Effect::Send(Outbound::Jobs(_))) => 0,
        other => panic!("{other:?}"),
    };
    assert_eq!([asked(), asked(), asked()], [1, 1, 0]);
}

#[test]
fn who_is_paused_gets_nothing() {
    let mut rig = Rig::new();
    rig.hear(Inbound::JobRequest(JobRequest::default()));
    let effects = rig.core.command(Command::Pause);
    let [Effect::StopClaiming, Effect::Send(Outbound::Pause), Effect::Send(Outbound::Jobs(jobs))] =
        &effects[..]
    else {
        panic!("{effects:?}")
    };
    assert!(jobs.is_empty(), "what it asked for before is answered");
    assert!(rig.core.command(Command::Pause).is_empty());
    assert!(
        matches!(sent(&rig.hear(Inbound::JobRequest(JobRequest::default()))), Outbound::Jobs(jobs) if jobs.is_empty())
    );
    assert!(matches!(sent(&rig.core.command(Command::Resume)), Outbound::Resume));
    assert!(matches!(&rig.hear(Inbound::JobRequest(JobRequest::default()))[..], [Effect::Claim { .. }]));
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
    let [Effect::Forget { before }, Effect::Claim { .. }] = effects[..] else { panic!("{effects:?}") };
    let effects = rig.core.done(Done::Forgot { before });
    assert!(matches!(&effects[..], [Effect::Abandon(leases)] if *leases == [lease("1")]), "{effects:?}");
    assert_eq!(rig.held(), ["2", "3"]);

    // What it reported just before it asked comes first.
    let effects = rig.hear(ask());
    let [Effect::Forget { before }, Effect::Claim { .. }] = effects[..] else { panic!("{effects:?}") };
    for token in ["2", "3"] {
        let outcome = Ok(ReportAnswer::Duplicate { status: Status::Finished });
        rig.core.done(Done::Reported { subject: Subject::default(), held: Some(lease(token)), outcome });
    }
    assert!(rig.core.done(Done::Forgot { before }).is_empty());

    let mut busy = Rig::new();
    for _ in 0..3 {
        busy.holds("J", "1");
        assert!(matches!(&busy.hear(ask())[..], [Effect::Claim { .. }]), "others may ask for more");
    }
}

#[test]
fn who_is_asked_to_finish_keeps_what_it_holds_and_gets_no_more() {
    let finish = || Command::Finish { reason: "a new version".to_owned() };
    let mut rig = Rig::registered();
    rig.holds("J", "1");
    let effects = rig.core.command(finish());
    let [Effect::StopClaiming, Effect::Send(Outbound::Shutdown { reason })] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(reason, "a new version");
    assert!(rig.core.command(Command::Offer("K".parse().unwrap())).is_empty());
    assert_eq!(rig.held(), ["1"]);
    let mut older = Rig::new();
    assert!(matches!(
        &older.core.command(finish())[..],
        [Effect::StopClaiming, Effect::Send(Outbound::Pause)]
    ));
}

#[test]
fn a_report_without_a_lease_counts_by_the_one_this_connection_holds() {
    let mut rig = Rig::new();
    rig.holds("J", "1");
    let (report, subject) = rig.report(json!({ "taskId": "J", "status": "processing" }));
    assert_eq!(report.holder, reclaimer_domain::job::report::Holder::Lease(lease("1")));
    assert_eq!(subject, Subject { task: Some("J".into()), lease: None });
    let (report, _) = rig.report(json!({ "taskId": "other", "status": "processing" }));
    assert_eq!(report.holder, reclaimer_domain::job::report::Holder::Worker("link:7".parse().unwrap()));
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
        let done = Done::Reported { subject: subject.clone(), held: None, outcome };
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
    let effects = rig.hear(Inbound::Report(json!({ "taskId": "J", "lease": "1", "status": "done" })));
    let Some(Effect::Refuse { subject, code, message }) = effects.into_iter().next() else { panic!() };
    let unknown = rig.core.done(Done::Refused { subject, code, message });
    assert!(
        matches!(sent(&unknown), Outbound::Receipt(Receipt { outcome: Err((code, _)), .. }) if code == "unknown_status")
    );
    let unreadable = rig.core.heard(Err(Unreadable::Frame("x".into())), rig.now);
    assert!(matches!(sent(&unreadable), Outbound::Receipt(Receipt { outcome: Err(_), .. })));
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
    let found = vec![("J".parse().unwrap(), lease("2"))];
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
    let held = Lease { worker: "w".parse().unwrap(), token: lease("1"), expires_at: noon(), excused: false };
    let renewed =
        Renewed { renewed: vec![("J".parse().unwrap(), held)], lost: vec![lease("2")], ..Renewed::default() };
    assert!(rig.core.done(Done::TookOver { asked: leases, outcome: Ok(renewed) }).is_empty());
    assert_eq!(rig.held(), ["1"]);
    assert_eq!(rig.core.take_changes(), (vec![lease("1")], vec![]));
}

#[test]
fn who_leaves_in_order_gives_its_jobs_back() {
    let mut rig = Rig::new();
    rig.holds("J", "1");
    let effects = rig.hear(Inbound::Leaving { reason: Some("SIGTERM".into()) });
    let [Effect::StopClaiming, Effect::Leave { reason }] = &effects[..] else { panic!("{effects:?}") };
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
fn a_job_that_was_offered_is_started_if_it_still_waits() {
    let mut rig = Rig::new();
    assert!(matches!(&rig.core.command(Command::Offer("J".parse().unwrap()))[..], [Effect::Take(_)]));
    assert!(matches!(
        sent(&rig.core.done(Done::Took(Ok(Some(Box::new(handed_out("J", "1"))))))),
        Outbound::StartJob(_)
    ));
    assert_eq!(rig.held(), ["1"]);
    assert!(rig.core.done(Done::Took(Ok(None))).is_empty());

    // One who has no room for it leaves it to others.
    let registration = Registration { capacity: Some(1), ..Registration::default() };
    rig.hear(Inbound::Registered(registration));
    assert!(rig.core.command(Command::Offer("K".parse().unwrap())).is_empty());
}

#[test]
fn rubbish_is_suffered_up_to_a_point() {
    let mut rig = Rig::new();
    for _ in 0..MOST_BURSTS {
        assert!(rig.core.rubbish(Fault::Broken, rig.now).is_empty());
    }
    rig.now += SECOND * 61;
    assert!(rig.core.rubbish(Fault::Broken, rig.now).is_empty(), "a minute later they count anew");
    for _ in 0..MOST_BURSTS - 1 {
        rig.core.rubbish(Fault::Broken, rig.now);
    }
    assert!(matches!(&rig.core.rubbish(Fault::Broken, rig.now)[..], [Effect::Close(Closed::Rubbish(_))]));
    assert!(matches!(&rig.core.rubbish(Fault::Endless, rig.now)[..], [Effect::Close(Closed::Rubbish(_))]));
}

#[test]
fn what_is_not_for_us_is_counted_and_has_no_effect() {
    let mut rig = Rig::new();
    assert!(rig.core.heard(Ok(Heard::Foreign { destination: "x".into() }), rig.now).is_empty());
    assert!(rig.core.heard(Ok(Heard::Unknown { kind: "x".into() }), rig.now).is_empty());
    assert!(rig.core.heard(Err(Unreadable::Frame("x".into())), rig.now).is_empty());
    assert_eq!(
        rig.core.counters(),
        Counters { foreign: 1, unknown: 1, unreadable: 1, ..Counters::default() }
    );
    assert!(!rig.core.is_proven());
}

#[test]
fn credentials_are_asked_for_once_and_answered_each_time() {
    let mut rig = Rig::new();
    let request = || RefreshRequest::OfAccount {
        request_id: "t".into(),
        provider: "g".parse().unwrap(),
        account: Some("a".parse().unwrap()),
        user: None,
    };
    assert!(matches!(&rig.hear(Inbound::RefreshRequest(request()))[..], [Effect::Refresh(_)]));
    assert!(rig.hear(Inbound::RefreshRequest(request())).is_empty());
    let effects = rig.core.done(Done::Refreshed { request: request(), outcome: Err("gone".into()) });
    assert_eq!(effects.len(), 2);
    assert!(
        matches!(sent(&rig.hear(Inbound::RefreshRequest(request()))), Outbound::Refreshed(_)),
        "from memory"
    );
}

#[test]
fn the_end_of_the_server_is_said_to_those_who_understand() {
    assert!(matches!(&Rig::new().core.server_ends("x")[..], [Effect::Close(Closed::ServerEnds)]));
    let effects = Rig::registered().core.server_ends("x");
    assert!(matches!(&effects[..], [Effect::Send(Outbound::Shutdown { .. }), Effect::Close(_)]));
}
