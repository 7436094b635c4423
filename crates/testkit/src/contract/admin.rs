//! J2, J3: what people do to jobs by hand.

use std::sync::Arc;
use std::time::Duration;

use reclaimer_domain::account::Standing;
use reclaimer_domain::decision::{Action, Decision};
use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::report::Outcome;
use reclaimer_domain::job::{Counter, Counts, Job, NewJob, Reset, Status};
use reclaimer_domain::ports::{
    AdminAction, Applied, Bulk, BulkAnswer, BulkItem, JobFilter, Refused, ReportAnswer,
};
use serde_json::json;

use super::ask::{at, failure, id, kinds, order, report, token};
use super::rig::{Rig, Store};
use crate::account::text;

/// Every action on one job, and the statuses it may be done in, with what the job becomes.
fn table() -> Vec<(AdminAction, Vec<Status>, Status, EventKind)> {
    use Status::{Cancelled, Failed, Paused, Quarantined, Queued, Running};
    vec![
        (AdminAction::Retry(Reset::ALL), vec![Failed], Queued, EventKind::Retried),
        (
            AdminAction::Cancel,
            vec![Queued, Running, Failed, Paused, Quarantined],
            Cancelled,
            EventKind::Cancelled,
        ),
        (AdminAction::Pause, vec![Queued], Paused, EventKind::Paused),
        (AdminAction::Resume, vec![Paused], Queued, EventKind::Resumed),
        (AdminAction::Release(Reset::ALL), vec![Quarantined], Queued, EventKind::Unquarantined),
    ]
}

/// J2, J3: each action is done where the table allows it, with one event, and refused with both ends named, and without
/// a trace, where it does not.
pub async fn actions_follow_the_table(rig: &dyn Rig) {
    let store = rig.store();
    for (number, (action, allowed, becomes, kind)) in table().into_iter().enumerate() {
        for status in Status::ALL {
            let job = store.add_in(status, &format!("job-{number}-{status}"), order("X")).await;
            let before = store.snapshot(&job).await;
            let answer = store.administer(job.clone(), action, Actor::Admin, at(5)).await.unwrap();
            let after = store.snapshot(&job).await;
            if allowed.contains(&status) {
                let Applied::Done(done) = answer else { panic!("{action:?} of {status}: {answer:?}") };
                assert_eq!(*done.job, after.job, "{action:?} of {status}");
                let event = &after.history[before.history.len()].entry;
                assert_eq!((event.kind, event.from, event.to), (kind, Some(status), Some(becomes)));
                assert_eq!((event.at, &event.actor), (at(5), &Actor::Admin));
                assert_eq!((after.job.status, after.history.len()), (becomes, before.history.len() + 1));
            } else {
                let Applied::Refused(Refused::Illegal(illegal)) = answer else {
                    panic!("{action:?} of {status}: {answer:?}")
                };
                assert_eq!((illegal.from, illegal.event.leads_to()), (status, becomes));
                assert_eq!(after, before, "{action:?} of {status} left a trace");
            }
            // Out of the way of the next one.
            drop(store.administer(job, AdminAction::Cancel, Actor::Admin, at(6)).await);
        }
    }
}

/// A retry begins anew: at once, with every counter at zero, and the history keeps what they were.
pub async fn a_retry_begins_anew(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_in(Status::Failed, "job", order("X")).await;
    let leave = Decision {
        action: Action::Leave { until: at(9_000) },
        rule: None,
        reason: "no rule".to_owned(),
        sign: None,
        account: Standing::NotNeeded,
        policy: text("a1b2c3d4e5f6"),
    };
    let planned = vec![store.plan(&job, leave).await];
    store.apply(text("run"), planned, at(1)).await.unwrap();
    assert_eq!(store.read(&job).await.recover_after, Some(at(9_000)));
    let retried = store.administered(&job, AdminAction::Retry(Reset::ALL), at(70)).await;
    assert_eq!((retried.attempt, retried.recoveries, retried.lease_losses), (0, 0, 0));
    assert_eq!((retried.run_at, retried.recover_after, retried.finished_at), (at(70), None, None));
    assert_eq!(retried.lease_epoch, 1, "what fences never goes back");
    let last = store.history(&job).await.pop().unwrap().entry;
    assert_eq!(last.detail.unwrap()["reset"], json!({ "attempts": 1, "lease_losses": 0, "recoveries": 0 }));
}

