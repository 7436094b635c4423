//! Has the disk confirm what was committed, and only then tells anybody: in a second thread, or in the writer's own where
//! nobody waits.
//!
//! A commit of the engine leaves the group in the log, where others see it; that it outlives a loss of power needs a flush
//! of the log, which takes longer than most groups do. While it runs the writer carries out the next group, and groups
//! that were committed meanwhile share the next flush. Nobody is answered before the flush of his group, and reads wait
//! for the flush of what they may have seen ([`Durable`]).

use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, mpsc};

use reclaimer_domain::ports::{Committed, StoreListener};
use tokio::sync::watch;
use tokio::time::Instant;

use super::group::Operations;
use super::operation::Ended;
use crate::sqlite::effects::{Effects, FlowMeter};

/// So many groups may wait for a flush before the writer waits as well: what is answered late grows no further.
pub(super) const MOST_UNFLUSHED: usize = 4;

/// How the log is flushed. Tests have it fail.
pub(super) type Flush = dyn Fn(&File) -> io::Result<()> + Send + Sync;

/// The log of one connection.
#[derive(Debug, Clone)]
pub(super) struct Log {
    pub(super) file: Arc<File>,
    /// Which of the writer's connections it belongs to.
    pub(super) connection: u64,
}

/// A group that was carried out.
pub(super) struct Done {
    pub(super) number: u64,
    pub(super) operations: Operations,
    pub(super) outcome: Result<(), Ended>,
    pub(super) effects: Effects,
    /// How many operations it had.
    pub(super) size: usize,
    pub(super) began: Instant,
    /// What is to be flushed; nothing where that was done, or is not asked for.
    pub(super) log: Option<Log>,
}

/// How far the disk has confirmed what was committed.
#[derive(Debug)]
pub(crate) struct Durable {
    /// The last group whose commit began.
    committing: AtomicU64,
    /// The last connection of the writer whose log could not be flushed.
    failed: AtomicU64,
    settled: watch::Receiver<Settled>,
}

/// What became of the groups so far.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Settled {
    /// The last group that was answered.
    upto: u64,
    /// The last group that others may have seen and the disk did not confirm.
    lost: u64,
}

impl Durable {
    pub(super) fn new() -> (Arc<Self>, watch::Sender<Settled>) {
        let (sender, settled) = watch::channel(Settled::default());
        (Arc::new(Self { committing: AtomicU64::new(0), failed: AtomicU64::new(0), settled }), sender)
    }

    /// A group's commit begins; reads may see it.
    pub(super) fn committing(&self, number: u64) {
        self.committing.store(number, Ordering::SeqCst);
    }

    /// Whether the log of this connection could not be flushed.
    pub(super) fn has_failed(&self, connection: u64) -> bool {
        self.failed.load(Ordering::SeqCst) >= connection
    }

    /// Whether a group before this one is still to be flushed.
    pub(super) fn is_behind(&self, number: u64) -> bool {
        self.settled.borrow().upto + 1 < number
    }

    fn fail(&self, connection: u64) {
        self.failed.fetch_max(connection, Ordering::SeqCst);
    }

    /// Waits until the disk has confirmed everything that a read, made before this, may have seen; answers whether it
    /// has. What was not confirmed and whose callers were told so is read as it stands.
    pub(crate) async fn confirmed(&self) -> bool {
        let seen = self.committing.load(Ordering::SeqCst);
        if self.settled.borrow().upto >= seen {
            return true;
        }
        let mut settled = self.settled.clone();
        // An error means that the store has ended.
        settled.wait_for(|settled| settled.upto >= seen).await.map_or(true, |settled| settled.lost < seen)
    }
}

/// What the thread works with.
pub(super) struct Flusher {
    pub(super) durable: Arc<Durable>,
    pub(super) settled: watch::Sender<Settled>,
    pub(super) listener: Arc<dyn StoreListener>,
    pub(super) flow: Arc<Mutex<FlowMeter>>,
    pub(super) flush: Arc<Flush>,
    /// Held by whoever tells of groups: the writer, which may confirm a group itself, waits here until the other thread has
    /// told of those before.
    pub(super) telling: Mutex<()>,
}

impl Flusher {
    pub(super) fn work(&self, inbox: &mpsc::Receiver<Done>) {
        while let Ok(done) = inbox.recv() {
            let mut groups = vec![done];
            groups.extend(inbox.try_iter());
            self.confirm(groups);
        }
    }

    /// Has the disk confirm groups, which are all that it has not, and tells everybody.
    pub(super) fn confirm(&self, groups: Vec<Done>) {
        let flushed = groups.iter().filter_map(|group| group.log.clone()).next_back();
        let flushed = flushed
            .map_or(Ok(()), |log| (self.flush)(&log.file).inspect_err(|_| self.durable.fail(log.connection)));
        // There is nothing behind it that a panic could have left half done.
        let _telling = self.telling.lock().unwrap_or_else(PoisonError::into_inner);
        for mut group in groups {
            if let (Ok(()), Some(log)) = (&group.outcome, &group.log) {
                // Of a log that failed once, a later flush proves nothing: the system forgets what it could not write.
                let failed = self.durable.has_failed(log.connection);
                group.outcome = match &flushed {
                    Err(error) => Err(Ended::of_flush(error)),
                    Ok(()) if failed => Err(Ended::of_flush(&io::Error::other("an earlier one failed"))),
                    Ok(()) => Ok(()),
                };
            }
            self.settle(group);
        }
    }

    /// Tells everybody.
    fn settle(&self, group: Done) {
        let Done { number, operations, outcome, effects, size, began, .. } = group;
        let took = began.elapsed();
        let unknown = matches!(outcome, Err(Ended::Unknown(_)));
        self.settled.send_modify(|settled| {
            settled.upto = number;
            if unknown {
                settled.lost = number;
            }
        });
        for operation in operations {
            operation.settle(outcome.as_ref().copied());
        }
        if let (Ok(()), Ok(mut meter)) = (&outcome, self.flow.lock()) {
            effects.flow.iter().for_each(|(at, flow)| meter.add(*flow, *at));
        }
        // Where it is open whether the group was written, whoever waits looks for himself.
        let may_stand = outcome.is_ok() || unknown;
        if may_stand && !effects.arrivals.is_empty() {
            self.listener.arrived(&effects.arrivals);
        }
        if may_stand && !effects.taken.is_empty() {
            self.listener.taken(&effects.taken);
        }
        if outcome.is_ok() {
            let changes = effects.changes;
            self.listener.committed(&Committed { operations: size, took, changes });
        }
    }
}
