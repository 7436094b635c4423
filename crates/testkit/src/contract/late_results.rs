//! J10: results that come after their sender has lost the job.

use reclaimer_domain::account::Standing;
use reclaimer_domain::area::Area;
use reclaimer_domain::decision::{Action, Decision};
use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::report::{Holder, Outcome, Report};
use reclaimer_domain::job::{
    Job, LateResult, MAX_LATE_RESULT, MAX_LATE_RESULTS, NewJob, SpawnIntent, Status,
};
use reclaimer_domain::ports::{AcceptLate, AdminAction, Applied, Refused};
use serde_json::json;

use super::ask::{at, failure, id, kinds, order, report};
use super::rig::{Rig, Store};
use crate::account::text;

/// Takes a running job from its holder.
async fn take_away(store: &dyn Store, job: &JobId, action: Action, seconds: i64) {
    let decision = Decision {
        action,
        rule: None,
        reason: "lost".to_owned(),
        sign: None,
        account: Standing::NotNeeded,
        policy: text("a1b2c3d4e5f6"),
    };
    let planned = vec![store.plan(job, decision).await];
    store.apply(text("run"), planned, at(seconds)).await.unwrap();
}

fn requeue(seconds: i64) -> Action {
    Action::Requeue { run_at: at(seconds), priority: None, queue: None }
}

/// A job that worker `w` held under `lease`, and lost at 100 s.
async fn lost(store: &dyn Store, name: &str, lease: &str) -> JobId {
    let job = store.add_running(name, order("X"), "w", lease).await;
    take_away(store, &job, requeue(9_000), 100).await;
    job
}

async fn late(store: &dyn Store, job: &JobId) -> Vec<LateResult> {
    store.late_results(job).await.unwrap().unwrap()
}

async fn accept(store: &dyn Store, job: &JobId, number: u32, seconds: i64) -> Applied<Box<Job>> {
    let spawn = vec![SpawnIntent { id: id(&format!("child-of-{job}")), area: 0, command: text("CHILD") }];
    let order = AcceptLate { job: job.clone(), number, spawn, actor: Actor::Admin, now: at(seconds) };
    store.accept_late(order).await.unwrap()
}

/// J10: what a worker reports after it has lost the job is kept as it was said, with how late it came; the job stays as
/// it is. A worker of the older protocol is known by its name.
pub async fn a_result_that_came_too_late_is_kept(rig: &dyn Rig) {
    let store = rig.store();
    for (name, by_name) in [("a", false), ("b", true)] {
        let job = lost(&*store, name, name).await;
        let before = store.read(&job).await;
        let mut report = Report {
            said: json!({ "files": 3 }).as_object().unwrap().clone(),
            ..report(&job, name, Outcome::Completed)
        };
        if by_name {
            report.holder = Holder::Worker(text("w"));
        }
        store.tell(report.clone(), at(140)).await;
        store.tell(report, at(150)).await;
        assert_eq!(store.read(&job).await, before);
        let kept = late(&*store, &job).await;
        assert_eq!(kept.len(), 1, "a repetition is none of its own: {kept:?}");
        assert_eq!((kept[0].number, kept[0].at, kept[0].worker.as_str()), (1, at(140), "w"));
        assert_eq!(kept[0].summary, "finished late by worker w, 40 s after its lease was lost");
        assert_eq!(
            (&kept[0].report.outcome, &kept[0].report.said["files"]),
            (&Outcome::Completed, &json!(3))
        );
        let said = store.history(&job).await.pop().unwrap().entry;
        assert_eq!((said.kind, &said.detail.unwrap()["lateResult"]), (EventKind::StaleReport, &json!(1)));
    }
    assert_eq!(store.late_results(&id("none")).await.unwrap(), None);
}

/// J10: progress, reports by strangers, results of a cancelled job and of one whose end was told already, and what is too
/// long, are no late results.
pub async fn what_is_no_late_result_is_not_kept(rig: &dyn Rig) {
    let store = rig.store();
    let job = lost(&*store, "a", "1").await;
    let long = json!({ "text": "x".repeat(MAX_LATE_RESULT) }).as_object().unwrap().clone();
    let cancelled = store.add_running("b", order("X"), "w", "2").await;
    store.administered(&cancelled, AdminAction::Cancel, at(1)).await;
    let told = store.add_in(Status::Failed, "c", order("X")).await;
    for report in [
        report(&job, "1", Outcome::Progress),
        report(&job, "1", Outcome::Paused),
        report(&job, "made-up", Outcome::Completed),
        Report { said: long, ..report(&job, "1", Outcome::Completed) },
        report(&cancelled, "2", Outcome::Completed),
        report(&told, "first-c", Outcome::Completed),
    ] {
        store.tell(report, at(140)).await;
    }
    for job in [job, cancelled, told] {
        assert_eq!(late(&*store, &job).await, [], "{job}");
    }
}

