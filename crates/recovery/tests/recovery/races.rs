//! The list is taken, the world moves on, the list is applied.

use std::sync::Arc;

use reclaimer_domain::job::{Job, Status};
use reclaimer_domain::recovery::RecoveryType;
use reclaimer_domain::time::after;
use reclaimer_recovery::Config;
use reclaimer_testkit::{a_job, noon};

use crate::store::Rows;
use crate::world::{SECOND, World};

/// Three lost jobs, a, b and c; right before the decisions about them are applied, something happens to b.
async fn meddle(
    with_b: impl FnOnce(&mut Job) + Send + 'static,
) -> (World, reclaimer_domain::recovery::RunReport) {
    let world = World::on_demand(Config::default()).await;
    world.store.add(["a", "b", "c"].map(|id| a_job().id(id).held_by("w").leased_until(noon()).build()));
    world.store.with(|rows| {
        rows.before_apply = Some(Box::new(|rows: &mut Rows| {
            with_b(rows.jobs.iter_mut().find(|job| job.id.as_str() == "b").unwrap());
        }));
    });
    let report = world.handle.recover(RecoveryType::Stuck, false).await.unwrap();
    assert_eq!(world.store.job("a").status, Status::Queued);
    assert_eq!(world.store.job("c").status, Status::Queued);
    (world, report)
}

#[tokio::test(start_paused = true)]
async fn a_job_that_finishes_meanwhile_stays_finished() {
    let (world, report) = meddle(|b| {
        b.status = Status::Finished;
        b.lease = None;
    })
    .await;
    assert_eq!(world.store.job("b").status, Status::Finished);
    assert_eq!(report.message, "Job recovery completed: 2 recovered, 1 failed, 0 skipped");
    assert_eq!(
        report.result.errors,
        ["b: it changed while it was looked at and is finished now; it was left as it is"]
    );
    assert!(report.success);
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_renews_meanwhile_keeps_its_job() {
    let (world, report) = meddle(|b| b.renew(SECOND * 60, false, noon())).await;
    let b = world.store.job("b");
    assert_eq!((b.status, b.lease.unwrap().expires_at), (Status::Running, after(noon(), SECOND * 60)));
    assert_eq!(report.result.failed_recoveries, 1);
}

#[tokio::test(start_paused = true)]
async fn a_lease_of_another_holder_is_not_taken() {
    let (world, report) = meddle(|b| {
        let lease = b.lease.as_mut().unwrap();
        lease.token = "another".parse().unwrap();
    })
    .await;
    assert_eq!(world.store.job("b").status, Status::Running);
    assert_eq!(report.result.failed_recoveries, 1);
}

#[tokio::test(start_paused = true)]
async fn a_job_that_is_gone_is_named() {
    let world = World::on_demand(Config::default()).await;
    world.store.add([a_job().failed_with("boom").retryable().build()]);
    world.store.with(|rows| rows.before_apply = Some(Box::new(|rows| rows.jobs.clear())));
    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    assert_eq!(report.result.errors, ["job-1: it is gone"]);
}

#[tokio::test(start_paused = true)]
async fn a_lost_race_over_a_job_that_was_only_skipped_is_no_failure() {
    let world = World::on_demand(Config::default()).await;
    world.store.add(crate::world::without_account("job", 1));
    world.store.with(|rows| rows.before_apply = Some(Box::new(|rows| rows.jobs.clear())));
    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    assert_eq!((report.result.failed_recoveries, report.result.skipped_jobs), (0, 1));
    assert_eq!(report.result.errors, [""; 0]);
}

#[tokio::test(start_paused = true)]
async fn two_engines_on_one_store_recover_each_job_once() {
    let one = World::with(Config { batch_size: 5, ..Config::default() }).await;
    let other = World::on(Arc::clone(&one.store), Config { batch_size: 5, ..Config::default() }).await;
    one.store.add(
        (0..40).map(|index| a_job().id(&format!("job-{index:02}")).failed_with("boom").retryable().build()),
    );
    for _ in 0..60 {
        one.clock.advance(SECOND / 2);
        other.pass(SECOND / 2).await;
    }
    assert_eq!(one.store.count(Status::Queued), 40);
    assert!(one.store.with(|rows| rows.jobs.iter().all(|job| job.recoveries == 1)));
    let recovered: u32 = one.store.with(|rows| {
        rows.records.iter().map(|record| record.report.as_ref().unwrap().result.recovered_jobs).sum()
    });
    assert_eq!(recovered, 40);
}
