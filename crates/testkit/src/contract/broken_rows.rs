//! J6, R2: rows that cannot be read.

use std::time::Duration;

use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::report::Outcome;
use reclaimer_domain::job::{NewJob, Reset, Status};
use reclaimer_domain::ports::{
    AdminAction, Applied, Bulk, Candidates, Created, CreatedJob, JobFilter, JobRead, Refused, ReportAnswer,
    Search,
};
use reclaimer_domain::recovery::RecoveryType;
use serde_json::json;

use super::ask::{at, claim, id, kinds, order, report, token};
use super::rig::{Rig, Store};
use crate::account::text;
use crate::noon;

/// A search for everything that a cycle may look at.
fn everything() -> Search {
    Search {
        kind: RecoveryType::Comprehensive,
        expired_leases_only: false,
        resting: false,
        silent_since: Some(at(3_600)),
        after: None,
        limit: 10,
        now: at(7_200),
    }
}

async fn is_set_aside(store: &dyn Store, job: &JobId, actor: &Actor) {
    let found = store.read(job).await;
    assert_eq!((found.status, &found.lease), (Status::Quarantined, &None));
    let history = store.history(job).await;
    let entry = &history.last().unwrap().entry;
    assert_eq!((entry.kind, entry.to), (EventKind::SetAside, Some(Status::Quarantined)));
    assert_eq!(&entry.actor, actor);
    assert!(entry.reason.as_ref().is_some_and(|reason| reason.contains("progress")), "{entry:?}");
    assert!(entry.detail.is_some(), "what was unreadable is kept: {entry:?}");
}

/// J6: a claim that meets a row that cannot be read sets it aside and hands out the next.
pub async fn a_claim_sets_broken_rows_aside(rig: &dyn Rig) {
    let store = rig.store();
    for name in ["a", "b", "c"] {
        store.add(name, order("X")).await;
    }
    rig.corrupt_progress(&id("a")).await;
    rig.corrupt_progress(&id("b")).await;
    assert_eq!(store.claimed_ids(claim("w", &["1"])).await, ["c"]);
    is_set_aside(&*store, &id("a"), &Actor::System).await;
    is_set_aside(&*store, &id("b"), &Actor::System).await;
}

/// J6: a look at the jobs that wait looks past rows that cannot be read.
pub async fn a_look_looks_past_broken_rows(rig: &dyn Rig) {
    let store = rig.store();
    for name in ["a", "b", "c", "d"] {
        store.add(name, order("X")).await;
    }
    rig.corrupt_progress(&id("a")).await;
    rig.corrupt_progress(&id("c")).await;
    let ids = async |limit| -> Vec<String> {
        let peeked = store.peek(None, None, limit, noon()).await.unwrap();
        peeked.iter().map(|job| job.id.to_string()).collect()
    };
    assert_eq!(ids(1).await, ["b"]);
    assert_eq!(ids(2).await, ["b", "d"]);
    assert_eq!(ids(9).await, ["b", "d"]);
}

/// J6: reads show a row that cannot be read as such, among the others.
pub async fn reads_show_broken_rows_among_the_others(rig: &dyn Rig) {
    let store = rig.store();
    for name in ["a", "b", "c"] {
        store.add(name, order("X")).await;
    }
    rig.corrupt_progress(&id("b")).await;
    let page = store.jobs(JobFilter::default(), None, 2).await.unwrap();
    assert!(matches!(&page.items[0], JobRead::Whole(job) if job.id == id("c")));
    let JobRead::Broken(row) = &page.items[1] else { panic!("{page:?}") };
    assert_eq!((row.id.as_str(), row.status.as_str()), ("b", "queued"));
    assert!(row.reason.contains("progress"), "{row:?}");
    let rest = store.jobs(JobFilter::default(), page.next, 2).await.unwrap();
    assert!(matches!(&rest.items[..], [JobRead::Whole(job)] if job.id == id("a")), "{rest:?}");
    assert_eq!(store.job(&id("b")).await.unwrap(), Some(JobRead::Broken(row.clone())));
    assert_eq!(kinds(&store.history(&id("b")).await), [EventKind::Created], "its history can still be read");
}

