//! The store fails, and the engine goes on.

use reclaimer_domain::job::Status;
use reclaimer_domain::ports::StoreError;
use reclaimer_domain::recovery::{RecoveryType, Trigger};
use reclaimer_recovery::{Config, RecoverError};

use crate::store::Call;
use crate::world::{SECOND, World, retryable, without_account};

fn broken_statement() -> StoreError {
    StoreError::Failed { operation: "look for jobs", source: "no such column".into() }
}

fn away() -> StoreError {
    StoreError::Unavailable { reason: "disk full".into(), source: None }
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_asked_for_says_why_it_could_not() {
    let world = World::on_demand(Config::default()).await;
    world.store.add(retryable("job", 1));
    world.store.with(|rows| rows.failures.push((Call::Candidates, broken_statement())));
    let answered = world.handle.recover(RecoveryType::Failed, false).await.unwrap();

    let record = world.handle.runs(None, 1).await.unwrap().items.remove(0);
    let report = record.report.unwrap();
    assert_eq!(report, answered);
    assert!(!report.success);
    assert_eq!(report.message, "Job recovery could not run: the database refused look for jobs");
    assert_eq!(report.result.errors, ["the database refused look for jobs"]);
    assert!(world.store.with(|rows| rows.place.is_none()));

    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    assert_eq!(report.result.recovered_jobs, 1);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_cannot_begin_is_refused_with_the_reason() {
    let world = World::on_demand(Config::default()).await;
    world.store.with(|rows| rows.failures.push((Call::Begin, broken_statement())));
    let refused = world.handle.recover(RecoveryType::Failed, false).await.unwrap_err();
    assert!(
        matches!(&refused, RecoverError::Store(error) if error.code() == "storage_failed"),
        "{refused:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_cycle_that_breaks_off_says_what_it_had_done() {
    let world = World::on_demand(Config { batch_size: 2, ..Config::default() }).await;
    world.store.add(without_account("a", 2));
    world.store.add(retryable("b", 2));
    world.store.with(|rows| {
        // The first page is applied, the second is not.
        rows.before_apply = Some(Box::new(|rows| rows.failures.push((Call::Apply(0), away()))));
    });
    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    assert_eq!(world.handle.runs(None, 1).await.unwrap().items.remove(0).report.as_ref(), Some(&report));
    assert_eq!(
        report.message,
        "Job recovery broke off: disk full; until then 0 recovered, 0 failed, 2 skipped"
    );
    assert_eq!(report.result.decisions.len(), 2);
}

#[tokio::test(start_paused = true)]
async fn the_loop_survives_every_kind_of_failure() {
    for call in [Call::Begin, Call::End, Call::Candidates, Call::Apply(0)] {
        for (transient, failure) in [(false, broken_statement as fn() -> StoreError), (true, away)] {
            let world = World::start().await;
            world.store.add(without_account("job", 2));
            world.store.with(|rows| rows.failures.push((call.clone(), failure())));
            world.pass(SECOND * 120).await;
            let ok = |rows: &mut crate::store::Rows| {
                rows.records.iter().any(|run| run.report.as_ref().is_some_and(|report| report.success))
            };
            // Where only the record could not be written, the run itself was complete.
            assert!(world.store.with(ok) || call == Call::End, "{call:?}, transient: {transient}");
            assert!(world.store.job("job-000").recover_after.is_some(), "{call:?}, transient: {transient}");
            assert!(world.store.begun() > 10, "{call:?}: the lease watch goes on");
            // A record that was not written is no failed run, and what could not be applied together was applied
            // one by one.
            let ran = call == Call::End || (call == Call::Apply(0) && !transient);
            assert_eq!(world.handle.schedule().failures, u64::from(!ran), "{call:?}, transient: {transient}");
            assert!(!world.engine.is_finished());
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_startup_run_that_failed_is_made_up_for() {
    let world = World::start().await;
    world.store.add(retryable("job", 1));
    world.store.with(|rows| rows.failures.push((Call::Candidates, broken_statement())));
    world.pass(SECOND * 62).await;
    assert_eq!(world.store.job("job-000").status, Status::Failed);
    world.pass(SECOND).await;
    assert_eq!(world.store.job("job-000").status, Status::Queued);
    assert_eq!(world.store.triggers(), [Trigger::Startup; 2]);
}

#[tokio::test(start_paused = true)]
async fn one_job_that_the_store_chokes_on_does_not_keep_the_others() {
    let world = World::on_demand(Config::default()).await;
    world.store.add(retryable("job", 5));
    world.store.with(|rows| rows.poisoned.insert("job-002".into()));
    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    assert_eq!(report.message, "Job recovery completed: 4 recovered, 1 failed, 0 skipped");
    assert_eq!(report.result.errors, ["job-002: the database refused apply"]);
    assert_eq!(world.store.count(Status::Queued), 4);
}

#[tokio::test(start_paused = true)]
async fn a_page_of_broken_rows_that_cannot_be_set_aside_ends() {
    let world = World::on_demand(Config::default()).await;
    world.store.with(|rows| {
        rows.broken.push(reclaimer_domain::ports::BrokenRow {
            id: "x".into(),
            status: "odd".into(),
            reason: "unknown status".into(),
        });
        rows.failures.push((Call::SetAside, broken_statement()));
    });
    world.store.add(retryable("job", 1));
    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    assert_eq!(report.message, "Job recovery completed: 1 recovered, 1 failed, 0 skipped");
    assert_eq!(
        report.result.errors,
        ["x: not set aside (the database refused look for jobs): unknown status"]
    );
    assert!(!report.result.more);
}
