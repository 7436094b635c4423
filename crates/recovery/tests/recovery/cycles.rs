//! What one cycle, and the cycles that follow it, do to the jobs.

use std::collections::BTreeSet;

use chrono::TimeDelta;
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::BrokenRow;
use reclaimer_domain::recovery::RecoveryType;
use reclaimer_domain::time::after;
use reclaimer_recovery::{Budget, Config};
use reclaimer_testkit::{a_job, noon};

use crate::world::{SECOND, World, retryable, without_account};

#[tokio::test(start_paused = true)]
async fn jobs_that_must_be_skipped_do_not_crowd_out_those_that_can_be_recovered() {
    let world = World::on_demand(Config::default()).await;
    world.store.add(without_account("a", 60));
    world.store.add(retryable("b", 10));
    let report = world.handle.recover(RecoveryType::Comprehensive, false).await.unwrap();

    assert_eq!(report.message, "Job recovery completed: 10 recovered, 0 failed, 60 skipped");
    assert!(!report.result.more);
    let skipped = report.result.decisions.iter().filter(|decision| decision.action == "skip");
    let mut count = 0;
    for decision in skipped {
        assert!(decision.reason.contains("no access or refresh token"), "{}", decision.reason);
        assert_eq!(decision.look_again_at, Some(after(noon(), SECOND * 300)));
        count += 1;
    }
    assert_eq!(count, 60);
    assert_eq!(world.store.job("a-059").recover_after, Some(after(noon(), SECOND * 300)));
}

#[tokio::test(start_paused = true)]
async fn a_cycle_looks_at_no_more_than_twenty_batches_and_the_next_goes_on_from_there() {
    let world = World::on_demand(Config { batch_size: 2, ..Config::default() }).await;
    world.store.add(without_account("a", 60));
    world.store.add(retryable("b", 2));
    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    assert_eq!((report.result.skipped_jobs, report.result.recovered_jobs), (40, 0));
    assert!(report.result.more);
    world.pass(SECOND * 2).await;
    assert_eq!(world.store.count(Status::Queued), 2);
    assert_eq!(world.store.with(|rows| rows.records.len()), 2);
}

#[tokio::test(start_paused = true)]
async fn a_cycle_of_several_pages_changes_no_more_than_a_batch() {
    let world = World::on_demand(Config { batch_size: 4, ..Config::default() }).await;
    world.store.add(without_account("a", 2));
    world.store.add(retryable("b", 5));
    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    assert_eq!(report.message, "Job recovery completed: 4 recovered, 0 failed, 2 skipped");
    assert!(report.result.more, "one is left, though no page follows");
    world.pass(SECOND).await;
    assert_eq!(world.store.count(Status::Queued), 5);
}

#[tokio::test(start_paused = true)]
async fn failed_jobs_come_before_stuck_ones() {
    let world = World::on_demand(Config { batch_size: 1, ..Config::default() }).await;
    world.store.add([a_job().id("a").held_by("w").leased_until(noon()).build()]);
    world.store.add(retryable("b", 1));
    world.handle.recover(RecoveryType::Comprehensive, false).await.unwrap();
    assert_eq!(world.store.job("b-000").status, Status::Queued);
    assert_eq!(world.store.job("a").status, Status::Running);
}

#[tokio::test(start_paused = true)]
async fn each_type_looks_at_its_own() {
    for (kind, failed, stuck) in [
        (RecoveryType::Failed, Status::Queued, Status::Running),
        (RecoveryType::Stuck, Status::Failed, Status::Queued),
        (RecoveryType::Comprehensive, Status::Queued, Status::Queued),
    ] {
        let world = World::on_demand(Config::default()).await;
        world.store.add([a_job().id("stuck").held_by("w").leased_until(noon()).build()]);
        world.store.add([a_job().id("failed").failed_with("boom").retryable().build()]);
        let report = world.handle.recover(kind, false).await.unwrap();
        assert_eq!(
            (world.store.job("failed").status, world.store.job("stuck").status),
            (failed, stuck),
            "{kind}"
        );
        assert_eq!(report.kind, kind);
    }
}

#[tokio::test(start_paused = true)]
async fn poison_is_quarantined_and_named() {
    let world = World::on_demand(Config::default()).await;
    world.store.add([a_job().held_by("w").leased_until(noon()).lost_leases(2).build()]);
    let report = world.handle.recover(RecoveryType::Stuck, false).await.unwrap();
    assert_eq!(report.message, "Job recovery completed: 0 recovered, 0 failed, 0 skipped, 1 quarantined");
    assert_eq!(report.result.decisions[0].action, "quarantine");
    assert_eq!(world.store.job("job-1").status, Status::Quarantined);
}

#[tokio::test(start_paused = true)]
async fn broken_rows_are_set_aside_and_stop_nobody() {
    let world = World::on_demand(Config { batch_size: 5, ..Config::default() }).await;
    let broken =
        |id: &str| BrokenRow { id: id.into(), status: "broke".into(), reason: "unknown status".into() };
    world.store.with(|rows| rows.broken = vec![broken("x-1"), broken("x-2")]);
    world.store.add(retryable("job", 3));
    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    assert_eq!(report.message, "Job recovery completed: 3 recovered, 0 failed, 0 skipped, 2 quarantined");
    assert_eq!(report.result.errors, ["x-1: set aside: unknown status", "x-2: set aside: unknown status"]);
    assert!(report.success);
    assert!(world.store.with(|rows| rows.broken.is_empty()));
}