/// A retry and a release set back the counters that are named and no others; the answer and the event say what those
/// stood at.
pub async fn only_named_counters_begin_again(rig: &dyn Rig) {
    let store = rig.store();
    let attempts: Reset = [Counter::Attempts].into_iter().collect();
    for (number, reset) in [Reset::NONE, attempts, Reset::RELEASE, Reset::ALL].into_iter().enumerate() {
        for action in [AdminAction::Retry(reset), AdminAction::Release(reset)] {
            // Lost and recovered once; then it fails, or is set aside as lost again.
            let name = format!("job-{number}-{}", action.whom().replace(' ', "-"));
            let job = store.add_running(&name, order("X"), "w", &format!("{name}-1")).await;
            decide(&*store, &job, Action::Requeue { run_at: at(1), priority: None, queue: None }).await;
            store.take("w", &format!("{name}-2"), at(2)).await;
            if action == AdminAction::Retry(reset) {
                store.tell(report(&job, &format!("{name}-2"), failure("it broke")), at(3)).await;
            } else {
                decide(&*store, &job, Action::Quarantine).await;
            }
            let before = store.read(&job).await;
            let answer = store.administer(job.clone(), action, Actor::Admin, at(5)).await.unwrap();
            let Applied::Done(done) = answer else { panic!("{answer:?}") };
            let counters = [
                (Counter::Attempts, before.attempt, done.job.attempt),
                (Counter::LeaseLosses, before.lease_losses, done.job.lease_losses),
                (Counter::Recoveries, before.recoveries, done.job.recoveries),
            ];
            assert_eq!((before.attempt, before.recoveries), (2, 1));
            for (counter, stood_at, now) in counters {
                let expected = if reset.has(counter) { (Some(&stood_at), 0) } else { (None, stood_at) };
                assert_eq!((done.reset.get(&counter), now), expected, "{counter} of {action:?}");
            }
            let said = store.history(&job).await.pop().unwrap().entry.detail.unwrap();
            assert_eq!(said["reset"], serde_json::to_value(&done.reset).unwrap());
            assert_eq!(store.read(&job).await, *done.job);
            store.administered(&job, AdminAction::Cancel, at(6)).await;
        }
    }
}

async fn decide(store: &dyn Store, job: &JobId, action: Action) {
    let decision = Decision {
        action,
        rule: None,
        reason: "it is lost".to_owned(),
        sign: None,
        account: Standing::NotNeeded,
        policy: text("a1b2c3d4e5f6"),
    };
    let planned = vec![store.plan(job, decision).await];
    store.apply(text("run"), planned, at(1)).await.unwrap();
}

/// A job cancelled while it runs is taken from its holder, who learns of it and can change nothing more.
pub async fn a_cancelled_holder_is_told(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let cancelled = store.administered(&job, AdminAction::Cancel, at(5)).await;
    assert_eq!((cancelled.lease, cancelled.finished_at), (None, Some(at(5))));
    assert_eq!(store.beat(&["first"], at(6)).await.cancelled, [(job.clone(), token("first"))]);
    let answer = store.tell(report(&job, "first", Outcome::Completed), at(7)).await;
    assert_eq!(answer, ReportAnswer::Stale { status: Status::Cancelled });
    assert_eq!(store.read(&job).await.status, Status::Cancelled);
}

/// A job resumed before its moment waits for it; one resumed later may run at once.
pub async fn a_resumed_job_keeps_its_moment(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add("job", NewJob { run_at: Some(at(60)), ..order("X") }).await;
    store.administered(&job, AdminAction::Pause, at(1)).await;
    assert_eq!(store.administered(&job, AdminAction::Resume, at(2)).await.run_at, at(60));
    store.administered(&job, AdminAction::Pause, at(3)).await;
    assert_eq!(store.administered(&job, AdminAction::Resume, at(90)).await.run_at, at(90));
}

