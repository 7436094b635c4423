//! J3, J7, J8: what reports find, and the jobs that follow from it.

use reclaimer_domain::area::Area;
use reclaimer_domain::history::Actor;
use reclaimer_domain::job::report::{Outcome, Report};
use reclaimer_domain::job::{NewJob, Priority, SpawnIntent, Status};
use reclaimer_domain::ports::{ReportAnswer, ReportOrder};
use serde_json::json;

use super::ask::{LEASE, at, id, order, report};
use super::rig::{Rig, Store};
use crate::account::text;
use crate::an_account;

fn area(path: &str) -> Area {
    Area { full_path: path.to_owned(), external_id: Some("7".to_owned()), name: None, kind: text("project") }
}

fn intent(name: &str, area: usize, command: &str) -> SpawnIntent {
    SpawnIntent { id: id(name), area, command: text(command) }
}

/// A holder's report that found these areas and asks for these jobs.
async fn found(
    store: &dyn Store,
    lease: &str,
    outcome: Outcome,
    areas: &[&str],
    spawn: Vec<SpawnIntent>,
) -> ReportAnswer {
    let areas = areas.iter().map(|path| area(path)).collect();
    let report = Report { areas, ..report(&id("finder"), lease, outcome) };
    store.report(ReportOrder { report, spawn, lease_for: LEASE, now: at(5) }).await.unwrap()
}

fn spawned(answer: &ReportAnswer) -> u32 {
    match answer {
        ReportAnswer::Applied { spawned, .. } => *spawned,
        other => panic!("not applied: {other:?}"),
    }
}

/// A found area gets the jobs asked for it, like the finder's own in all but command and path.
pub async fn an_area_gets_the_jobs_it_asks_for(rig: &dyn Rig) {
    let store = rig.store();
    store.put(an_account().build()).await.unwrap();
    let finder = NewJob {
        queue: text("big"),
        account_id: Some(text("account-1")),
        payload: json!({ "url": "https://example.org" }),
        priority: Priority::try_from(4).unwrap(),
        max_attempts: 9,
        unique_key: Some(text("one")),
        ..order("FIND")
    };
    store.add_running("finder", finder, "w", "first").await;
    let spawn = vec![intent("s1", 0, "SCAN"), intent("s2", 0, "COUNT"), intent("s3", 1, "SCAN")];
    assert_eq!(spawned(&found(&*store, "first", Outcome::Completed, &["a", "b"], spawn).await), 3);
    let job = store.read(&id("s3")).await;
    assert_eq!((job.command.as_str(), job.full_path.as_deref()), ("SCAN", Some("b")));
    assert_eq!((job.queue.as_str(), job.account_id), ("big", Some(text("account-1"))));
    assert_eq!((job.payload, job.priority.get()), (json!({ "url": "https://example.org" }), 4));
    assert_eq!((job.max_attempts, job.spawned_from), (9, Some(id("finder"))));
    assert_eq!((job.status, job.unique_key, job.run_at), (Status::Queued, None, at(5)));
    assert_eq!(store.history(&id("s3")).await[0].entry.actor, Actor::System);
}

/// An area whose job exists, in whatever state, gets no second one; for another account or command it does.
pub async fn an_area_gets_each_job_once(rig: &dyn Rig) {
    let store = rig.store();
    store.put(an_account().build()).await.unwrap();
    let about = |path: &str| NewJob { full_path: Some(path.to_owned()), ..order("SCAN") };
    store.add_in(Status::Finished, "finished", about("a")).await;
    store
        .add_in(Status::Finished, "of-another", NewJob { account_id: Some(text("account-1")), ..about("b") })
        .await;
    store.add_running("finder", order("FIND"), "w", "first").await;
    let spawn = vec![
        intent("s1", 0, "SCAN"),
        intent("s2", 1, "SCAN"),
        intent("s3", 1, "SCAN"),
        intent("s4", 1, "COUNT"),
        intent("s5", 7, "SCAN"),
    ];
    assert_eq!(spawned(&found(&*store, "first", Outcome::Progress, &["a", "b"], spawn).await), 2);
    let again = vec![intent("s6", 0, "SCAN"), intent("s7", 0, "COUNT")];
    assert_eq!(spawned(&found(&*store, "first", Outcome::Progress, &["b"], again).await), 0);
    assert_eq!(store.all_ids().await, ["s4", "s2", "of-another", "finished", "finder"]);
}

/// J7: a report that does not count finds nothing either.
pub async fn a_report_that_does_not_count_spawns_nothing(rig: &dyn Rig) {
    let store = rig.store();
    store.add_running("finder", order("FIND"), "w", "first").await;
    let answer = found(&*store, "made-up", Outcome::Progress, &["a"], vec![intent("s1", 0, "SCAN")]).await;
    assert_eq!(answer, ReportAnswer::Stale { status: Status::Running });
    found(&*store, "first", Outcome::Completed, &[], vec![]).await;
    let answer = found(&*store, "first", Outcome::Completed, &["a"], vec![intent("s2", 0, "SCAN")]).await;
    assert_eq!(answer, ReportAnswer::Duplicate { status: Status::Finished });
    assert_eq!(store.all_ids().await, ["finder"]);
}
