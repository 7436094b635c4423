//! J2, J3, J7: what holders report, and what others do.

use chrono::TimeDelta;
use reclaimer_domain::account::Standing;
use reclaimer_domain::decision::{Action, Decision};
use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::report::{Failure, Holder, Outcome, Report, Retryable};
use reclaimer_domain::job::{NewJob, Reset, Status};
use reclaimer_domain::ports::{AdminAction, Applied, Refused, ReportAnswer};
use reclaimer_domain::time::after;
use serde_json::{Value, json};

use super::ask::{LEASE, at, failure, id, kinds, order, report, token};
use super::rig::{Rig, Store};
use crate::account::text;
use crate::noon;

fn said(report: Report, key: &str, value: Value) -> Report {
    let mut said = report.said;
    said.insert(key.to_owned(), value);
    Report { said, ..report }
}

fn ended(status: Status) -> ReportAnswer {
    ReportAnswer::Applied { status, expires_at: None, spawned: 0 }
}

/// Recovery takes the job from its holder, as when its lease had run out, and `other` claims it at once.
async fn passes_to(store: &dyn Store, job: &JobId, other: &str, lease: &str) {
    let decision = Decision {
        action: Action::Requeue { run_at: at(100), priority: None, queue: None },
        rule: Some(text("stuck")),
        reason: "its lease ran out".to_owned(),
        sign: None,
        account: Standing::NotNeeded,
        policy: text("a1b2c3d4e5f6"),
    };
    let planned = vec![store.plan(job, decision).await];
    store.apply(text("run"), planned, at(100)).await.unwrap();
    assert_eq!(store.take(other, lease, at(100)).await.id, *job);
}

/// A holder's progress is merged into what is known, renews the lease, and leaves no event.
pub async fn progress_is_kept_and_renews_the_lease(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let goes_on = || report(&job, "first", Outcome::Progress);
    let resume_state = Some(json!({ "cursor": "abc" }));
    store.tell(Report { resume_state: resume_state.clone(), ..said(goes_on(), "a", json!(1)) }, at(10)).await;
    let answer = store.tell(said(goes_on(), "b", json!({ "c": [2] })), at(20)).await;
    let expires_at = Some(after(at(20), LEASE));
    assert_eq!(answer, ReportAnswer::Applied { status: Status::Running, expires_at, spawned: 0 });
    let found = store.read(&job).await;
    assert_eq!(Value::Object(found.progress), json!({ "a": 1, "b": { "c": [2] } }));
    assert_eq!((found.resume_state, found.updated_at), (resume_state, at(20)));
    assert_eq!(found.lease.map(|lease| lease.expires_at), expires_at);
    assert_eq!(kinds(&store.history(&job).await), [EventKind::Created, EventKind::Claimed]);
}

/// J3: a completed job is finished, its lease is over, and what its worker said last is kept.
pub async fn completion_finishes_the_job(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let answer =
        store.tell(said(report(&job, "first", Outcome::Completed), "done", json!(true)), at(9)).await;
    assert_eq!(answer, ended(Status::Finished));
    let found = store.read(&job).await;
    assert_eq!((found.status, found.lease, found.finished_at), (Status::Finished, None, Some(at(9))));
    assert_eq!(found.progress["done"], true);
    let last = store.history(&job).await.pop().unwrap().entry;
    assert_eq!(
        (last.kind, last.from, last.to),
        (EventKind::Finished, Some(Status::Running), Some(Status::Finished))
    );
    assert_eq!(last.actor, Actor::Worker(text("w")));
}

