use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use super::*;
use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reclaimer_domain::alert::AlertState;
use reclaimer_domain::ports::StoreError;
use reclaimer_health::{Database, Figures, Health, Indicator, Status};
use reclaimer_testkit::{MemoryStore, noon, seeded};
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use tokio::time::sleep;

use crate::rule::Condition;
use crate::webhook::Undelivered;

const SECOND: Duration = Duration::from_secs(1);

/// Goes as the runtime's timers go, which stand still while anything is to be done.
#[derive(Debug)]
struct RuntimeClock(Instant);

impl Clock for RuntimeClock {
    fn now(&self) -> DateTime<Utc> {
        noon() + self.0.elapsed()
    }
}

/// A server whose database can be written or not.
#[derive(Debug)]
struct Server {
    writable: AtomicBool,
    clock: Arc<RuntimeClock>,
}

#[async_trait]
impl HealthSource for Server {
    async fn health(&self) -> Arc<Health> {
        let writable = self.writable.load(Ordering::SeqCst);
        let indicator = Indicator {
            name: "database".to_owned(),
            status: Status::Down,
            what: "the disk is full".to_owned(),
            since: None,
            figures: Figures::Database(Database { writable, ..Database::default() }),
        };
        Arc::new(Health { status: Status::Down, at: self.clock.now(), indicators: vec![indicator] })
    }
}

/// Refuses so many messages, then takes them all.
#[derive(Debug, Default)]
struct Receiver {
    refuses: AtomicUsize,
    slow: Option<Duration>,
    attempts: AtomicUsize,
    taken: Mutex<Vec<&'static str>>,
    took: Notify,
    called: Notify,
}

impl Receiver {
    fn taken(&self) -> Vec<&'static str> {
        self.taken.lock().unwrap().clone()
    }

    async fn has_taken(&self, number: usize) -> Vec<&'static str> {
        while self.taken().len() < number {
            self.took.notified().await;
        }
        self.taken()
    }
}

#[async_trait]
impl Courier for Receiver {
    fn target(&self) -> String {
        "nowhere".to_owned()
    }

    async fn deliver(&self, message: &AlertMessage) -> Result<(), Undelivered> {
        self.attempts.fetch_add(1, Ordering::SeqCst);
        self.called.notify_one();
        if let Some(slow) = self.slow {
            sleep(slow).await;
        }
        let refuses =
            self.refuses.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
        if refuses.is_ok() {
            return Err(Undelivered { why: "HTTP 503".to_owned(), retry_after: None });
        }
        self.taken.lock().unwrap().push(message.event.as_str());
        self.took.notify_one();
        Ok(())
    }
}

/// A store that cannot be written, and perhaps not be read.
#[derive(Debug)]
struct Away {
    readable: bool,
}

#[async_trait]
impl AlertStore for Away {
    async fn alerts(&self, _: &str) -> Result<AlertState, StoreError> {
        if self.readable { Ok(AlertState::default()) } else { Err(StoreError::Closing) }
    }

    async fn keep_alerts(&self, _: &str, _: AlertState) -> Result<(), StoreError> {
        std::future::pending().await
    }
}

struct Rig {
    server: Arc<Server>,
    receiver: Arc<Receiver>,
    store: Arc<dyn AlertStore>,
}

impl Rig {
    fn new(receiver: Receiver, store: Arc<dyn AlertStore>) -> Self {
        let clock = Arc::new(RuntimeClock(Instant::now()));
        let server = Arc::new(Server { writable: AtomicBool::new(false), clock });
        Self { server, receiver: Arc::new(receiver), store }
    }

    /// A life of alerting, and what ends it.
    fn life(&self) -> (AlertsHandle, CancellationToken, JoinHandle<()>) {
        let config = Config {
            owner: "s".to_owned(),
            interval: SECOND * 10,
            rules: vec![Rule { condition: Condition::DatabaseNotWritable, hold: SECOND * 30 }],
            terms: Terms { cooldown: SECOND * 600, resolve_after: SECOND * 60, remind_after: None },
        };
        let deps = Deps {
            source: Arc::clone(&self.server) as _,
            store: Arc::clone(&self.store),
            courier: Some(Arc::clone(&self.receiver) as _),
            clock: Arc::clone(&self.server.clock) as _,
            rng: seeded(1),
            beat: Beat::new("alerts", Instant::now().into_std()),
        };
        let (alerts, handle) = Alerts::new(config, deps);
        let stop = CancellationToken::new();
        (handle, stop.clone(), tokio::spawn(alerts.run(stop)))
    }
}

