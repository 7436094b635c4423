//! A seat: the place that a process of a worker takes, one process after another.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, watch};
use tokio::time::Instant;

use crate::handle::{State, View};
use crate::instance::Instance;
use crate::spec::Spec;

/// What those who keep a process and those who ask about it share.
#[derive(Debug)]
pub(crate) struct Seat {
    pub(crate) instance: Instance,
    pub(crate) spec: Arc<Spec>,
    pub(crate) signs: Signs,
    wishes: watch::Sender<Wish>,
    view: watch::Sender<View>,
}

/// What somebody wants of a process. The latest wish counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Wish {
    /// To run, afresh; or else to be stopped.
    pub(crate) run: bool,
}

impl Seat {
    pub(crate) fn new(instance: Instance, spec: Arc<Spec>) -> Self {
        let view = View {
            instance: instance.clone(),
            state: State::Starting,
            pid: None,
            restarts: 0,
            given_up: false,
            last_end: None,
        };
        Self {
            instance,
            spec,
            signs: Signs::new(Instant::now()),
            wishes: watch::Sender::new(Wish { run: true }),
            view: watch::Sender::new(view),
        }
    }

    pub(crate) fn view(&self) -> View {
        self.view.borrow().clone()
    }

    pub(crate) fn show(&self, change: impl FnOnce(&mut View)) {
        self.view.send_modify(change);
    }

    pub(crate) fn wish(&self, run: bool) {
        self.wishes.send_replace(Wish { run });
    }

    pub(crate) fn wishes(&self) -> watch::Receiver<Wish> {
        self.wishes.subscribe()
    }
}

/// The signs of life of the process that has the seat.
#[derive(Debug)]
pub(crate) struct Signs {
    origin: Instant,
    /// When the last one came, in microseconds since the origin; 0 = none came.
    last: AtomicU64,
    ready: AtomicBool,
    told: Notify,
}

impl Signs {
    fn new(origin: Instant) -> Self {
        Self { origin, last: AtomicU64::new(0), ready: AtomicBool::new(false), told: Notify::new() }
    }

    pub(crate) fn hear(&self, now: Instant) {
        let micros = now.saturating_duration_since(self.origin).as_micros();
        self.last.fetch_max(u64::try_from(micros).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    pub(crate) fn last(&self) -> Option<Instant> {
        let micros = self.last.load(Ordering::Relaxed);
        (micros > 0).then(|| self.origin + Duration::from_micros(micros))
    }

    pub(crate) fn set_ready(&self) {
        self.ready.store(true, Ordering::Release);
        self.told.notify_one();
    }

    /// Forgets what an earlier process said.
    pub(crate) fn reset(&self) {
        self.ready.store(false, Ordering::Release);
    }

    /// Waits until the process is said to be ready.
    pub(crate) async fn ready(&self) {
        while !self.ready.load(Ordering::Acquire) {
            self.told.notified().await;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_latest_sign_counts() {
        let origin = Instant::now();
        let signs = Signs::new(origin);
        assert_eq!(signs.last(), None);
        signs.hear(origin + Duration::from_secs(2));
        signs.hear(origin + Duration::from_secs(1));
        assert_eq!(signs.last(), Some(origin + Duration::from_secs(2)));
    }

    #[tokio::test]
    async fn readiness_is_not_inherited() {
        let signs = Signs::new(Instant::now());
        signs.set_ready();
        signs.reset();
        tokio::select! {
            biased;
            () = signs.ready() => panic!("a notice left over from before is none"),
            () = std::future::ready(()) => {}
        }
        signs.set_ready();
        signs.ready().await;
    }
}
