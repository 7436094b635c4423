//! riverqueue on SQLite. As shipped it is opened as its example does: a write-ahead log, `synchronous` at the engine's
//! default, FULL. Tuned, a fetch may follow the one before after a millisecond instead of a tenth of a second, and a
//! worker that waits polls every five milliseconds.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use peers::{Done, Mode, Peer, Workers, payload, serve};
use riverqueue::migrate::SqliteMigrator;
use riverqueue::sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteSynchronous,
};
use riverqueue::{
    Client, Job, JobArgs, QueueConfig, RunHandle, WorkContext, WorkOutcome, Workers as Registry,
};
use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, Deserialize, JobArgs, Serialize)]
#[river(kind = "bench")]
struct Bench {
    payload: serde_json::Value,
}

/// Between two fetches, at least, and between two polls.
const COOLDOWN: Duration = Duration::from_millis(1);
const POLL: Duration = Duration::from_millis(5);

struct River {
    pool: SqlitePool,
    mode: Mode,
    producer: Client,
}

struct Running(RunHandle);

#[async_trait]
impl Peer for River {
    async fn enqueue(&self) -> Result<()> {
        self.producer.insert(Bench { payload: serde_json::from_str(payload())? }).await?;
        Ok(())
    }

    async fn work(&self, at_once: usize, done: Arc<Done>) -> Result<Box<dyn Workers>> {
        let mut registry = Registry::new();
        registry.add_fn(move |_: WorkContext, _: Job<Bench>| {
            let done = Arc::clone(&done);
            async move {
                done.ran();
                Ok::<_, std::io::Error>(WorkOutcome::Complete)
            }
        })?;
        let mut queue = QueueConfig::new(at_once);
        let mut builder = Client::builder(self.pool.clone()).workers(registry);
        if self.mode == Mode::Tuned {
            queue = queue.with_fetch_poll_interval(POLL);
            builder = builder.fetch_cooldown(COOLDOWN);
        }
        builder = builder.queue("default", queue);
        Ok(Box::new(Running(builder.build()?.start()?)))
    }
}

#[async_trait]
impl Workers for Running {
    async fn stop(mut self: Box<Self>) -> Result<()> {
        self.0.stop().await?;
        Ok(())
    }
}

async fn open(folder: PathBuf, mode: Mode) -> Result<River> {
    let mut options = SqliteConnectOptions::new()
        .filename(folder.join("river.db"))
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .busy_timeout(Duration::from_secs(5));
    if mode == Mode::Tuned {
        options = options.synchronous(SqliteSynchronous::Full);
    }
    let pool = SqlitePoolOptions::new().connect_with(options).await?;
    SqliteMigrator::new(pool.clone()).migrate_up().await?;
    let mut producer = Client::builder(pool.clone());
    if mode == Mode::Tuned {
        producer = producer.fetch_cooldown(COOLDOWN);
    }
    Ok(River { pool, mode, producer: producer.build()? })
}

#[tokio::main]
async fn main() -> Result<()> {
    serve(open).await
}
