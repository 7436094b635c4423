//! The service, wired for tests.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reclaimer_domain::account::Account;
use reclaimer_domain::history::Actor;
use reclaimer_domain::job::{Job, NewJob};
use reclaimer_domain::name::{AccountId, ProviderId};
use reclaimer_domain::ports::{
    AccountStore, Clock, Created, FreshCredentials, IssueError, JobRead, JobStore, Page, StoreError,
    TokenIssuer,
};
use reclaimer_domain::secret::Secret;
use reclaimer_persistence::{SqliteConfig, SqliteStore};
use reclaimer_provisioning::{Arrivals, Config, Deps, Provisioning};
use reclaimer_testkit::seeded;
use std::sync::Mutex;
use tokio::sync::Semaphore;

/// The system's time: what waits here waits for real events.
#[derive(Debug)]
struct RealClock;

impl Clock for RealClock {
    #[expect(clippy::disallowed_methods, reason = "the test's own system clock")]
    fn now(&self) -> DateTime<Utc> {
        Utc::now()
    }
}

/// A provider whose every refresh waits for a permit and rotates the refresh token.
#[derive(Debug)]
pub(crate) struct Provider {
    pub(crate) calls: AtomicU32,
    pub(crate) permits: Semaphore,
}

#[async_trait]
impl TokenIssuer for Provider {
    async fn refresh(
        &self,
        _: &ProviderId,
        refresh_token: &Secret,
        _: DateTime<Utc>,
    ) -> Result<FreshCredentials, IssueError> {
        self.permits.acquire().await.unwrap().forget();
        let call = self.calls.fetch_add(1, Ordering::SeqCst) + 1;
        Ok(FreshCredentials {
            access_token: Secret::new(format!("{}-access-{call}", refresh_token.expose())),
            access_token_expires_at: None,
            refresh_token: Some(Secret::new(format!("rotated-{call}"))),
        })
    }
}

/// The accounts of a store, with reads and writes that go wrong on demand.
#[derive(Debug)]
pub(crate) struct Accounts {
    store: SqliteStore,
    /// Answered by the next read, in place of what is stored.
    pub(crate) stale: Mutex<Option<Account>>,
    /// So many renewals fail before one works.
    pub(crate) failing_renewals: AtomicU32,
}

#[async_trait]
impl AccountStore for Accounts {
    async fn account(&self, id: &AccountId) -> Result<Option<Account>, StoreError> {
        let stale = self.stale.lock().unwrap().take();
        if stale.is_some() {
            return Ok(stale);
        }
        self.store.account(id).await
    }

    async fn accounts(
        &self,
        cursor: Option<AccountId>,
        limit: u32,
    ) -> Result<Page<Account, AccountId>, StoreError> {
        self.store.accounts(cursor, limit).await
    }

    async fn put(&self, account: Account) -> Result<(), StoreError> {
        self.store.put(account).await
    }

    async fn erase(&self, id: AccountId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        self.store.erase(id, now).await
    }

    async fn renew(
        &self,
        id: AccountId,
        asked_with: Secret,
        fresh: FreshCredentials,
        now: DateTime<Utc>,
    ) -> Result<bool, StoreError> {
        let left = self.failing_renewals.load(Ordering::SeqCst);
        if left > 0 {
            self.failing_renewals.store(left - 1, Ordering::SeqCst);
            return Err(StoreError::Unavailable { reason: "disk full".into(), source: None });
        }
        AccountStore::renew(&self.store, id, asked_with, fresh, now).await
    }
}

/// Everything a test needs.
pub(crate) struct Rig {
    pub(crate) provisioning: Provisioning,
    pub(crate) store: SqliteStore,
    pub(crate) accounts: Arc<Accounts>,
    pub(crate) provider: Arc<Provider>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) arrivals: Arc<Arrivals>,
    _folder: tempfile::TempDir,
}

impl Rig {
    pub(crate) fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let clock: Arc<dyn Clock> = Arc::new(RealClock);
        let arrivals = Arc::new(Arrivals::new(Arc::clone(&clock)));
        let store =
            SqliteStore::open(SqliteConfig::at(folder.path().join("test.db")), Arc::clone(&arrivals) as _)
                .unwrap();
        let accounts = Arc::new(Accounts {
            store: store.clone(),
            stale: Mutex::new(None),
            failing_renewals: AtomicU32::new(0),
        });
        let provider = Arc::new(Provider { calls: AtomicU32::new(0), permits: Semaphore::new(0) });
        let provisioning = Provisioning::new(
            Config::default(),
            Deps {
                jobs: Arc::new(store.clone()),
                accounts: Arc::clone(&accounts) as _,
                issuer: Arc::clone(&provider) as _,
                clock: Arc::clone(&clock),
                arrivals: Arc::clone(&arrivals),
                rng: seeded(7),
            },
        );
        Self { provisioning, store, accounts, provider, clock, arrivals, _folder: folder }
    }

    /// Creates a job.
    pub(crate) async fn create(&self, order: NewJob) -> Job {
        match self.provisioning.create(vec![order], None, Actor::Producer).await.unwrap() {
            Created::Done { single: Some(job), .. } => *job,
            other => panic!("{other:?}"),
        }
    }

    /// A job as it is stored.
    pub(crate) async fn job(&self, job: &Job) -> Job {
        match self.store.job(&job.id).await.unwrap() {
            Some(JobRead::Whole(job)) => *job,
            other => panic!("{other:?}"),
        }
    }
}

/// Asks again and again until it holds.
pub(crate) async fn until(what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let asking = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), asking)
        .await
        .unwrap_or_else(|_| panic!("waited too long: {what}"));
}
