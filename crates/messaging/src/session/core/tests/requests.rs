use reclaimer_domain::id::JobId;
use reclaimer_domain::name::QueueName;

use super::*;
use crate::offers::Offers;

#[test]
fn a_request_is_a_claim_by_the_worker() {
    let mut rig = Rig::new();
    let effects =
        rig.hear(Inbound::JobRequest(JobRequest { request_id: Some(json!("r")), ..JobRequest::default() }));
    let [Effect::Claim { request_id, want }] = &effects[..] else { panic!("{effects:?}") };
    assert_eq!((request_id.as_ref(), want.worker.as_str(), want.limit), (Some(&json!("r")), "link:7", 10));
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
    let done = Done::Claimed { request_id: Some(json!("r")), limit: 10, outcome: Err(full) };
    let effects = rig.core.done(done);
    let Outbound::JobsError(error) = sent(&effects) else { panic!("{effects:?}") };
    assert_eq!((error.request_id.as_ref(), error.error_type), (Some(&json!("r")), "storage_unavailable"));
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
fn who_is_asked_to_finish_keeps_what_it_holds_and_gets_no_more() {
    let finish = || Command::Finish { reason: "a new version".to_owned() };
    let mut rig = Rig::registered();
    rig.holds("J", "1");
    let effects = rig.core.command(finish());
    let [Effect::StopClaiming, Effect::Send(Outbound::Shutdown { reason })] = &effects[..] else {
        panic!("{effects:?}")
    };
    assert_eq!(reason, "a new version");
    assert_eq!((rig.core.room(), rig.held()), (0, vec!["1"]));
    let mut older = Rig::new();
    assert!(matches!(
        &older.core.command(finish())[..],
        [Effect::StopClaiming, Effect::Send(Outbound::Pause)]
    ));
}

#[test]
fn a_job_that_was_offered_is_started_if_there_is_room_for_it() {
    let offers = Arc::new(Offers::default());
    let ticket = |name: &str| {
        let (job, mut found) = (name.parse::<JobId>().unwrap(), None);
        offers.put(job, QueueName::default());
        offers.round(|ticket, _| {
            found = Some(ticket);
            Ok(())
        });
        found.unwrap()
    };
    let mut rig = Rig::new();
    let room = rig.core.room();
    let effects = rig.core.command(Command::Offer(ticket("J")));
    assert_eq!(rig.core.room(), room - 1, "it takes up room already");
    let Some(Effect::Take(taken)) = effects.into_iter().next() else { panic!("it has room") };
    let effects = rig.core.done(Done::Took { job: Box::new(handed_out("J", "1")), ticket: taken });
    assert!(matches!(&effects[..], [Effect::Started { .. }, Effect::Send(Outbound::StartJob(_))]));
    assert_eq!(rig.held(), ["1"]);

    // One who has no room for it leaves it to others.
    rig.hear(Inbound::Registered(Registration { capacity: Some(2), ..Registration::default() }));
    let effects = rig.core.command(Command::Offer(ticket("K")));
    let Some(Effect::Take(taken)) = effects.into_iter().next() else { panic!("it has room for one more") };
    rig.core.command(Command::Pause);
    let effects = rig.core.done(Done::Took { job: Box::new(handed_out("K", "2")), ticket: taken });
    assert!(
        matches!(&effects[..], [Effect::Started { .. }, Effect::Release { .. }]),
        "it was paused meanwhile"
    );
    assert!(rig.core.command(Command::Offer(ticket("L"))).is_empty());
    assert!(offers.is_waiting(&"L".parse().unwrap()));
    rig.core.command(Command::Resume);
    rig.holds("M", "3");
    assert!(rig.core.command(Command::Offer(ticket("N"))).is_empty(), "it is full");
}

#[test]
fn a_request_that_cannot_be_read_is_answered() {
    let mut rig = Rig::new();
    let jobs = BadRequest::Jobs { request_id: Some(json!(7)), reason: "`limit` is a number".into() };
    let effects = rig.hear(Inbound::BadRequest(jobs));
    let Outbound::JobsError(error) = sent(&effects) else { panic!("{effects:?}") };
    assert_eq!(
        (&error.request_id, error.error_type, error.retryable),
        (&Some(json!(7)), "invalid_request", false)
    );
    let credentials = BadRequest::Credentials { subject: json!("t"), reason: "no provider".into() };
    let effects = rig.hear(Inbound::BadRequest(credentials));
    assert!(matches!(sent(&effects), Outbound::NoCredentials { subject, .. } if *subject == "t"));
}

#[test]
fn a_link_of_one_queue_hands_out_no_jobs_of_another() {
    let mut rig = Rig::new();
    rig.core.settings.queue = Some("special".parse().unwrap());
    let mut ask = |queue: Option<&str>| {
        let queue = queue.map(|queue| queue.parse().unwrap());
        rig.hear(Inbound::JobRequest(JobRequest { queue, ..JobRequest::default() }))
    };
    for queue in [None, Some("special")] {
        let effects = ask(queue);
        let [Effect::Claim { want, .. }] = &effects[..] else { panic!("{effects:?}") };
        assert_eq!(want.queue.as_ref().map(|queue| queue.as_str()), Some("special"));
    }
    let effects = ask(Some("default"));
    assert!(matches!(sent(&effects), Outbound::JobsError(error) if error.message.contains("`special` only")));
}

#[test]
fn only_so_many_requests_wait() {
    let mut rig = Rig::new();
    let ask =
        || Inbound::JobRequest(JobRequest { limit: Some(1), wait: SECOND * 60, ..JobRequest::default() });
    for _ in 0..32 {
        assert!(matches!(&rig.hear(ask())[..], [Effect::Claim { .. }]));
    }
    let effects = rig.hear(ask());
    let Outbound::JobsError(error) = sent(&effects) else { panic!("{effects:?}") };
    assert_eq!((error.error_type, error.retryable), ("too_many_waiting", true));
    rig.core.done(Done::Claimed { request_id: None, limit: 1, outcome: Ok(vec![]) });
    assert!(matches!(&rig.hear(ask())[..], [Effect::Claim { .. }]));
}
