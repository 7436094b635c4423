//! The dialling side in the runtime's paused time: when it tries, when it does not, and that it never stops.

use std::path::Path;
use std::time::Duration;

use reclaimer_domain::history::Actor;
use reclaimer_domain::job::NewJob;
use reclaimer_domain::ports::{Created, JobRead, JobStore};
use reclaimer_messaging::BreakerOrder;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

use crate::rig::Rig;

const HEARTBEAT: &[u8] =
    br#"{"origin":"external-crawler","destination":"web-server","type":"heartbeat","key":"heartbeat"}"#;

const REQUEST: &[u8] =
    br#"{"origin":"external-crawler","destination":"web-server","type":"jobRequest","key":"request_jobs"}"#;

/// The next connection.
async fn accept(listener: &UnixListener) -> UnixStream {
    listener.accept().await.unwrap().0
}

fn bind(path: &Path) -> UnixListener {
    UnixListener::bind(path).unwrap()
}

#[tokio::test(start_paused = true)]
async fn the_circuit_opens_at_5_failures_probes_after_30_seconds_and_reconnects_afterwards() {
    let rig = Rig::start();
    let start = Instant::now();
    rig.until("open", |link| link.breaker.as_ref().unwrap().state == "open").await;
    let opened = Instant::now();
    let link = rig.link();
    // 5, 7.5, 11.25 and 16.875 s lie between five attempts, a fifth more or less.
    let least = Duration::from_secs_f64(40.625 * 0.8);
    assert!(opened - start >= least && opened - start <= least * 3 / 2 + Duration::from_millis(200));
    assert_eq!((link.connection_failures, link.breaker.unwrap().consecutive_failures), (5, 5));
    assert!(
        link.last_error.unwrap().contains("No such file"),
        "a missing socket is a failure like any other"
    );

    let listener = bind(&rig.path());
    let mut stream = accept(&listener).await;
    let probed = Instant::now() - opened;
    assert!(probed >= Duration::from_secs(23) && probed <= Duration::from_secs(37), "{probed:?}");
    assert_eq!(rig.breaker(), "half_open", "that a socket accepts proves nothing");
    stream.write_all(HEARTBEAT).await.unwrap();
    rig.until("closed", |link| link.breaker.as_ref().unwrap().state == "closed").await;
    let (failures, ended) = (rig.link().connection_failures, Instant::now());
    drop(stream);
    let again = accept(&listener).await;
    let pause = Instant::now() - ended;
    assert!(pause >= Duration::from_secs(4), "that the circuit closed is no reason to hurry: {pause:?}");
    assert_eq!(
        rig.link().connection_failures,
        failures,
        "that a good connection ends is no failure to connect"
    );
    drop(again);
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_worker_that_was_started_anew_is_dialled_at_once() {
    let rig = Rig::start();
    rig.until("open", |link| link.breaker.as_ref().unwrap().state == "open").await;
    let listener = bind(&rig.path());
    let started = Instant::now();
    rig.handle.worker_started("crawler");
    let mut stream = accept(&listener).await;
    assert!(Instant::now() - started < Duration::from_secs(1), "it does not wait for a probe");
    stream.write_all(HEARTBEAT).await.unwrap();
    rig.handle.order("crawler", BreakerOrder::ForceOpen).unwrap();
    rig.until("forced open", |link| link.breaker.as_ref().unwrap().state == "forced_open").await;
    rig.handle.worker_started("crawler");
    rig.handle.worker_started("no such link");
    assert_eq!(rig.breaker(), "forced_open", "what a person ordered stays");
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_socket_that_accepts_and_says_nothing_opens_the_circuit_too() {
    let rig = Rig::start();
    let listener = bind(&rig.path());
    let silent = tokio::spawn(async move {
        let mut held = Vec::new();
        loop {
            held.push(accept(&listener).await);
        }
    });
    rig.until("open", |link| link.breaker.as_ref().unwrap().state == "open").await;
    assert!(rig.link().last_error.unwrap().contains("nothing valid was heard"));
    silent.abort();
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn however_long_the_worker_stays_away_it_is_tried_again() {
    let rig = Rig::start();
    tokio::time::sleep(Duration::from_secs(7 * 86_400)).await;
    let failures = rig.link().connection_failures;
    // Open for 300 s at the most, a fifth more or less.
    assert!(failures > 7 * 86_400 / 400, "{failures}");
    let listener = bind(&rig.path());
    let mut stream = accept(&listener).await;
    stream.write_all(HEARTBEAT).await.unwrap();
    rig.until("closed", |link| link.breaker.as_ref().unwrap().state == "closed").await;
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_reset_is_followed_by_an_attempt_at_once_and_a_forced_circuit_by_none() {
    let rig = Rig::start();
    rig.until("open", |link| link.breaker.as_ref().unwrap().state == "open").await;
    rig.handle.order("crawler", BreakerOrder::ForceOpen).unwrap();
    let failures = rig.link().connection_failures;
    tokio::time::sleep(Duration::from_secs(86_400)).await;
    assert_eq!((rig.breaker(), rig.link().connection_failures), ("forced_open", failures));
    let listener = bind(&rig.path());
    let before = Instant::now();
    rig.handle.order("crawler", BreakerOrder::Reset).unwrap();
    let mut stream = accept(&listener).await;
    assert_eq!(Instant::now(), before);
    stream.write_all(HEARTBEAT).await.unwrap();
    rig.until("connected", |link| link.connections == 1 && link.next_attempt_at.is_none()).await;
    assert!(rig.handle.order("nowhere", BreakerOrder::Auto).is_err());
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn a_lease_that_was_lost_before_the_circuit_opened_is_held_against_no_job() {
    let rig = Rig::start();
    let order = NewJob::of("X".parse().unwrap());
    let created = rig.provisioning.create(vec![order], None, Actor::Producer).await.unwrap();
    let Created::Done { single: Some(job), .. } = created else { panic!("{created:?}") };
    let listener = bind(&rig.path());
    let mut stream = accept(&listener).await;
    // The database works in a thread of its own, for which time that is paused would not wait.
    tokio::time::resume();
    stream.write_all(REQUEST).await.unwrap();
    rig.until("the job to be held", |_| rig.handle.sessions().iter().any(|session| session.held == 1)).await;
    drop((stream, listener));
    std::fs::remove_file(rig.path()).unwrap();
    rig.until("the end", |link| link.connections == 0).await;
    tokio::time::pause();
    let excused = async || match rig.store.job(&job.id).await.unwrap() {
        Some(JobRead::Whole(job)) => job.lease.unwrap().excused,
        other => panic!("{other:?}"),
    };
    assert!(!excused().await, "whether the link is down is not known yet");
    rig.until("open", |link| link.breaker.as_ref().unwrap().state == "open").await;
    while !excused().await {
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    rig.stop().await;
}
