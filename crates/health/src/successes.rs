//! What became of the jobs that recovery had queued again, over a day.

use chrono::{DateTime, Utc};

/// So many parts of a day are told apart.
const PARTS: usize = 96;

/// The length of each, in seconds.
const PART: i64 = 86_400 / 96;

/// How many of the recovered jobs that came to an end finished.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Success {
    /// Finished.
    pub finished: u64,
    /// Came to an end at all.
    pub ended: u64,
    /// From when on that is counted.
    pub since: DateTime<Utc>,
}

impl Success {
    /// The share; `None` when none ended.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        (self.ended > 0).then(|| self.finished as f64 / self.ended as f64)
    }
}

/// Counts the ends of recovered jobs by quarters of an hour, and forgets those of more than a day ago.
#[derive(Debug, Clone)]
pub struct Successes {
    since: DateTime<Utc>,
    /// Which part each place holds, and what was counted in it.
    parts: [(i64, Part); PARTS],
}

#[derive(Debug, Clone, Copy, Default)]
struct Part {
    finished: u64,
    ended: u64,
}

impl Successes {
    /// Nothing has been counted yet.
    #[must_use]
    pub fn new(now: DateTime<Utc>) -> Self {
        Self { since: now, parts: [(i64::MIN, Part::default()); PARTS] }
    }

    /// Counts the end of a job that recovery had queued again.
    pub fn ended(&mut self, finished: bool, at: DateTime<Utc>) {
        let part = at.timestamp().div_euclid(PART);
        let place = usize::try_from(part.rem_euclid(PARTS as i64)).unwrap_or(0);
        let place = &mut self.parts[place];
        if place.0 < part {
            *place = (part, Part::default());
        }
        // An end of more than a day ago, whose place is another's by now, no longer counts.
        if place.0 == part {
            place.1.ended += 1;
            place.1.finished += u64::from(finished);
        }
    }

    /// What was counted over the last day.
    #[must_use]
    pub fn last_day(&self, now: DateTime<Utc>) -> Success {
        let part = now.timestamp().div_euclid(PART);
        let first = part - PARTS as i64 + 1;
        let counted = self.parts.iter().filter(|(at, _)| (first..=part).contains(at));
        let (finished, ended) = counted
            .fold((0, 0), |(finished, ended), (_, part)| (finished + part.finished, ended + part.ended));
        let oldest = DateTime::from_timestamp(first.saturating_mul(PART), 0).unwrap_or(now);
        Success { finished, ended, since: self.since.max(oldest) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use proptest::prelude::*;
    use reclaimer_testkit::noon;

    #[test]
    fn the_ends_of_a_day_are_counted_and_older_ones_forgotten() {
        let mut successes = Successes::new(noon());
        let at = |hours| noon() + TimeDelta::hours(hours);
        assert_eq!(successes.last_day(at(0)).rate(), None);
        successes.ended(true, at(1));
        successes.ended(true, at(2));
        successes.ended(false, at(20));
        let counted = |at| {
            let success = successes.last_day(at);
            (success.finished, success.ended)
        };
        assert_eq!(counted(at(20)), (2, 3));
        assert_eq!(counted(at(25)), (1, 2));
        assert_eq!(counted(at(43)), (0, 1));
        assert_eq!(counted(at(44)), (0, 0));
        assert_eq!(successes.last_day(at(3)).since, noon(), "not before it began to count");
        assert!(successes.last_day(at(40)).since > at(15));
    }

    proptest! {
        #[test]
        fn the_parts_say_what_counting_each_end_would(
            ends in prop::collection::vec((0_i64..300_000, any::<bool>()), 0..300),
        ) {
            let mut ends = ends;
            ends.sort_unstable();
            let mut successes = Successes::new(noon());
            let at = |seconds| noon() + TimeDelta::seconds(seconds);
            for (index, (seconds, finished)) in ends.iter().enumerate() {
                successes.ended(*finished, at(*seconds));
                let said = successes.last_day(at(*seconds));
                let counted = ends[..=index].iter().filter(|(then, _)| at(*then) >= said.since);
                prop_assert_eq!(said.ended, counted.clone().count() as u64);
                prop_assert_eq!(said.finished, counted.filter(|(_, finished)| *finished).count() as u64);
            }
        }
    }
}
