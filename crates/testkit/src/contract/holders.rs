//! J2, J3, J8: what is asked about a worker as a whole: its jobs, its leases while it cannot be heard, what else is known.

use reclaimer_domain::account::Standing;
use reclaimer_domain::decision::{Action, Decision, StuckSign};
use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{NewJob, Priority, Status};
use reclaimer_domain::ports::{AdminAction, Claim, Evidence, Hold, JobStore, Renew, Taken, TakenLease};
use reclaimer_domain::time::after;
use serde_json::json;

use super::ask::{LEASE, at, claim, id, order, token};
use super::rig::Rig;
use crate::account::text;
use crate::noon;

/// J5: a claim of one very job gets that one or none, whatever waits before it.
pub async fn a_very_job_can_be_claimed(rig: &dyn Rig) {
    let store = rig.store();
    store.add("first", order("X")).await;
    let wanted = store.add("wanted", order("X")).await;
    let later = store.add("later", NewJob { run_at: Some(at(60)), ..order("X") }).await;
    let of = |job: &JobId, lease: &str| Claim { only: Some(job.clone()), ..claim("w", &[lease]) };
    assert_eq!(store.claimed_ids(of(&wanted, "1")).await, ["wanted"]);
    assert!(store.claimed_ids(of(&wanted, "2")).await.is_empty(), "it runs already");
    assert!(store.claimed_ids(of(&later, "3")).await.is_empty(), "it is not due");
    assert!(store.claimed_ids(of(&id("none"), "4")).await.is_empty());
    store.set_paused("default", true).await;
    assert!(store.claimed_ids(of(&id("first"), "5")).await.is_empty(), "its queue is paused");
}

/// J5: a claim of several commands gets jobs of any of them, in the one order.
pub async fn a_claim_of_several_commands_keeps_the_order(rig: &dyn Rig) {
    let store = rig.store();
    let urgent = NewJob { priority: Priority::try_from(-5).unwrap(), ..order("Y") };
    for (name, new) in
        [("a", order("X")), ("b", order("Z")), ("c", order("Y")), ("d", order("X")), ("e", urgent)]
    {
        store.add(name, new).await;
    }
    let wanted = Claim { commands: vec![text("X"), text("Y")], ..claim("w", &["1", "2", "3"]) };
    assert_eq!(store.claimed_ids(wanted).await, ["e", "a", "c"]);
    let rest = Claim { commands: vec![text("X"), text("Y")], ..claim("w", &["4", "5"]) };
    assert_eq!(store.claimed_ids(rest).await, ["d"]);
}

/// J5: jobs for a later moment stand in nobody's way, whatever their priority.
pub async fn later_jobs_stand_in_nobodys_way(rig: &dyn Rig) {
    let store = rig.store();
    let urgent = Priority::try_from(-20).unwrap();
    store.add("later", NewJob { priority: urgent, run_at: Some(at(60)), ..order("X") }).await;
    store.add("now", order("X")).await;
    store.set_paused("other", true).await;
    store.add("paused", NewJob { queue: text("other"), priority: urgent, ..order("X") }).await;
    for (commands, lease) in [(vec![], "1"), (vec![text("X")], "2")] {
        let found = store.claimed_ids(Claim { commands, ..claim("w", &[lease]) }).await;
        assert_eq!(found, if lease == "1" { vec!["now"] } else { vec![] });
    }
    let due = store.claim(claim("w", &["3"])).await.unwrap().next_due;
    assert_eq!(due, Some(at(60)));
}

/// A worker's jobs are those it holds, with their leases.
pub async fn a_workers_jobs_are_known(rig: &dyn Rig) {
    let store = rig.store();
    let one = store.add_running("a", order("X"), "w", "1").await;
    store.add_running("b", order("X"), "other", "2").await;
    let three = store.add_running("c", order("X"), "w", "3").await;
    store.administered(&three, AdminAction::Cancel, at(1)).await;
    let held = store.held_by(&text("w")).await.unwrap();
    assert_eq!(held, [(one.clone(), store.read(&one).await.lease.unwrap())]);
}

/// A sign of the worker in general renews its leases, but says nothing of the jobs themselves.
pub async fn a_sign_of_the_worker_alone_does_not_touch_its_jobs(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let renew = Renew { leases: vec![token("first")], named: false, lease_for: LEASE, now: at(30) };
    assert_eq!(JobStore::renew(&*store, renew).await.unwrap().renewed.len(), 1);
    let found = store.read(&job).await;
    assert_eq!((found.lease.unwrap().expires_at, found.updated_at), (after(at(30), LEASE), noon()));
}

