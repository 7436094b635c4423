//! Whatever happens to a store, in whatever order: it answers as the model says, what the model leaves alone it leaves
//! alone, and its history tells everything that happened to each row.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that meets something unexpected has failed")]

mod model;
mod operation;
mod world;

use std::collections::{BTreeMap, BTreeSet};

use proptest::prelude::*;
use proptest::test_runner::FileFailurePersistence;
use reclaimer_domain::history::{EventKind, JobEvent};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{Job, Status};
use reclaimer_domain::ports::{JobFilter, JobRead, JobStore, RecoveryStore, Search, Seen};
use reclaimer_domain::recovery::RecoveryType;

use model::{Model, ModelJob, Row};
use operation::operations;
use world::World;

/// Everything that a store holds.
type Stored = BTreeMap<JobId, (Job, Vec<JobEvent>)>;

async fn stored(world: &World) -> Stored {
    let mut stored = Stored::new();
    for item in world.store.jobs(JobFilter::default(), None, 1_000).await.unwrap().items {
        let JobRead::Whole(job) = item else { panic!("a row cannot be read: {item:?}") };
        let page = world.store.events(&job.id, None, 1_000).await.unwrap().unwrap();
        assert_eq!(page.next, None);
        stored.insert(job.id.clone(), (*job, page.items));
    }
    stored
}

/// The row is what the model says, and its history tells how it became that.
fn agrees(model: &ModelJob, job: &Job, events: &[JobEvent]) {
    let id = &model.id;
    assert_eq!(Row::of(job), model.row, "{id}");
    assert_eq!(job.lease.is_some(), job.status == Status::Running, "{id}");
    let mut stands = None;
    let mut changes = Vec::new();
    let (mut stale, mut left) = (0, 0);
    for event in events {
        let entry = &event.entry;
        assert_eq!((&event.job_id, entry.from), (id, stands), "{:?} does not follow", entry.kind);
        match entry.kind {
            EventKind::StaleReport => stale += 1,
            EventKind::NotRecovered => left += 1,
            _ => changes.push((entry.from, entry.to.unwrap())),
        }
        let remark = matches!(entry.kind, EventKind::StaleReport | EventKind::NotRecovered);
        assert_eq!(entry.from == entry.to, remark, "{:?}", entry.kind);
        stands = entry.to;
    }
    assert_eq!(stands, Some(job.status), "the events of {id} lead to its status");
    assert_eq!(changes, model.history.changes, "{id}");
    assert_eq!((stale, left), (model.history.stale.len(), model.history.left), "{id}");
}

/// Compares what is stored with the model, and with what was stored before.
async fn check(world: &mut World, model_before: &Model, before: &Stored) -> Stored {
    let present = stored(world).await;
    assert_eq!(present.len(), world.model.jobs.len());
    let newest = before.values().flat_map(|(_, events)| events).map(|event| event.id).max();
    let mut tokens = BTreeSet::new();
    let mut events: Vec<i64> = Vec::new();
    for (place, model) in world.model.jobs.iter().enumerate() {
        let (job, history) = &present[&model.id];
        agrees(model, job, history);
        if let Some(lease) = &job.lease {
            assert!(tokens.insert(lease.token.expose().to_owned()), "two jobs are held under one token");
        }
        if let Some(earlier) = model_before.jobs.get(place) {
            let (job_before, history_before) = &before[&model.id];
            if earlier.row == model.row {
                assert_eq!(job, job_before, "{} ought not to have changed", model.id);
            }
            assert!(history.starts_with(history_before), "the past of {} has changed", model.id);
            assert_eq!(earlier.history == model.history, history == history_before, "{}", model.id);
            let mut fresh = history.iter().skip(history_before.len());
            assert!(fresh.all(|event| Some(event.id) > newest), "{}", model.id);
        }
        assert!(history.is_sorted_by(|one, next| one.id < next.id), "{}", model.id);
        events.extend(history.iter().map(|event| event.id));
        if world.looks.len() == place {
            world.looks.push(Vec::new());
        }
        world.looks[place].push(Seen::of(job));
    }
    let count = events.len();
    events.sort_unstable();
    events.dedup();
    assert_eq!(events.len(), count, "two jobs share an event");
    present
}

/// What is shown to workers and to recovery is what the model says they should see.
async fn check_views(world: &World) {
    let peeked = world.store.peek(None, None, 1_000, world.now).await.unwrap();
    let peeked: Vec<JobId> = peeked.into_iter().map(|job| job.id).collect();
    assert_eq!(peeked, world.model.due(None, world.now));
    let search = Search {
        kind: RecoveryType::Comprehensive,
        expired_leases_only: false,
        resting: false,
        silent_since: None,
        after: None,
        limit: 1_000,
        now: world.now,
    };
    let found = world.store.candidates(search).await.unwrap().jobs;
    let found: Vec<JobId> = found.into_iter().map(|candidate| candidate.job.id).collect();
    assert_eq!(found, world.model.candidates(world.now));
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: 128,
        max_shrink_iters: 2_000,
        failure_persistence: Some(Box::new(FileFailurePersistence::Off)),
        ..ProptestConfig::default()
    })]

    #[test]
    fn a_store_does_what_the_model_says(operations in operations()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let mut world = World::new().await;
            let mut before = Stored::new();
            for operation in operations {
                let model_before = world.model.clone();
                world.run(operation).await;
                before = check(&mut world, &model_before, &before).await;
                check_views(&world).await;
            }
            world.store.close().await;
        });
    }
}