/// J3: a failed job keeps what its worker said of the failure.
pub async fn failure_is_kept_with_what_was_said_of_it(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let failure = Failure {
        error: "no token".to_owned(),
        error_type: Some("credential_missing".to_owned()),
        retryable: Retryable::Yes,
    };
    assert_eq!(
        store.tell(report(&job, "first", Outcome::Failed(failure)), at(9)).await,
        ended(Status::Failed)
    );
    let found = store.read(&job).await;
    assert_eq!((found.error(), found.error_type()), (Some("no token"), Some("credential_missing")));
    assert_eq!((found.progress["retryable"].clone(), found.status), (json!(true), Status::Failed));
    let last = store.history(&job).await.pop().unwrap().entry;
    assert_eq!((last.kind, last.reason.as_deref()), (EventKind::Failed, Some("no token")));
}

/// J3: the failure of the last attempt quarantines, by two steps that each leave an event.
pub async fn the_last_failure_quarantines(rig: &dyn Rig) {
    let store = rig.store();
    let once = NewJob { max_attempts: 1, ..order("X") };
    let job = store.add_running("job", once, "w", "first").await;
    assert_eq!(store.tell(report(&job, "first", failure("e")), at(9)).await, ended(Status::Quarantined));
    assert_eq!(store.read(&job).await.status, Status::Quarantined);
    let steps: Vec<_> =
        store.history(&job).await.iter().map(|event| (event.entry.from, event.entry.to)).collect();
    let last =
        [(Some(Status::Running), Some(Status::Failed)), (Some(Status::Failed), Some(Status::Quarantined))];
    assert_eq!(steps[2..], last);
}

/// J3: a job paused by its holder waits, with its cursor, until it is resumed; that costs no attempt.
pub async fn a_holder_can_pause_its_job(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let resume_state = Some(json!([1, 2]));
    let paused = Report { resume_state: resume_state.clone(), ..report(&job, "first", Outcome::Paused) };
    assert_eq!(store.tell(paused, at(9)).await, ended(Status::Paused));
    store.administered(&job, AdminAction::Resume, at(10)).await;
    let again = store.take("w", "second", at(10)).await;
    assert_eq!((again.resume_state, again.attempt), (resume_state, 1));
}

/// A report that was applied is answered as done when it comes again, and changes nothing.
pub async fn a_repeated_end_is_a_duplicate(rig: &dyn Rig) {
    let store = rig.store();
    for (name, outcome, status) in [
        ("a", Outcome::Completed, Status::Finished),
        ("b", failure("e"), Status::Failed),
        ("c", Outcome::Paused, Status::Paused),
    ] {
        let job = store.add_running(name, order("X"), "w", name).await;
        store.tell(report(&job, name, outcome.clone()), at(1)).await;
        let before = store.snapshot(&job).await;
        let again = store.tell(report(&job, name, outcome), at(2)).await;
        assert_eq!(again, ReportAnswer::Duplicate { status }, "{name}");
        assert_eq!(store.snapshot(&job).await, before, "{name}");
    }
}

/// A repetition is recognised as one, too, when another worker holds the job by then.
pub async fn a_repeated_end_disturbs_no_later_holder(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    store.tell(report(&job, "first", failure("e")), at(1)).await;
    store.administered(&job, AdminAction::Retry(Reset::ALL), at(2)).await;
    store.take("v", "second", at(2)).await;
    let before = store.snapshot(&job).await;
    let again = store.tell(report(&job, "first", failure("e")), at(3)).await;
    assert_eq!(again, ReportAnswer::Duplicate { status: Status::Running });
    assert_eq!(store.snapshot(&job).await, before);
}

/// J7: a report under a lost lease changes nothing; the history says once who sent what, and how late.
pub async fn a_stale_report_changes_only_the_history(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "zombie", "first").await;
    passes_to(&*store, &job, "heir", "second").await;
    let before = store.snapshot(&job).await;
    let stale = ReportAnswer::Stale { status: Status::Running };
    let late = || said(report(&job, "first", Outcome::Completed), "a", json!(1));
    assert_eq!(store.tell(late(), at(145)).await, stale);
    let after = store.snapshot(&job).await;
    assert_eq!(after.job, before.job);
    let event = &after.history[before.history.len()].entry;
    assert_eq!((event.kind, &event.actor), (EventKind::StaleReport, &Actor::Worker(text("zombie"))));
    assert_eq!((event.from, event.to), (Some(Status::Running), Some(Status::Running)));
    let reason = event.reason.clone().unwrap();
    assert!(reason.contains("zombie") && reason.contains("completed") && reason.contains("45 s"), "{reason}");
    assert_eq!(store.tell(late(), at(146)).await, stale);
    assert_eq!(store.snapshot(&job).await, after, "the same again is on record");
    assert_eq!(
        store.tell(report(&job, "second", Outcome::Completed), at(147)).await,
        ended(Status::Finished)
    );
}

