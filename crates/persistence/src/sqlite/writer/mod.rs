//! The writer: one thread that owns the one connection that writes, and commits in groups.
//!
//! Operations wait in a queue. The thread takes all that wait (up to `MOST_IN_GROUP`), runs them in one transaction,
//! commits, and hands them to a second thread, which flushes the log and only then answers each caller. Meanwhile the next
//! group runs, so groups grow with the load; where nobody waits the writer flushes and answers itself. An operation that fails, fails
//! alone; a commit or a flush that fails, fails for all of its group.

mod checkpoints;
mod flush;
mod group;
mod operation;
mod thread;

use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use diesel::{QueryResult, SqliteConnection};
use reclaimer_domain::ports::{StoreError, StoreListener};
use tokio::sync::{mpsc, oneshot};

use super::effects::{Effects, FlowMeter};
use super::readers::Readers;
use crate::config::SqliteConfig;
use flush::{Flush, Flusher, MOST_UNFLUSHED};
use operation::{Once, Operation, Repeatable, Waiting};
use thread::{Inbox, Thread};

pub(crate) use flush::Durable;
pub(crate) use operation::Kind;

enum Message {
    Run(Box<dyn Operation>),
    /// Something waits in the other queue.
    Bulk,
    Close(oneshot::Sender<()>),
}

/// An operation on many jobs.
struct Bulk {
    operation: Box<dyn Operation>,
    jobs: usize,
}

/// So many operations on many jobs may wait: each holds them all in memory.
const MOST_BULK: usize = 64;

/// The sending side: cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
    /// Operations on many jobs wait in a queue of their own, so that nobody waits behind more than a group's share of them.
    bulk: mpsc::Sender<Bulk>,
}

fn refusal<T>(refused: &mpsc::error::TrySendError<T>) -> StoreError {
    match refused {
        mpsc::error::TrySendError::Full(_) => {
            StoreError::Busy { reason: "too many operations wait to be written".to_owned() }
        }
        mpsc::error::TrySendError::Closed(_) => StoreError::Closing,
    }
}

impl Writer {
    /// Starts the threads; answers the one that ends last.
    pub(crate) fn start(
        config: &SqliteConfig,
        readers: Arc<Readers>,
        listener: Arc<dyn StoreListener>,
        flow: Arc<Mutex<FlowMeter>>,
    ) -> std::io::Result<(Self, Arc<Durable>, JoinHandle<()>)> {
        Self::start_with(config, readers, listener, flow, Arc::new(std::fs::File::sync_data))
    }

    fn start_with(
        config: &SqliteConfig,
        readers: Arc<Readers>,
        listener: Arc<dyn StoreListener>,
        flow: Arc<Mutex<FlowMeter>>,
        flush: Arc<Flush>,
    ) -> std::io::Result<(Self, Arc<Durable>, JoinHandle<()>)> {
        let (queue, inbox) = mpsc::channel(config.queue.max(1));
        let (bulk, bulk_inbox) = mpsc::channel(MOST_BULK);
        let inbox = Inbox { queue: inbox, bulk: bulk_inbox };
        let (done, carried_out) = std::sync::mpsc::sync_channel(MOST_UNFLUSHED);
        let (durable, settled) = Durable::new();
        let flusher = Arc::new(Flusher {
            durable: Arc::clone(&durable),
            settled,
            listener,
            flow,
            flush,
            telling: Mutex::new(()),
        });
        let thread = Thread::new(config, readers, Arc::clone(&durable), Arc::clone(&flusher), done);
        let flusher = std::thread::Builder::new()
            .name("reclaimer-flush".to_owned())
            .spawn(move || flusher.work(&carried_out))?;
        let handle = std::thread::Builder::new()
            .name("reclaimer-writer".to_owned())
            .spawn(move || thread.work(inbox, flusher))?;
        Ok((Self { queue, bulk }, durable, handle))
    }

    /// Runs an operation in the next group and waits until it is durable.
    ///
    /// # Cancel safety
    /// A caller that goes away does not undo its operation.
    pub(crate) async fn run<T, F>(&self, name: &'static str, operation: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection, &mut Effects) -> QueryResult<T> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let operation = Waiting::new(name, Kind::Once, Once(Some(operation)), sender);
        self.ask(name, operation, answer).await
    }

    /// Runs an operation that can be carried out anew, which costs less.
    ///
    /// # Cancel safety
    /// As of [`Writer::run`].
    pub(crate) async fn run_often<T, F>(
        &self,
        name: &'static str,
        kind: Kind,
        operation: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut SqliteConnection, &mut Effects) -> QueryResult<T> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        self.ask(name, Waiting::new(name, kind, Repeatable(operation), sender), answer).await
    }

    /// Runs an operation on many jobs in one of the next groups and waits until it is durable.
    ///
    /// # Cancel safety
    /// As of [`Writer::run`].
    pub(crate) async fn run_bulk<T, F>(
        &self,
        name: &'static str,
        jobs: usize,
        operation: F,
    ) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection, &mut Effects) -> QueryResult<T> + Send + 'static,
    {
        let (sender, answer) = oneshot::channel();
        let operation = Waiting::new(name, Kind::Once, Once(Some(operation)), sender);
        self.bulk.try_send(Bulk { operation, jobs }).map_err(|refused| refusal(&refused))?;
        // Where the queue is full the writer is awake already.
        drop(self.queue.try_send(Message::Bulk));
        self.told(name, answer).await
    }

    async fn ask<T>(
        &self,
        name: &'static str,
        operation: Box<dyn Operation>,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        self.queue.try_send(Message::Run(operation)).map_err(|refused| refusal(&refused))?;
        self.told(name, answer).await
    }

    async fn told<T>(
        &self,
        name: &'static str,
        answer: oneshot::Receiver<Result<T, StoreError>>,
    ) -> Result<T, StoreError> {
        match answer.await {
            Ok(told) => told,
            Err(_) if self.queue.is_closed() => Err(StoreError::Closing),
            Err(vanished) => Err(StoreError::Failed { operation: name, source: Box::new(vanished) }),
        }
    }

    /// Runs an operation in one of the next groups, if there is room for it; nobody waits for it.
    pub(crate) fn post<F>(&self, name: &'static str, operation: F)
    where
        F: FnOnce(&mut SqliteConnection, &mut Effects) -> QueryResult<()> + Send + 'static,
    {
        let (sender, _) = oneshot::channel();
        let operation = Waiting::new(name, Kind::Once, Once(Some(operation)), sender);
        drop(self.queue.try_send(Message::Run(operation)));
    }

    /// How many operations wait for the next group.
    pub(crate) fn waiting(&self) -> usize {
        let waiting = |most: usize, room: usize| most - room;
        waiting(self.queue.max_capacity(), self.queue.capacity())
            + waiting(self.bulk.max_capacity(), self.bulk.capacity())
    }

    /// Carries out everything that waits, closes the connection, and ends the thread.
    pub(crate) async fn close(&self) {
        let (sender, closed) = oneshot::channel();
        if self.queue.send(Message::Close(sender)).await.is_ok() {
            // An error means that the thread has ended already.
            drop(closed.await);
        }
    }
}

#[cfg(test)]
mod tests;
