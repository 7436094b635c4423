//! When cycles run.

use std::sync::Arc;

use reclaimer_domain::job::Status;
use reclaimer_domain::recovery::{RecoveryType, Trigger};
use reclaimer_domain::time::after;
use reclaimer_recovery::{Config, RecoverError};
use reclaimer_testkit::{a_job, noon};
use tokio::sync::Notify;

use crate::store::Call;
use crate::world::{MILLI, SECOND, World, retryable};

#[tokio::test(start_paused = true)]
async fn the_startup_run_comes_three_seconds_after_the_start() {
    let world = World::start().await;
    world.store.add(retryable("job", 1));
    world.pass(SECOND * 3 - MILLI).await;
    assert_eq!(world.store.begun(), 0, "at 2.999 s nothing has begun");
    world.pass(MILLI).await;
    assert_eq!(world.store.triggers(), [Trigger::Startup]);
    assert_eq!(world.store.job("job-000").status, Status::Queued);
    let record = world.handle.runs(None, 1).await.unwrap().items.remove(0);
    assert_eq!((record.kind, record.started_at), (RecoveryType::Comprehensive, after(noon(), SECOND * 3)));
    assert_eq!(record.report.unwrap().result.recovered_jobs, 1);
}

#[tokio::test(start_paused = true)]
async fn the_periodic_run_comes_every_thirty_minutes() {
    let world = World::start().await;
    world.pass(SECOND * 1_800 - MILLI).await;
    assert_eq!(world.store.triggers(), [Trigger::Startup], "idle looks for expired leases leave no record");
    world.pass(MILLI).await;
    assert_eq!(world.store.triggers(), [Trigger::Startup, Trigger::Periodic]);
    world.pass(SECOND * 1_800).await;
    assert_eq!(world.store.triggers()[2..], [Trigger::Periodic]);
}

#[tokio::test(start_paused = true)]
async fn an_expired_lease_is_found_within_the_lease_check() {
    let world = World::start().await;
    world.pass(SECOND * 60).await;
    let lease_ends = after(world.now(), SECOND);
    world.store.add([a_job().held_by("killed").leased_until(lease_ends).build()]);
    world.pass(SECOND * 6).await;
    let job = world.store.job("job-1");
    assert_eq!((job.status, job.lease_losses), (Status::Queued, 1));
    assert!(job.run_at <= after(lease_ends, SECOND * 5), "alone it is not held up: {}", job.run_at);
    assert_eq!(world.store.triggers(), [Trigger::Startup, Trigger::LeaseWatch]);
}

#[tokio::test(start_paused = true)]
async fn the_lease_watch_looks_at_expired_leases_alone() {
    let world = World::start().await;
    world.pass(SECOND * 4).await;
    let silent = a_job().id("silent").held_by("w").leased_until(after(world.now(), SECOND * 1_000_000));
    world.store.add([silent.updated_at(noon() - chrono::TimeDelta::days(1)).build()]);
    world.store.add(retryable("failed", 1));
    world.pass(SECOND * 60).await;
    assert_eq!(world.store.job("silent").status, Status::Running);
    assert_eq!(world.store.job("failed-000").status, Status::Failed);
    world.handle.recover(RecoveryType::Comprehensive, false).await.unwrap();
    assert_eq!(world.store.job("silent").status, Status::Queued);
    assert_eq!(world.store.job("failed-000").status, Status::Queued);
}

