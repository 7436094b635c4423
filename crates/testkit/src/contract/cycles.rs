//! R4: one recovery cycle at a time, and the records of those that ran.

use std::time::Duration;

use reclaimer_domain::id::RunId;
use reclaimer_domain::recovery::{CycleRunning, RecoveryType, RunRecord, RunReport, RunResult, Trigger};

use super::ask::at;
use super::rig::Rig;
use crate::account::text;
use crate::noon;

const HOLD: Duration = Duration::from_secs(15);

fn run(literal: &str) -> RunId {
    text(literal)
}

fn record(literal: &str, trigger: Trigger) -> RunRecord {
    let report = RunReport {
        success: true,
        kind: RecoveryType::Comprehensive,
        result: RunResult {
            recovered_jobs: 3,
            failed_recoveries: 1,
            skipped_jobs: 2,
            errors: vec!["job-1: its row is broken".to_owned()],
            quarantined_jobs: 1,
            run_id: run(literal),
            trigger,
            dry_run: false,
            duration_ms: 12,
            policy_hash: Some(text("a1b2c3d4e5f6")),
            more: true,
            decisions: vec![],
        },
        message: "Job recovery completed: 3 recovered, 1 failed, 2 skipped".to_owned(),
    };
    RunRecord::ended(RecoveryType::Comprehensive, trigger, noon(), at(2), report)
}

/// R4: while a cycle holds the place, no other begins, on this server or another; the answer says until when.
pub async fn one_cycle_at_a_time(rig: &dyn Rig) {
    let (here, there) = (rig.store(), rig.another().await);
    assert_eq!(here.begin(run("a"), HOLD, noon()).await.unwrap(), Ok(()));
    let taken = Err(CycleRunning { until: at(15) });
    assert_eq!(here.begin(run("b"), HOLD, at(1)).await.unwrap(), taken);
    assert_eq!(there.begin(run("c"), HOLD, at(14)).await.unwrap(), taken);
    here.end(run("a"), None).await.unwrap();
    assert_eq!(there.begin(run("c"), HOLD, at(14)).await.unwrap(), Ok(()));
}

/// R4: of cycles that want to begin at once, one does.
pub async fn one_of_many_cycles_begins(rig: &dyn Rig) {
    let (here, there) = (rig.store(), rig.another().await);
    let (a, b, c) = tokio::join!(
        here.begin(run("a"), HOLD, noon()),
        there.begin(run("b"), HOLD, noon()),
        here.begin(run("c"), HOLD, noon()),
    );
    let begun = [a, b, c].into_iter().filter(|answer| answer.as_ref().unwrap().is_ok()).count();
    assert_eq!(begun, 1);
}

/// R4: only the cycle that has the place gives it back.
pub async fn a_cycle_gives_back_its_own_place(rig: &dyn Rig) {
    let store = rig.store();
    store.begin(run("a"), HOLD, noon()).await.unwrap().unwrap();
    store.end(run("b"), None).await.unwrap();
    assert!(store.begin(run("c"), HOLD, at(1)).await.unwrap().is_err());
}

/// R4: a place that was held long enough is free, and its late holder does not take it from the next.
pub async fn a_place_is_free_when_its_hold_has_passed(rig: &dyn Rig) {
    let store = rig.store();
    store.begin(run("a"), HOLD, noon()).await.unwrap().unwrap();
    assert_eq!(store.begin(run("b"), HOLD, at(15)).await.unwrap(), Ok(()));
    store.end(run("a"), Some(record("a", Trigger::Startup))).await.unwrap();
    assert_eq!(store.begin(run("c"), HOLD, at(16)).await.unwrap(), Err(CycleRunning { until: at(30) }));
}

/// R4: a place that was taken before the clock was set back does not stay taken until the clock is there again.
pub async fn a_clock_set_back_does_not_keep_the_place(rig: &dyn Rig) {
    let store = rig.store();
    store.begin(run("a"), HOLD, at(86_400)).await.unwrap().unwrap();
    assert_eq!(store.begin(run("b"), HOLD, noon()).await.unwrap(), Ok(()));
}

/// The records of runs are kept as they were given, newest first, for every server.
pub async fn records_are_kept_newest_first(rig: &dyn Rig) {
    let store = rig.store();
    for (name, trigger) in [("01A", Trigger::Startup), ("01C", Trigger::LeaseWatch), ("01B", Trigger::Manual)]
    {
        store.begin(run(name), HOLD, noon()).await.unwrap().unwrap();
        store.end(run(name), Some(record(name, trigger))).await.unwrap();
    }
    store.begin(run("01D"), HOLD, noon()).await.unwrap().unwrap();
    store.end(run("01D"), None).await.unwrap();
    let expected = [record("01C", Trigger::LeaseWatch), record("01B", Trigger::Manual)];
    let page = store.runs(None, 2).await.unwrap();
    assert_eq!((page.items, page.next), (expected.into(), Some(run("01B"))));
    let rest = rig.another().await.runs(Some(run("01B")), 2).await.unwrap();
    assert_eq!((rest.items, rest.next), (vec![record("01A", Trigger::Startup)], None));
    assert_eq!(store.run(&run("01C")).await.unwrap(), Some(record("01C", Trigger::LeaseWatch)));
    assert_eq!(store.run(&run("01D")).await.unwrap(), None);
}
