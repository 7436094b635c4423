//! Starting discovery for an account.

use std::time::Duration;

use reclaimer_domain::history::EventKind;
use reclaimer_domain::job::{Job, NewJob, Status};
use reclaimer_domain::ports::{AdminAction, Discovery, DiscoveryAnswer, Refused};
use reclaimer_domain::time::after;
use serde_json::json;

use super::ask::{at, id, kinds, order};
use super::rig::Rig;
use crate::account::text;
use crate::{an_account, noon};

const FRESH_FOR: Duration = Duration::from_secs(600);

fn job() -> NewJob {
    NewJob { account_id: Some(text("account-1")), payload: json!({ "deep": true }), ..order("FIND") }
}

fn discovery(name: &str, seconds: i64) -> Discovery {
    Discovery { id: id(name), job: job(), fresh_for: FRESH_FOR, now: at(seconds) }
}

/// Discovery for an account that does not exist creates nothing.
pub async fn discovery_needs_its_account(rig: &dyn Rig) {
    let store = rig.store();
    let answer = store.discover(discovery("a", 0)).await.unwrap();
    assert_eq!(answer, DiscoveryAnswer::UnknownAccount(text("account-1")));
    assert!(store.all_ids().await.is_empty());
}

/// The first discovery of an account creates its job; while that waits or runs it is the answer.
pub async fn one_discovery_lives_at_a_time(rig: &dyn Rig) {
    let store = rig.store();
    store.put(an_account().build()).await.unwrap();
    store.put(an_account().id("account-2").build()).await.unwrap();
    let others = NewJob { account_id: Some(text("account-2")), ..job() };
    store.add_in(Status::Failed, "z-of-another", others).await;
    let answer = store.discover(discovery("a", 0)).await.unwrap();
    let created = store.read(&id("a")).await;
    assert_eq!(created, Job::new(id("a"), job(), noon()));
    assert_eq!(answer, DiscoveryAnswer::Created(Box::new(created.clone())));
    assert_eq!(kinds(&store.history(&id("a")).await), [EventKind::Created]);
    assert_eq!(store.discover(discovery("b", 1)).await.unwrap(), DiscoveryAnswer::Live(Box::new(created)));
    let running = store.take("w", "first", at(2)).await;
    assert_eq!(store.discover(discovery("c", 3)).await.unwrap(), DiscoveryAnswer::Live(Box::new(running)));
    assert_eq!(store.all_ids().await, ["z-of-another", "a"]);
}

/// A discovery that finished lately is enough; after that a new one is created, which names the last.
pub async fn a_fresh_discovery_is_enough(rig: &dyn Rig) {
    let store = rig.store();
    store.put(an_account().build()).await.unwrap();
    let last = store.add_in(Status::Finished, "a", job()).await;
    let finished = store.read(&last).await;
    let before = finished.finished_at.unwrap();
    let ask = |name: &str, now| Discovery { now, ..discovery(name, 0) };
    let still = after(before, FRESH_FOR - Duration::from_secs(1));
    let answer = store.discover(ask("b", still)).await.unwrap();
    assert_eq!(answer, DiscoveryAnswer::Fresh(Box::new(finished)));
    let answer = store.discover(ask("c", after(before, FRESH_FOR))).await.unwrap();
    let DiscoveryAnswer::Created(created) = answer else { panic!("{answer:?}") };
    assert_eq!(
        (created.spawned_from, store.all_ids().await),
        (Some(last), vec!["c".to_owned(), "a".to_owned()])
    );
}

/// A discovery that was cancelled is followed by a new one.
pub async fn a_cancelled_discovery_is_followed_by_a_new_one(rig: &dyn Rig) {
    let store = rig.store();
    store.put(an_account().build()).await.unwrap();
    store.add_in(Status::Cancelled, "a", job()).await;
    let answer = store.discover(discovery("b", 1)).await.unwrap();
    assert!(
        matches!(&answer, DiscoveryAnswer::Created(job) if job.spawned_from == Some(id("a"))),
        "{answer:?}"
    );
}

/// A discovery that failed, was paused or quarantined is queued again instead of a new one.
pub async fn a_stranded_discovery_is_queued_again(rig: &dyn Rig) {
    let store = rig.store();
    store.put(an_account().build()).await.unwrap();
    for (status, kind) in [
        (Status::Failed, EventKind::Retried),
        (Status::Paused, EventKind::Resumed),
        (Status::Quarantined, EventKind::Unquarantined),
    ] {
        let stranded = store.add_in(status, &format!("job-{status}"), job()).await;
        let answer = store.discover(discovery("unused", 9)).await.unwrap();
        let found = store.read(&stranded).await;
        assert_eq!(answer, DiscoveryAnswer::Reset(Box::new(found.clone())), "{status}");
        assert_eq!((found.status, found.run_at), (Status::Queued, at(9)));
        assert_eq!(kinds(&store.history(&stranded).await).pop(), Some(kind));
        store.administered(&stranded, AdminAction::Cancel, at(9)).await;
    }
}

/// A discovery job whose unique key a live job holds is refused, not answered as if it had been made.
pub async fn a_discovery_whose_key_is_held_is_refused(rig: &dyn Rig) {
    let store = rig.store();
    store.put(an_account().build()).await.unwrap();
    let keyed = NewJob { unique_key: Some(text("one")), ..job() };
    store.add("holder", NewJob { unique_key: Some(text("one")), ..order("OTHER") }).await;
    let answer = store.discover(Discovery { job: keyed, ..discovery("a", 1) }).await.unwrap();
    let refused = Refused::KeyHeld { key: text("one"), holder: id("holder") };
    assert_eq!(answer, DiscoveryAnswer::Refused(refused));
    assert_eq!(store.all_ids().await, ["holder"]);
    assert_eq!(rig.arrivals().await.len(), 1, "nobody is woken for it");
}
