//! A unit test of an embedder: a whole recovery run without a database. Shown in `docs/testing-policies.md`.

use std::sync::Arc;

use reclaimer_domain::job::Status;
use reclaimer_domain::ports::{JobRead, JobStore};
use reclaimer_domain::recovery::RecoveryType;
use reclaimer_policy::Policy;
use reclaimer_recovery::{Config, Deps, Engine};
use reclaimer_testkit::{ManualClock, MemoryStore, a_job, noon, seeded};
use tokio_util::sync::CancellationToken;

#[tokio::test]
async fn what_can_be_tried_again_is_queued() {
    let store = MemoryStore::default();
    let job = a_job().failed_with("HTTP 503").retryable().build();
    store.insert([job.clone()]);
    let deps = Deps {
        store: Arc::new(store.clone()),
        clock: Arc::new(ManualClock::at(noon())),
        policy: Arc::new(Policy::builtin()),
        listener: Arc::new(()),
        rng: seeded(1),
    };
    let (engine, recovery) = Engine::new(Config { enabled: false, ..Config::default() }, deps);
    tokio::spawn(engine.run(CancellationToken::new()));

    let report = recovery.recover(RecoveryType::Failed, false).await.expect("a report");
    assert_eq!(report.result.recovered_jobs, 1);
    let Ok(Some(JobRead::Whole(job))) = store.job(&job.id).await else { panic!("it is gone") };
    assert_eq!((job.status, job.recoveries), (Status::Queued, 1));
}
