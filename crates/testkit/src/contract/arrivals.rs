//! J8: whom the arrival sink is told of. J11: what a listener is told of what happened.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::account::Standing;
use reclaimer_domain::area::Area;
use reclaimer_domain::decision::{Action, Decision};
use reclaimer_domain::history::{Actor, JobEvent};
use reclaimer_domain::job::report::{Outcome, Report};
use reclaimer_domain::job::{NewJob, Reset, SpawnIntent, Status};
use reclaimer_domain::ports::{
    AdminAction, Arrival, Bulk, Change, Create, Discovery, JobFilter, Release, ReportOrder,
};

use super::ask::{LEASE, at, failure, id, order, report, token};
use super::rig::Rig;
use crate::account::text;
use crate::{an_account, noon};

fn arrival(queue: &str, command: &str, run_at: DateTime<Utc>) -> Arrival {
    Arrival { queue: text(queue), command: text(command), run_at }
}

fn waits(run_at: DateTime<Utc>) -> Vec<Arrival> {
    vec![arrival("default", "X", run_at)]
}

/// J8: new jobs are told of, each with its moment; what was not created is not.
pub async fn new_jobs_are_told_of(rig: &dyn Rig) {
    let store = rig.store();
    let keyed = || NewJob { unique_key: Some(text("one")), ..order("X") };
    let later = NewJob { queue: text("big"), run_at: Some(at(60)), ..order("Y") };
    store.order(vec![(id("a"), keyed()), (id("b"), keyed()), (id("c"), later)], noon()).await;
    let told = rig.arrivals().await;
    assert_eq!(told, [arrival("default", "X", noon()), arrival("big", "Y", at(60))]);
    let stray = NewJob { account_id: Some(text("nobody")), ..order("X") };
    store.order(vec![(id("d"), order("X")), (id("e"), stray)], noon()).await;
    let failed = vec![(id("f"), order("X")), (id("a"), order("X"))];
    let create = Create { jobs: failed, idempotency: None, actor: Actor::Producer, now: noon() };
    assert!(store.create(create).await.is_err(), "`a` exists");
    assert_eq!(rig.arrivals().await, []);
}

/// J8: a job that somebody queues again by hand is told of.
pub async fn jobs_queued_by_hand_are_told_of(rig: &dyn Rig) {
    let store = rig.store();
    for (status, action) in [
        (Status::Failed, AdminAction::Retry(Reset::ALL)),
        (Status::Paused, AdminAction::Resume),
        (Status::Quarantined, AdminAction::Release(Reset::ALL)),
    ] {
        let job = store.add_in(status, &format!("job-{status}"), order("X")).await;
        rig.arrivals().await;
        store.administered(&job, action, at(7)).await;
        assert_eq!(rig.arrivals().await, waits(at(7)), "{status}");
        store.administered(&job, AdminAction::Cancel, at(8)).await;
        assert_eq!(rig.arrivals().await, [], "{status}");
    }
    let over = store.add_in(Status::Finished, "over", order("X")).await;
    rig.arrivals().await;
    store.run_again(&over, &id("again"), at(9)).await;
    assert_eq!(rig.arrivals().await, waits(at(9)));
}

/// J8: of one thing done to many jobs, each that waits again is told of.
pub async fn jobs_queued_in_bulk_are_told_of(rig: &dyn Rig) {
    let store = rig.store();
    for name in ["a", "b"] {
        store.add_in(Status::Failed, name, order("X")).await;
    }
    store.add_in(Status::Finished, "c", order("X")).await;
    rig.arrivals().await;
    let bulk = Bulk {
        filter: JobFilter::default(),
        action: AdminAction::Retry(Reset::ALL),
        limit: 9,
        dry_run: true,
        actor: Actor::Admin,
        now: at(7),
    };
    store.administer_many(bulk.clone()).await.unwrap();
    assert_eq!(rig.arrivals().await, []);
    store.administer_many(Bulk { dry_run: false, ..bulk }).await.unwrap();
    assert_eq!(rig.arrivals().await, [waits(at(7)), waits(at(7))].concat());
}

/// J8: a job given back is told of with the moment from which it may be taken again; how others end is nobody's matter.
pub async fn jobs_given_back_are_told_of(rig: &dyn Rig) {
    let store = rig.store();
    store.add_running("a", order("X"), "w", "1").await;
    let failed = store.add_running("b", order("X"), "w", "2").await;
    rig.arrivals().await;
    let delay = Duration::from_secs(30);
    store.release(Release { leases: vec![token("1")], reason: None, delay, now: at(7) }).await.unwrap();
    assert_eq!(rig.arrivals().await, waits(at(37)));
    store.tell(report(&failed, "2", failure("e")), at(8)).await;
    store.give_back(&["2"], at(9)).await;
    assert_eq!(rig.arrivals().await, []);
}

