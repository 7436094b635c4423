//! R3, R5: applying decisions.

use reclaimer_domain::account::Standing;
use reclaimer_domain::decision::{Action, Decision, Requirement, StuckSign, Unmet};
use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::report::Outcome as Ended;
use reclaimer_domain::job::{Job, NewJob, Priority, Reset, Status};
use reclaimer_domain::ports::{
    AdminAction, Claim, Flow, Outcome, Planned, Refused, ReportAnswer, Seen, Undo,
};
use reclaimer_domain::time::after;

use super::ask::{LEASE, at, claim, failure, id, kinds, order, report};
use super::rig::{Rig, Store};
use crate::account::text;
use crate::noon;

fn decision(action: Action, reason: &str) -> Decision {
    Decision {
        action,
        rule: Some(text("rule")),
        reason: reason.to_owned(),
        sign: None,
        account: Standing::NotNeeded,
        policy: text("a1b2c3d4e5f6"),
    }
}

fn requeue() -> Decision {
    decision(Action::Requeue { run_at: at(200), priority: None, queue: None }, "it may work now")
}

fn leave(reason: &str) -> Decision {
    decision(Action::Leave { until: at(900) }, reason)
}

/// Applies one decision about a job as it now looks.
async fn decide(store: &dyn Store, job: &JobId, decision: Decision, seconds: i64) -> Outcome {
    let planned = vec![store.plan(job, decision).await];
    store.apply(text("run"), planned, at(seconds)).await.unwrap().remove(0)
}

/// R3: a failed job is queued again, with the reason, the rule and the run on record.
pub async fn a_failed_job_is_queued_again(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_in(Status::Failed, "job", order("X")).await;
    let priority = Some(Priority::try_from(-5).unwrap());
    let sooner = Action::Requeue { run_at: at(200), priority, queue: None };
    assert_eq!(decide(&*store, &job, decision(sooner, "it may work now"), 100).await, Outcome::Applied);
    let found = store.read(&job).await;
    assert_eq!((found.status, found.run_at, found.priority.get()), (Status::Queued, at(200), -5));
    assert_eq!(found.queue.as_str(), "default");
    assert_eq!((found.recoveries, found.recover_after, found.updated_at), (1, None, at(100)));
    assert_eq!(found.progress["recoveryRule"], "rule");
    assert_eq!(found.progress["previousError"], "it broke");
    let last = store.history(&job).await.pop().unwrap().entry;
    assert_eq!(
        (last.kind, last.from, last.to),
        (EventKind::Recovered, Some(Status::Failed), Some(Status::Queued))
    );
    assert_eq!((last.actor, last.rule), (Actor::Recovery(text("run")), Some(text("rule"))));
    assert_eq!(last.reason.as_deref(), Some("it may work now"));
    assert_eq!(last.detail.unwrap()["policy"], "a1b2c3d4e5f6");
}

/// R3: a decision can put a job into another queue; workers of that one get it, and the history says where it was.
pub async fn a_decision_can_choose_the_queue(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_in(Status::Failed, "job", order("X")).await;
    let elsewhere = Action::Requeue { run_at: at(100), priority: None, queue: Some(text("big-memory")) };
    assert_eq!(decide(&*store, &job, decision(elsewhere, "it needs more"), 100).await, Outcome::Applied);
    let last = store.history(&job).await.pop().unwrap().entry.detail.unwrap();
    assert_eq!((&last["fromQueue"], &last["toQueue"]), (&"default".into(), &"big-memory".into()));
    let of = |queue| Claim { queue: Some(text(queue)), now: at(100), ..claim("w", &["next"]) };
    assert!(store.claimed_ids(of("default")).await.is_empty());
    assert_eq!(store.claimed_ids(of("big-memory")).await, ["job"]);
}

/// R3: a stuck job is taken from its holder and queued again; the loss is charged and on record.
pub async fn a_stuck_job_is_taken_back(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let stuck = Decision { sign: Some(StuckSign::LeaseExpired), ..requeue() };
    assert_eq!(decide(&*store, &job, stuck, 100).await, Outcome::Applied);
    let found = store.read(&job).await;
    assert_eq!((found.status, &found.lease, found.lease_losses), (Status::Queued, &None, 1));
    assert_eq!(found.progress["resetReason"], "lease_expired");
    let last = store.history(&job).await.pop().unwrap().entry;
    assert_eq!((last.kind, last.from), (EventKind::Reclaimed, Some(Status::Running)));
    assert_eq!(last.detail.unwrap()["worker"], "w");
    let answer = store.tell(report(&job, "first", Ended::Completed), at(101)).await;
    assert_eq!(answer, ReportAnswer::Stale { status: Status::Queued });
}

