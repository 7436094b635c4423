//! J9 and what is read: lists, histories, queues.

use std::time::Duration;

use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{NewJob, Priority, Status};
use reclaimer_domain::ports::{JobFilter, JobRead, QueueState, Search};
use reclaimer_domain::recovery::RecoveryType;

use super::ask::{at, failure, id, order, report};
use super::rig::Rig;
use crate::account::text;
use crate::{an_account, noon};

/// Long enough for any read that does not wait for a writer.
const PATIENCE: Duration = Duration::from_secs(20);

fn names(items: Vec<JobRead>) -> Vec<String> {
    let name = |item| match item {
        JobRead::Whole(job) => job.id.to_string(),
        JobRead::Broken(row) => row.id,
    };
    items.into_iter().map(name).collect()
}

/// A list shows every job once, newest first, part by part.
pub async fn a_list_is_read_part_by_part(rig: &dyn Rig) {
    let store = rig.store();
    for name in ["b", "d", "a", "e", "c"] {
        store.add(name, order("X")).await;
    }
    let (mut cursor, mut parts) = (None::<JobId>, Vec::new());
    loop {
        let page = store.jobs(JobFilter::default(), cursor, 2).await.unwrap();
        parts.push(names(page.items));
        // What comes between two parts belongs to neither.
        store.add(&format!("new-{}", parts.len()), order("X")).await;
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    assert_eq!(parts, [vec!["e", "d"], vec!["c", "b"], vec!["a"]]);
}

/// A list shows the jobs for which everything holds that its filter says.
pub async fn a_filter_holds_in_all_its_parts(rig: &dyn Rig) {
    let store = rig.store();
    store.put(an_account().build()).await.unwrap();
    let rich = NewJob {
        queue: text("big"),
        account_id: Some(text("account-1")),
        full_path: Some("a/b".to_owned()),
        ..order("SCAN")
    };
    store.add_running("a", rich.clone(), "w", "first").await;
    store.add("b", NewJob { queue: text("big"), ..order("X") }).await;
    store.add_in(Status::Cancelled, "c", rich).await;
    let any = JobFilter::default;
    let both = vec![Status::Running, Status::Cancelled];
    for (filter, expected) in [
        (any(), vec!["c", "b", "a"]),
        (JobFilter { status: both.clone(), ..any() }, vec!["c", "a"]),
        (JobFilter { queue: Some(text("big")), ..any() }, vec!["c", "b", "a"]),
        (JobFilter { queue: Some(text("default")), ..any() }, vec![]),
        (JobFilter { command: Some(text("X")), ..any() }, vec!["b"]),
        (JobFilter { account_id: Some(text("account-1")), ..any() }, vec!["c", "a"]),
        (JobFilter { full_path: Some("a/b".to_owned()), ..any() }, vec!["c", "a"]),
        (JobFilter { worker_id: Some(text("w")), ..any() }, vec!["a"]),
        (JobFilter { status: both, command: Some(text("X")), ..any() }, vec![]),
    ] {
        let page = store.jobs(filter.clone(), None, 100).await.unwrap();
        assert_eq!(names(page.items), expected, "{filter:?}");
    }
}

/// A text is looked for in what people know a job by, and is nothing but a text.
pub async fn jobs_are_found_by_a_text(rig: &dyn Rig) {
    let store = rig.store();
    let about = |path: &str| NewJob { full_path: Some(path.to_owned()), ..order("SCAN") };
    let failed = store.add_running("job-three", about("x"), "w", "first").await;
    store.tell(report(&failed, "first", failure("No \"ÄPFEL\"\\, 50% rotten")), noon()).await;
    store.add("job-One", about("group/50%_off")).await;
    store.add("job-two", order("One.more")).await;
    for (text, expected) in [
        ("one", vec!["job-two", "job-One"]),
        ("scan", vec!["job-three", "job-One"]),
        ("50%", vec!["job-three", "job-One"]),
        ("50%_", vec!["job-One"]),
        ("GROUP/", vec!["job-One"]),
        ("no \"ÄPFEL\"\\", vec!["job-three"]),
        ("äpfel", vec![]),
        ("error", vec![]),
        ("-", vec!["job-two", "job-three", "job-One"]),
    ] {
        let filter = JobFilter { text: Some(text.to_owned()), ..JobFilter::default() };
        let found = store.jobs(filter.clone(), None, 100).await.unwrap();
        assert_eq!(names(found.items), expected, "{text}");
        let filter = JobFilter { status: vec![Status::Failed], ..filter };
        let found = store.jobs(filter, None, 100).await.unwrap();
        assert_eq!(found.items.len(), usize::from(expected.contains(&"job-three")), "{text}");
    }
}

/// A history is read oldest first, part by part, with ids that only grow; what has no job has no history.
pub async fn a_history_is_read_part_by_part(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_in(Status::Quarantined, "job", order("X")).await;
    let whole = store.history(&job).await;
    assert_eq!(whole.len(), 4, "created, claimed, failed, quarantined");
    assert!(whole.is_sorted_by(|one, next| one.id < next.id), "{whole:?}");
    let first = store.events(&job, None, 3).await.unwrap().unwrap();
    assert_eq!(first.items, whole[..3]);
    assert_eq!(first.next, Some(whole[2].id));
    let rest = store.events(&job, first.next, 3).await.unwrap().unwrap();
    assert_eq!((rest.items, rest.next), (whole[3..].to_vec(), None));
    assert_eq!(store.events(&id("none"), None, 3).await.unwrap(), None);
    assert_eq!(store.job(&id("none")).await.unwrap(), None);
}

/// Every queue with jobs, and every paused one, is listed with its jobs per state.
pub async fn queues_are_counted_by_state(rig: &dyn Rig) {
    let store = rig.store();
    let big = || NewJob { queue: text("big"), ..order("X") };
    store.add_in(Status::Finished, "a", big()).await;
    store.add_in(Status::Failed, "b", big()).await;
    store.add("c", order("X")).await;
    let urgent = Priority::try_from(-5).unwrap();
    store.add("d", NewJob { run_at: Some(at(-60)), priority: urgent, ..order("X") }).await;
    store.set_paused("big", true).await;
    store.set_paused("empty", true).await;
    let state = |name: &str, paused, jobs: &[(Status, u64)], oldest_queued| QueueState {
        name: text(name),
        paused,
        jobs: jobs.to_vec(),
        oldest_queued,
    };
    let mut queues = store.queues().await.unwrap();
    queues.sort_by_key(|queue| queue.name.clone());
    queues.iter_mut().for_each(|queue| queue.jobs.sort());
    let expected = [
        state("big", true, &[(Status::Finished, 1), (Status::Failed, 1)], None),
        state("default", false, &[(Status::Queued, 2)], Some(at(-60))),
        state("empty", true, &[], None),
    ];
    assert_eq!(queues, expected);
    store.set_paused("big", false).await;
    let queues = store.queues().await.unwrap();
    assert!(queues.iter().any(|queue| queue.name == text("big") && !queue.paused), "{queues:?}");
}

/// J9: while a write waits, everything can be read, as it was before.
pub async fn reads_do_not_wait_for_writes(rig: &dyn Rig) {
    let store = rig.store();
    store.put(an_account().build()).await.unwrap();
    let job = store.add("job", order("X")).await;
    let held = rig.hold_writes().await;
    let writing = tokio::spawn({
        let store = store.clone();
        async move { store.add("late", order("X")).await }
    });
    let reads = async {
        assert_eq!(store.read(&job).await.status, Status::Queued);
        assert_eq!(store.history(&job).await.len(), 1);
        assert_eq!(store.all_ids().await, ["job"]);
        assert_eq!(store.peek(None, None, 9, noon()).await.unwrap().len(), 1);
        assert_eq!(store.queues().await.unwrap().len(), 1);
        assert_eq!(store.accounts(None, 9).await.unwrap().items.len(), 1);
        assert!(store.runs(None, 9).await.unwrap().items.is_empty());
        let search = Search {
            kind: RecoveryType::Comprehensive,
            expired_leases_only: false,
            resting: false,
            silent_since: None,
            after: None,
            limit: 9,
            now: at(1),
        };
        assert!(store.candidates(search).await.unwrap().jobs.is_empty());
    };
    tokio::time::timeout(PATIENCE, reads).await.unwrap();
    assert!(!writing.is_finished(), "the write waits");
    drop(held);
    writing.await.unwrap();
    assert_eq!(store.all_ids().await, ["late", "job"]);
}

/// A store that can write says so.
pub async fn a_sound_store_proves_itself(rig: &dyn Rig) {
    rig.store().probe(noon()).await.unwrap();
    rig.store().probe(at(-60)).await.unwrap();
}