/// Running a job again makes a new one like it, which names it; the old one stays as it is.
pub async fn running_again_makes_a_new_job(rig: &dyn Rig) {
    let store = rig.store();
    let like = NewJob {
        queue: text("big"),
        full_path: Some("a/b".to_owned()),
        payload: json!({ "branch": "main" }),
        max_attempts: 2,
        timeout: Some(Duration::from_secs(60)),
        unique_key: Some(text("one")),
        ..order("SCAN")
    };
    for (number, status) in [Status::Finished, Status::Cancelled].into_iter().enumerate() {
        let (name, again) = (format!("job-{number}"), id(&format!("again-{number}")));
        let job = store.add_in(status, &name, like.clone()).await;
        let before = store.snapshot(&job).await;
        let fresh = store.run_again(&job, &again, at(5)).await;
        let ordered = NewJob { spawned_from: Some(job.clone()), ..like.clone() };
        assert_eq!(fresh, Job::new(again.clone(), ordered, at(5)));
        assert_eq!(store.read(&again).await, fresh);
        assert_eq!(kinds(&store.history(&again).await), [EventKind::Created]);
        assert_eq!(store.snapshot(&job).await, before);
        store.administered(&again, AdminAction::Cancel, at(6)).await;
    }
}

/// A job that is not over cannot be run again, nor one whose unique key a live job holds.
pub async fn running_again_is_refused_with_its_reason(rig: &dyn Rig) {
    let store = rig.store();
    for status in Status::ALL.into_iter().filter(|status| !status.is_terminal()) {
        let job = store.add_in(status, &format!("job-{status}"), order("X")).await;
        let answer = store.rerun(job.clone(), id("again"), Actor::Admin, at(5)).await.unwrap();
        assert_eq!(answer, Applied::Refused(Refused::NotTerminal(status)));
        drop(store.administer(job, AdminAction::Cancel, Actor::Admin, at(6)).await);
    }
    let keyed = NewJob { unique_key: Some(text("one")), ..order("X") };
    let over = store.add_in(Status::Cancelled, "over", keyed.clone()).await;
    store.add("holder", keyed).await;
    let answer = store.rerun(over, id("again"), Actor::Admin, at(5)).await.unwrap();
    assert_eq!(answer, Applied::Refused(Refused::KeyHeld { key: text("one"), holder: id("holder") }));
    assert_eq!(store.job(&id("again")).await.unwrap(), None);
}

/// What does not exist cannot be acted on.
pub async fn no_job_is_no_such_job(rig: &dyn Rig) {
    let store = rig.store();
    for action in table().into_iter().map(|row| row.0) {
        let answer = store.administer(id("none"), action, Actor::Admin, at(5)).await.unwrap();
        assert_eq!(answer, Applied::Refused(Refused::NoSuchJob(id("none"))));
    }
    let answer = store.rerun(id("none"), id("again"), Actor::Admin, at(5)).await.unwrap();
    assert_eq!(answer, Applied::Refused(Refused::NoSuchJob(id("none"))));
}

/// J2: of people who race to do the same to one job, one does it; the others learn how the job stands then.
pub async fn one_of_many_hands_does_it(rig: &dyn Rig) {
    let (here, there) = (rig.store(), rig.another().await);
    let job = here.add_in(Status::Failed, "job", order("X")).await;
    let retry = |store: Arc<dyn Store>| {
        let job = job.clone();
        async move { store.administer(job, AdminAction::Retry(Reset::ALL), Actor::Admin, at(5)).await.unwrap() }
    };
    let (a, b, c) = tokio::join!(retry(here.clone()), retry(there.clone()), retry(here.clone()));
    let (done, refused): (Vec<_>, Vec<_>) =
        [a, b, c].into_iter().partition(|answer| matches!(answer, Applied::Done(_)));
    assert_eq!(done.len(), 1);
    for answer in refused {
        let Applied::Refused(Refused::Illegal(illegal)) = answer else { panic!("{answer:?}") };
        assert_eq!(illegal.from, Status::Queued);
    }
    let retried = kinds(&here.history(&job).await).into_iter().filter(|kind| *kind == EventKind::Retried);
    assert_eq!(retried.count(), 1);
}

