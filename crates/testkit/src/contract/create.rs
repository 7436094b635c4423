//! J1, J3, J4: creating jobs.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::report::Outcome;
use reclaimer_domain::job::{Job, NewJob, Priority, Status};
use reclaimer_domain::ports::{AdminAction, Create, Created, CreatedJob, Idempotency};
use serde_json::json;

use super::ask::{at, id, order, report};
use super::rig::{Rig, Store};
use crate::account::text;
use crate::{an_account, noon};

/// What a new job was answered with.
fn new(name: &str) -> CreatedJob {
    CreatedJob { id: id(name), created: true }
}

/// What is answered instead of a new job whose key is held.
fn held_by(name: &str) -> CreatedJob {
    CreatedJob { id: id(name), created: false }
}

/// What became of each job of an order that was carried out now.
#[track_caller]
fn done(answer: Created) -> Vec<CreatedJob> {
    match answer {
        Created::Done { jobs, replayed: false, .. } => jobs,
        other => panic!("not carried out: {other:?}"),
    }
}

/// What became of each job of an order that was carried out before.
#[track_caller]
fn replayed(answer: Created) -> Vec<CreatedJob> {
    match answer {
        Created::Done { jobs, replayed: true, .. } => jobs,
        other => panic!("not answered as before: {other:?}"),
    }
}

fn keyed(key: &str) -> NewJob {
    NewJob { unique_key: Some(text(key)), ..order("X") }
}

/// Every field of an order is stored as it was ordered, and the history begins with the creation.
pub async fn a_new_job_waits_as_it_was_ordered(rig: &dyn Rig) {
    let store = rig.store();
    store.put(an_account().build()).await.unwrap();
    store.add("parent", order("X")).await;
    let ordered = NewJob {
        queue: text("big"),
        full_path: Some("group/ünïcode project".to_owned()),
        account_id: Some(text("account-1")),
        spawned_from: Some(id("parent")),
        payload: json!({ "branch": "main", "nested": [1, 2.5, null, "\u{1F980}"] }),
        priority: Priority::try_from(-7).unwrap(),
        run_at: Some(at(90)),
        max_attempts: 3,
        timeout: Some(Duration::from_secs(600)),
        unique_key: Some(text("one")),
        ..order("SCAN")
    };
    store.add("job", ordered.clone()).await;
    let job = store.read(&id("job")).await;
    assert_eq!(job, Job::new(id("job"), ordered, noon()));
    let history = store.history(&id("job")).await;
    assert_eq!(history.len(), 1);
    let entry = &history[0].entry;
    assert_eq!((entry.kind, entry.from, entry.to), (EventKind::Created, None, Some(Status::Queued)));
    assert_eq!((entry.at, &entry.actor), (noon(), &Actor::Producer));
}

/// The answer to an order of one job has the job as it is by then, new or found, at the first time and at the second.
pub async fn an_order_of_one_answers_its_job(rig: &dyn Rig) {
    let store = rig.store();
    let single = |answer: Created| match answer {
        Created::Done { single, .. } => single.map(|job| *job),
        other => panic!("not carried out: {other:?}"),
    };
    let ask = |name: &str| under("k", "d", vec![(id(name), keyed("one"))], noon());
    let answer = store.create(ask("a")).await.unwrap();
    assert_eq!(single(answer), Some(store.read(&id("a")).await));
    let running = store.take("w", "first", at(1)).await;
    assert_eq!(single(store.create(ask("b")).await.unwrap()), Some(running.clone()), "replayed");
    let found = store.order(vec![(id("c"), keyed("one"))], at(2)).await;
    assert_eq!(single(found), Some(running), "the holder of the key");
    let two = store.order(vec![(id("d"), order("X")), (id("e"), order("X"))], at(2)).await;
    assert_eq!(single(two), None, "an order of two");
}

/// J1: what an answer says outlives the store that gave it.
pub async fn an_answer_outlives_the_store(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add("job", order("X")).await;
    store.take("w", "first", noon()).await;
    store.tell(report(&job, "first", Outcome::Completed), at(1)).await;
    let snapshot = store.snapshot(&job).await;
    drop(store);
    let later = rig.another().await;
    assert_eq!(later.snapshot(&job).await, snapshot);
    assert_eq!(snapshot.job.status, Status::Finished);
}