/// J6: no worker can act on a row that cannot be read.
pub async fn no_worker_acts_on_a_broken_row(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    rig.corrupt_progress(&job).await;
    let answer = store.tell(report(&job, "first", Outcome::Completed), at(1)).await;
    assert!(
        matches!(&answer, ReportAnswer::Refused(Refused::Broken { id, .. }) if id == "job"),
        "{answer:?}"
    );
    assert_eq!(store.beat(&["first"], at(1)).await.lost, [token("first")]);
    assert_eq!(store.give_back(&["first"], at(1)).await.lost, [token("first")]);
    assert_eq!(store.history(&job).await.len(), 2, "created and claimed");
}

/// J6: what a person does to a row that cannot be read is done to what it is when it was set aside.
pub async fn a_person_acts_on_a_broken_row(rig: &dyn Rig) {
    let store = rig.store();
    for name in ["a", "b"] {
        store.add_running(name, order("X"), "w", name).await;
        rig.corrupt_progress(&id(name)).await;
    }
    assert_eq!(
        store.administered(&id("a"), AdminAction::Release(Reset::ALL), at(1)).await.status,
        Status::Queued
    );
    let set_aside = [EventKind::Created, EventKind::Claimed, EventKind::SetAside];
    let history = kinds(&store.history(&id("a")).await);
    assert_eq!(history, [&set_aside[..], &[EventKind::Unquarantined]].concat());
    let answer = store.administer(id("b"), AdminAction::Pause, Actor::Admin, at(1)).await.unwrap();
    let Applied::Refused(Refused::Illegal(illegal)) = answer else { panic!("{answer:?}") };
    assert_eq!(illegal.from, Status::Quarantined);
    assert_eq!(kinds(&store.history(&id("b")).await), set_aside);
}

/// J6: a row that cannot be read and was over, and whose key another job holds by now, takes the key from nobody.
pub async fn a_broken_row_takes_no_key_back(rig: &dyn Rig) {
    let store = rig.store();
    let keyed = || NewJob { unique_key: Some(text("one")), ..order("X") };
    let over = store.add_in(Status::Cancelled, "over", keyed()).await;
    let holder = store.add("holder", keyed()).await;
    rig.corrupt_progress(&over).await;
    let before = store.snapshot(&holder).await;
    store.administer(over, AdminAction::Cancel, Actor::Admin, at(1)).await.unwrap();
    assert_eq!(store.snapshot(&holder).await, before);
    let again = store.order(vec![(id("new"), keyed())], at(2)).await;
    let Created::Done { jobs, .. } = again else { panic!("{again:?}") };
    assert_eq!(jobs, [CreatedJob { id: holder, created: false }]);
}

/// J6: one thing done to many jobs is done to those that cannot be read as to the others; a dry run says so.
pub async fn a_bulk_action_does_not_stop_at_broken_rows(rig: &dyn Rig) {
    let store = rig.store();
    for name in ["a", "b", "c"] {
        store.add(name, order("X")).await;
    }
    rig.corrupt_progress(&id("b")).await;
    let bulk = |dry_run| Bulk {
        filter: JobFilter::default(),
        action: AdminAction::Cancel,
        limit: 9,
        dry_run,
        actor: Actor::Admin,
        now: at(1),
    };
    let dry = store.administer_many(bulk(true)).await.unwrap();
    let wet = store.administer_many(bulk(false)).await.unwrap();
    assert_eq!(dry, wet, "a dry run says what would be done");
    assert!(wet.items.len() == 3 && wet.items.iter().all(|item| item.outcome.is_ok()), "{wet:?}");
    for name in ["a", "b", "c"] {
        assert_eq!(store.read(&id(name)).await.status, Status::Cancelled);
    }
}

/// R2: a search reports failed and running rows that cannot be read, and those whose status is none, beside the jobs.
pub async fn a_search_reports_broken_rows(rig: &dyn Rig) {
    let store = rig.store();
    let failed = store.add_in(Status::Failed, "failed", order("X")).await;
    let running = store.add_in(Status::Running, "running", order("X")).await;
    let strange = store.add("strange", order("X")).await;
    store.add_in(Status::Failed, "sound", order("X")).await;
    rig.corrupt_progress(&failed).await;
    rig.corrupt_progress(&running).await;
    rig.set_status_text(&strange, "weird").await;
    let Candidates { jobs, mut broken, more } = store.candidates(everything()).await.unwrap();
    broken.sort_by_key(|row| row.id.clone());
    let named: Vec<_> = broken.iter().map(|row| (row.id.as_str(), row.status.as_str())).collect();
    assert_eq!(named, [("failed", "failed"), ("running", "running"), ("strange", "weird")]);
    assert_eq!(jobs.iter().map(|found| found.job.id.as_str()).collect::<Vec<_>>(), ["sound"]);
    assert!(!more);
}