/// J10: the first few are kept.
pub async fn so_many_late_results_are_kept(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add("job", NewJob { max_attempts: 100, ..order("X") }).await;
    let most = i64::from(MAX_LATE_RESULTS);
    for round in 0..most + 2 {
        let lease = round.to_string();
        store.take("w", &lease, at(round * 10)).await;
        take_away(&*store, &job, requeue(round * 10), round * 10 + 1).await;
        store.tell(report(&job, &lease, Outcome::Completed), at(round * 10 + 2)).await;
    }
    let numbers: Vec<u32> = late(&*store, &job).await.into_iter().map(|late| late.number).collect();
    assert_eq!(numbers, (1..=MAX_LATE_RESULTS).collect::<Vec<_>>());
}

/// J10: once a person accepts it, it counts as if it had come in time, with what it found.
pub async fn a_late_result_counts_once_accepted(rig: &dyn Rig) {
    let store = rig.store();
    for (name, quarantined) in [("a", false), ("b", true)] {
        let job = store.add_running(name, order("X"), "w", name).await;
        take_away(&*store, &job, if quarantined { Action::Quarantine } else { requeue(9_000) }, 100).await;
        let area =
            Area { full_path: format!("group/{name}"), external_id: None, name: None, kind: text("group") };
        let said = json!({ "files": 3 }).as_object().unwrap().clone();
        store
            .tell(Report { said, areas: vec![area], ..report(&job, name, Outcome::Completed) }, at(140))
            .await;
        let Applied::Done(done) = accept(&*store, &job, 1, 200).await else { panic!("refused") };
        let found = store.read(&job).await;
        assert_eq!(*done, found);
        assert_eq!(
            (found.status, found.finished_at, &found.progress["files"]),
            (Status::Finished, Some(at(200)), &json!(3))
        );
        let last = store.history(&job).await.pop().unwrap().entry;
        assert_eq!(
            (last.kind, last.actor, last.to),
            (EventKind::LateAccepted, Actor::Admin, Some(Status::Finished))
        );
        let child = store.read(&id(&format!("child-of-{job}"))).await;
        assert_eq!((child.full_path, child.spawned_from), (Some(format!("group/{name}")), Some(job.clone())));
        assert_eq!(late(&*store, &job).await[0].accepted_at, Some(at(200)));
    }
}

/// J10: a late failure counts as one, and uses up the last attempt as one in time would.
pub async fn a_late_failure_can_be_accepted(rig: &dyn Rig) {
    let store = rig.store();
    for (name, attempts, status) in [("a", 5, Status::Failed), ("b", 1, Status::Quarantined)] {
        let job = store.add_running(name, NewJob { max_attempts: attempts, ..order("X") }, "w", name).await;
        take_away(&*store, &job, requeue(9_000), 100).await;
        store.tell(report(&job, name, failure("it broke")), at(140)).await;
        assert!(late(&*store, &job).await[0].summary.starts_with("failed late by worker w"));
        accept(&*store, &job, 1, 200).await;
        let found = store.read(&job).await;
        assert_eq!((found.status, found.error()), (status, Some("it broke")));
        assert!(kinds(&store.history(&job).await).contains(&EventKind::LateAccepted));
    }
}

/// J10: what is not there, was accepted before, or belongs to a job that has gone on, is refused and changes nothing.
pub async fn a_late_result_is_accepted_once_and_in_time(rig: &dyn Rig) {
    let store = rig.store();
    let refused = async |job: &JobId, number| match accept(&*store, job, number, 300).await {
        Applied::Refused(refused) => refused,
        Applied::Done(job) => panic!("accepted: {job:?}"),
    };
    assert_eq!(refused(&id("none"), 1).await, Refused::NoSuchJob(id("none")));
    let job = lost(&*store, "a", "1").await;
    assert_eq!(refused(&job, 1).await, Refused::NoSuchLateResult { job: job.clone(), number: 1 });
    store.tell(report(&job, "1", failure("it broke")), at(140)).await;
    accept(&*store, &job, 1, 200).await;
    assert_eq!(refused(&job, 1).await, Refused::AcceptedBefore(1));

    let taken = store.add_running("b", order("X"), "w", "2").await;
    take_away(&*store, &taken, requeue(100), 100).await;
    store.tell(report(&taken, "2", Outcome::Completed), at(140)).await;
    store.take("v", "3", at(150)).await;
    let before = store.snapshot(&taken).await;
    assert!(matches!(refused(&taken, 1).await, Refused::Illegal(it) if it.from == Status::Running));
    assert_eq!(store.snapshot(&taken).await, before);
}
