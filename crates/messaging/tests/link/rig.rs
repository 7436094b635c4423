//! A link that dials, with a store of its own.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reclaimer_domain::name::ProviderId;
use reclaimer_domain::ports::{FreshCredentials, IssueError, TokenIssuer};
use reclaimer_domain::secret::Secret;
use reclaimer_messaging::dialect::{Dialect, Envelope};
use reclaimer_messaging::{Deps, Handle, Link, LinkView, Links, NoWatch, Reconnect, Roster, Transport};
use reclaimer_persistence::{SqliteConfig, SqliteStore};
use reclaimer_provisioning::{Arrivals, Config, Provisioning};
use reclaimer_testkit::{ManualClock, seeded};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

/// A provider that takes requests, and never answers.
#[derive(Debug)]
struct Silent;

#[async_trait]
impl TokenIssuer for Silent {
    async fn refresh(
        &self,
        _: &ProviderId,
        _: &Secret,
        _: DateTime<Utc>,
    ) -> Result<FreshCredentials, IssueError> {
        std::future::pending().await
    }
}

pub(crate) struct Rig {
    folder: TempDir,
    pub(crate) store: SqliteStore,
    pub(crate) provisioning: Provisioning,
    pub(crate) handle: Handle,
    shutdown: CancellationToken,
    running: tokio::task::JoinHandle<()>,
}

impl Rig {
    /// A link of the envelope dialect that dials a socket which is not there.
    pub(crate) fn start() -> Self {
        Self::of(Dialect::Envelope(Envelope {
            id: "web-server".to_owned(),
            kind: "web-server".to_owned(),
            pid: 1,
            peer: "external-crawler".to_owned(),
            command_peer: "external-crawler".to_owned(),
        }))
    }

    /// The same in another dialect.
    pub(crate) fn of(dialect: Dialect) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock = Arc::new(ManualClock::default());
        let arrivals = Arc::new(Arrivals::new(clock.clone()));
        let config = SqliteConfig::at(folder.path().join("test.db"));
        let store = SqliteStore::open(config, Arc::clone(&arrivals) as _).unwrap();
        let deps = reclaimer_provisioning::Deps {
            jobs: Arc::new(store.clone()),
            accounts: Arc::new(store.clone()),
            issuer: Arc::new(Silent),
            clock: clock.clone(),
            arrivals,
            rng: seeded(1),
        };
        let provisioning = Provisioning::new(Config::default(), deps);
        let deps = Deps {
            provisioning: provisioning.clone(),
            roster: Arc::new(Roster::default()),
            watch: Arc::new(NoWatch),
            clock,
            rng: seeded(2),
            lease: Duration::from_secs(60),
            grace: Duration::from_secs(10),
            shutdown_grace: Duration::from_secs(10),
        };
        let link = Link {
            name: "crawler".to_owned(),
            transport: Transport::Dial(folder.path().join("s")),
            dialect,
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
        Self { folder, store, provisioning, handle, shutdown, running: tokio::spawn(links.run()) }
    }

    pub(crate) fn path(&self) -> std::path::PathBuf {
        self.folder.path().join("s")
    }

    pub(crate) fn link(&self) -> LinkView {
        self.handle.links().remove(0)
    }

    pub(crate) fn breaker(&self) -> &'static str {
        self.link().breaker.unwrap().state
    }

    /// Lets time pass until this holds.
    pub(crate) async fn until(&self, what: &str, holds: impl Fn(&LinkView) -> bool) {
        for _ in 0..100_000 {
            if holds(&self.link()) {
                return;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("never: {what}: {:?}", self.link());
    }

    pub(crate) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap();
    }
}