/// A worker that is heard ends the count of leases that were lost in a row.
pub async fn a_report_ends_the_count_of_losses(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    passes_to(&*store, &job, "heir", "second").await;
    assert_eq!(store.read(&job).await.lease_losses, 1);
    store.beat(&["second"], at(101)).await;
    assert_eq!(store.read(&job).await.lease_losses, 1, "to be alive is not to get on");
    store.tell(report(&job, "second", Outcome::Progress), at(102)).await;
    assert_eq!(store.read(&job).await.lease_losses, 0);
}

/// J7: what an outsider reports of a job that waits, or is over, changes nothing either.
pub async fn a_token_that_never_held_is_stale(rig: &dyn Rig) {
    let store = rig.store();
    for status in Status::ALL {
        let job = store.add_in(status, &format!("job-{status}"), order("X")).await;
        let before = store.snapshot(&job).await;
        let answer = store.tell(report(&job, "made-up", Outcome::Completed), at(1)).await;
        assert_eq!(answer, ReportAnswer::Stale { status });
        let after = store.snapshot(&job).await;
        assert_eq!(after.job, before.job);
        assert_eq!(after.history.len(), before.history.len() + 1);
        if status == Status::Queued {
            store.administered(&job, AdminAction::Cancel, at(1)).await;
        }
    }
}

/// J7: a token counts for the job that it was granted for, not for another.
pub async fn a_token_counts_for_its_own_job(rig: &dyn Rig) {
    let store = rig.store();
    let mine = store.add_running("a", order("X"), "w", "first").await;
    let other = store.add_running("b", order("X"), "w", "second").await;
    let before = store.read(&other).await;
    let answer = store.tell(report(&other, "first", Outcome::Completed), at(1)).await;
    assert_eq!(answer, ReportAnswer::Stale { status: Status::Running });
    assert_eq!(store.read(&other).await, before);
    assert_eq!(store.read(&mine).await.status, Status::Running);
}

/// J7: a worker of the older protocol, which names no lease, counts exactly while it holds the job.
pub async fn a_worker_without_a_token_counts_while_it_holds(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "old", "first").await;
    let by = |worker: &str, outcome| Report {
        holder: Holder::Worker(text(worker)),
        ..report(&job, "unused", outcome)
    };
    let answer = store.tell(by("old", Outcome::Progress), at(1)).await;
    assert!(matches!(answer, ReportAnswer::Applied { status: Status::Running, .. }), "{answer:?}");
    let stale = ReportAnswer::Stale { status: Status::Running };
    assert_eq!(store.tell(by("other", Outcome::Completed), at(2)).await, stale);
    passes_to(&*store, &job, "heir", "second").await;
    let before = store.read(&job).await;
    assert_eq!(store.tell(by("old", Outcome::Completed), at(101)).await, stale);
    assert_eq!(store.read(&job).await, before);
}

/// A report that comes after the lease has run out, but before anybody took the job, counts.
pub async fn a_late_report_counts_while_nobody_took_the_job(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let answer = store.tell(report(&job, "first", Outcome::Completed), after(noon(), LEASE * 9)).await;
    assert_eq!(answer, ended(Status::Finished));
    assert_eq!(store.read(&job).await.status, Status::Finished);
}

