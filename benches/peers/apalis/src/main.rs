//! apalis-sqlite. As shipped its `setup` sets `synchronous=OFF` on one connection of the pool. Tuned, that connection is not
//! used again, every other has a write-ahead log and `synchronous=FULL`, jobs wake workers by its update hook and a poll every
//! five milliseconds, and a fetch takes as many as run at once. Shipped, a worker that waits looks with its heartbeat, every
//! thirty seconds.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use apalis::prelude::*;
use apalis_sqlite::callback::HookCallbackListener;
use apalis_sqlite::{Config, SqlitePool, SqliteStorage};
use async_trait::async_trait;
use peers::{Done, Mode, Peer, Workers, payload, serve};
use serde_json::Value;
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

struct Apalis {
    mode: Mode,
    /// Hears of jobs that come.
    listener: HookCallbackListener,
    storage: SqliteStorage<Value>,
    hired: AtomicU64,
}

struct Running {
    stop: oneshot::Sender<()>,
    worker: JoinHandle<Result<(), WorkerError>>,
}

const QUEUE: &str = "bench";
/// Between two polls, beside what the hook tells.
const POLL: Duration = Duration::from_millis(5);

fn config(at_once: usize) -> Config {
    Config::default().queue(QUEUE).batch_size(at_once)
}

fn durable(file: &std::path::Path) -> SqliteConnectOptions {
    SqliteConnectOptions::new()
        .filename(file)
        .create_if_missing(true)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
}

#[async_trait]
impl Peer for Apalis {
    async fn enqueue(&self) -> Result<()> {
        let value: Value = serde_json::from_str(payload())?;
        self.storage.clone().push(value).await.map_err(|error| anyhow::anyhow!("{error:?}"))
    }

    async fn work(&self, at_once: usize, done: Arc<Done>) -> Result<Box<dyn Workers>> {
        let (stop, stopped) = oneshot::channel::<()>();
        let signal = async move {
            // Dropped or told: it ends.
            let _ = stopped.await;
            Ok::<(), std::io::Error>(())
        };
        let run = move |_: Value| {
            let done = Arc::clone(&done);
            async move {
                done.ran();
                Ok::<(), BoxDynError>(())
            }
        };
        // A name is taken until its worker was silent for long.
        let name = format!("bench-{}", self.hired.fetch_add(1, Ordering::Relaxed));
        let worker = match self.mode {
            Mode::Shipped => {
                let worker =
                    WorkerBuilder::new(name).backend(self.storage.clone()).concurrency(at_once).build(run);
                tokio::spawn(worker.run_until(signal))
            }
            Mode::Tuned => {
                // The hook fires before the commit, so that a fetch may come too soon; then the interval finds the job.
                let strategy = Strategy::new().stream(self.listener.clone()).interval(POLL);
                let storage = self.storage.clone().poll_with_strategy(strategy);
                let worker = WorkerBuilder::new(name).backend(storage).concurrency(at_once).build(run);
                tokio::spawn(worker.run_until(signal))
            }
        };
        Ok(Box::new(Running { stop, worker }))
    }
}

#[async_trait]
impl Workers for Running {
    async fn stop(self: Box<Self>) -> Result<()> {
        let _ = self.stop.send(());
        // It waits for its next poll before it ends.
        let _ = tokio::time::timeout(Duration::from_secs(5), self.worker).await;
        Ok(())
    }
}

async fn open(folder: PathBuf, mode: Mode) -> Result<Apalis> {
    let file = folder.join("apalis.db");
    let url = format!("sqlite://{}?mode=rwc", file.display());
    // The same pool for producers and workers: the hook is one of its connections'.
    let (pool, listener) = SqliteStorage::connect_with_callback(&url)?;
    let at_once = match mode {
        Mode::Shipped => {
            SqliteStorage::setup(&pool).await?;
            10
        }
        Mode::Tuned => {
            let set_up = SqlitePool::connect(&url).await?;
            SqliteStorage::setup(&set_up).await?;
            set_up.close().await;
            pool.set_connect_options(durable(&file));
            16
        }
    };
    let storage = SqliteStorage::<Value>::new(&pool).with_config(config(at_once));
    Ok(Apalis { mode, listener, storage, hired: AtomicU64::new(0) })
}

#[tokio::main]
async fn main() -> Result<()> {
    serve(open).await
}