/// R2: rows that were reported are set aside, and can be let run again by a person.
pub async fn reported_rows_are_set_aside(rig: &dyn Rig) {
    let store = rig.store();
    let failed = store.add_in(Status::Failed, "failed", order("X")).await;
    let running = store.add_in(Status::Running, "running", order("X")).await;
    rig.corrupt_progress(&failed).await;
    rig.corrupt_progress(&running).await;
    let found = store.candidates(everything()).await.unwrap();
    assert_eq!(store.set_aside(found.broken.clone(), text("run"), at(7_200)).await.unwrap(), 2);
    for job in [&failed, &running] {
        is_set_aside(&*store, job, &Actor::Recovery(text("run"))).await;
    }
    assert_eq!(store.candidates(everything()).await.unwrap(), Candidates::default());
    assert_eq!(store.set_aside(found.broken, text("run"), at(7_201)).await.unwrap(), 0, "once is enough");
    let answer = store.tell(report(&running, "first-running", Outcome::Completed), at(7_202)).await;
    assert_eq!(answer, ReportAnswer::Stale { status: Status::Quarantined });
    let released = store.administered(&failed, AdminAction::Release(Reset::ALL), at(7_203)).await;
    assert_eq!(released.status, Status::Queued);
}

/// R2: a row whose status is none is set aside like any other.
pub async fn an_unknown_status_is_set_aside(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add("job", order("X")).await;
    rig.set_status_text(&job, "weird").await;
    assert!(store.claimed_ids(claim("w", &["1"])).await.is_empty());
    let JobRead::Broken(row) = store.job(&job).await.unwrap().unwrap() else { panic!("`weird` was read") };
    assert_eq!((row.status.as_str(), row.reason.contains("weird")), ("weird", true), "{row:?}");
    assert_eq!(store.set_aside(vec![row], text("run"), at(1)).await.unwrap(), 1);
    let found = store.read(&job).await;
    assert_eq!((found.status, found.finished_at), (Status::Quarantined, Some(at(1))));
    let last = store.history(&job).await.pop().unwrap();
    assert_eq!((last.entry.kind, last.entry.from), (EventKind::SetAside, None));
}

/// R2: a row that somebody mended before it was set aside is left alone.
pub async fn a_mended_row_is_left_alone(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add("job", order("X")).await;
    let before = store.snapshot(&job).await;
    rig.set_status_text(&job, "weird").await;
    let JobRead::Broken(row) = store.job(&job).await.unwrap().unwrap() else { panic!("`weird` was read") };
    rig.set_status_text(&job, "queued").await;
    assert_eq!(store.set_aside(vec![row], text("run"), at(1)).await.unwrap(), 0);
    assert_eq!(store.snapshot(&job).await, before);
}

/// J6: what could be read of a row is still there after it was set aside.
pub async fn what_could_be_read_is_kept(rig: &dyn Rig) {
    let store = rig.store();
    let ordered = NewJob {
        queue: text("big"),
        full_path: Some("a/b".to_owned()),
        payload: json!({ "branch": "main" }),
        max_attempts: 7,
        timeout: Some(Duration::from_secs(9)),
        unique_key: Some(text("one")),
        ..order("SCAN")
    };
    let job = store.add("job", ordered).await;
    let before = store.read(&job).await;
    rig.corrupt_progress(&job).await;
    assert!(store.claimed_ids(claim("w", &["1"])).await.is_empty());
    let after = store.read(&job).await;
    assert_eq!(
        (&after.queue, &after.command, &after.full_path),
        (&before.queue, &before.command, &before.full_path)
    );
    assert_eq!((&after.payload, after.max_attempts, after.timeout), (&before.payload, 7, before.timeout));
    assert_eq!((&after.unique_key, after.created_at, after.run_at), (&before.unique_key, noon(), noon()));
    assert_eq!(after.error_type(), Some("broken_row"));
}