async fn end((_, stop, life): (AlertsHandle, CancellationToken, JoinHandle<()>)) {
    stop.cancel();
    life.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_restart_repeats_nothing_and_drops_nothing() {
    let rig = Rig::new(Receiver::default(), Arc::new(MemoryStore::default()));
    let first = rig.life();
    assert_eq!(rig.receiver.has_taken(1).await, ["opened"]);
    end(first).await;

    let second = rig.life();
    sleep(SECOND * 3_600).await;
    assert_eq!(rig.receiver.taken(), ["opened"]);
    let open = second.0.overview().open;
    assert_eq!((open.len(), open[0].opened_at), (1, noon() + SECOND * 30));

    // It is over, and nobody could be told before the end of this life.
    rig.server.writable.store(true, Ordering::SeqCst);
    rig.receiver.refuses.store(usize::MAX, Ordering::SeqCst);
    while second.0.overview().messages.len() < 2 {
        sleep(SECOND).await;
    }
    end(second).await;
    rig.receiver.refuses.store(0, Ordering::SeqCst);
    let third = rig.life();
    assert_eq!(rig.receiver.has_taken(2).await, ["opened", "resolved"]);
    end(third).await;
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_kept_is_told_all_the_same() {
    for readable in [true, false] {
        let receiver = Receiver { slow: Some(SECOND), ..Receiver::default() };
        let rig = Rig::new(receiver, Arc::new(Away { readable }));
        let life = rig.life();
        assert_eq!(rig.receiver.has_taken(1).await, ["opened"]);
        assert!(rig.server.clock.0.elapsed() < SECOND * 60, "nothing that fails delays it");
        sleep(SECOND * 3_600).await;
        assert_eq!(rig.receiver.taken(), ["opened"]);
        end(life).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_receiver_that_was_away_hears_of_it_later() {
    let receiver = Receiver { refuses: AtomicUsize::new(20), ..Receiver::default() };
    let rig = Rig::new(receiver, Arc::new(MemoryStore::default()));
    let life = rig.life();
    assert_eq!(rig.receiver.has_taken(1).await, ["opened"]);
    assert_eq!(rig.receiver.attempts.load(Ordering::SeqCst), 21);
    let message = life.0.overview().messages.remove(0);
    assert!(message.attempts >= 20, "{message:?}");
    end(life).await;
}

#[tokio::test(start_paused = true)]
async fn a_message_on_its_way_at_the_end_is_not_sent_again() {
    let receiver = Receiver { slow: Some(SECOND * 2), ..Receiver::default() };
    let rig = Rig::new(receiver, Arc::new(MemoryStore::default()));
    let first = rig.life();
    rig.receiver.called.notified().await;
    end(first).await;
    assert_eq!(rig.receiver.taken(), ["opened"]);

    let second = rig.life();
    sleep(SECOND * 3_600).await;
    assert_eq!(rig.receiver.taken(), ["opened"]);
    end(second).await;
}

#[tokio::test(start_paused = true)]
async fn a_test_says_whether_it_arrived() {
    let rig = Rig::new(Receiver::default(), Arc::new(MemoryStore::default()));
    rig.server.writable.store(true, Ordering::SeqCst);
    let life = rig.life();
    let message = life.0.test().await.unwrap();
    assert_eq!((message.event, message.attempts), (AlertEvent::Test, 1));
    rig.receiver.refuses.store(1, Ordering::SeqCst);
    let refused = life.0.test().await.unwrap_err();
    assert_eq!(refused.to_string(), "the test message was not delivered: HTTP 503");
    sleep(SECOND * 3_600).await;
    assert_eq!(rig.receiver.taken(), ["test"], "a test is not tried again");
    assert_eq!(life.0.overview().messages.len(), 2);
    end(life).await;
}