/// J4: an order that names an unknown account creates nothing, and says which of its jobs names it.
pub async fn an_unknown_account_spoils_the_whole_order(rig: &dyn Rig) {
    let store = rig.store();
    let stray = NewJob { account_id: Some(text("nobody")), ..order("X") };
    let answer = store.order(vec![(id("a"), order("X")), (id("b"), stray)], noon()).await;
    assert_eq!(answer, Created::UnknownAccount { index: 1, account: text("nobody") });
    assert!(store.all_ids().await.is_empty());
}

/// J4: an erased account is an unknown one.
pub async fn an_erased_account_is_unknown(rig: &dyn Rig) {
    let store = rig.store();
    store.put(an_account().build()).await.unwrap();
    assert!(store.erase(text("account-1"), noon()).await.unwrap());
    let stray = NewJob { account_id: Some(text("account-1")), ..order("X") };
    let answer = store.order(vec![(id("a"), stray)], noon()).await;
    assert_eq!(answer, Created::UnknownAccount { index: 0, account: text("account-1") });
}

/// J4: an order that names an unknown parent creates nothing, and says which of its jobs names it.
pub async fn an_unknown_parent_spoils_the_whole_order(rig: &dyn Rig) {
    let store = rig.store();
    let stray = NewJob { spawned_from: Some(id("nobody")), ..order("X") };
    let answer = store.order(vec![(id("a"), order("X")), (id("b"), stray)], noon()).await;
    assert_eq!(answer, Created::UnknownParent { index: 1, parent: id("nobody") });
    assert!(store.all_ids().await.is_empty());
}

/// J4: an order that the store cannot carry out to its end leaves nothing behind.
pub async fn a_failing_order_leaves_nothing(rig: &dyn Rig) {
    let store = rig.store();
    store.add("taken", order("X")).await;
    let jobs = vec![(id("fresh"), order("X")), (id("taken"), order("X"))];
    let idempotency = Some(Idempotency { key: "k".to_owned(), digest: "d".to_owned() });
    let failed = store.create(Create { jobs, idempotency, actor: Actor::Producer, now: noon() }).await;
    assert!(failed.is_err(), "an id was used twice: {failed:?}");
    assert_eq!(store.all_ids().await, ["taken"]);
    assert_eq!(store.history(&id("taken")).await.len(), 1);
}

/// A job may come from another of the same order.
pub async fn a_parent_may_be_of_the_same_order(rig: &dyn Rig) {
    let store = rig.store();
    let child = NewJob { spawned_from: Some(id("a")), ..order("X") };
    let answer = store.order(vec![(id("a"), order("X")), (id("b"), child)], noon()).await;
    assert_eq!(done(answer), [new("a"), new("b")]);
    assert_eq!(store.read(&id("b")).await.spawned_from, Some(id("a")));
}

/// A job that comes from one of the same order whose key is held, comes from the holder of that key.
pub async fn a_child_of_a_held_key_belongs_to_its_holder(rig: &dyn Rig) {
    let store = rig.store();
    store.add("holder", keyed("one")).await;
    let child = NewJob { spawned_from: Some(id("a")), ..order("X") };
    let answer = store.order(vec![(id("a"), keyed("one")), (id("b"), child)], noon()).await;
    assert_eq!(done(answer), [held_by("holder"), new("b")]);
    assert_eq!(store.read(&id("b")).await.spawned_from, Some(id("holder")));
}

/// J4: whoever holds a key is answered in the place of a new job, within one order too.
pub async fn a_held_key_answers_its_holder(rig: &dyn Rig) {
    let store = rig.store();
    let both = vec![(id("a"), keyed("one")), (id("b"), keyed("one")), (id("c"), keyed("two"))];
    assert_eq!(done(store.order(both, noon()).await), [new("a"), held_by("a"), new("c")]);
    assert_eq!(done(store.order(vec![(id("d"), keyed("one"))], noon()).await), [held_by("a")]);
    assert_eq!(store.all_ids().await, ["c", "a"]);
    assert_eq!(store.history(&id("a")).await.len(), 1, "the holder has not noticed");
}

