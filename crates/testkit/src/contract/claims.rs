//! J2, J3, J5: handing out jobs.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::job::{NewJob, Priority, Status};
use reclaimer_domain::ports::{Claim, Search};
use reclaimer_domain::recovery::RecoveryType;
use reclaimer_domain::time::after;

use super::ask::{LEASE, at, claim, id, order, token};
use super::rig::{Rig, Store};
use crate::account::text;
use crate::noon;

fn with(priority: i64, run_at: DateTime<Utc>) -> NewJob {
    NewJob { priority: Priority::try_from(priority).unwrap(), run_at: Some(run_at), ..order("X") }
}

fn in_queue(queue: &str) -> NewJob {
    NewJob { queue: text(queue), ..order("X") }
}

/// J3, J5: a claim leases the job, charges an attempt, and says so in the history; the answer is what is stored.
pub async fn a_claim_grants_a_lease(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add("job", order("X")).await;
    let taken = store.take("w", "first", at(5)).await;
    let lease = taken.lease.clone().unwrap();
    assert_eq!((lease.worker.as_str(), lease.token), ("w", token("first")));
    assert_eq!((lease.expires_at, lease.excused), (after(at(5), LEASE), false));
    assert_eq!((taken.status, taken.attempt, taken.lease_epoch), (Status::Running, 1, 1));
    assert_eq!((taken.started_at, taken.updated_at), (Some(at(5)), at(5)));
    let history = store.history(&job).await;
    let entry = &history[1].entry;
    assert_eq!(
        (entry.kind, entry.from, entry.to),
        (EventKind::Claimed, Some(Status::Queued), Some(Status::Running))
    );
    assert_eq!((entry.at, &entry.actor), (at(5), &Actor::Worker(text("w"))));
    assert_eq!(
        entry.detail.as_ref().unwrap()["lease"],
        token("first").fingerprint(),
        "never the token itself"
    );
    assert_eq!(store.read(&job).await, taken);
}

/// J5: the lowest priority number goes first, then the earliest `run_at`, then the lowest id.
pub async fn the_order_is_priority_then_moment_then_id(rig: &dyn Rig) {
    let store = rig.store();
    store.add("e", with(1, at(-9))).await;
    store.add("d", with(0, at(-1))).await;
    store.add("b", with(0, at(-2))).await;
    store.add("c", with(0, at(-2))).await;
    store.add("a", with(-20, at(0))).await;
    for queue in [None, Some(text("default"))] {
        let peeked = store.peek(queue, None, 9, noon()).await.unwrap();
        let names: Vec<&str> = peeked.iter().map(|job| job.id.as_str()).collect();
        assert_eq!(names, ["a", "b", "c", "d", "e"]);
    }
    assert_eq!(store.claimed_ids(claim("w", &["1", "2"])).await, ["a", "b"]);
    let of_queue = Claim { queue: Some(text("default")), ..claim("w", &["3", "4", "5", "6"]) };
    assert_eq!(store.claimed_ids(of_queue).await, ["c", "d", "e"]);
}

/// J5: a job is handed out from its very moment on, and until then the answer says when that is.
pub async fn nothing_is_handed_out_before_its_moment(rig: &dyn Rig) {
    let store = rig.store();
    let due = noon() + TimeDelta::microseconds(1);
    store.add("later", with(-5, at(60))).await;
    store.add("soon", with(5, due)).await;
    let early = store.claim(claim("w", &["1"])).await.unwrap();
    assert_eq!((early.jobs, early.next_due), (vec![], Some(due)));
    assert_eq!(store.claimed_ids(Claim { now: due, ..claim("w", &["1", "2"]) }).await, ["soon"]);
}

/// J5: a moment beyond every calendar is no moment of today.
pub async fn the_end_of_time_is_not_due(rig: &dyn Rig) {
    let store = rig.store();
    store.add("never", with(0, DateTime::<Utc>::MAX_UTC)).await;
    assert!(store.claimed_ids(claim("w", &["1"])).await.is_empty());
    assert_eq!(store.peek(None, None, 1, noon()).await.unwrap(), []);
    assert!(store.read(&id("never")).await.run_at > at(86_400 * 365 * 1_000));
}

/// A lease that is granted for ever does not run out today.
pub async fn a_lease_without_end_is_not_over(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add("job", order("X")).await;
    let claim = Claim { lease_for: Duration::MAX, ..claim("w", &["first"]) };
    assert_eq!(store.claimed_ids(claim).await, ["job"]);
    assert!(store.read(&job).await.lease.unwrap().expires_at > at(86_400 * 365 * 1_000));
    let search = Search {
        kind: RecoveryType::Stuck,
        expired_leases_only: true,
        resting: false,
        silent_since: None,
        after: None,
        limit: 1,
        now: at(1),
    };
    assert!(store.candidates(search).await.unwrap().jobs.is_empty());
    assert_eq!(store.grant_grace(at(90)).await.unwrap(), 0);
    assert_eq!(store.beat(&["first"], at(1)).await.renewed.len(), 1);
}

