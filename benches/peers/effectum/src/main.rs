//! effectum. It opens its file with `PRAGMA journal = wal`, which is not the name of that setting, so that as shipped it uses
//! a rollback journal, with `synchronous=NORMAL`. Tuned, the file is set to a write-ahead log beforehand; its connections
//! keep to `synchronous=NORMAL`, which cannot be changed from outside: a loss of power may cost what it acknowledged last.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use async_trait::async_trait;
use effectum::{Job, JobRunner, Queue, RunningJob, Worker};
use peers::{Done, Mode, Peer, Workers, payload, serve};

struct Effectum(Queue);

struct Running(Worker);

async fn run(_: RunningJob, done: Arc<Done>) -> Result<(), std::convert::Infallible> {
    done.ran();
    Ok(())
}

#[async_trait]
impl Peer for Effectum {
    async fn enqueue(&self) -> Result<()> {
        Job::builder("bench").payload(payload().as_bytes().to_vec()).add_to(&self.0).await?;
        Ok(())
    }

    async fn work(&self, at_once: usize, done: Arc<Done>) -> Result<Box<dyn Workers>> {
        let at_once = u16::try_from(at_once)?;
        // It fetches more as soon as half of them are done.
        let worker = Worker::builder(&self.0, done)
            .max_concurrency(at_once)
            .min_concurrency(at_once.div_ceil(2))
            .jobs([JobRunner::builder("bench", run).build()])
            .build()
            .await?;
        Ok(Box::new(Running(worker)))
    }
}

#[async_trait]
impl Workers for Running {
    async fn stop(self: Box<Self>) -> Result<()> {
        Ok(self.0.unregister(Some(Duration::from_secs(10))).await?)
    }
}

async fn open(folder: PathBuf, mode: Mode) -> Result<Effectum> {
    let file = folder.join("effectum.db");
    if mode == Mode::Tuned {
        let connection = rusqlite::Connection::open(&file)?;
        connection.query_row("PRAGMA journal_mode = wal", [], |row| row.get::<_, String>(0))?;
    }
    Ok(Effectum(Queue::new(&file).await?))
}

#[tokio::main]
async fn main() -> Result<()> {
    serve(open).await
}
