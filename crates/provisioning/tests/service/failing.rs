//! What a failure says of whether trying again can help.

use reclaimer_domain::job::report::{Failure, Holder, Outcome, Report, Retryable};
use reclaimer_domain::job::{NewJob, Progress};
use reclaimer_domain::name::Command;
use reclaimer_provisioning::Want;
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

use crate::rig::Rig;

/// What `progress.retryable` is after a job of this command failed with this.
async fn recorded(rig: &Rig, command: Command, retryable: Retryable) -> Option<Value> {
    let job = rig.create(NewJob::of(command)).await;
    let want = Want::of("w".parse().unwrap());
    rig.provisioning.open(want, &CancellationToken::new()).await.unwrap();
    let lease = rig.job(&job).await.lease.unwrap();
    let failure = Failure { error: "e".to_owned(), error_type: None, retryable };
    let report = Report {
        job: job.id.clone(),
        holder: Holder::Lease(lease.token),
        sender: None,
        outcome: Outcome::Failed(failure),
        stamp: None,
        digest: None,
        said: Progress::new(),
        resume_state: None,
        areas: Vec::new(),
    };
    rig.provisioning.report(report).await.unwrap();
    rig.job(&job).await.progress.get("retryable").cloned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_discovery_that_failed_is_tried_again_unless_its_worker_says_no() {
    let rig = Rig::new();
    let discovery = Command::discovery;
    assert_eq!(recorded(&rig, discovery(), Retryable::AskPolicy).await, Some(json!(true)));
    assert_eq!(recorded(&rig, discovery(), Retryable::No).await, Some(json!(false)));
    assert_eq!(recorded(&rig, "X".parse().unwrap(), Retryable::AskPolicy).await, None);
}
