//! forge-jobs. It opens its file with a write-ahead log and leaves `synchronous` at the engine's default, FULL; its
//! documentation offers nothing else to set, so that tuned is as shipped.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use forge_jobs::storage::Storage;
use forge_jobs::{
    DefaultRouter, EnqueueRequest, HandlerRegistry, JobCtx, JobHandler, JobOutcome, QueueHandle,
    QueueRuntime, SqliteStorage,
};
use peers::{Done, Mode, Peer, Workers, payload, serve};
use serde_json::Value;

const KIND: &str = "bench";
const QUEUE: &str = "default";

struct Forge {
    storage: Storage,
    producer: QueueRuntime,
}

struct Counting(Arc<Done>);

struct Running(QueueHandle);

#[async_trait]
impl JobHandler for Counting {
    fn kind(&self) -> &'static str {
        KIND
    }

    async fn run(&self, _: JobCtx<'_>, _: Value) -> JobOutcome {
        self.0.ran();
        JobOutcome::Done
    }
}

fn runtime(storage: &Storage, done: Arc<Done>) -> QueueRuntime {
    let mut handlers = HandlerRegistry::new();
    handlers.register(Counting(done));
    QueueRuntime::new(storage.clone(), handlers, Arc::new(DefaultRouter)).with_queues([QUEUE.to_owned()])
}

#[async_trait]
impl Peer for Forge {
    async fn enqueue(&self) -> Result<()> {
        let payload: Value = serde_json::from_str(payload())?;
        self.producer.enqueue(EnqueueRequest::new(KIND, payload).on_queue(QUEUE)).await?;
        Ok(())
    }

    async fn work(&self, at_once: usize, done: Arc<Done>) -> Result<Box<dyn Workers>> {
        let runtime = runtime(&self.storage, done);
        runtime.ensure_queue(QUEUE, at_once.try_into()?).await?;
        Ok(Box::new(Running(runtime.start().await?)))
    }
}

#[async_trait]
impl Workers for Running {
    async fn stop(self: Box<Self>) -> Result<()> {
        self.0.shutdown_graceful(Duration::from_secs(5)).await;
        Ok(())
    }
}

async fn open(folder: PathBuf, _: Mode) -> Result<Forge> {
    let storage = Storage::from_one(Arc::new(SqliteStorage::open_file(&folder.join("forge.db")).await?));
    let producer = runtime(&storage, Arc::default());
    producer.ensure_queue(QUEUE, 16).await?;
    Ok(Forge { storage, producer })
}

#[tokio::main]
async fn main() -> Result<()> {
    serve(open).await
}
