//! T1–T4: removing what has been kept for long enough.

use reclaimer_domain::history::EventKind;
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::{Prune, Pruned};

use super::ask::{at, id, order};
use super::rig::{Rig, Store};

/// An order for nothing, with room for everything.
fn nothing() -> Prune {
    Prune { limit: 1_000, now: at(1_000), ..Prune::default() }
}

/// The jobs whose history is given back.
async fn remembered(store: &dyn Store) -> Vec<(String, EventKind)> {
    let page = store.replay(at(-1_000), None, 1_000).await.unwrap();
    let of =
        |event: reclaimer_domain::ports::Recorded| (event.event.job_id.to_string(), event.event.entry.kind);
    page.items.into_iter().map(of).collect()
}

async fn add_all(store: &dyn Store) {
    // The queued one last: it would be handed out in another's place.
    for status in Status::ALL.into_iter().rev() {
        store.add_in(status, &format!("job-{status}"), order("X")).await;
    }
}

/// T1: finished and cancelled jobs go, each when its own time has come; no job that is not over ever does.
pub async fn jobs_that_are_over_go_when_their_time_has_come(rig: &dyn Rig) {
    let store = rig.store();
    add_all(&*store).await;
    let (early, late) = (Some(at(-1)), Some(at(500)));
    let kept = store.prune(Prune { finished: early, cancelled: early, ..nothing() }).await.unwrap();
    assert_eq!(kept, Pruned::default());
    let pruned = store.prune(Prune { finished: late, ..nothing() }).await.unwrap();
    assert_eq!(pruned, Pruned { jobs: 1, ..Pruned::default() });
    assert_eq!(store.job(&id("job-finished")).await.unwrap(), None);
    assert_eq!(store.events(&id("job-finished"), None, 10).await.unwrap(), None);
    let pruned = store.prune(Prune { cancelled: late, ..nothing() }).await.unwrap();
    assert_eq!(pruned.jobs, 1);
    let mut left = store.all_ids().await;
    left.sort();
    assert_eq!(left, ["job-failed", "job-paused", "job-quarantined", "job-queued", "job-running"]);
}

/// T2: what happened to a removed job is given back as before, until it is old enough to go itself.
pub async fn the_history_of_a_removed_job_stays_until_its_own_time(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_in(Status::Finished, "job", order("X")).await;
    let before = store.replay(at(-1_000), None, 10).await.unwrap();
    store.prune(Prune { finished: Some(at(500)), ..nothing() }).await.unwrap();
    assert_eq!(store.replay(at(-1_000), None, 10).await.unwrap(), before);
    let pruned = store.prune(Prune { events: Some(at(-1)), ..nothing() }).await.unwrap();
    assert_eq!((pruned.events, pruned.next), (0, None));
    let pruned = store.prune(Prune { events: Some(at(500)), now: at(2_000), ..nothing() }).await.unwrap();
    assert_eq!((pruned.events, pruned.next), (3, None), "{job}");
    assert_eq!(remembered(&*store).await, []);
}

/// T3: old events go with what they are about; those of jobs that are not over stay, however old.
pub async fn the_history_of_a_job_that_is_not_over_stays(rig: &dyn Rig) {
    let store = rig.store();
    let set_aside = store.add_in(Status::Quarantined, "a", order("X")).await;
    store.add_in(Status::Finished, "b", order("X")).await;
    let pruned = store.prune(Prune { events: Some(at(500)), ..nothing() }).await.unwrap();
    assert_eq!((pruned.jobs, pruned.events), (0, 3));
    assert!(remembered(&*store).await.iter().all(|(job, _)| *job == set_aside.as_str()));
    assert_eq!(store.history(&set_aside).await.len(), 4);
    assert_eq!(store.history(&id("b")).await.len(), 0, "the job is there still");
}

/// T4: a step removes no more than it was told to, and says where to go on, until there is no more.
pub async fn one_step_removes_so_much(rig: &dyn Rig) {
    let store = rig.store();
    for number in 0..5 {
        store.add_in(Status::Finished, &format!("job-{number}"), order("X")).await;
    }
    let mut order = Prune { finished: Some(at(500)), events: Some(at(500)), limit: 2, ..nothing() };
    let mut steps = Vec::new();
    loop {
        let step = store.prune(order.clone()).await.unwrap();
        steps.push((step.jobs, step.events));
        order.from = step.next.or(order.from);
        if step.next.is_none() && !step.more_jobs {
            break;
        }
    }
    assert!(steps.iter().all(|(jobs, events)| *jobs <= 2 && *events <= 2), "{steps:?}");
    let sum = |of: fn(&(u32, u32)) -> u32| steps.iter().map(of).sum::<u32>();
    assert_eq!((sum(|step| step.0), sum(|step| step.1)), (5, 15));
    assert_eq!(remembered(&*store).await, []);
}
