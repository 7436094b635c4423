//! How an engine that does not turn any more is found.

use std::sync::Arc;

use reclaimer_recovery::Config;
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::world::{SECOND, World};

/// The loops that are silent beyond what they said.
fn overdue(world: &World) -> Vec<&'static str> {
    let pulses = world.handle.beats().map(|beat| beat.look(Instant::now().into_std()));
    pulses.iter().filter(|pulse| pulse.overdue_by.is_some()).map(|pulse| pulse.name).collect()
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_turns_is_never_overdue_however_little_there_is_to_do() {
    let world = World::start().await;
    for _ in 0..10 {
        world.pass(SECOND * 400).await;
        assert_eq!(overdue(&world), [""; 0]);
    }
    let idle = World::on_demand(Config::default()).await;
    idle.pass(SECOND * 4_000).await;
    assert_eq!(overdue(&idle), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_ended_by_a_panic_is_overdue() {
    let world = World::start().await;
    world.engine.abort();
    world.pass(SECOND * 100).await;
    assert_eq!(overdue(&world), ["recovery", "lease_watch"]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_ended_in_order_is_not() {
    let world = World::start().await;
    world.shutdown.cancel();
    world.pass(SECOND * 100).await;
    assert!(world.engine.is_finished());
    assert_eq!(overdue(&world), [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_hangs_in_the_store_is_overdue() {
    let world = World::start().await;
    world.pass(SECOND * 10).await;
    world.store.with(|rows| rows.gate = Some(Arc::new(Notify::new())));
    world.pass(SECOND * 100).await;
    assert_eq!(overdue(&world), ["recovery", "lease_watch"]);
}

#[tokio::test(start_paused = true)]
async fn an_engine_that_turns_but_cannot_look_for_leases_is_told_apart() {
    let world = World::start().await;
    world.pass(SECOND * 10).await;
    world.store.with(|rows| rows.away = true);
    world.pass(SECOND * 100).await;
    assert_eq!(overdue(&world), ["lease_watch"]);
    world.store.with(|rows| rows.away = false);
    world.pass(SECOND * 100).await;
    assert_eq!(overdue(&world), [""; 0]);
}
