//! How a loop proves that it turns.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// Nothing is expected.
const NEVER: u64 = u64::MAX;

/// A loop's sign of life: the loop touches it, others look. Cheap to clone and to touch; all clones are one.
#[derive(Debug, Clone)]
pub struct Beat(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    name: &'static str,
    since: Instant,
    /// When it was last touched, in milliseconds since `since`.
    touched: AtomicU64,
    /// When it is to be touched again, likewise, or [`NEVER`].
    due: AtomicU64,
}

/// What a look at a beat finds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pulse {
    /// The loop's name.
    pub name: &'static str,
    /// Since it last turned, or since it was made.
    pub silent_for: Duration,
    /// For how long it has been silent beyond what it had said; `None` = it is well.
    pub overdue_by: Option<Duration>,
}

impl Beat {
    /// The beat of a loop that has not begun: nothing is expected of it yet.
    #[must_use]
    pub fn new(name: &'static str, now: Instant) -> Self {
        let (touched, due) = (AtomicU64::new(0), AtomicU64::new(NEVER));
        Self(Arc::new(Inner { name, since: now, touched, due }))
    }

    /// The loop turned, and turns again within this time.
    pub fn turned(&self, now: Instant, again_within: Duration) {
        let now = self.millis(now);
        let due = now.saturating_add(u64::try_from(again_within.as_millis()).unwrap_or(NEVER));
        self.0.touched.store(now, Ordering::Relaxed);
        self.0.due.store(due, Ordering::Relaxed);
    }

    /// The loop turned, and waits for something that may never come.
    pub fn rests(&self, now: Instant) {
        self.0.touched.store(self.millis(now), Ordering::Relaxed);
        self.0.due.store(NEVER, Ordering::Relaxed);
    }

    /// Somebody called the loop, which is to turn within this time, unless that was said of an earlier moment already.
    pub fn called(&self, now: Instant, within: Duration) {
        let due = self.millis(now).saturating_add(u64::try_from(within.as_millis()).unwrap_or(NEVER));
        self.0.due.fetch_min(due, Ordering::Relaxed);
    }

    /// How it stands.
    #[must_use]
    pub fn look(&self, now: Instant) -> Pulse {
        let now = self.millis(now);
        let (touched, due) = (self.0.touched.load(Ordering::Relaxed), self.0.due.load(Ordering::Relaxed));
        Pulse {
            name: self.0.name,
            silent_for: Duration::from_millis(now.saturating_sub(touched)),
            overdue_by: (due < now).then(|| Duration::from_millis(now - due)),
        }
    }

    fn millis(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.0.since).as_millis()).unwrap_or(NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[expect(clippy::disallowed_methods, reason = "any moment will do to count from")]
    fn begin() -> Instant {
        Instant::now()
    }

    #[test]
    fn silence_beyond_what_was_said_is_found() {
        let begun = begin();
        let beat = Beat::new("engine", begun);
        assert_eq!(beat.look(begun + SECOND * 9_000).overdue_by, None, "it has not begun");
        beat.clone().turned(begun + SECOND, SECOND * 5);
        let pulse = |at| beat.look(begun + SECOND * at);
        assert_eq!(pulse(6), Pulse { name: "engine", silent_for: SECOND * 5, overdue_by: None });
        assert_eq!(pulse(8), Pulse { name: "engine", silent_for: SECOND * 7, overdue_by: Some(SECOND * 2) });
        beat.turned(begun + SECOND * 8, SECOND * 5);
        assert_eq!(pulse(8).overdue_by, None);
        beat.rests(begun + SECOND * 9);
        assert_eq!(pulse(9_000).overdue_by, None);
        beat.called(begun + SECOND * 10, SECOND * 5);
        beat.called(begun + SECOND * 14, SECOND * 5);
        assert_eq!(pulse(15).overdue_by, None);
        assert_eq!(pulse(16).overdue_by, Some(SECOND), "the second call puts off nothing");
        beat.rests(begun + SECOND * 17);
        assert_eq!(pulse(9_000).overdue_by, None);
    }

    #[test]
    fn no_length_of_time_overflows() {
        let begun = begin();
        let beat = Beat::new("engine", begun + SECOND);
        beat.turned(begun, Duration::MAX);
        assert_eq!(beat.look(begun + SECOND * 9_000).overdue_by, None);
        assert_eq!(beat.look(begun).silent_for, Duration::ZERO);
    }
}
