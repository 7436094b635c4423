//! R6: undoing what a recovery run did.

use std::time::Duration;

use reclaimer_domain::account::Standing;
use reclaimer_domain::decision::{Action, Decision, StuckSign};
use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::report::Outcome as Ended;
use reclaimer_domain::job::{Job, NotUndone, Priority, Status};
use reclaimer_domain::ports::{AdminAction, Outcome, ReportAnswer, Undo, Undone};

use super::ask::{at, order, report};
use super::rig::{Rig, Store};
use crate::account::text;

const GRACE: Duration = Duration::from_secs(30);

fn requeue() -> Action {
    Action::Requeue {
        run_at: at(100),
        priority: Some(Priority::try_from(-5).unwrap()),
        queue: Some(text("another")),
    }
}

/// Applies one decision of a run at 100 s.
async fn decide(store: &dyn Store, run: &str, job: &JobId, action: Action) {
    let decision = Decision {
        action,
        rule: Some(text("rule")),
        reason: "r".to_owned(),
        sign: Some(StuckSign::LeaseExpired),
        account: Standing::NotNeeded,
        policy: text("a1b2c3d4e5f6"),
    };
    let planned = vec![store.plan(job, decision).await];
    assert_eq!(store.apply(text(run), planned, at(100)).await.unwrap(), [Outcome::Applied]);
}

async fn undo(store: &dyn Store, run: &str, dry_run: bool) -> Undone {
    let order = Undo { run: text(run), dry_run, grace: GRACE, actor: Actor::Admin, now: at(200) };
    store.undo(order).await.unwrap()
}

/// R6: every job that a run queued again or set aside is as it was before: state, counters, `progress`, moments. A dry run
/// says the same and changes nothing.
pub async fn a_run_is_undone(rig: &dyn Rig) {
    let store = rig.store();
    let failed = store.add_in(Status::Failed, "a", order("X")).await;
    let set_aside = store.add_in(Status::Failed, "b", order("X")).await;
    let other = store.add_in(Status::Failed, "c", order("X")).await;
    let before = [store.read(&failed).await, store.read(&set_aside).await];
    decide(&*store, "run", &failed, requeue()).await;
    decide(&*store, "run", &set_aside, Action::Quarantine).await;
    decide(&*store, "another", &other, requeue()).await;
    let after =
        [store.snapshot(&failed).await, store.snapshot(&set_aside).await, store.snapshot(&other).await];
    let dry = undo(&*store, "run", true).await;
    assert_eq!(
        [store.snapshot(&failed).await, store.snapshot(&set_aside).await, store.snapshot(&other).await],
        after
    );
    let expected = vec![(failed.clone(), Status::Failed), (set_aside.clone(), Status::Failed)];
    assert_eq!(dry, Undone { undone: expected, left: Vec::new() });
    assert_eq!(undo(&*store, "run", false).await, dry);
    for (id, before) in [&failed, &set_aside].into_iter().zip(before) {
        let found = store.read(id).await;
        assert_eq!(found.recover_after, Some(at(3_800)), "it is not recovered again at once");
        assert_eq!(Job { recover_after: None, ..found }, before);
        let last = store.history(id).await.pop().unwrap().entry;
        assert_eq!((last.kind, last.actor, last.to), (EventKind::Undone, Actor::Admin, Some(Status::Failed)));
        assert_eq!(last.reason.as_deref(), Some("recovery run run was undone"));
    }
    assert_eq!(store.snapshot(&other).await, after[2], "another run's job stays as it is");
}

/// R6: a job that was taken from its holder is the holder's again, for a grace at least, and its report counts.
pub async fn a_lease_comes_back_with_a_grace(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let before = store.read(&job).await;
    decide(&*store, "run", &job, requeue()).await;
    assert_eq!(undo(&*store, "run", false).await.undone, [(job.clone(), Status::Running)]);
    let mut found = store.read(&job).await;
    assert_eq!((found.lease.as_ref().unwrap().expires_at, found.recover_after), (at(230), Some(at(230))));
    (found.lease, found.recover_after) = (before.lease.clone(), None);
    assert_eq!(found, before);
    let answer = store.tell(report(&job, "first", Ended::Completed), at(210)).await;
    assert!(matches!(answer, ReportAnswer::Applied { status: Status::Finished, .. }), "{answer:?}");
}

/// R6: what was started or changed since is left as it is, and named with the reason.
pub async fn what_moved_on_is_left_and_named(rig: &dyn Rig) {
    let store = rig.store();
    let started = store.add_in(Status::Failed, "a", order("X")).await;
    let cancelled = store.add_in(Status::Failed, "b", order("X")).await;
    decide(&*store, "run", &started, requeue()).await;
    store.take("v", "second", at(150)).await;
    decide(&*store, "run", &cancelled, requeue()).await;
    store.administered(&cancelled, AdminAction::Cancel, at(150)).await;
    let before = [store.snapshot(&started).await, store.snapshot(&cancelled).await];
    let expected = vec![
        (started.clone(), NotUndone::Started(Status::Running)),
        (cancelled.clone(), NotUndone::Changed(Status::Cancelled)),
    ];
    assert_eq!(undo(&*store, "run", false).await, Undone { undone: Vec::new(), left: expected });
    assert_eq!([store.snapshot(&started).await, store.snapshot(&cancelled).await], before);
}

/// R6: what was put back is not put back again.
pub async fn a_run_is_undone_once(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_in(Status::Failed, "job", order("X")).await;
    decide(&*store, "run", &job, requeue()).await;
    undo(&*store, "run", false).await;
    let before = store.snapshot(&job).await;
    assert_eq!(undo(&*store, "run", false).await.undone, []);
    assert_eq!(store.snapshot(&job).await, before);
}