/// A lease whose worker cannot be heard ends when it is said to, sooner or later than it would have.
pub async fn leases_are_held_on_until_a_moment(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    for until in [at(10), at(500)] {
        let hold =
            Hold { leases: vec![token("first"), token("made-up")], until: Some(until), excused: false };
        assert_eq!(store.hold(hold).await.unwrap(), 1);
        let found = store.read(&job).await.lease.unwrap();
        assert_eq!((found.expires_at, found.excused), (until, false));
    }
    let hold = Hold { leases: vec![token("first")], until: None, excused: true };
    store.hold(hold).await.unwrap();
    let found = store.read(&job).await.lease.unwrap();
    assert_eq!((found.expires_at, found.excused), (at(500), true));
    store.beat(&["first"], at(20)).await;
    assert!(!store.read(&job).await.lease.unwrap().excused, "its worker was heard again");
}

/// A start that has to wait for its worker is noted in the job, and forgotten when it is handed out.
pub async fn a_pending_start_is_noted_and_forgotten(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add("job", order("X")).await;
    assert!(store.note_pending_start(job.clone(), at(1)).await.unwrap());
    let found = store.read(&job).await;
    assert_eq!(found.progress["pendingStart"], true);
    let other = store.add("other", order("Y")).await;
    assert_eq!(store.pending_starts(9).await.unwrap(), [(job.clone(), found.queue.clone())], "not {other}");
    store.administered(&other, AdminAction::Cancel, at(1)).await;
    assert_eq!(found.progress["lastStartAttempt"], "2026-01-05T12:00:01.000Z");
    assert_eq!(found.status, Status::Queued);
    store.take("w", "first", at(2)).await;
    assert!(!store.read(&job).await.progress.contains_key("pendingStart"));
    assert!(!store.note_pending_start(job, at(3)).await.unwrap(), "it runs");
    assert!(!store.note_pending_start(id("none"), at(3)).await.unwrap());
}

/// J3: evidence becomes part of the history and changes nothing else; more than is kept is said to be dropped.
pub async fn evidence_becomes_part_of_the_history(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let before = store.read(&job).await;
    let evidence = |detail| Evidence {
        job: job.clone(),
        actor: Actor::System,
        reason: "its process was killed".into(),
        detail,
        now: at(1),
    };
    assert!(store.testify(evidence(json!({ "signal": 9 }))).await.unwrap());
    assert_eq!(store.read(&job).await, before);
    let last = store.history(&job).await.pop().unwrap().entry;
    assert_eq!((last.kind, last.at, last.to), (EventKind::Evidence, at(1), Some(Status::Running)));
    assert_eq!(
        (last.reason.as_deref(), last.detail),
        (Some("its process was killed"), Some(json!({ "signal": 9 })))
    );
    assert!(store.testify(evidence(json!("x".repeat(100_000)))).await.unwrap());
    let last = store.history(&job).await.pop().unwrap().entry;
    assert!(last.detail.unwrap()["dropped"].is_string());
    assert!(!store.testify(Evidence { job: id("none"), ..evidence(json!({})) }).await.unwrap());
}

/// J8: whose lease is taken by recovery or by a person is told of, and nobody else.
pub async fn a_taken_lease_is_told_of(rig: &dyn Rig) {
    let store = rig.store();
    let lost = store.add_running("a", order("X"), "w", "1").await;
    let cancelled = store.add_running("b", order("X"), "w", "2").await;
    store.add_running("c", order("X"), "w", "3").await;
    let waits = store.add("d", order("X")).await;
    rig.taken().await;
    let decision = Decision {
        action: Action::Requeue { run_at: at(100), priority: None, queue: None },
        rule: None,
        reason: "lost".into(),
        sign: Some(StuckSign::LeaseExpired),
        account: Standing::NotNeeded,
        policy: text("a1b2c3d4e5f6"),
    };
    let planned = store.plan(&lost, decision).await;
    store.apply(text("run"), vec![planned], at(100)).await.unwrap();
    store.administered(&cancelled, AdminAction::Cancel, at(101)).await;
    store.administered(&waits, AdminAction::Cancel, at(102)).await;
    store.give_back(&["3"], at(103)).await;
    let told = |job: &JobId, lease, why| TakenLease { job: job.clone(), token: token(lease), why };
    assert_eq!(
        rig.taken().await,
        [told(&lost, "1", Taken::Reclaimed), told(&cancelled, "2", Taken::Cancelled)]
    );
}
