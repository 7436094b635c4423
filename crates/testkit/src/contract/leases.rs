//! J2, J3: signs of life, leases given back, and what our own absence does to leases.

use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::job::report::Outcome;
use reclaimer_domain::job::{Job, Lease, Status};
use reclaimer_domain::ports::{AdminAction, Claim, Release};
use reclaimer_domain::time::after;

use super::ask::{LEASE, at, claim, id, order, report, token};
use super::rig::Rig;
use crate::account::text;
use crate::noon;

fn ends_at(job: &Job) -> DateTime<Utc> {
    job.lease.as_ref().unwrap().expires_at
}

/// A sign of life that names the job renews its lease and counts as heard of; it leaves no event.
pub async fn a_sign_of_life_renews(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let history = store.history(&job).await;
    let answer = store.beat(&["first"], at(30)).await;
    let found = store.read(&job).await;
    assert_eq!(answer.renewed, [(job.clone(), found.lease.clone().unwrap())]);
    assert_eq!((ends_at(&found), found.updated_at), (after(at(30), LEASE), at(30)));
    assert_eq!(store.history(&job).await, history);
}

/// A lease that has run out, but was not taken away, is renewed like any other.
pub async fn an_overdue_lease_is_renewed_while_nobody_took_it(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    assert_eq!(store.beat(&["first"], at(600)).await.renewed.len(), 1);
    assert_eq!(ends_at(&store.read(&job).await), after(at(600), LEASE));
}

/// A renewal never shortens a lease.
pub async fn a_renewal_never_shortens(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add("job", order("X")).await;
    let long = Claim { lease_for: LEASE * 60, ..claim("w", &["first"]) };
    store.claimed_ids(long).await;
    store.beat(&["first"], at(1)).await;
    store.tell(report(&job, "first", Outcome::Progress), at(2)).await;
    assert_eq!(ends_at(&store.read(&job).await), after(noon(), LEASE * 60));
}

/// Each lease of one order is answered on its own: renewed, lost, or cancelled meanwhile.
pub async fn each_lease_is_answered_on_its_own(rig: &dyn Rig) {
    let store = rig.store();
    let runs = store.add_running("a", order("X"), "w", "1").await;
    let gone = store.add_running("b", order("X"), "w", "2").await;
    let over = store.add_running("c", order("X"), "w", "3").await;
    store.administered(&gone, AdminAction::Cancel, at(1)).await;
    store.tell(report(&over, "3", Outcome::Completed), at(1)).await;
    let answer = store.beat(&["3", "2", "made-up", "1"], at(2)).await;
    assert_eq!(answer.renewed.iter().map(|(job, _)| job).collect::<Vec<_>>(), [&runs]);
    assert_eq!(answer.lost, [token("3"), token("made-up")]);
    assert_eq!(answer.cancelled, [(gone, token("2"))]);
}

/// J3: a job given back unworked is queued again; it costs no attempt, and the history says who and why.
pub async fn a_job_given_back_costs_no_attempt(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let order = Release {
        leases: vec![token("first")],
        reason: Some("I am leaving".to_owned()),
        delay: Duration::from_secs(30),
        now: at(10),
    };
    let answer = store.release(order).await.unwrap();
    assert_eq!((answer.released, answer.lost), (vec![(job.clone(), token("first"))], vec![]));
    let found = store.read(&job).await;
    assert_eq!((found.status, &found.lease, found.attempt), (Status::Queued, &None, 0));
    assert_eq!((found.run_at, found.lease_epoch), (at(40), 1));
    let last = store.history(&job).await.pop().unwrap().entry;
    assert_eq!(
        (last.kind, last.from, last.to),
        (EventKind::Released, Some(Status::Running), Some(Status::Queued))
    );
    assert_eq!((last.actor, last.reason.as_deref()), (Actor::Worker(text("w")), Some("I am leaving")));
    assert!(store.claimed_ids(Claim { now: at(39), ..claim("v", &["second"]) }).await.is_empty());
    assert_eq!(store.take("v", "second", at(40)).await.attempt, 1);
}

