//! Counting hits among the calls of a window.

use std::collections::VecDeque;
use std::time::Duration;

use super::{Measured, Rate, Window};

/// How many parts a window of time is counted in.
const PARTS: u128 = 10;

/// A rate, and the calls that it is taken of.
#[derive(Debug)]
pub(super) struct Gauge {
    rate: Rate,
    calls: Calls,
}

#[derive(Debug)]
enum Calls {
    Last(LastCalls),
    Recent(RecentCalls),
}

impl Gauge {
    pub(super) fn new(rate: Rate) -> Self {
        let calls = match rate.window {
            Window::Calls(most) => Calls::Last(LastCalls { most, calls: VecDeque::new(), hits: 0 }),
            Window::Time(time) => Calls::Recent(RecentCalls { time, parts: VecDeque::new() }),
        };
        Self { rate, calls }
    }

    /// Counts a call that ended at `at`, which is not before any that was counted.
    pub(super) fn record(&mut self, hit: bool, at: Duration) {
        match &mut self.calls {
            Calls::Last(last) => last.record(hit),
            Calls::Recent(recent) => recent.record(hit, at),
        }
    }

    pub(super) fn measured(&self, at: Duration) -> Measured {
        let (calls, hits) = match &self.calls {
            Calls::Last(last) => (last.calls.len() as u64, last.hits),
            Calls::Recent(recent) => recent.count(at),
        };
        Measured { window: self.rate.window, calls, hits }
    }

    /// What was measured, if it is too much.
    pub(super) fn reached(&self, at: Duration) -> Option<Measured> {
        let measured = self.measured(at);
        let enough = measured.calls >= u64::from(self.rate.min_calls);
        let much = measured.rate().is_some_and(|rate| rate >= self.rate.threshold);
        (enough && much).then_some(measured)
    }
}

/// The last so many calls.
#[derive(Debug)]
struct LastCalls {
    most: u32,
    /// Whether each was a hit, the oldest first.
    calls: VecDeque<bool>,
    hits: u64,
}

impl LastCalls {
    fn record(&mut self, hit: bool) {
        if self.calls.len() == self.most as usize {
            self.hits -= u64::from(self.calls.pop_front() == Some(true));
        }
        self.calls.push_back(hit);
        self.hits += u64::from(hit);
    }
}

/// The calls of the last so much time.
#[derive(Debug)]
struct RecentCalls {
    time: Duration,
    /// The parts of the window in which calls ended, the oldest first.
    parts: VecDeque<Part>,
}

/// The calls that ended in one tenth of a window; its number counts tenths since the clock's origin.
#[derive(Debug)]
struct Part {
    number: u128,
    calls: u64,
    hits: u64,
}

impl RecentCalls {
    fn part(&self, at: Duration) -> u128 {
        at.as_nanos() / (self.time.as_nanos() / PARTS).max(1)
    }

    fn record(&mut self, hit: bool, at: Duration) {
        let number = self.part(at);
        if self.parts.back().is_none_or(|part| part.number != number) {
            while self.parts.front().is_some_and(|part| part.number + PARTS <= number) {
                self.parts.pop_front();
            }
            self.parts.push_back(Part { number, calls: 0, hits: 0 });
        }
        if let Some(part) = self.parts.back_mut() {
            part.calls += 1;
            part.hits += u64::from(hit);
        }
    }

    fn count(&self, at: Duration) -> (u64, u64) {
        let number = self.part(at);
        let held = self.parts.iter().filter(|part| part.number + PARTS > number);
        held.fold((0, 0), |(calls, hits), part| (calls + part.calls, hits + part.hits))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn gauge(window: Window) -> Gauge {
        Gauge::new(Rate { window, min_calls: 1, threshold: 0.5 })
    }

    #[test]
    fn a_share_is_compared_as_it_is_written() {
        // 0.55 × 100 is more than 55 in floating point; 55 / 100 is not.
        let rate = Rate { window: Window::Calls(100), min_calls: 100, threshold: 0.55 };
        let mut gauge = Gauge::new(rate);
        for call in 0..100 {
            assert_eq!(gauge.reached(Duration::ZERO), None);
            gauge.record(call < 55, Duration::ZERO);
        }
        assert_eq!(
            gauge.reached(Duration::ZERO),
            Some(Measured { window: rate.window, calls: 100, hits: 55 })
        );
    }

    #[test]
    fn a_window_of_time_lets_go_of_a_tenth_at_once() {
        let seconds = Duration::from_secs;
        let mut gauge = gauge(Window::Time(seconds(10)));
        for at in 0..10 {
            gauge.record(at == 0, seconds(at));
        }
        let count = |gauge: &Gauge, at| {
            let Measured { calls, hits, .. } = gauge.measured(Duration::from_millis(at));
            (calls, hits)
        };
        assert_eq!(count(&gauge, 9_999), (10, 1));
        assert_eq!(count(&gauge, 10_000), (9, 0));
        assert_eq!(count(&gauge, 18_999), (1, 0));
        assert_eq!(count(&gauge, 19_000), (0, 0));
    }

    proptest! {
        #[test]
        fn the_last_calls_are_those(most in 1_u32..20, hits in proptest::collection::vec(any::<bool>(), 0..60)) {
            let mut gauge = gauge(Window::Calls(most));
            for hit in &hits {
                gauge.record(*hit, Duration::ZERO);
            }
            let last: Vec<bool> = hits.iter().rev().take(most as usize).copied().collect();
            let Measured { calls, hits, .. } = gauge.measured(Duration::ZERO);
            prop_assert_eq!(calls, last.len() as u64);
            prop_assert_eq!(hits, last.iter().filter(|hit| **hit).count() as u64);
        }

        #[test]
        fn recent_calls_go_when_they_are_nine_to_ten_tenths_old(
            tenth in 1_u64..1_000,
            gaps in proptest::collection::vec(0_u64..2_000, 1..60),
        ) {
            let mut gauge = gauge(Window::Time(Duration::from_nanos(tenth * 10)));
            let mut now = 0;
            let mut ends = Vec::new();
            for gap in gaps {
                now += gap;
                ends.push(now);
                gauge.record(true, Duration::from_nanos(now));
                let younger = |age: u64| ends.iter().filter(|end| now - **end < age).count() as u64;
                let held = gauge.measured(Duration::from_nanos(now)).calls;
                prop_assert!((younger(9 * tenth)..=younger(10 * tenth)).contains(&held));
                let Calls::Recent(recent) = &gauge.calls else { unreachable!() };
                prop_assert!(recent.parts.len() <= 10);
            }
        }
    }
}