fn bulk(action: AdminAction, limit: u32, dry_run: bool) -> Bulk {
    let filter = JobFilter { command: Some(text("X")), ..JobFilter::default() };
    Bulk { filter, action, limit, dry_run, actor: Actor::Admin, now: at(5) }
}

/// One thing done to many jobs is done to the oldest first, as many as the limit says; a dry run answers the same and
/// changes nothing.
pub async fn a_bulk_action_goes_by_age(rig: &dyn Rig) {
    let store = rig.store();
    store.add_in(Status::Finished, "b", order("X")).await;
    let failed = store.add_in(Status::Failed, "c", order("X")).await;
    for (name, command) in [("a", "X"), ("d", "X"), ("0", "OTHER")] {
        store.add(name, order(command)).await;
    }
    let before = store.snapshot(&failed).await;
    let dry = store.administer_many(bulk(AdminAction::Cancel, 2, true)).await.unwrap();
    assert_eq!(store.snapshot(&failed).await, before);
    let wet = store.administer_many(bulk(AdminAction::Cancel, 2, false)).await.unwrap();
    assert_eq!(dry, wet);
    let item = |name: &str| BulkItem { id: name.to_owned(), outcome: Ok(Counts::new()) };
    assert_eq!((&wet.items[..], wet.more), (&[item("a"), item("c")][..], true), "`b` can never be cancelled");
    let rest = store.administer_many(bulk(AdminAction::Cancel, 1, false)).await.unwrap();
    assert_eq!((&rest.items[..], rest.more), (&[item("d")][..], false));
    assert_eq!(store.read(&id("0")).await.status, Status::Queued);
    let none = store.administer_many(bulk(AdminAction::Cancel, 1, false)).await.unwrap();
    assert_eq!((none.items, none.eligible), (Vec::new(), 0));
}

/// Jobs whose state forbids it are counted by state, with the reason, and use up no place under the limit; so they are
/// where their state was asked for.
pub async fn a_bulk_action_counts_whom_it_is_not_for(rig: &dyn Rig) {
    let store = rig.store();
    for (name, status) in [("a", Status::Finished), ("b", Status::Finished), ("c", Status::Running)] {
        store.add_in(status, name, order("X")).await;
    }
    store.add_in(Status::Failed, "d", order("X")).await;
    store.add_in(Status::Failed, "e", order("X")).await;
    store.add("strange", order("X")).await;
    rig.set_status_text(&id("strange"), "half done").await;
    store.add_in(Status::Failed, "other", order("OTHER")).await;
    let counts = |answer: &BulkAnswer| {
        let counts: Vec<(String, u64)> =
            answer.ineligible.iter().map(|they| (they.status.clone(), they.count)).collect();
        (answer.eligible, counts)
    };
    let dry = store.administer_many(bulk(AdminAction::Retry(Reset::ALL), 1, true)).await.unwrap();
    let others = [("finished", 2), ("half done", 1), ("running", 1)];
    assert_eq!(counts(&dry), (2, others.map(|(status, count)| (status.to_owned(), count)).to_vec()));
    assert_eq!(dry.ineligible[0].reason, "only failed jobs can be retried");
    assert!(dry.ineligible[1].reason.contains("unknown status `half done`"), "{:?}", dry.ineligible);
    assert_eq!((dry.items.len(), dry.items[0].id.as_str(), dry.more), (1, "d", true));
    assert_eq!(dry.items[0].outcome.as_ref().unwrap()[&Counter::Attempts], 1);
    let mut asked = bulk(AdminAction::Retry(Reset::ALL), 9, false);
    asked.filter.status = vec![Status::Finished, Status::Failed];
    let wet = store.administer_many(asked).await.unwrap();
    assert_eq!(counts(&wet), (2, vec![("finished".to_owned(), 2)]));
    assert_eq!(wet.items.iter().map(|item| item.id.as_str()).collect::<Vec<_>>(), ["d", "e"]);
    assert_eq!(store.read(&id("a")).await.status, Status::Finished);
    assert_eq!(store.read(&id("e")).await.status, Status::Queued);
}
