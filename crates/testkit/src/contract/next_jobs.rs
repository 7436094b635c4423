//! J12: reports that come with a request for the next jobs.

use reclaimer_domain::area::Area;
use reclaimer_domain::history::EventKind;
use reclaimer_domain::job::report::{Outcome, Report};
use reclaimer_domain::job::{Job, NewJob, Priority, SpawnIntent, Status};
use reclaimer_domain::ports::{Claim, Claimed, Refused, ReportAnswer, ReportOrder, Reported, Reports};

use super::ask::{LEASE, at, claim, id, kinds, order, report, token};
use super::rig::{Rig, Store};
use crate::account::text;

/// An order of these reports, and of as many jobs as tokens.
fn reports(reports: Vec<Report>, tokens: &[&str]) -> Reports {
    let order = |report| ReportOrder { report, spawn: Vec::new(), lease_for: LEASE, now: at(5) };
    let next = Claim { now: at(5), ..claim("w", tokens) };
    Reports { reports: reports.into_iter().map(order).collect(), next: Some(next) }
}

async fn tell_all(
    store: &dyn Store,
    reported: Vec<Report>,
    tokens: &[&str],
) -> (Vec<ReportAnswer>, Vec<Job>) {
    let Reported { answers, next } = store.report_all(reports(reported, tokens)).await.unwrap();
    (answers, next.unwrap().jobs)
}

fn ids(jobs: &[Job]) -> Vec<&str> {
    jobs.iter().map(|job| job.id.as_str()).collect()
}

/// J12: the report counts, the next job is leased, and both are on record as if they had been asked for one by one.
pub async fn a_report_brings_the_next_job(rig: &dyn Rig) {
    let store = rig.store();
    let first = store.add_running("a", order("X"), "w", "first").await;
    let second = store.add("b", order("X")).await;
    rig.changes().await;
    let (answers, jobs) =
        tell_all(&*store, vec![report(&first, "first", Outcome::Completed)], &["second", "third"]).await;
    assert_eq!(answers, [ReportAnswer::Applied { status: Status::Finished, expires_at: None, spawned: 0 }]);
    assert_eq!(ids(&jobs), ["b"]);
    let lease = jobs[0].lease.clone().unwrap();
    assert_eq!((lease.worker.as_str(), lease.token), ("w", token("second")));
    assert_eq!(store.read(&first).await.status, Status::Finished);
    assert_eq!(store.read(&second).await, jobs[0]);
    let told: Vec<_> = rig.changes().await.iter().map(|change| change.entry.kind).collect();
    assert_eq!(told, [EventKind::Finished, EventKind::Claimed]);
    assert_eq!(kinds(&store.history(&second).await), [EventKind::Created, EventKind::Claimed]);
}

/// J12: without a claim, reports are applied in their order, each on its own.
pub async fn reports_are_applied_in_their_order(rig: &dyn Rig) {
    let store = rig.store();
    let first = store.add_running("a", order("X"), "w", "first").await;
    let second = store.add_running("b", order("X"), "w", "second").await;
    let told = vec![
        report(&first, "first", Outcome::Progress),
        report(&id("none"), "first", Outcome::Completed),
        report(&second, "first", Outcome::Completed),
        report(&first, "first", Outcome::Completed),
        report(&first, "first", Outcome::Completed),
        report(&second, "second", Outcome::Paused),
    ];
    let reported = store.report_all(Reports { next: None, ..reports(told, &[]) }).await.unwrap();
    let ended = |status| ReportAnswer::Applied { status, expires_at: None, spawned: 0 };
    assert!(matches!(reported.answers[0], ReportAnswer::Applied { status: Status::Running, .. }));
    assert_eq!(
        reported.answers[1..],
        [
            ReportAnswer::Refused(Refused::NoSuchJob(id("none"))),
            ReportAnswer::Stale { status: Status::Running },
            ended(Status::Finished),
            ReportAnswer::Duplicate { status: Status::Finished },
            ended(Status::Paused),
        ]
    );
    assert_eq!(reported.next, None, "nothing was asked for");
}

