use super::*;

fn of_account(id: &str, account: &str) -> RefreshRequest {
    RefreshRequest::OfAccount {
        request_id: id.into(),
        provider: "g".parse().unwrap(),
        account: Some(account.parse().unwrap()),
        user: None,
    }
}

/// Asks, and answers what follows when what was said before has had its effect.
fn ask(rig: &mut Rig, request: RefreshRequest) -> Vec<Effect> {
    match rig.hear(Inbound::RefreshRequest(request)).pop() {
        Some(Effect::InTurn(done)) => rig.core.done(*done),
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn refused(effects: &[Effect]) {
    match sent(effects) {
        Outbound::Refreshed(answer) => assert!(answer.outcome.is_err(), "{answer:?}"),
        other => panic!("{other:?}"),
    }
}

#[test]
fn credentials_are_asked_for_once_and_answered_each_time() {
    let mut rig = Rig::new();
    rig.holds_of("J", "1", Some("a"));
    let request = || of_account("t", "a");
    assert!(matches!(&ask(&mut rig, request())[..], [Effect::Refresh { among, .. }] if among.is_empty()));
    assert!(ask(&mut rig, request()).is_empty());
    let done = Done::Refreshed { request: request(), outcome: Err("gone".into()), at: rig.now };
    assert_eq!(rig.core.done(done).len(), 2);
    assert!(matches!(sent(&ask(&mut rig, request())), Outbound::Refreshed(_)), "from memory");
}

#[test]
fn credentials_are_for_whoever_holds_a_job_that_needs_them() {
    let mut rig = Rig::new();
    let of_job = || RefreshRequest::OfJob("J".parse().unwrap());
    refused(&ask(&mut rig, of_job()));
    refused(&ask(&mut rig, of_account("t", "a")));
    rig.holds_of("J", "1", Some("a"));
    assert!(matches!(&ask(&mut rig, of_job())[..], [Effect::Refresh { .. }]));
    assert!(matches!(&ask(&mut rig, of_account("t", "a"))[..], [Effect::Refresh { .. }]));
    refused(&ask(&mut rig, of_account("t", "b")));
    // What it asked for before, and what it held before, is none of its business any more.
    rig.core.forget(&[lease("1")]);
    rig.core.done(Done::Refreshed { request: of_account("t", "a"), outcome: Err("x".into()), at: rig.now });
    refused(&ask(&mut rig, of_job()));
    refused(&ask(&mut rig, of_account("t", "a")));
}

#[test]
fn the_accounts_of_jobs_from_before_the_connection_are_looked_up() {
    let mut rig = Rig::new();
    let held = Lease { worker: "w".parse().unwrap(), token: lease("1"), expires_at: noon(), excused: false };
    let renewed = vec![("J".parse().unwrap(), held)];
    let outcome = Ok(Renewed { renewed, ..Renewed::default() });
    rig.core.done(Done::Reattached { asked: vec![lease("1")], outcome });
    let effects = ask(&mut rig, of_account("t", "a"));
    assert!(matches!(&effects[..], [Effect::Refresh { among, .. }] if among.len() == 1), "{effects:?}");
    let nobodys = RefreshRequest::OfAccount {
        request_id: "u".into(),
        provider: "g".parse().unwrap(),
        account: None,
        user: None,
    };
    refused(&ask(&mut rig, nobodys));
}
