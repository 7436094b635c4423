//! A reader: first what it missed, from the store where the ring has it no more, then what happens.

use std::io::Write;
use std::sync::Arc;

use bytes::Bytes;
use chrono::{DateTime, Utc};
use reclaimer_domain::ports::{RecoveryStore, StoreError};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};
use tracing::warn;

use crate::feed::Feed;
use crate::filter::{Filter, JobMark, Topic};
use crate::place::Place;
use crate::ring::{Read, Ring};
use crate::told::{Gap, Told};

/// So many readers read from the store at once: after a restart all of them come back together.
pub(crate) const AT_ONCE: usize = 4;

/// So many events are read from the store at once.
const PAGE: u32 = 250;

#[derive(Debug)]
pub(crate) struct Reader {
    feed: Arc<Feed>,
    history: Arc<dyn RecoveryStore>,
    filter: Filter,
    state: State,
    next: watch::Receiver<u64>,
    /// Events of jobs up to this one are known.
    known: i64,
    /// The event of this number comes next.
    number: u64,
    heartbeat: Instant,
}

#[derive(Debug)]
enum State {
    /// It has heard nothing yet.
    Begins(Option<Place>),
    /// It reads events of jobs from the store, up to the first one that the ring has.
    CatchesUp,
    /// It reads from the ring.
    Live,
}

impl Reader {
    pub(crate) fn new(
        feed: Arc<Feed>,
        history: Arc<dyn RecoveryStore>,
        filter: Filter,
        from: Option<Place>,
    ) -> Self {
        let next = feed.next.subscribe();
        let heartbeat = Instant::now() + feed.config.heartbeat;
        feed.heard().readers += 1;
        Self { feed, history, filter, state: State::Begins(from), next, known: 0, number: 0, heartbeat }
    }

    /// The next piece of text; `None` when the reader is too slow, or the store cannot be read.
    pub(crate) async fn next(&mut self) -> Option<Bytes> {
        loop {
            let text = match self.state {
                State::Begins(from) => self.begin(from).await?,
                State::CatchesUp => self.catch_up().await?,
                State::Live => self.live().await?,
            };
            if !text.is_empty() {
                self.heartbeat = Instant::now() + self.feed.config.heartbeat;
                return Some(text);
            }
        }
    }

    /// Finds its place. The first thing that it hears is that it is heard.
    async fn begin(&mut self, from: Option<Place>) -> Option<Bytes> {
        let last = self.history.last_event().await.map_err(|error| unreadable(&error)).ok()?;
        let text = {
            let feed = Arc::clone(&self.feed);
            let mut heard = feed.heard();
            heard.ring.begin_after(last);
            heard.keeps = true;
            let ring = &heard.ring;
            let mut text = b"retry: 1000\n".to_vec();
            match from {
                None => {
                    self.number = ring.next();
                    self.known = ring.job_before(self.number);
                    self.state = State::Live;
                    sign_of_life(&mut text, ring.place(self.known, self.number));
                }
                // What the reader knows is of another history, or of one that was set back.
                Some(from) if from.job > ring.job_before(ring.next()).max(last) => {
                    sign_of_life(&mut text, from);
                    text.extend_from_slice(&self.jump(ring));
                }
                Some(from) => {
                    let (number, missed) = ring.after(&from);
                    (self.known, self.number) = (from.job, number);
                    self.state = State::CatchesUp;
                    sign_of_life(&mut text, ring.place(self.known, number));
                    if missed {
                        Told::Gap(Gap { jobs: false }).write(&mut text, ring.place(self.known, number));
                    }
                }
            }
            text
        };
        self.feed.news.notify_one();
        Some(text.into())
    }

    /// Tells what the history has after the last event that is known.
    async fn catch_up(&mut self) -> Option<Bytes> {
        let until = {
            let feed = Arc::clone(&self.feed);
            let ring = &feed.heard().ring;
            let until = ring.job_before(self.number.max(ring.first()));
            if until.saturating_sub(self.known) > self.feed.config.most_missed.into() {
                return Some(self.jump(ring).into());
            }
            // While it caught up what should have come next fell out of the ring. Of jobs the history has all of it.
            if self.number < ring.first() {
                self.number = ring.first();
                let mut text = Vec::new();
                Told::Gap(Gap { jobs: false }).write(&mut text, ring.place(self.known, self.number));
                return Some(text.into());
            }
            until
        };
        if self.known >= until {
            self.state = State::Live;
            return Some(Bytes::new());
        }
        let page = {
            let _one_of_few = self.feed.catching_up.acquire().await.ok()?;
            self.history.replay(DateTime::<Utc>::MIN_UTC, Some(self.known), PAGE).await
        };
        let page = page.map_err(|error| unreadable(&error)).ok()?;
        let mut text = Vec::new();
        {
            let heard = self.feed.heard();
            for item in page.items.iter().filter(|item| item.event.id <= until) {
                if self.filter.takes(Topic::Job, Some(JobMark::of(&item.event.job_id))) {
                    Told::Recorded(item).write(&mut text, heard.ring.place(item.event.id, self.number));
                }
            }
        }
        self.known = page.next.map_or(until, |next| next.min(until));
        Some(text.into())
    }

    /// Goes on with what happens now, and says that what was before is not told.
    fn jump(&mut self, ring: &Ring) -> Vec<u8> {
        self.number = ring.next();
        self.known = ring.job_before(self.number);
        self.state = State::Live;
        let mut text = Vec::new();
        Told::Gap(Gap { jobs: true }).write(&mut text, ring.place(self.known, self.number));
        text
    }

    /// Waits for what happens.
    async fn live(&mut self) -> Option<Bytes> {
        self.next.borrow_and_update();
        {
            let heard = self.feed.heard();
            match heard.ring.read(self.number, &self.filter, self.known) {
                Read::Text(text, next) => {
                    self.number = next;
                    return Some(text);
                }
                Read::Overtaken => return None,
                Read::Nothing if Instant::now() >= self.heartbeat => {
                    let mut text = Vec::new();
                    let job = heard.ring.job_before(self.number).max(self.known);
                    sign_of_life(&mut text, heard.ring.place(job, self.number));
                    return Some(text.into());
                }
                Read::Nothing => {}
            }
        }
        tokio::select! {
            changed = self.next.changed() => changed.ok()?,
            () = sleep_until(self.heartbeat) => {}
        }
        Some(Bytes::new())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.feed.heard().readers -= 1;
    }
}

/// A comment, and the place from which to go on: no event for whoever reads.
fn sign_of_life(text: &mut Vec<u8>, place: Place) {
    // Writing to memory does not fail.
    drop(write!(text, ":\nid: {place}\n\n"));
}

fn unreadable(error: &StoreError) {
    let cause = std::error::Error::source(error).map(tracing::field::display);
    warn!(area = "JOB-MANAGER", code = error.code(), cause, "a reader of live events is let go: {error}");
}