/// R3: a job lost within a grace for our own absence costs neither an attempt nor a loss.
pub async fn a_loss_within_a_grace_is_not_charged(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    store.grant_grace(at(90)).await.unwrap();
    assert_eq!(decide(&*store, &job, requeue(), 100).await, Outcome::Applied);
    let found = store.read(&job).await;
    assert_eq!((found.attempt, found.lease_losses, found.recoveries), (0, 0, 0));
    assert!(!store.take("w", "second", at(200)).await.lease.unwrap().excused, "the next lease is no grace");
}

/// R3: a job is set aside for a person by a decision, whether it failed or runs.
pub async fn a_decision_can_quarantine(rig: &dyn Rig) {
    let store = rig.store();
    for status in [Status::Failed, Status::Running] {
        let job = store.add_in(status, &format!("job-{status}"), order("X")).await;
        assert_eq!(
            decide(&*store, &job, decision(Action::Quarantine, "hopeless"), 100).await,
            Outcome::Applied
        );
        let found = store.read(&job).await;
        assert_eq!(
            (found.status, found.lease, found.finished_at),
            (Status::Quarantined, None, Some(at(100)))
        );
        let last = store.history(&job).await.pop().unwrap().entry;
        assert_eq!((last.kind, last.from), (EventKind::Quarantined, Some(status)));
    }
}

/// R3: a decision about a job that has moved on, in whatever way, changes nothing and answers how it stands.
pub async fn a_job_that_moved_on_is_left_alone(rig: &dyn Rig) {
    let store = rig.store();
    let heard = store.add_running("a", order("X"), "w", "1").await;
    let told = store.add_running("b", order("X"), "w", "2").await;
    let ended = store.add_running("c", order("X"), "w", "3").await;
    let excused = store.add_running("d", order("X"), "w", "4").await;
    let retried = store.add_in(Status::Failed, "e", order("X")).await;
    let failed_again = store.add_in(Status::Failed, "f", order("X")).await;
    let jobs = [heard, told, ended, excused, retried, failed_again];
    let mut planned: Vec<Planned> = Vec::new();
    for job in &jobs {
        planned.push(store.plan(job, requeue()).await);
    }
    let [heard, told, ended, excused, retried, failed_again] = &jobs;
    store.beat(&["1"], at(50)).await;
    store.tell(report(told, "2", Ended::Progress), at(50)).await;
    store.tell(report(ended, "3", Ended::Completed), at(50)).await;
    store.administered(retried, AdminAction::Retry(Reset::ALL), at(50)).await;
    store.administered(failed_again, AdminAction::Cancel, at(50)).await;
    store.grant_grace(at(90)).await.unwrap();
    assert!(store.read(excused).await.lease.unwrap().excused);
    let mut before = Vec::new();
    for job in &jobs {
        before.push(store.snapshot(job).await);
    }
    let outcomes = store.apply(text("run"), planned, at(100)).await.unwrap();
    let lost = |status| Outcome::LostRace { found: Some(status) };
    let expected = [
        lost(Status::Running),
        lost(Status::Running),
        lost(Status::Finished),
        lost(Status::Running),
        lost(Status::Queued),
        lost(Status::Cancelled),
    ];
    assert_eq!(outcomes, expected);
    for (job, before) in [heard, told, ended, excused, retried, failed_again].into_iter().zip(before) {
        assert_eq!(store.snapshot(job).await, before);
    }
}

/// R3: a job that failed once more since it was looked at is another failure.
pub async fn another_failure_is_decided_anew(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_in(Status::Failed, "job", order("X")).await;
    let planned = vec![store.plan(&job, requeue()).await];
    store.administered(&job, AdminAction::Retry(Reset::ALL), at(10)).await;
    store.take("w", "second", at(10)).await;
    store.tell(report(&job, "second", failure("other")), at(11)).await;
    let outcomes = store.apply(text("run"), planned, at(100)).await.unwrap();
    assert_eq!(outcomes, [Outcome::LostRace { found: Some(Status::Failed) }]);
    assert_eq!(store.read(&job).await.error(), Some("other"));
}

