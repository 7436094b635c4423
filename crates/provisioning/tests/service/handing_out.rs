//! Handing jobs out: to whoever waits, and back from whoever went away.

use std::future::Future;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use reclaimer_domain::job::{NewJob, Status};
use reclaimer_domain::time::after;
use reclaimer_domain::wire::read_report;
use reclaimer_provisioning::Want;
use serde_json::json;
use tokio_util::sync::CancellationToken;

use crate::rig::{Rig, until};

fn order() -> NewJob {
    NewJob::of("X".parse().unwrap())
}

fn want(worker: &str, wait: u64) -> Want {
    Want { limit: 1, wait: Duration::from_secs(wait), ..Want::of(worker.parse().unwrap()) }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_claimed_for_somebody_who_went_away_is_given_back_and_costs_nothing() {
    let rig = Rig::new();
    let job = rig.create(order()).await;
    let stop = CancellationToken::new();
    {
        // Polled once, the claim is under way; then nobody waits for it any more.
        let mut asking = pin!(rig.provisioning.open(want("gone", 0), &stop));
        let polled = std::future::poll_fn(|context| Poll::Ready(asking.as_mut().poll(context))).await;
        assert!(polled.is_pending());
    }
    until("the job to be given back", async || {
        let job = rig.job(&job).await;
        job.lease_epoch == 1 && job.status == Status::Queued
    })
    .await;
    let job = rig.job(&job).await;
    assert_eq!((job.attempt, job.lease_losses), (0, 0));
    let jobs = rig.provisioning.open(want("next", 0), &stop).await.unwrap();
    assert_eq!(jobs[0].id, job.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn so_is_a_job_whose_claim_was_answered_already() {
    let rig = Rig::new();
    let job = rig.create(order()).await;
    let stop = CancellationToken::new();
    {
        // Woken by the answer, whoever asked goes away instead of taking it.
        let mut asking = pin!(rig.provisioning.open(want("gone", 0), &stop));
        let mut asked = false;
        std::future::poll_fn(|context| {
            if std::mem::replace(&mut asked, true) {
                return Poll::Ready(());
            }
            assert!(asking.as_mut().poll(context).is_pending());
            Poll::Pending
        })
        .await;
    }
    until("the job to be given back", async || {
        let job = rig.job(&job).await;
        job.lease_epoch == 1 && job.status == Status::Queued
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_goes_away_with_a_report_has_reported_and_holds_nothing() {
    let rig = Rig::new();
    let (first, second) = (rig.create(order()).await, rig.create(order()).await);
    let held =
        rig.provisioning.open(want("gone", 0), &CancellationToken::new()).await.unwrap().pop().unwrap();
    let said = json!({ "taskId": held.id, "lease": held.lease.unwrap().token, "status": "completed" });
    let report = read_report(said, None).unwrap();
    {
        let mut asking = pin!(rig.provisioning.report_all(vec![report], Some(want("gone", 0))));
        let polled = std::future::poll_fn(|context| Poll::Ready(asking.as_mut().poll(context))).await;
        assert!(polled.is_pending());
    }
    until("the next job to be given back", async || {
        let job = rig.job(&second).await;
        job.lease_epoch == 1 && job.status == Status::Queued
    })
    .await;
    assert_eq!(rig.job(&first).await.status, Status::Finished);
    assert_eq!(rig.job(&second).await.attempt, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_falls_due_finds_whoever_waits_also_when_the_first_in_line_has_left() {
    let rig = Arc::new(Rig::new());
    let open = |worker: &'static str| {
        let rig = Arc::clone(&rig);
        tokio::spawn(async move {
            rig.provisioning.open(want(worker, 60), &CancellationToken::new()).await.unwrap()
        })
    };
    let first = open("first");
    until("the first to wait", async || rig.arrivals.waiting() == 1).await;
    let second = open("second");
    until("both to wait", async || rig.arrivals.waiting() == 2).await;
    let due = after(rig.clock.now(), Duration::from_millis(300));
    let later = rig.create(NewJob { run_at: Some(due), ..order() }).await;
    let now = rig.create(order()).await;
    assert_eq!(first.await.unwrap()[0].id, now.id, "the first in line takes what is due now");
    assert_eq!(second.await.unwrap()[0].id, later.id, "and the next keeps time for the rest");
}

#[tokio::test(flavor = "multi_thread")]
async fn several_jobs_that_fall_due_together_find_several_who_wait() {
    let rig = Arc::new(Rig::new());
    let due = after(rig.clock.now(), Duration::from_millis(300));
    for _ in 0..5 {
        rig.create(NewJob { run_at: Some(due), ..order() }).await;
    }
    let workers = ["a", "b", "c", "d", "e"].map(|worker| {
        let rig = Arc::clone(&rig);
        tokio::spawn(async move {
            rig.provisioning.open(want(worker, 60), &CancellationToken::new()).await.unwrap()
        })
    });
    for worker in workers {
        assert_eq!(worker.await.unwrap().len(), 1);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_queue_that_is_resumed_finds_whoever_waits() {
    let rig = Arc::new(Rig::new());
    use reclaimer_domain::ports::JobStore;
    rig.store.pause_queue("default".parse().unwrap(), true, rig.clock.now()).await.unwrap();
    let due = after(rig.clock.now(), Duration::from_millis(300));
    let job = rig.create(NewJob { run_at: Some(due), ..order() }).await;
    let waits = tokio::spawn({
        let rig = Arc::clone(&rig);
        async move { rig.provisioning.open(want("w", 60), &CancellationToken::new()).await.unwrap() }
    });
    until("it to wait", async || rig.arrivals.waiting() == 1).await;
    rig.store.pause_queue("default".parse().unwrap(), false, rig.clock.now()).await.unwrap();
    assert_eq!(waits.await.unwrap()[0].id, job.id);
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_waits_when_the_server_ends_is_answered() {
    let rig = Arc::new(Rig::new());
    let stop = CancellationToken::new();
    let waits = tokio::spawn({
        let (rig, stop) = (Arc::clone(&rig), stop.clone());
        async move { rig.provisioning.open(want("w", 60), &stop).await.unwrap() }
    });
    until("it to wait", async || rig.arrivals.waiting() == 1).await;
    stop.cancel();
    assert!(waits.await.unwrap().is_empty());
}
