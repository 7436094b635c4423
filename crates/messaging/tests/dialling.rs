//! The dialling side against a real socket, in the runtime's paused time: when it tries, when it does not, and that it
//! never stops.

#![expect(clippy::unwrap_used, clippy::panic, reason = "a test that cannot be set up has failed")]

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reclaimer_domain::name::ProviderId;
use reclaimer_domain::ports::{FreshCredentials, IssueError, TokenIssuer};
use reclaimer_domain::secret::Secret;
use reclaimer_messaging::dialect::{Dialect, Envelope};
use reclaimer_messaging::{
    BreakerOrder, Deps, Handle, Link, LinkView, Links, NoWatch, Reconnect, Roster, Transport,
};
use reclaimer_persistence::{SqliteConfig, SqliteStore};
use reclaimer_provisioning::{Arrivals, Config, Provisioning};
use reclaimer_testkit::{ManualClock, seeded};
use tempfile::TempDir;
use tokio::io::AsyncWriteExt;
use tokio::net::{UnixListener, UnixStream};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

const HEARTBEAT: &[u8] =
    br#"{"origin":"external-crawler","destination":"web-server","type":"heartbeat","key":"heartbeat"}"#;

/// There are no providers here.
#[derive(Debug)]
struct Nobody;

#[async_trait]
impl TokenIssuer for Nobody {
    async fn refresh(
        &self,
        provider: &ProviderId,
        _: &Secret,
        _: DateTime<Utc>,
    ) -> Result<FreshCredentials, IssueError> {
        Err(IssueError::UnknownProvider(provider.clone()))
    }
}

struct Rig {
    folder: TempDir,
    handle: Handle,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Rig {
    /// A link that dials a socket which is not there.
    fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let arrivals = Arc::new(Arrivals::new(clock.clone()));
        let config = SqliteConfig::at(folder.path().join("test.db"));
        let store = SqliteStore::open(config, Arc::clone(&arrivals) as _).unwrap();
        let deps = reclaimer_provisioning::Deps {
            jobs: Arc::new(store.clone()),
            accounts: Arc::new(store),
            issuer: Arc::new(Nobody),
            clock: clock.clone(),
            arrivals,
            rng: seeded(1),
        };
        let deps = Deps {
            provisioning: Provisioning::new(Config::default(), deps),
            roster: Arc::new(Roster::default()),
            watch: Arc::new(NoWatch),
            clock,
            rng: seeded(2),
            lease: Duration::from_secs(60),
            grace: Duration::from_secs(10),
        };
        let link = Link {
            name: "crawler".to_owned(),
            transport: Transport::Dial(folder.path().join("s")),
            dialect: Dialect::Envelope(Envelope {
                id: "web-server".to_owned(),
                kind: "web-server".to_owned(),
                pid: 1,
                peer: "external-crawler".to_owned(),
                command_peer: "external-crawler".to_owned(),
            }),
            queue: None,
            jobs_at_once: 1,
            heartbeat_interval: Duration::from_secs(10),
            heartbeat_timeout: Duration::from_secs(30),
            first_frame_within: Duration::from_secs(15),
            reconnect: Reconnect::default(),
            breaker: reclaimer_breaker::Settings::default(),
            uids: Vec::new(),
            send_refresh_token: false,
        };
        let shutdown = CancellationToken::new();
        let (links, handle) = Links::new(vec![link], deps, shutdown.clone()).unwrap();
        Self { folder, handle, shutdown, running: tokio::spawn(links.run()) }
    }

    fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("s")
    }

    fn link(&self) -> LinkView {
        self.handle.links().remove(0)
    }

    fn breaker(&self) -> &'static str {
        self.link().breaker.unwrap().state
    }

    /// Lets time pass until this holds.
    async fn until(&self, what: &str, holds: impl Fn(&LinkView) -> bool) {
        for _ in 0..100_000 {
            if holds(&self.link()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never: {what}: {:?}", self.link());
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap();
    }
}

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
    drop(stream);
    let again = accept(&listener).await;
    drop(again);
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