/// A lease is given back once; what does not hold a job any more changes nothing.
pub async fn a_lease_is_given_back_once(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let both = store.give_back(&["first", "first"], at(1)).await;
    assert_eq!((both.released.len(), both.lost), (1, vec![token("first")]));
    store.take("v", "second", at(2)).await;
    let before = store.snapshot(&job).await;
    assert_eq!(store.give_back(&["first"], at(3)).await.lost, [token("first")]);
    assert_eq!(store.beat(&["first"], at(3)).await.lost, [token("first")]);
    assert_eq!(store.snapshot(&job).await, before);
}

/// J2: a job that is given back and cancelled at the same time ends cancelled, whoever was first.
pub async fn giving_back_and_cancelling_cannot_undo_each_other(rig: &dyn Rig) {
    let (here, there) = (rig.store(), rig.another().await);
    for number in 0..8 {
        let (name, lease) = (format!("job-{number}"), format!("lease-{number}"));
        let job = here.add_running(&name, order("X"), "w", &lease).await;
        let leases = [lease.as_str()];
        let (given, cancelled) = tokio::join!(
            here.give_back(&leases, at(1)),
            there.administered(&job, AdminAction::Cancel, at(1)),
        );
        assert_eq!(cancelled.status, Status::Cancelled);
        assert_eq!(given.released.len() + given.lost.len(), 1);
        let snapshot = here.snapshot(&job).await;
        assert_eq!((snapshot.job.status, &snapshot.job.lease), (Status::Cancelled, &None));
        let given_back = snapshot.history.iter().any(|event| event.entry.kind == EventKind::Released);
        assert_eq!(given_back, given.lost.is_empty());
    }
}

/// A grace lengthens the leases that end before it, excuses their loss until their worker is heard, and counts them.
pub async fn a_grace_lengthens_and_excuses(rig: &dyn Rig) {
    let store = rig.store();
    let short = store.add_running("a", order("X"), "w", "1").await;
    store.add("b", order("X")).await;
    let long = Claim { lease_for: LEASE * 60, ..claim("w", &["2"]) };
    assert_eq!(store.claimed_ids(long).await, ["b"]);
    let waiting = store.add("c", order("X")).await;
    let (others, before) =
        ((store.read(&id("b")).await, store.read(&waiting).await), store.read(&short).await);
    assert_eq!(store.grant_grace(at(90)).await.unwrap(), 1);
    let found = store.read(&short).await;
    assert_eq!((ends_at(&found), found.lease.as_ref().unwrap().excused), (at(90), true));
    assert_eq!(Job { lease: before.lease.clone(), ..found }, before, "nothing else has changed");
    assert_eq!((store.read(&id("b")).await, store.read(&waiting).await), others);
    assert_eq!(store.grant_grace(at(90)).await.unwrap(), 0, "it is granted once");
    store.beat(&["1"], at(80)).await;
    let heard = store.read(&short).await.lease.unwrap();
    assert_eq!((heard.expires_at, heard.excused), (after(at(80), LEASE), false));
}

/// When the wall clock jumps, what is known of every running job jumps with it; those that wait stay as they are. A jump
/// forward, which a machine that slept makes as well, excuses the loss of a lease.
pub async fn running_jobs_move_with_the_clock(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let waiting = store.add("waiting", order("X")).await;
    let jump = TimeDelta::milliseconds(3_600_250);
    let (before, other) = (store.read(&job).await, store.read(&waiting).await);
    let jumped = |by: TimeDelta, excused| {
        let lease =
            before.lease.clone().map(|lease| Lease { expires_at: lease.expires_at + by, excused, ..lease });
        let started_at = before.started_at.map(|at| at + by);
        Job { lease, started_at, updated_at: before.updated_at + by, ..before.clone() }
    };
    assert_eq!(store.shift_leases(-jump).await.unwrap(), 1);
    assert_eq!(store.read(&job).await, jumped(-jump, false));
    assert_eq!(store.shift_leases(jump).await.unwrap(), 1);
    assert_eq!(store.read(&job).await, jumped(TimeDelta::zero(), true));
    assert_eq!(store.read(&waiting).await, other);
    assert_eq!(store.beat(&["first"], at(1)).await.renewed.len(), 1, "it is still the same lease");
}