/// J12: whoever repeats a report, or lost the job, has room for another: the claim is carried out whatever became of the
/// report.
pub async fn the_next_job_comes_whatever_became_of_the_report(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("a", order("X"), "w", "first").await;
    for name in ["b", "c", "d"] {
        store.add(name, order("X")).await;
    }
    let done = || vec![report(&job, "first", Outcome::Completed)];
    assert_eq!(ids(&tell_all(&*store, done(), &["1"]).await.1), ["b"]);
    let (again, jobs) = tell_all(&*store, done(), &["2"]).await;
    assert_eq!((again, ids(&jobs)), (vec![ReportAnswer::Duplicate { status: Status::Finished }], vec!["c"]));
    let stale = vec![report(&job, "made-up", Outcome::Completed)];
    let (stale, jobs) = tell_all(&*store, stale, &["3"]).await;
    assert_eq!((stale, ids(&jobs)), (vec![ReportAnswer::Stale { status: Status::Finished }], vec!["d"]));
    let (_, jobs) = tell_all(&*store, done(), &["4"]).await;
    assert!(jobs.is_empty());
}

/// J12: where nothing is due, the answer says when something is.
pub async fn a_report_without_a_next_job_says_when_one_is_due(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("a", order("X"), "w", "first").await;
    store.add("later", NewJob { run_at: Some(at(60)), ..order("X") }).await;
    let asked = reports(vec![report(&job, "first", Outcome::Completed)], &["1"]);
    let next = store.report_all(asked).await.unwrap().next;
    assert_eq!(next, Some(Claimed { jobs: vec![], next_due: Some(at(60)) }));
}

/// J5, J12: a job that the report asks for is handed out with it where it goes before others, also where claims of the
/// same moment have been looking.
pub async fn what_a_report_found_can_be_the_next_job(rig: &dyn Rig) {
    let store = rig.store();
    let soonest = Priority::try_from(-20).unwrap();
    let finder = store.add_running("finder", NewJob { priority: soonest, ..order("X") }, "w", "first").await;
    for name in ["a", "b", "c", "d"] {
        store.add(name, order("X")).await;
    }
    let area = Area { full_path: "a".to_owned(), external_id: None, name: None, kind: text("project") };
    let mut asked = reports(
        vec![Report { areas: vec![area], ..report(&finder, "first", Outcome::Completed) }],
        &["next"],
    );
    let spawn = vec![SpawnIntent { id: id("found"), area: 0, command: text("SCAN") }];
    asked.reports =
        asked.reports.iter().cloned().map(|order| ReportOrder { spawn: spawn.clone(), ..order }).collect();
    let held = rig.hold_writes().await;
    let claimed = |lease| store.claimed_ids(Claim { now: at(5), ..claim("w", &[lease]) });
    let all = async {
        // The first keeps the others waiting, so that these are carried out together.
        tokio::join!(
            store.probe(at(5)),
            claimed("1"),
            claimed("2"),
            store.report_all(asked),
            claimed("3"),
            async { drop(held) }
        )
    };
    let (_, first, second, reported, third, ()) = all.await;
    let found = reported.unwrap().next.unwrap().jobs;
    assert_eq!(
        (first, second, ids(&found), third),
        (vec!["a".to_owned()], vec!["b".to_owned()], vec!["found"], vec!["c".to_owned()])
    );
}

/// J12: the same of many reports and many jobs.
pub async fn many_reports_bring_many_jobs(rig: &dyn Rig) {
    let store = rig.store();
    let names = |from: usize| (from..from + 30).map(|number| number.to_string()).collect::<Vec<_>>();
    let jobs = names(100).iter().map(|name| (id(name), order("X"))).collect();
    store.order(jobs, at(0)).await;
    let leases = names(1_000);
    let tokens = |leases: &[String]| leases.iter().map(|lease| token(lease)).collect();
    store.claim(Claim { tokens: tokens(&leases), ..claim("w", &[]) }).await.unwrap();
    let more = names(200).iter().map(|name| (id(name), order("X"))).collect();
    store.order(more, at(0)).await;
    let told = names(100).into_iter().zip(&leases);
    let told = told.map(|(name, lease)| report(&id(&name), lease, Outcome::Completed)).collect();
    let Reports { reports, next } = reports(told, &[]);
    let next = next.map(|next| Claim { tokens: tokens(&names(2_000)), ..next });
    let Reported { answers, next } = store.report_all(Reports { reports, next }).await.unwrap();
    let ended = ReportAnswer::Applied { status: Status::Finished, expires_at: None, spawned: 0 };
    assert_eq!(answers, vec![ended; 30]);
    assert_eq!(ids(&next.unwrap().jobs), names(200));
}