/// A report of this moment by the worker's clock.
fn stamped(report: Report, seconds: i64, digest: &str) -> Report {
    let stamp = Some(at(seconds) + TimeDelta::milliseconds(123));
    Report { stamp, digest: Some(digest.to_owned()), ..report }
}

/// The same report again under the same lease changes nothing and is answered as done; another of its moment counts.
pub async fn the_same_report_again_is_a_duplicate(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let progress = |value: i64| said(report(&job, "first", Outcome::Progress), "n", json!(value));
    store.tell(stamped(progress(5), 5, "five"), at(10)).await;
    let before = store.snapshot(&job).await;
    let again = store.tell(stamped(progress(5), 5, "five"), at(12)).await;
    assert_eq!(again, ReportAnswer::Duplicate { status: Status::Running });
    assert_eq!(store.snapshot(&job).await, before);
    store.tell(stamped(progress(6), 5, "other"), at(13)).await;
    assert_eq!(store.read(&job).await.progress["n"], 6);
}

/// Progress that a newer report has overtaken is a sign of life, and overwrites nothing.
pub async fn older_progress_overwrites_nothing(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let progress = |value: i64| said(report(&job, "first", Outcome::Progress), "n", json!(value));
    store.tell(stamped(progress(5), 5, "five"), at(10)).await;
    let older = store.tell(stamped(progress(4), 4, "four"), at(11)).await;
    assert_eq!(older, ReportAnswer::Duplicate { status: Status::Running });
    let found = store.read(&job).await;
    assert_eq!((found.progress["n"].clone(), found.updated_at), (json!(5), at(11)));
    assert_eq!(found.lease.unwrap().expires_at, after(at(11), LEASE));
}

/// An end counts, whatever the worker's clock says.
pub async fn an_end_counts_whatever_its_moment(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    store.tell(stamped(report(&job, "first", Outcome::Progress), 5, "five"), at(10)).await;
    let end = stamped(report(&job, "first", Outcome::Completed), -3_600, "end");
    assert_eq!(store.tell(end.clone(), at(11)).await, ended(Status::Finished));
    assert_eq!(store.tell(end, at(12)).await, ReportAnswer::Duplicate { status: Status::Finished });
}

/// A report on a job that does not exist says so.
pub async fn a_report_on_no_job_is_refused(rig: &dyn Rig) {
    let answer = rig.store().tell(report(&id("none"), "first", Outcome::Completed), noon()).await;
    assert_eq!(answer, ReportAnswer::Refused(Refused::NoSuchJob(id("none"))));
}

/// J2: of a report and a cancel that race, one changes the job and the other is answered as the job then is.
pub async fn a_report_and_a_cancel_cannot_both_win(rig: &dyn Rig) {
    let (here, there) = (rig.store(), rig.another().await);
    for number in 0..8 {
        let (name, lease) = (format!("job-{number}"), format!("lease-{number}"));
        let job = here.add_running(&name, order("X"), "w", &lease).await;
        let (told, cancelled) = tokio::join!(
            here.tell(report(&job, &lease, Outcome::Completed), at(1)),
            there.administer(job.clone(), AdminAction::Cancel, Actor::Admin, at(1)),
        );
        let snapshot = here.snapshot(&job).await;
        let status = snapshot.job.status;
        match (&told, cancelled.unwrap()) {
            (ReportAnswer::Applied { .. }, Applied::Refused(Refused::Illegal(illegal))) => {
                assert_eq!((status, illegal.from), (Status::Finished, Status::Finished));
            }
            (ReportAnswer::Stale { status: Status::Cancelled }, Applied::Done(_)) => {
                assert_eq!(status, Status::Cancelled);
            }
            both => panic!("the job is {status}, and the answers are {both:?}"),
        }
        let changes = snapshot.history.iter().filter(|event| event.entry.from != event.entry.to).count();
        assert_eq!(changes, 3, "created, claimed and one end: {:?}", kinds(&snapshot.history));
        assert_eq!(snapshot.job.ended_lease.unwrap().token, token(&lease));
    }
}
