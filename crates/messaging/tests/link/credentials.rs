//! Whoever asks for credentials is answered, however slow their provider is.

use std::time::Duration;

use reclaimer_domain::history::Actor;
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::NewJob;
use reclaimer_domain::ports::{AccountStore, Created};
use reclaimer_messaging::dialect::{Dialect, Flat};
use reclaimer_testkit::an_account;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;

use crate::rig::Rig;

/// A link to a flat crawler, and a job whose account needs a refresh that is never answered.
async fn rig() -> (Rig, JobId) {
    let rig = Rig::of(Dialect::Flat(Flat::default()));
    let account =
        an_account().access_token("old").expired_since(Duration::from_secs(1)).refresh_token("r").build();
    let order = NewJob { account_id: Some(account.id.clone()), ..NewJob::of("issues".parse().unwrap()) };
    rig.store.put(account).await.unwrap();
    let created = rig.provisioning.create(vec![order], None, Actor::Producer).await.unwrap();
    let Created::Done { single: Some(job), .. } = created else { panic!("{created:?}") };
    (rig, job.id)
}

/// A crawler that holds the job, and asks for credentials.
async fn asks(listener: &UnixListener, job: &JobId) -> BufReader<UnixStream> {
    let (mut stream, _) = listener.accept().await.unwrap();
    // The database works in a thread of its own, for which time that is paused would not wait.
    tokio::time::resume();
    stream.write_all(br#"{"type":"job_request","data":{}}"#).await.unwrap();
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    assert!(line.contains(job.as_str()), "credentials are for whoever holds the job: {line}");
    tokio::time::pause();
    let request = format!("{{\"type\":\"token_refresh_request\",\"jobId\":\"{job}\",\"data\":{{}}}}");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream
}

#[tokio::test(start_paused = true)]
async fn a_flat_crawler_that_asks_for_credentials_is_answered_before_it_gives_up() {
    let (rig, job) = rig().await;
    let listener = UnixListener::bind(rig.path()).unwrap();
    let mut stream = asks(&listener, &job).await;
    let asked_at = Instant::now();
    let mut line = String::new();
    stream.read_line(&mut line).await.unwrap();
    // The existing crawlers wait for 15 seconds.
    assert!(Instant::now() - asked_at < Duration::from_secs(15));
    let answer: Value = serde_json::from_str(&line).unwrap();
    assert_eq!((&answer["type"], &answer["jobId"]), (&"token_refresh_response".into(), &job.as_str().into()));
    assert_eq!(
        answer["data"],
        serde_json::json!({ "accessToken": "", "expiresAt": "", "refreshSuccessful": false })
    );
    rig.stop().await;
}

#[tokio::test(start_paused = true)]
async fn credentials_that_nobody_waits_for_any_more_hold_nothing_up() {
    let (rig, job) = rig().await;
    let listener = UnixListener::bind(rig.path()).unwrap();
    let stream = asks(&listener, &job).await;
    rig.until("the job to be held", |_| rig.handle.sessions().iter().any(|session| session.held == 1)).await;
    drop(stream);
    let lost_at = Instant::now();
    let again = listener.accept().await.unwrap();
    // It is dialled again after 5 s, a fifth more or less.
    assert!(Instant::now() - lost_at < Duration::from_secs(7), "{:?}", Instant::now() - lost_at);
    drop(again);
    rig.stop().await;
}
