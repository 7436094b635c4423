//! Where events are told, and read.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use futures::Stream;
use reclaimer_domain::ports::{Change, Committed, RecoveryStore, RunBegun, RunListener};
use reclaimer_domain::recovery::RunReport;
use tokio::sync::{Notify, Semaphore, watch};

use crate::event::{Event, Flow, Run};
use crate::filter::Filter;
use crate::place::Place;
use crate::reader::{self, Reader};
use crate::ring::Ring;
use crate::told::Told;

/// Bounds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// So many bytes of events are kept for readers who fall behind or come back.
    pub room: usize,
    /// To whoever comes back at most so many events of jobs are told; who missed more is told of a gap.
    pub most_missed: u32,
    /// A reader hears something at least so often.
    pub heartbeat: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self { room: 4 * 1024 * 1024, most_missed: 10_000, heartbeat: Duration::from_secs(15) }
    }
}

/// Events go in, and out to whoever listens.
#[derive(Debug)]
pub struct Feed {
    pub(crate) config: Config,
    heard: Mutex<Heard>,
    /// There are events, or readers, that the pump does not know of.
    pub(crate) news: Notify,
    /// The number of the event that comes next, for readers that wait.
    pub(crate) next: watch::Sender<u64>,
    /// So many readers catch up at once.
    pub(crate) catching_up: Semaphore,
}

/// What is behind the lock.
#[derive(Debug)]
pub(crate) struct Heard {
    pub(crate) ring: Ring,
    pub(crate) readers: usize,
    /// Whether events are kept: somebody listens, or did a moment ago.
    pub(crate) keeps: bool,
    /// What went through since the last statistics.
    pub(crate) flow: Flow,
}

impl Heard {
    /// Keeps nothing any more, until somebody listens.
    pub(crate) fn rest(&mut self) {
        self.keeps = false;
        self.flow = Flow::default();
        self.ring.clear();
    }
}

impl Feed {
    /// A feed that nobody listens to. `name` tells it from those of other processes of the server; chance is best.
    #[must_use]
    pub fn new(config: Config, name: u32) -> Self {
        let ring = Ring::new(name, config.room);
        Self {
            config,
            heard: Mutex::new(Heard { ring, readers: 0, keeps: false, flow: Flow::default() }),
            news: Notify::new(),
            next: watch::channel(1).0,
            catching_up: Semaphore::new(reader::AT_ONCE),
        }
    }

    /// What is behind the lock, which nobody holds for long.
    pub(crate) fn heard(&self) -> MutexGuard<'_, Heard> {
        self.heard.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes notice of what was committed. Called from the thread that writes.
    pub fn committed(&self, group: &Committed) {
        let Some(last) = group.changes.last() else { return };
        let mut heard = self.heard();
        if !heard.keeps {
            return heard.ring.pass_over(last.event_id);
        }
        for Change { entry, .. } in &group.changes {
            heard.flow.count(entry);
        }
        heard.ring.tell(group.changes.iter().map(Told::Change));
        drop(heard);
        self.news.notify_one();
    }

    /// Tells of something else.
    pub fn tell(&self, event: &Event) {
        let mut heard = self.heard();
        if !heard.keeps {
            return;
        }
        heard.ring.tell([Told::Other(event)]);
        drop(heard);
        self.news.notify_one();
    }
}

/// Where to listen.
#[derive(Debug, Clone)]
pub struct Live {
    feed: Arc<Feed>,
    history: Arc<dyn RecoveryStore>,
}

impl Live {
    /// What the feed is told, and what it told before from the history.
    #[must_use]
    pub fn new(feed: Arc<Feed>, history: Arc<dyn RecoveryStore>) -> Self {
        Self { feed, history }
    }

    /// What happens from now on, or after the place where the reader was, as the text of a server-sent event stream in
    /// pieces. It ends when the reader is too slow, or the history, where it is needed, cannot be read.
    pub fn listen(&self, filter: Filter, from: Option<Place>) -> impl Stream<Item = Bytes> + Send + use<> {
        let reader = Reader::new(Arc::clone(&self.feed), Arc::clone(&self.history), filter, from);
        futures::stream::unfold(reader, |mut reader| async move {
            let text = reader.next().await?;
            Some((text, reader))
        })
    }
}

impl RunListener for Feed {
    fn begun(&self, run: &RunBegun) {
        if let Some(run) = Run::begun(run) {
            self.tell(&Event::Run(run));
        }
    }

    fn ended(&self, report: &RunReport, at: DateTime<Utc>) {
        if let Some(run) = Run::ended(report, at) {
            self.tell(&Event::Run(run));
        }
    }
}
