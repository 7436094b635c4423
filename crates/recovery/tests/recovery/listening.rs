//! What is told of runs while they happen.

use std::sync::Arc;

use reclaimer_domain::recovery::{RecoveryType, Trigger};
use reclaimer_recovery::{Config, RecoverError};
use tokio::sync::Notify;

use crate::world::{SECOND, Told, World, retryable};

#[tokio::test(start_paused = true)]
async fn each_run_is_told_of_when_it_begins_and_when_it_is_on_record() {
    let world = World::on_demand(Config::default()).await;
    world.store.add(retryable("job", 2));
    for dry_run in [true, false] {
        let report = world.handle.recover(RecoveryType::Failed, dry_run).await.unwrap();
        let told = world.heard.take();
        let [Told::Begun(begun), Told::Ended(ended, at)] = &told[..] else { panic!("{told:?}") };
        assert_eq!(begun.run, report.result.run_id);
        assert_eq!((begun.kind, begun.trigger), (RecoveryType::Failed, Trigger::Manual));
        assert_eq!((begun.dry_run, begun.at), (dry_run, world.now()));
        assert_eq!((ended, *at), (&report, world.now()));
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_breaks_off_ends_too_and_one_that_could_not_begin_is_none() {
    let world = World::on_demand(Config::default()).await;
    let gate = Arc::new(Notify::new());
    world.store.add(retryable("job", 1));
    world.store.with(|rows| rows.gate = Some(Arc::clone(&gate)));
    let handle = world.handle.clone();
    let asked = tokio::spawn(async move { handle.recover(RecoveryType::Failed, false).await });
    world.settle().await;
    assert!(matches!(world.heard.take()[..], [Told::Begun(_)]));
    world.store.with(|rows| (rows.gate, rows.away) = (None, true));
    gate.notify_one();
    let report = asked.await.unwrap().unwrap();
    assert!(!report.success);
    let told = world.heard.take();
    assert!(matches!(&told[..], [Told::Ended(ended, _)] if *ended == report), "{told:?}");

    world.pass(SECOND).await;
    let refused = world.handle.recover(RecoveryType::Failed, false).await.unwrap_err();
    assert!(matches!(refused, RecoverError::Store(_)));
    assert_eq!(world.heard.take(), []);
}
