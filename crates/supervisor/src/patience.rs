//! How long a sign of life is waited for, without holding our own absence against anybody.
//!
//! While this process is stopped or starved it hears nobody. It therefore looks more often than it needs to: a look that
//! comes late shows that we were away, and then one more interval is granted, once per wait.

use std::time::Duration;

use tokio::time::Instant;

/// At least so many looks per interval, and one in so long.
const LOOKS: u32 = 4;
const LOOK: Duration = Duration::from_secs(1);

/// A wait for signs of which there must be one per interval.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    interval: Duration,
    every: Duration,
    since: Instant,
    next_look: Instant,
    granted: bool,
}

impl Patience {
    /// Waits from now on.
    pub(crate) fn new(interval: Duration, now: Instant) -> Self {
        let every = (interval / LOOKS).min(LOOK);
        Self { interval, every, since: now, next_look: now + every, granted: false }
    }

    /// When the next look is due.
    pub(crate) fn next_look(&self) -> Instant {
        self.next_look.min(self.since + self.interval)
    }

    /// Looks: was the last sign, if there was any, too long ago?
    pub(crate) fn is_over(&mut self, last_sign: Option<Instant>, now: Instant) -> bool {
        let late = now.saturating_duration_since(self.next_look()) > self.every;
        if let Some(sign) = last_sign.filter(|sign| *sign > self.since) {
            self.since = sign;
            self.granted = false;
        }
        if late && !self.granted {
            self.since = now;
            self.granted = true;
        }
        self.next_look = now + self.every;
        now.saturating_duration_since(self.since) >= self.interval
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_is_over_after_the_interval() {
        let start = Instant::now();
        let mut patience = Patience::new(SECOND * 30, start);
        for second in 1..30 {
            assert_eq!(patience.next_look(), start + SECOND * second);
            assert!(!patience.is_over(None, start + SECOND * second));
        }
        assert!(patience.is_over(None, start + SECOND * 30));
    }

    #[test]
    fn a_sign_begins_the_wait_anew() {
        let start = Instant::now();
        let mut patience = Patience::new(SECOND * 3, start);
        let sign = Some(start + SECOND * 2);
        for quarter in 1..20 {
            assert!(!patience.is_over(sign, start + SECOND / 4 * quarter));
        }
        assert!(patience.is_over(sign, start + SECOND * 5));
    }

    #[test]
    fn our_own_absence_earns_one_more_interval_and_only_one() {
        let start = Instant::now();
        let mut patience = Patience::new(SECOND * 30, start);
        assert!(
            !patience.is_over(None, start + SECOND * 29),
            "we were stopped, and woke just before the end"
        );
        for second in 30..59 {
            assert!(!patience.is_over(None, start + SECOND * second), "{second}");
        }
        assert!(patience.is_over(None, start + SECOND * 3_600), "late again, and never a sign");

        let mut patience = Patience::new(SECOND * 30, start);
        assert!(!patience.is_over(None, start + SECOND * 600));
        let sign = Some(start + SECOND * 601);
        assert!(!patience.is_over(sign, start + SECOND * 601));
        assert!(!patience.is_over(sign, start + SECOND * 1_200), "a sign in between earns it anew");
    }

    proptest! {
        #[test]
        fn looks_in_time_judge_exactly(millis in 100_u64..100_000, sign in prop::option::of(0.0..0.99_f64)) {
            let start = Instant::now();
            let interval = Duration::from_millis(millis);
            let sign = sign.map(|share| start + interval.mul_f64(share));
            let mut patience = Patience::new(interval, start);
            let end = sign.unwrap_or(start) + interval;
            let mut now = start;
            while now < end {
                now = patience.next_look();
                let heard = sign.filter(|sign| *sign <= now);
                let over = patience.is_over(heard, now);
                prop_assert_eq!(over, now >= end);
            }
            prop_assert!(now - end <= patience.every, "no later than one look after it");
        }
    }
}
