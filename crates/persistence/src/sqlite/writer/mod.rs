//! The writer: one thread that owns the one connection that writes, and commits in groups.
//!
//! Operations wait in a queue. The thread takes all that wait (up to `MOST_IN_GROUP`), runs them in one transaction,
//! each in a savepoint of its own, commits, and only then answers each caller. While a commit runs the next group
//! gathers, so groups grow with the load and an idle queue waits for nobody. An operation that fails is rolled back to
//! its savepoint and fails alone; a commit that fails, fails for all.

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
use operation::{Operation, Waiting};
use thread::Thread;

enum Message {
    Run(Box<dyn Operation>),
    Close(oneshot::Sender<()>),
}

/// The sending side: cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Message>,
}

impl Writer {
    /// Starts the thread.
    pub(crate) fn start(
        config: &SqliteConfig,
        readers: Arc<Readers>,
        listener: Arc<dyn StoreListener>,
        flow: Arc<Mutex<FlowMeter>>,
    ) -> std::io::Result<(Self, JoinHandle<()>)> {
        let (queue, inbox) = mpsc::channel(config.queue.max(1));
        let thread = Thread::new(config, readers, listener, flow);
        let handle = std::thread::Builder::new()
            .name("reclaimer-writer".to_owned())
            .spawn(move || thread.work(inbox))?;
        Ok((Self { queue }, handle))
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
        let operation = Box::new(Waiting { name, work: operation, sender });
        self.queue.try_send(Message::Run(operation)).map_err(|refused| match refused {
            mpsc::error::TrySendError::Full(_) => {
                StoreError::Busy { reason: "too many operations wait to be written".to_owned() }
            }
            mpsc::error::TrySendError::Closed(_) => StoreError::Closing,
        })?;
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
        drop(self.queue.try_send(Message::Run(Box::new(Waiting { name, work: operation, sender }))));
    }

    /// How many operations wait for the next group.
    pub(crate) fn waiting(&self) -> usize {
        self.queue.max_capacity() - self.queue.capacity()
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