/// J4: a job holds its key until it is finished or cancelled, and no longer.
pub async fn a_key_is_held_while_its_job_lives(rig: &dyn Rig) {
    let store = rig.store();
    for status in Status::ALL {
        let (first, second) = (format!("{status}-1"), format!("{status}-2"));
        store.add_in(status, &first, keyed(status.as_str())).await;
        let answer = store.order(vec![(id(&second), keyed(status.as_str()))], noon()).await;
        let expected = if status.is_terminal() { new(&second) } else { held_by(&first) };
        assert_eq!(done(answer), [expected], "{status}");
        // Out of the way of the next one.
        for name in [first, second] {
            if store.job(&id(&name)).await.unwrap().is_some() {
                drop(store.administer(id(&name), AdminAction::Cancel, Actor::Admin, noon()).await);
            }
        }
    }
}

/// J2, J4: of callers that race for one key, one creates and the others are answered its job.
pub async fn one_of_many_creates_under_a_key(rig: &dyn Rig) {
    let (here, there) = (rig.store(), rig.another().await);
    let ask = |store: Arc<dyn Store>, name: &'static str| async move {
        store.order(vec![(id(name), keyed("one"))], noon()).await
    };
    let answers = tokio::join!(
        ask(here.clone(), "a"),
        ask(there.clone(), "b"),
        ask(here.clone(), "c"),
        ask(there.clone(), "d"),
    );
    let [winner] = &here.all_ids().await[..] else { panic!("more than one was created: {answers:?}") };
    for (answer, name) in [(answers.0, "a"), (answers.1, "b"), (answers.2, "c"), (answers.3, "d")] {
        assert_eq!(done(answer), [CreatedJob { id: id(winner), created: winner == name }]);
    }
}

fn under(key: &str, digest: &str, jobs: Vec<(JobId, NewJob)>, now: DateTime<Utc>) -> Create {
    let idempotency = Some(Idempotency { key: key.to_owned(), digest: digest.to_owned() });
    Create { jobs, idempotency, actor: Actor::Producer, now }
}

/// An equal order under the same idempotency key is answered as it was the first time, and not carried out again.
pub async fn a_repeated_order_is_answered_again(rig: &dyn Rig) {
    let store = rig.store();
    store.add("holder", keyed("one")).await;
    let first = under("k", "d", vec![(id("a"), order("X")), (id("b"), keyed("one"))], noon());
    let jobs = vec![new("a"), held_by("holder")];
    assert_eq!(done(store.create(first).await.unwrap()), jobs);
    store.administered(&id("a"), AdminAction::Cancel, at(1)).await;
    let again = under("k", "d", vec![(id("c"), order("X")), (id("d"), keyed("one"))], at(86_399));
    let answer = rig.another().await.create(again).await.unwrap();
    assert_eq!(replayed(answer), jobs, "also by another server, and whatever became of the jobs");
    assert_eq!(store.all_ids().await, ["holder", "a"]);
}

/// Another order under the same idempotency key is refused and creates nothing.
pub async fn another_order_under_the_same_key_is_refused(rig: &dyn Rig) {
    let store = rig.store();
    store.create(under("k", "d", vec![(id("a"), order("X"))], noon())).await.unwrap();
    let other = under("k", "other", vec![(id("b"), order("Y"))], at(1));
    assert_eq!(store.create(other).await.unwrap(), Created::KeyReused);
    assert_eq!(store.all_ids().await, ["a"]);
}

/// An order that created nothing leaves its idempotency key free.
pub async fn a_refused_order_does_not_use_its_key(rig: &dyn Rig) {
    let store = rig.store();
    let with_account = NewJob { account_id: Some(text("account-1")), ..order("X") };
    let ask = |name: &str, now| under("k", "d", vec![(id(name), with_account.clone())], now);
    let refused = store.create(ask("a", noon())).await.unwrap();
    assert!(matches!(refused, Created::UnknownAccount { .. }), "{refused:?}");
    store.put(an_account().build()).await.unwrap();
    assert_eq!(done(store.create(ask("b", at(1))).await.unwrap()), [new("b")]);
}

/// An idempotency key is kept for a day, and is free again then.
pub async fn an_idempotency_key_is_free_after_a_day(rig: &dyn Rig) {
    let store = rig.store();
    store.create(under("k", "d", vec![(id("a"), order("X"))], noon())).await.unwrap();
    let next_day = under("k", "other", vec![(id("b"), order("X"))], at(86_401));
    assert_eq!(done(store.create(next_day).await.unwrap()), [new("b")]);
    let again = under("k", "other", vec![(id("c"), order("X"))], at(86_402));
    let answer = store.create(again).await.unwrap();
    assert_eq!(replayed(answer), [new("b")], "the key now stands for the new order");
}