/// R3: each decision is answered on its own, in order; what cannot be applied stops no other.
pub async fn each_decision_stands_alone(rig: &dyn Rig) {
    let store = rig.store();
    let broken = store.add_in(Status::Failed, "a", order("X")).await;
    let illegal = store.add("b", NewJob { run_at: Some(at(9_000)), ..order("X") }).await;
    let sound = store.add_in(Status::Failed, "c", order("X")).await;
    let seen = Seen::of(&store.read(&sound).await);
    let planned = vec![
        store.plan(&broken, requeue()).await,
        store.plan(&illegal, requeue()).await,
        Planned { job: id("none"), seen, decision: requeue() },
        store.plan(&sound, requeue()).await,
        store.plan(&sound, requeue()).await,
    ];
    rig.corrupt_progress(&broken).await;
    let outcomes = store.apply(text("run"), planned, at(100)).await.unwrap();
    assert!(
        matches!(&outcomes[0], Outcome::Refused(Refused::Broken { id, .. }) if id == "a"),
        "{outcomes:?}"
    );
    assert!(matches!(&outcomes[1], Outcome::Refused(Refused::Illegal(it)) if it.from == Status::Queued));
    let rest = [
        Outcome::LostRace { found: None },
        Outcome::Applied,
        Outcome::LostRace { found: Some(Status::Queued) },
    ];
    assert_eq!(outcomes[2..], rest);
    assert_eq!(store.read(&sound).await.recoveries, 1, "once, though it was decided twice");
}

/// R3, J2: of a decision and a report that race, one changes the job, and the other is answered as the job then is.
pub async fn a_decision_and_a_report_cannot_both_win(rig: &dyn Rig) {
    let (here, there) = (rig.store(), rig.another().await);
    for number in 0..8 {
        let (name, lease) = (format!("job-{number}"), format!("lease-{number}"));
        let job = here.add_running(&name, order("X"), "w", &lease).await;
        let planned = vec![here.plan(&job, decision(Action::Quarantine, "lost")).await];
        let (told, outcomes) = tokio::join!(
            here.tell(report(&job, &lease, Ended::Completed), at(100)),
            there.apply(text("run"), planned, at(100)),
        );
        let status = here.read(&job).await.status;
        match (told, outcomes.unwrap().remove(0)) {
            (ReportAnswer::Applied { .. }, Outcome::LostRace { found }) => {
                assert_eq!((found, status), (Some(Status::Finished), Status::Finished));
            }
            (ReportAnswer::Stale { status: Status::Quarantined }, Outcome::Applied) => {
                assert_eq!(status, Status::Quarantined);
            }
            both => panic!("the job is {status}, and the answers are {both:?}"),
        }
    }
}

/// R5: a job that is not recovered rests, stays as it is, and its reason is said once, whatever numbers stand in it.
pub async fn a_reason_is_said_once(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_in(Status::Failed, "job", order("X")).await;
    let before = store.read(&job).await;
    let length = store.history(&job).await.len();
    for seconds in [100, 110, 120] {
        let reason = format!("recovered {seconds} times already");
        assert_eq!(decide(&*store, &job, leave(&reason), seconds).await, Outcome::Applied);
    }
    let found = store.read(&job).await;
    assert_eq!(found.recover_after, Some(at(900)));
    assert_eq!(Job { recover_after: None, ..found }, before, "nothing else has changed");
    let said = store.history(&job).await.split_off(length);
    assert_eq!(said.len(), 1, "{said:?}");
    let entry = &said[0].entry;
    assert_eq!(
        (entry.kind, entry.from, entry.to),
        (EventKind::NotRecovered, Some(Status::Failed), Some(Status::Failed))
    );
    assert_eq!(entry.reason.as_deref(), Some("recovered 100 times already"));
}

/// R5: what the decision saw beside may be another each time; the reason is said once all the same.
pub async fn a_reason_is_said_once_whatever_was_seen(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "1").await;
    decide(&*store, &job, leave("not yet"), 100).await;
    store.grant_grace(at(200)).await.unwrap();
    decide(&*store, &job, leave("not yet"), 300).await;
    let left = kinds(&store.history(&job).await).into_iter().filter(|kind| *kind == EventKind::NotRecovered);
    assert_eq!(left.count(), 1);
}

/// R5: another reason, another rule, another policy, and the same reason after the job has run again, are news.
pub async fn another_reason_is_said(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_in(Status::Failed, "job", order("X")).await;
    let unmet = Unmet::Requirement(Requirement::AccountValid);
    let skip = decision(Action::Skip { unmet, until: at(900) }, "no token");
    let other_rule = Decision { rule: Some(text("other")), ..skip.clone() };
    let other_policy = Decision { policy: text("ffffffffffff"), ..other_rule.clone() };
    for decision in [leave("no rule"), skip, other_rule, other_policy.clone()] {
        decide(&*store, &job, decision, 100).await;
    }
    let said = async || {
        let history = store.history(&job).await;
        history.into_iter().filter(|event| event.entry.kind == EventKind::NotRecovered).count()
    };
    assert_eq!(said().await, 4);
    store.administered(&job, AdminAction::Retry(Reset::ALL), at(200)).await;
    store.take("w", "second", at(200)).await;
    store.tell(report(&job, "second", failure("it broke")), at(201)).await;
    decide(&*store, &job, other_policy, 300).await;
    assert_eq!(said().await, 5);
}

