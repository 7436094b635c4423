//! Ids and how they are made.

use chrono::{DateTime, Utc};
use rand::RngExt;
use ulid::Ulid;

use crate::job::LeaseToken;
use crate::name::name;

name!(
    /// Names a job. Reclaimer makes ULIDs (26 characters, sortable by creation); rows written by other programs may
    /// carry any other name.
    JobId, "a job id", 64
);
name!(
    /// Names one recovery cycle; a ULID.
    RunId, "a run id", 64
);

/// Makes ids and lease tokens from a random source and the caller's time.
///
/// ULIDs of one generator only ever grow, also within one millisecond and when the clock steps back, so that jobs
/// created together keep their order.
#[derive(Debug)]
pub struct IdGenerator<R> {
    last: Ulid,
    rng: R,
}

impl<R: rand::Rng> IdGenerator<R> {
    /// A generator that draws from `rng`.
    pub fn new(rng: R) -> Self {
        Self { last: Ulid::nil(), rng }
    }

    /// A new job id.
    pub fn job(&mut self, now: DateTime<Utc>) -> JobId {
        JobId(self.ulid(now).into())
    }

    /// A new recovery run id.
    pub fn run(&mut self, now: DateTime<Utc>) -> RunId {
        RunId(self.ulid(now).into())
    }

    /// A new id of no particular kind, e.g. for a request.
    pub fn request(&mut self, now: DateTime<Utc>) -> String {
        self.ulid(now)
    }

    /// A new lease token: 128 random bits in hexadecimal, never a counter.
    pub fn lease_token(&mut self) -> LeaseToken {
        LeaseToken::from_bytes(self.rng.random())
    }

    fn ulid(&mut self, now: DateTime<Utc>) -> String {
        let millis = u64::try_from(now.timestamp_millis()).unwrap_or(0);
        let fresh = Ulid::from_parts(millis, self.rng.random());
        self.last = if fresh > self.last { fresh } else { self.last.increment().unwrap_or(fresh) };
        self.last.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeZone;
    use rand::{SeedableRng, rngs::StdRng};

    #[test]
    fn ids_grow_within_a_millisecond_and_when_the_clock_steps_back() {
        let mut ids = IdGenerator::new(StdRng::seed_from_u64(1));
        let now = Utc.with_ymd_and_hms(2026, 1, 5, 14, 20, 0).unwrap();
        let mut last = ids.job(now);
        for step in 0..1_000 {
            let next = ids.job(now - chrono::Duration::seconds(step % 3));
            assert!(next > last, "{next} after {last}");
            assert_eq!(next.as_str().len(), 26);
            last = next;
        }
    }

    #[test]
    fn tokens_differ() {
        let mut ids = IdGenerator::new(StdRng::seed_from_u64(1));
        assert_ne!(ids.lease_token(), ids.lease_token());
    }
}
