//! Our own absence is nobody's fault.

use std::sync::Arc;

use chrono::TimeDelta;
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::StoreError;
use reclaimer_domain::recovery::{RecoveryType, Trigger};
use reclaimer_domain::time::after;
use reclaimer_recovery::{Config, RecoverError};
use reclaimer_testkit::{a_job, noon};

use crate::store::{Call, FakeStore};
use crate::world::{SECOND, World};

#[tokio::test(start_paused = true)]
async fn a_start_grants_a_grace_before_anything_else() {
    let store = Arc::new(FakeStore::default());
    let old = noon() - TimeDelta::hours(3);
    store.add([a_job().held_by("w").leased_until(old).updated_at(old).build()]);
    let world = World::on(Arc::clone(&store), Config::default()).await;
    assert_eq!(store.calls(), [Call::Grace(after(noon(), SECOND * 30))]);

    world.pass(SECOND * 29).await;
    assert_eq!(store.triggers(), [Trigger::Startup]);
    assert_eq!(store.job("job-1").status, Status::Running, "its worker may still come back");
    world.pass(SECOND * 5).await;
    let job = store.job("job-1");
    assert_eq!((job.status, job.lease_losses), (Status::Queued, 0), "and it is no loss of its own");
}

#[tokio::test(start_paused = true)]
async fn nothing_runs_before_the_store_took_the_grace() {
    let store = Arc::new(FakeStore::default());
    store.with(|rows| rows.away = true);
    let world = World::on(Arc::clone(&store), Config::default()).await;
    world.pass(SECOND * 10).await;
    assert!(store.take_calls().iter().all(|call| matches!(call, Call::Grace(_))));
    let refused = world.handle.recover(RecoveryType::Stuck, false).await.unwrap_err();
    assert!(matches!(refused, RecoverError::Store(StoreError::Unavailable { .. })), "{refused:?}");

    store.with(|rows| rows.away = false);
    store.take_calls();
    world.pass(SECOND).await;
    let calls = store.take_calls();
    assert!(matches!(calls[..], [Call::Grace(_), Call::Begin, Call::End, ..]), "{calls:?}");
    assert_eq!(store.triggers(), [Trigger::Startup], "late, but made");
}

#[tokio::test(start_paused = true)]
async fn after_an_outage_of_the_store_leases_get_a_grace_first() {
    let world = World::start().await;
    world.pass(SECOND * 60).await;
    world.store.add([a_job().held_by("w").leased_until(after(world.now(), SECOND * 20)).build()]);
    world.store.with(|rows| rows.away = true);
    world.pass(SECOND * 60).await;
    world.store.with(|rows| rows.away = false);
    world.store.take_calls();
    world.pass(SECOND * 20).await;
    let calls = world.store.take_calls();
    assert!(matches!(calls[..], [Call::Grace(_), Call::Begin, ..]), "{calls:?}");
    assert_eq!(calls.iter().filter(|call| matches!(call, Call::Grace(_))).count(), 1);
    assert_eq!(world.store.job("job-1").status, Status::Running);
    world.pass(SECOND * 20).await;
    assert_eq!(world.store.job("job-1").status, Status::Queued);
}

#[tokio::test(start_paused = true)]
async fn a_process_that_was_stopped_grants_a_grace_before_it_goes_on() {
    let world = World::start().await;
    world.pass(SECOND * 60).await;
    world.store.add([a_job().held_by("w").leased_until(after(world.now(), SECOND * 20)).build()]);
    world.store.take_calls();
    world.jump(SECOND * 60).await;
    let calls = world.store.take_calls();
    let grace = Call::Grace(after(world.now(), SECOND * 30));
    assert!(matches!(&calls[..], [first, Call::Begin, Call::End] if *first == grace), "{calls:?}");
    assert_eq!(world.store.job("job-1").status, Status::Running);
    world.pass(SECOND * 35).await;
    assert_eq!(world.store.job("job-1").status, Status::Queued);
}

