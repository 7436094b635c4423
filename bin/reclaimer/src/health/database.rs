//! Whether the database takes a write: proved by one.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::ports::{Clock, JobStore, StoreError};
use reclaimer_health::{Beat, Database};
use reclaimer_persistence::SqliteStore;
use tokio::task::JoinHandle;
use tokio::time::{Instant, timeout};

/// A write that takes longer has its answer.
const PATIENCE: Duration = Duration::from_secs(2);

/// A writer that committed nothing for so long, although a write waited, hangs.
const HANGS_AFTER: Duration = Duration::from_secs(60);

/// The word for a write that was not committed in time; also that of `/readyz`.
const SLOW: &str = "storage_slow";

/// Writes now and then. At most one write of its own waits.
#[derive(Debug)]
pub(super) struct Prober {
    store: SqliteStore,
    writer: Beat,
    under_way: Option<UnderWay>,
    away_since: Option<DateTime<Utc>>,
}

#[derive(Debug)]
struct UnderWay {
    begun: Instant,
    write: JoinHandle<Result<(), StoreError>>,
}

impl Prober {
    pub(super) fn new(store: SqliteStore) -> Self {
        let writer = Beat::new("writer", Instant::now().into_std());
        Self { store, writer, under_way: None, away_since: None }
    }

    /// Proves that the writer commits, where a write waits.
    pub(super) fn beat(&self) -> Beat {
        self.writer.clone()
    }

    /// Writes, and tells how that went.
    pub(super) async fn look(&mut self, clock: &dyn Clock) -> Database {
        let now = clock.now();
        let under_way = self.under_way.get_or_insert_with(|| {
            self.writer.called(Instant::now().into_std(), HANGS_AFTER);
            let store = self.store.clone();
            let write = tokio::spawn(async move { store.probe(now).await });
            UnderWay { begun: Instant::now(), write }
        });
        let Ok(ended) = timeout(PATIENCE, &mut under_way.write).await else {
            let reason = "a write has not been committed in time".to_owned();
            return self.not_writable(SLOW, reason, now);
        };
        let took = under_way.begun.elapsed();
        self.under_way = None;
        self.writer.rests(Instant::now().into_std());
        match ended {
            Ok(Ok(())) => {
                self.away_since = None;
                let low = self.store.check_room().err();
                Database {
                    writable: true,
                    latency_ms: Some(took.as_secs_f64() * 1_000.0),
                    code: low.as_ref().map(|error| error.code().to_owned()),
                    reason: low.map(|error| error.to_string()),
                    since: None,
                }
            }
            // So much waits that nothing more is taken in: what waits is written all the same. Where it is the database that
            // is busy, because somebody holds it locked, that takes longer to find out.
            Ok(Err(error @ StoreError::Busy { .. })) if took < PATIENCE => Database {
                writable: true,
                code: Some(error.code().to_owned()),
                reason: Some(error.to_string()),
                ..Database::default()
            },
            Ok(Err(error)) => self.not_writable(error.code(), error.to_string(), now),
            Err(panicked) => self.not_writable("storage_failed", panicked.to_string(), now),
        }
    }

    fn not_writable(&mut self, code: &str, reason: String, now: DateTime<Utc>) -> Database {
        let since = Some(*self.away_since.get_or_insert(now));
        Database {
            writable: false,
            latency_ms: None,
            code: Some(code.to_owned()),
            reason: Some(reason),
            since,
        }
    }
}
