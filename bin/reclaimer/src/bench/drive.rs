//! Callers that do the same again and again, and two sides that take turns.

use std::time::Duration;

use anyhow::Result;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::progress::Progress;

/// The sides take turns of this length, so that whatever else the machine does meets both.
pub(super) const TURN: Duration = Duration::from_millis(250);
/// Before the first turn that counts, for the caches.
const WARM_UP: Duration = Duration::from_millis(50);

/// What was done in a while.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Done {
    times: u64,
    took: Duration,
}

impl Done {
    pub(super) fn new(times: u64, took: Duration) -> Self {
        Self { times, took }
    }

    pub(super) fn times(self) -> u64 {
        self.times
    }

    pub(super) fn add(&mut self, more: Self) {
        self.times += more.times;
        self.took += more.took;
    }

    #[expect(clippy::cast_precision_loss, reason = "far below what a float holds exactly")]
    pub(super) fn per_second(self) -> f64 {
        self.times as f64 / self.took.as_secs_f64().max(f64::EPSILON)
    }
}

/// Lets so many callers do something for so long, each anew as soon as it is done. `caller` makes what a caller does; that
/// answers how much it did, and ends with nothing.
pub(super) async fn drive<C, F>(callers: usize, length: Duration, caller: impl Fn(usize) -> C) -> Result<Done>
where
    C: Fn() -> F + Send + Sync + 'static,
    F: Future<Output = Result<u64>> + Send,
{
    let start = Instant::now();
    let end = start + length;
    let mut tasks = JoinSet::new();
    for number in 0..callers {
        let act = caller(number);
        tasks.spawn(async move {
            let mut done = 0;
            while Instant::now() < end {
                match act().await? {
                    0 => break,
                    some => done += some,
                }
            }
            anyhow::Ok(done)
        });
    }
    let mut times = 0;
    while let Some(done) = tasks.join_next().await {
        times += done??;
    }
    Ok(Done { times, took: start.elapsed() })
}

/// How many turns a figure takes of each side.
pub(super) fn turns(each: Duration) -> u64 {
    u64::try_from(each.as_millis().div_ceil(TURN.as_millis())).unwrap_or(u64::MAX).max(1)
}

/// Measures two sides in turn, each for so long in all; answers how often each did it per second.
pub(super) async fn in_turn(
    each: Duration,
    progress: &Progress,
    mut ours: impl AsyncFnMut(Duration) -> Result<Done>,
    mut theirs: impl AsyncFnMut(Duration) -> Result<Done>,
) -> Result<(f64, f64)> {
    ours(WARM_UP.min(each)).await?;
    theirs(WARM_UP.min(each)).await?;
    let (mut first, mut second) = (Done::default(), Done::default());
    for turn in 0..turns(each) {
        // Whoever was first is second the next time.
        if turn.is_multiple_of(2) {
            first.add(ours(TURN.min(each)).await?);
            second.add(theirs(TURN.min(each)).await?);
        } else {
            second.add(theirs(TURN.min(each)).await?);
            first.add(ours(TURN.min(each)).await?);
        }
        progress.step();
    }
    Ok((first.per_second(), second.per_second()))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU64, Ordering};

    use super::*;

    #[tokio::test]
    async fn what_every_caller_did_is_counted_until_nothing_is_left() {
        let left = Arc::new(AtomicU64::new(100));
        let done = drive(7, Duration::from_secs(3_600), |_| {
            let left = Arc::clone(&left);
            move || {
                let took = left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1));
                async move { Ok(u64::from(took.is_ok())) }
            }
        })
        .await
        .unwrap();
        assert_eq!(done.times, 100);
    }
}