#[tokio::test(start_paused = true)]
async fn switched_off_it_runs_on_request_alone() {
    let world = World::on_demand(Config::default()).await;
    world.store.add(retryable("job", 60));
    world.pass(SECOND * 2_000).await;
    assert_eq!(world.store.begun(), 0);
    assert_eq!(world.handle.schedule().next_run_at, None);
    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    assert!(report.result.more);
    world.pass(SECOND * 2).await;
    assert_eq!(world.store.count(Status::Queued), 60, "what it began it finishes");
    world.pass(SECOND * 2_000).await;
    assert_eq!(world.store.begun(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_full_cycle_is_followed_after_the_drain_pause_until_nothing_is_left() {
    let world = World::on_demand(Config::default()).await;
    world.store.add(retryable("job", 120));
    let report = world.handle.recover(RecoveryType::Comprehensive, false).await.unwrap();
    assert_eq!((report.result.recovered_jobs, report.result.more), (50, true));
    world.pass(SECOND - MILLI).await;
    assert_eq!(world.store.count(Status::Queued), 50);
    world.pass(MILLI).await;
    assert_eq!(world.store.count(Status::Queued), 100);
    world.pass(SECOND).await;
    assert_eq!(world.store.count(Status::Queued), 120);
    world.pass(SECOND * 60).await;
    assert_eq!(world.store.begun(), 3);
    assert_eq!(world.store.triggers(), [Trigger::Manual; 3]);
}

#[tokio::test(start_paused = true)]
async fn cycles_never_overlap() {
    let world = World::with(Config { interval: SECOND * 6, ..Config::default() }).await;
    let gate = Arc::new(Notify::new());
    world.store.with(|rows| rows.gate = Some(Arc::clone(&gate)));
    world.pass(SECOND * 3).await;
    assert_eq!(world.store.begun(), 1, "the startup cycle is under way");
    assert!(world.handle.schedule().running);

    let refused = world.handle.recover(RecoveryType::Failed, false).await.unwrap_err();
    let RecoverError::Running(running) = refused else { panic!("{refused:?}") };
    assert_eq!(running.until, after(noon(), SECOND * 18));

    world.pass(SECOND * 5).await;
    assert_eq!(world.store.begun(), 1, "the periodic cycle of second 6 waits");
    world.store.with(|rows| rows.gate = None);
    gate.notify_one();
    world.settle().await;
    let places: Vec<Call> =
        world.store.calls().into_iter().filter(|call| matches!(call, Call::Begin | Call::End)).collect();
    assert_eq!(places, [Call::Begin, Call::End, Call::Begin, Call::End, Call::Begin, Call::End]);
    let triggers = [Trigger::Startup, Trigger::Periodic];
    assert_eq!(world.store.triggers(), triggers, "and the lease watch of second 8, which found nothing");
    assert!(!world.handle.schedule().running);
}

#[tokio::test(start_paused = true)]
async fn the_place_in_the_database_is_waited_for() {
    let world = World::start().await;
    let until = after(noon(), SECOND * 10);
    world.store.with(|rows| rows.place = Some(("other".parse().unwrap(), until)));
    world.pass(SECOND * 4).await;
    let refused = world.handle.recover(RecoveryType::Stuck, false).await.unwrap_err();
    let RecoverError::Running(running) = refused else { panic!("{refused:?}") };
    assert_eq!(running.until, until);
    world.pass(SECOND * 6 - MILLI).await;
    assert_eq!(world.store.triggers(), []);
    world.pass(MILLI).await;
    assert_eq!(
        world.store.triggers(),
        [Trigger::Startup],
        "another server's cycle is over, or it died in it"
    );
}

#[tokio::test(start_paused = true)]
async fn who_asks_and_goes_leaves_a_whole_cycle() {
    let world = World::on_demand(Config::default()).await;
    world.store.add(retryable("job", 10));
    let gate = Arc::new(Notify::new());
    world.store.with(|rows| rows.gate = Some(Arc::clone(&gate)));
    let handle = world.handle.clone();
    let asked = tokio::spawn(async move { handle.recover(RecoveryType::Failed, false).await });
    world.settle().await;
    asked.abort();
    gate.notify_one();
    world.settle().await;
    assert_eq!(world.store.count(Status::Queued), 10);
    assert_eq!(world.store.triggers(), [Trigger::Manual]);
}

#[tokio::test(start_paused = true)]
async fn shutdown_finishes_the_page_in_hand() {
    let world = World::on_demand(Config { batch_size: 2, ..Config::default() }).await;
    world.store.add(crate::world::without_account("job", 10));
    let gate = Arc::new(Notify::new());
    world.store.with(|rows| rows.gate = Some(Arc::clone(&gate)));
    let handle = world.handle.clone();
    let asked = tokio::spawn(async move { handle.recover(RecoveryType::Failed, false).await });
    world.settle().await;
    world.shutdown.cancel();
    world.store.with(|rows| rows.gate = None);
    gate.notify_one();
    world.settle().await;

    let report = asked.await.unwrap().unwrap();
    assert_eq!((report.result.skipped_jobs, report.result.more), (2, true));
    assert!(world.engine.is_finished());
    assert!(world.store.with(|rows| rows.place.is_none()), "the next server need not wait");
    let refused = world.handle.recover(RecoveryType::Failed, false).await.unwrap_err();
    assert!(matches!(refused, RecoverError::Closed));
}

#[tokio::test(start_paused = true)]
async fn the_schedule_says_when_and_how_it_went() {
    let world = World::start().await;
    let shown = |world: &World| serde_json::to_value(world.handle.schedule()).unwrap();
    assert_eq!(
        shown(&world),
        serde_json::json!({
            "enabled": true, "startupDelayMs": 3_000, "intervalMs": 1_800_000, "leaseCheckMs": 5_000,
            "drainPauseMs": 1_000, "batchSize": 50, "nextRunAt": "2026-01-05T12:00:03.000Z", "running": false,
            "lastEndedAt": null, "failures": 0, "lastFailure": null
        })
    );
    world.pass(SECOND * 3).await;
    assert_eq!(shown(&world)["nextRunAt"], "2026-01-05T12:30:00.000Z");
    assert_eq!(shown(&world)["lastEndedAt"], "2026-01-05T12:00:03.000Z");
    world.store.with(|rows| rows.away = true);
    world.pass(SECOND * 5).await;
    assert_eq!(shown(&world)["failures"], 1);
    assert_eq!(
        shown(&world)["lastFailure"],
        serde_json::json!({
            "at": "2026-01-05T12:00:08.000Z", "code": "storage_unavailable",
            "error": "out for lunch"
        })
    );
}
