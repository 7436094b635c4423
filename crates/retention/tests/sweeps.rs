//! Sweeps over a fake store, in paused time.

#![expect(clippy::unwrap_used, reason = "a test may give up; in helpers outside of test functions too")]

use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::TimeDelta;
use reclaimer_domain::ports::{Prune, Pruned, RetentionStore, StoreError};
use reclaimer_retention::{Config, Retention};
use reclaimer_testkit::{ManualClock, noon};
use tokio::sync::Notify;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

/// Answers what it was told to, and remembers what it was asked.
#[derive(Debug, Default)]
struct Scripted {
    answers: Mutex<Vec<Result<Pruned, StoreError>>>,
    asked: Mutex<Vec<Prune>>,
    done: Notify,
}

#[async_trait]
impl RetentionStore for Scripted {
    async fn prune(&self, order: Prune) -> Result<Pruned, StoreError> {
        self.asked.lock().unwrap().push(order);
        let mut answers = self.answers.lock().unwrap();
        if answers.len() <= 1 {
            self.done.notify_one();
        }
        if answers.is_empty() { Ok(Pruned::default()) } else { answers.remove(0) }
    }
}

/// Lets retention run until the script is over; answers what was asked.
async fn run(config: Config, answers: Vec<Result<Pruned, StoreError>>) -> Vec<Prune> {
    let store = Arc::new(Scripted { answers: Mutex::new(answers), ..Scripted::default() });
    let clock = Arc::new(ManualClock::at(noon()));
    let stop = CancellationToken::new();
    let retention = Retention::new(config, Arc::clone(&store) as _, clock);
    let running = tokio::spawn(retention.run(stop.clone()));
    store.done.notified().await;
    stop.cancel();
    running.await.unwrap();
    let asked = store.asked.lock().unwrap();
    asked.clone()
}

fn step(jobs: u32, more_jobs: bool, next: Option<i64>) -> Result<Pruned, StoreError> {
    Ok(Pruned { jobs, events: 0, next, more_jobs })
}

#[tokio::test(start_paused = true)]
async fn a_sweep_goes_on_step_by_step_until_nothing_is_left() {
    let asked =
        run(Config::default(), vec![step(250, true, Some(7)), step(3, false, Some(9)), step(0, false, None)])
            .await;
    let days = |days| Some(noon() - TimeDelta::days(days));
    let looked_for: Vec<_> = asked.iter().map(|it| (it.finished, it.cancelled, it.events, it.from)).collect();
    assert_eq!(
        looked_for,
        [
            (days(7), days(7), days(30), None),
            (days(7), days(7), days(30), Some(7)),
            (None, None, days(30), Some(9)),
        ]
    );
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_for_ever_is_not_looked_for() {
    let config = Config { finished: Duration::ZERO, events: Duration::ZERO, ..Config::default() };
    let asked = run(config, vec![step(0, false, None)]).await;
    assert_eq!((asked[0].finished, asked[0].events), (None, None));
    assert!(asked[0].cancelled.is_some());

    let for_ever = Config {
        finished: Duration::ZERO,
        cancelled: Duration::ZERO,
        events: Duration::ZERO,
        ..Config::default()
    };
    let store = Arc::new(Scripted::default());
    let clock = Arc::new(ManualClock::at(noon()));
    Retention::new(for_ever, Arc::clone(&store) as _, clock).run(CancellationToken::new()).await;
    assert_eq!(*store.asked.lock().unwrap(), []);
}

#[tokio::test(start_paused = true)]
async fn a_sweep_that_breaks_off_is_followed_by_another() {
    let away = || Err(StoreError::Unavailable { reason: "out for lunch".into(), source: None });
    let asked = run(Config::default(), vec![away(), step(1, false, None)]).await;
    assert_eq!(asked.len(), 2);
    assert_eq!(asked[0], asked[1]);
}

/// A store that never answers.
#[derive(Debug)]
struct Hanging;

#[async_trait]
impl RetentionStore for Hanging {
    async fn prune(&self, _: Prune) -> Result<Pruned, StoreError> {
        std::future::pending().await
    }
}

#[tokio::test(start_paused = true)]
async fn sweeps_that_hang_are_found_and_long_waits_between_them_are_not() {
    let overdue = async |store: Arc<dyn RetentionStore>| {
        let retention = Retention::new(Config::default(), store, Arc::new(ManualClock::at(noon())));
        let beat = retention.beat();
        let running = tokio::spawn(retention.run(CancellationToken::new()));
        for _ in 0..100 {
            tokio::time::sleep(Config::default().interval / 7).await;
        }
        running.abort();
        beat.look(Instant::now().into_std()).overdue_by.is_some()
    };
    assert!(!overdue(Arc::new(Scripted::default())).await);
    assert!(overdue(Arc::new(Hanging)).await);
}