/// R5: a stale report in between is no reason to say the same again.
pub async fn a_stale_report_is_no_news_of_the_job(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_in(Status::Failed, "job", order("X")).await;
    decide(&*store, &job, leave("no rule"), 100).await;
    store.tell(report(&job, "made-up", Ended::Completed), at(101)).await;
    decide(&*store, &job, leave("no rule"), 102).await;
    let last = kinds(&store.history(&job).await).split_off(3);
    assert_eq!(last, [EventKind::NotRecovered, EventKind::StaleReport]);
}

/// What was claimed, and what recovery queued again at somebody's cost, is counted for a minute.
pub async fn the_flow_of_the_last_minute_is_known(rig: &dyn Rig) {
    let store = rig.store();
    for name in ["a", "b"] {
        store.add(name, order("X")).await;
    }
    assert_eq!(store.claimed_ids(claim("w", &["1", "2", "3"])).await.len(), 2);
    store.tell(report(&id("a"), "1", failure("e")), at(1)).await;
    decide(&*store, &id("a"), requeue(), 30).await;
    decide(&*store, &id("b"), decision(Action::Quarantine, "hopeless"), 30).await;
    // What follows is answered after what was committed before it has been counted.
    store.probe(at(31)).await.unwrap();
    assert_eq!(store.flow(at(31)).await.unwrap(), Flow { claims: 2, requeues: 1 });
    assert_eq!(store.flow(after(noon(), LEASE * 2)).await.unwrap(), Flow::default());
}

/// R3, R5, R6: very many decisions at once are each what they would be alone, and are told of in their order; jobs that moved
/// on or cannot be read spoil none of the others.
pub async fn many_decisions_stand_alone_as_well(rig: &dyn Rig) {
    const MANY: usize = 75;
    let store = rig.store();
    let mut jobs = Vec::with_capacity(MANY);
    let mut planned = Vec::with_capacity(MANY);
    for number in 0..MANY {
        let new = NewJob { unique_key: Some(text(&format!("key-{number}"))), ..order("X") };
        let job = store.add_running(&format!("job-{number:02}"), new, "w", &format!("lease-{number}")).await;
        let decision = match number % 3 {
            0 => requeue(),
            1 => decision(Action::Quarantine, "hopeless"),
            _ => leave("no rule"),
        };
        planned.push(store.plan(&job, decision).await);
        jobs.push(job);
    }
    let moved_on = |number: usize| number.is_multiple_of(7);
    for (number, job) in jobs.iter().enumerate().filter(|(number, _)| moved_on(*number)) {
        store.tell(report(job, &format!("lease-{number}"), Ended::Completed), at(50)).await;
    }
    let broken = 40;
    rig.corrupt_progress(&jobs[broken]).await;
    rig.changes().await;
    rig.taken().await;
    rig.arrivals().await;

    let outcomes = store.apply(text("run"), planned, at(100)).await.unwrap();
    assert_eq!(outcomes.len(), MANY);
    let mut happened = Vec::new();
    for (number, (job, outcome)) in jobs.iter().zip(&outcomes).enumerate() {
        if number == broken {
            assert!(matches!(outcome, Outcome::Refused(Refused::Broken { .. })), "{job}: {outcome:?}");
            continue;
        }
        let (status, kind) = match number % 3 {
            _ if moved_on(number) => (Status::Finished, EventKind::Finished),
            0 => (Status::Queued, EventKind::Reclaimed),
            1 => (Status::Quarantined, EventKind::Quarantined),
            _ => (Status::Running, EventKind::NotRecovered),
        };
        if moved_on(number) {
            assert_eq!(*outcome, Outcome::LostRace { found: Some(Status::Finished) }, "{job}");
        } else {
            assert_eq!(*outcome, Outcome::Applied, "{job}");
            happened.push((job.clone(), kind));
        }
        assert_eq!(store.read(job).await.status, status, "{job}");
        assert_eq!(store.history(job).await.last().map(|event| event.entry.kind), Some(kind), "{job}");
    }
    let changes = rig.changes().await;
    assert!(changes.is_sorted_by_key(|change| change.event_id));
    let told: Vec<_> = changes.into_iter().map(|change| (change.job, change.entry.kind)).collect();
    assert_eq!(told, happened);
    let of = |kinds: &[EventKind]| happened.iter().filter(|(_, kind)| kinds.contains(kind)).count();
    assert_eq!(rig.arrivals().await.len(), of(&[EventKind::Reclaimed]));
    let changed = of(&[EventKind::Reclaimed, EventKind::Quarantined]);
    assert_eq!(rig.taken().await.len(), changed);
    let undo = Undo { run: text("run"), dry_run: false, grace: LEASE, actor: Actor::Admin, now: at(110) };
    assert_eq!(store.undo(undo).await.unwrap().undone.len(), changed);
}