#[tokio::test(start_paused = true)]
async fn broken_rows_do_not_hide_those_behind_them() {
    let world = World::on_demand(Config { batch_size: 10, ..Config::default() }).await;
    let broken =
        |id| BrokenRow { id: format!("x-{id}"), status: "broke".into(), reason: "unknown status".into() };
    world.store.with(|rows| rows.broken = (0..4).map(broken).collect());
    world.store.add(without_account("job", 8));
    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    assert_eq!(report.message, "Job recovery completed: 0 recovered, 0 failed, 8 skipped, 4 quarantined");
}

#[tokio::test(start_paused = true)]
async fn the_budget_is_kept_in_every_minute_and_the_rest_waits_its_turn() {
    let budget = Budget { ratio: 0.2, per_second: 0.1 };
    let world = World::on_demand(Config { budget, ..Config::default() }).await;
    world.store.add(retryable("job", 20));
    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    assert_eq!(report.message, "Job recovery completed: 6 recovered, 0 failed, 14 skipped");
    assert!(report.result.more, "the engine comes back for the rest by itself");
    assert!(report.result.decisions[19].reason.contains("recovery budget"));

    world.pass(SECOND * 50).await;
    assert_eq!(world.store.count(Status::Queued), 6);
    world.pass(SECOND * 200).await;
    assert_eq!(world.store.count(Status::Queued), 20);
    let requeued = world.store.with(|rows| rows.requeued.clone());
    for (index, at) in requeued.iter().enumerate() {
        let minute = requeued[index..].iter().filter(|other| **other - *at < TimeDelta::minutes(1)).count();
        assert!(minute <= 6, "{minute} within the minute from {at}");
    }
    let begun = world.store.begun();
    world.pass(SECOND * 200).await;
    assert_eq!(world.store.begun(), begun, "then it is over");
}

#[tokio::test(start_paused = true)]
async fn the_budget_holds_across_the_pages_of_a_cycle_and_ends_it() {
    let budget = Budget { ratio: 0.0, per_second: 0.05 };
    let world = World::on_demand(Config { budget, batch_size: 4, ..Config::default() }).await;
    world.store.add(without_account("a", 2));
    world.store.add(retryable("b", 20));
    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    assert_eq!(report.message, "Job recovery completed: 3 recovered, 0 failed, 5 skipped");
    assert!(report.result.more, "the 14 behind were not even looked at");
}

#[tokio::test(start_paused = true)]
async fn a_run_in_between_does_not_strand_those_that_wait_for_the_budget() {
    let budget = Budget { ratio: 0.0, per_second: 0.1 };
    let world = World::on_demand(Config { budget, ..Config::default() }).await;
    world.store.add(retryable("job", 8));
    world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    let said: Vec<_> = report.result.decisions.iter().map(|it| it.action.as_str()).collect();
    assert_eq!(said, ["skip", "skip"], "whoever asks is told, and the budget holds");
    world.pass(SECOND * 90).await;
    assert_eq!(world.store.count(Status::Queued), 8);
}

#[tokio::test(start_paused = true)]
async fn whoever_asks_is_told_of_jobs_that_rest_too() {
    let world = World::on_demand(Config::default()).await;
    world.store.add(without_account("a", 2));
    let decided = async || {
        let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
        report.result.decisions.len()
    };
    assert_eq!(decided().await, 2);
    assert!(world.store.job("a-000").recover_after.is_some());
    assert_eq!(decided().await, 2, "the policy may be another by now");
}

#[tokio::test(start_paused = true)]
async fn jobs_lost_by_our_own_fault_are_recovered_beyond_the_budget() {
    let budget = Budget { ratio: 0.0, per_second: 0.0 };
    let world = World::on_demand(Config { budget, ..Config::default() }).await;
    world.store.add([a_job().id("ours").held_by("w").leased_until(noon()).excused().build()]);
    world.store.add([a_job().id("theirs").held_by("w").leased_until(noon()).build()]);
    world.handle.recover(RecoveryType::Stuck, false).await.unwrap();
    assert_eq!(world.store.job("ours").status, Status::Queued);
    assert_eq!(world.store.job("theirs").status, Status::Running);
}

#[tokio::test(start_paused = true)]
async fn a_full_batch_becomes_due_over_the_whole_spread() {
    let world = World::on_demand(Config::default()).await;
    let lost = |index| a_job().id(&format!("job-{index:02}")).held_by("w").leased_until(noon()).build();
    world.store.add((0..50).map(lost));
    world.handle.recover(RecoveryType::Stuck, false).await.unwrap();
    let due: BTreeSet<_> = world.store.with(|rows| rows.jobs.iter().map(|job| job.run_at).collect());
    assert_eq!(due.len(), 50, "no two at once");
    let (first, last) = (due.first().unwrap(), due.last().unwrap());
    assert!(*first >= noon() && *first < after(noon(), SECOND), "{first}");
    assert!(*last > after(noon(), SECOND * 9) && *last <= after(noon(), SECOND * 10), "{last}");
}