/// J5: a paused queue hands out nothing, holds up no other, and goes on when it is resumed.
pub async fn a_paused_queue_hands_out_nothing(rig: &dyn Rig) {
    let store = rig.store();
    store.add("a", in_queue("stopped")).await;
    store.add("b", in_queue("open")).await;
    store.add("c", NewJob { run_at: Some(at(60)), ..in_queue("stopped") }).await;
    store.set_paused("stopped", true).await;
    assert_eq!(store.claimed_ids(claim("w", &["1", "2"])).await, ["b"]);
    let of_it = Claim { queue: Some(text("stopped")), ..claim("w", &["2"]) };
    let nothing = store.claim(of_it.clone()).await.unwrap();
    assert_eq!((nothing.jobs, nothing.next_due), (vec![], None), "what is paused does not fall due");
    assert_eq!(store.peek(None, None, 9, noon()).await.unwrap(), []);
    store.set_paused("stopped", false).await;
    assert_eq!(store.claimed_ids(of_it).await, ["a"]);
}

/// J5: a claim for a queue or a command gets jobs of that queue and command alone, and their next moment alone.
pub async fn a_claim_gets_what_it_is_for(rig: &dyn Rig) {
    let store = rig.store();
    let job = |queue: &str, command: &str, due| NewJob {
        queue: text(queue),
        run_at: Some(at(due)),
        ..order(command)
    };
    store.add("a", job("q", "X", 0)).await;
    store.add("b", job("q", "Y", 0)).await;
    store.add("c", job("r", "X", 0)).await;
    store.add("d", job("r", "Y", 70)).await;
    store.add("e", job("q", "X", 80)).await;
    store.add("f", job("q", "Y", 90)).await;
    let of = |queue: Option<&str>, command: Option<&str>, tokens: &[&str]| Claim {
        queue: queue.map(text),
        commands: command.map(text).into_iter().collect(),
        ..claim("w", tokens)
    };
    let next_due =
        async |queue, command| store.claim(of(queue, command, &["unused"])).await.unwrap().next_due;
    assert_eq!(store.claimed_ids(of(Some("q"), Some("Y"), &["1", "2"])).await, ["b"]);
    assert_eq!(next_due(Some("q"), Some("Y")).await, Some(at(90)));
    assert_eq!(store.claimed_ids(of(Some("q"), None, &["3", "4"])).await, ["a"]);
    assert_eq!(next_due(Some("q"), None).await, Some(at(80)));
    assert_eq!(next_due(None, Some("Y")).await, Some(at(70)));
    assert_eq!(next_due(Some("none"), None).await, None);
    let peeked = store.peek(Some(text("r")), Some(text("X")), 9, noon()).await.unwrap();
    assert_eq!(peeked.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["c"]);
    assert_eq!(store.claimed_ids(of(None, Some("X"), &["5", "6"])).await, ["c"]);
}

/// J5: as many jobs as tokens at most, each under a token of its own; none for none.
pub async fn each_job_takes_one_token(rig: &dyn Rig) {
    let store = rig.store();
    for name in ["a", "b", "c"] {
        store.add(name, order("X")).await;
    }
    assert!(store.claimed_ids(claim("w", &[])).await.is_empty());
    let taken = store.claim(claim("w", &["1", "2"])).await.unwrap().jobs;
    let leases: Vec<_> = taken.iter().map(|job| job.lease.clone().unwrap().token).collect();
    assert_eq!(leases, [token("1"), token("2")]);
    assert_eq!(store.read(&id("c")).await.status, Status::Queued);
}

/// J2, J5: however many claim at once, on one server or on two, every job goes to one of them.
pub async fn no_job_goes_to_two_callers(rig: &dyn Rig) {
    let (here, there) = (rig.store(), rig.another().await);
    let jobs: Vec<_> = (10..40).map(|number| (id(&number.to_string()), order("X"))).collect();
    here.order(jobs, noon()).await;
    let ask = |store: Arc<dyn Store>, worker: &'static str| async move {
        let tokens = (0..9).map(|number| token(&format!("{worker}-{number}"))).collect();
        store.claimed_ids(Claim { tokens, ..claim(worker, &[]) }).await
    };
    let (a, b, c, d) = tokio::join!(
        ask(here.clone(), "a"),
        ask(there.clone(), "b"),
        ask(here.clone(), "c"),
        ask(there.clone(), "d"),
    );
    for (worker, got) in [("a", &a), ("b", &b), ("c", &c), ("d", &d)] {
        for name in got {
            let lease = here.read(&id(name)).await.lease.unwrap();
            assert_eq!(lease.worker.as_str(), worker, "job {name}");
        }
    }
    let mut all = [a, b, c, d].concat();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), 30, "there were 30 jobs for 36 tokens");
}

/// A look at the jobs that wait shows what a claim would get, in its order, and changes nothing.
pub async fn a_look_shows_what_a_claim_would_get(rig: &dyn Rig) {
    let store = rig.store();
    store.add("c", with(3, at(0))).await;
    store.add("b", with(2, at(0))).await;
    store.add("a", with(1, at(0))).await;
    store.add("later", with(0, at(60))).await;
    let before = store.snapshot(&id("a")).await;
    let peeked = store.peek(None, None, 2, noon()).await.unwrap();
    assert_eq!(peeked, [store.read(&id("a")).await, store.read(&id("b")).await]);
    assert_eq!(store.snapshot(&id("a")).await, before);
    assert_eq!(store.claimed_ids(claim("w", &["1", "2"])).await, ["a", "b"]);
}