/// J8: a job that recovery queues again is told of with its moment; one that it does not, is not.
pub async fn recovered_jobs_are_told_of(rig: &dyn Rig) {
    let store = rig.store();
    let failed = store.add_in(Status::Failed, "a", order("X")).await;
    let other = store.add_in(Status::Failed, "b", order("X")).await;
    let running = store.add_in(Status::Running, "c", order("X")).await;
    rig.arrivals().await;
    let decision = |action| Decision {
        action,
        rule: None,
        reason: "r".to_owned(),
        sign: None,
        account: Standing::NotNeeded,
        policy: text("a1b2c3d4e5f6"),
    };
    let requeue = |run_at| decision(Action::Requeue { run_at, priority: None, queue: None });
    let planned = vec![
        store.plan(&failed, requeue(at(20))).await,
        store.plan(&other, decision(Action::Leave { until: at(90) })).await,
        store.plan(&running, requeue(at(10))).await,
        store.plan(&other, decision(Action::Quarantine)).await,
    ];
    store.apply(text("run"), planned, at(7)).await.unwrap();
    assert_eq!(rig.arrivals().await, [waits(at(20)), waits(at(10))].concat());
}

/// J8: spawned jobs and discoveries are told of.
pub async fn spawned_and_discovered_jobs_are_told_of(rig: &dyn Rig) {
    let store = rig.store();
    store.put(an_account().build()).await.unwrap();
    let finder = store.add_running("finder", order("X"), "w", "first").await;
    rig.arrivals().await;
    let area = Area { full_path: "a".to_owned(), external_id: None, name: None, kind: text("project") };
    let spawn = vec![SpawnIntent { id: id("s"), area: 0, command: text("SCAN") }];
    let report = Report { areas: vec![area], ..report(&finder, "first", Outcome::Progress) };
    store.report(ReportOrder { report, spawn, lease_for: LEASE, now: at(5) }).await.unwrap();
    assert_eq!(rig.arrivals().await, [arrival("default", "SCAN", at(5))]);
    let job = NewJob { account_id: Some(text("account-1")), ..order("FIND") };
    let discovery = |name, now| Discovery { id: id(name), job: job.clone(), fresh_for: Duration::ZERO, now };
    store.discover(discovery("d", at(6))).await.unwrap();
    store.discover(discovery("e", at(7))).await.unwrap();
    assert_eq!(rig.arrivals().await, [arrival("default", "FIND", at(6))], "the second found the first");
    store.administered(&id("d"), AdminAction::Pause, at(8)).await;
    store.discover(discovery("f", at(9))).await.unwrap();
    assert_eq!(rig.arrivals().await, [arrival("default", "FIND", at(9))]);
}

/// J11: a listener is told of each event that was appended, in the order of their ids, and of none that was not.
pub async fn what_happened_is_told_of(rig: &dyn Rig) {
    let store = rig.store();
    rig.changes().await;
    let job = store.add_running("a", order("X"), "w", "1").await;
    let other = store.add_in(Status::Failed, "b", order("Y")).await;
    store.tell(report(&job, "1", Outcome::Completed), at(5)).await;
    store.tell(report(&job, "1", Outcome::Completed), at(6)).await;
    store.tell(report(&job, "2", Outcome::Completed), at(7)).await;
    let failed = vec![(id("c"), order("X")), (id("a"), order("X"))];
    let create = Create { jobs: failed, idempotency: None, actor: Actor::Producer, now: noon() };
    assert!(store.create(create).await.is_err(), "`a` exists");
    let told = rig.changes().await;
    let mut kept = Vec::new();
    for job in [&job, &other] {
        kept.extend(store.events(job, None, 100).await.unwrap().unwrap().items);
    }
    kept.sort_by_key(|event| event.id);
    let as_kept = |change: &Change| JobEvent {
        id: change.event_id,
        job_id: change.job.clone(),
        entry: change.entry.clone(),
    };
    assert_eq!(told.iter().map(as_kept).collect::<Vec<_>>(), kept);
    assert!(kept.len() > 4, "{kept:?}");
    assert!(told.iter().all(|change| (change.command == text("X")) == (change.job == job)));
}

/// J8: when a queue is resumed its jobs can be taken again, now or at their moment: all are told of.
pub async fn a_resumed_queue_is_told_of(rig: &dyn Rig) {
    let store = rig.store();
    let big = |command: &str, run_at| NewJob { queue: text("big"), run_at: Some(run_at), ..order(command) };
    store.set_paused("big", true).await;
    store.add("a", big("X", noon())).await;
    store.add("b", big("Y", at(60))).await;
    store.add("c", order("X")).await;
    store.add_in(Status::Cancelled, "d", big("X", noon())).await;
    rig.arrivals().await;
    store.set_paused("big", false).await;
    let mut told = rig.arrivals().await;
    told.sort_by_key(|arrival| arrival.run_at);
    assert_eq!(told, [arrival("big", "X", noon()), arrival("big", "Y", at(60))]);
}