#[tokio::test(start_paused = true)]
async fn a_request_after_a_stop_finds_the_grace_granted() {
    let world = World::on_demand(Config::default()).await;
    world.store.add([a_job().held_by("w").leased_until(after(world.now(), SECOND * 20)).build()]);
    world.clock.advance(SECOND * 60);
    tokio::time::advance(SECOND * 60).await;
    let report = world.handle.recover(RecoveryType::Stuck, false).await.unwrap();
    assert_eq!(report.result.recovered_jobs, 0);
    assert_eq!(world.store.job("job-1").status, Status::Running);
}

#[tokio::test(start_paused = true)]
async fn a_process_stopped_within_a_cycle_does_not_look_further_in_it() {
    let world = World::on_demand(Config { batch_size: 1, ..Config::default() }).await;
    world.store.add(crate::world::without_account("a", 1));
    world.store.add([a_job().id("b").held_by("w").leased_until(after(noon(), SECOND * 20)).build()]);
    let gate = Arc::new(tokio::sync::Notify::new());
    world.store.with(|rows| rows.gate = Some(Arc::clone(&gate)));
    let handle = world.handle.clone();
    let asked = tokio::spawn(async move { handle.recover(RecoveryType::Comprehensive, false).await });
    world.settle().await;
    world.store.with(|rows| rows.gate = None);
    world.clock.advance(SECOND * 60);
    tokio::time::advance(SECOND * 60).await;
    gate.notify_one();
    let report = asked.await.unwrap().unwrap();
    assert_eq!((report.result.skipped_jobs, report.result.more), (1, true));
    world.pass(SECOND * 2).await;
    assert_eq!(world.store.job("b").status, Status::Running, "the next cycle begins with a grace");
}

#[tokio::test(start_paused = true)]
async fn a_clock_that_jumps_takes_the_leases_along() {
    for by in [TimeDelta::hours(1), TimeDelta::hours(-1)] {
        let world = World::start().await;
        world.pass(SECOND * 60).await;
        let ends = after(world.now(), SECOND * 60);
        world.store.add([a_job().held_by("w").leased_until(ends).build()]);
        world.store.take_calls();
        world.clock.set(world.now() + by);
        world.pass(SECOND * 5).await;
        let calls = world.store.take_calls();
        assert!(
            matches!(&calls[..], [Call::Shift(shift), Call::Begin, Call::End] if *shift == by),
            "{calls:?}"
        );
        assert_eq!(world.store.job("job-1").lease.unwrap().expires_at, ends + by);
        world.pass(SECOND * 50).await;
        assert_eq!(world.store.job("job-1").status, Status::Running, "{by}");
        world.pass(SECOND * 15).await;
        assert_eq!(world.store.job("job-1").status, Status::Queued, "{by}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_shift_is_made_up_for_once_and_never_twice() {
    let world = World::start().await;
    world.pass(SECOND * 60).await;
    let hour = TimeDelta::hours(1);
    world.store.take_calls();
    world.store.with(|rows| {
        let away = StoreError::Unavailable { reason: "away".into(), source: None };
        rows.failures.push((Call::Shift(hour), away));
    });
    world.clock.set(world.now() + hour);
    world.pass(SECOND * 7).await;
    let calls = world.store.take_calls();
    assert!(matches!(calls[..], [Call::Shift(_), Call::Shift(_), Call::Begin, ..]), "tried again: {calls:?}");

    world.store.with(|rows| {
        let unknown = StoreError::OutcomeUnknown { reason: "power failed".into(), source: None };
        rows.failures.push((Call::Shift(hour), unknown));
    });
    world.clock.set(world.now() + hour);
    world.pass(SECOND * 7).await;
    let calls = world.store.take_calls();
    assert!(matches!(calls[..], [Call::Shift(_), Call::Grace(_), Call::Begin, ..]), "not again: {calls:?}");
}
