//! The recovery budget: recovery may add only so much to what goes through anyway, so that healing never becomes the
//! burst that breaks what has just come back.

use reclaimer_domain::ports::Flow;

/// How many jobs recovery may queue again within a minute: `ratio` × the jobs claimed in that minute, and
/// `per_second` × 60 on top.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// Per job claimed.
    pub ratio: f64,
    /// Whatever was claimed; infinite = no limit.
    pub per_second: f64,
}

impl Default for Budget {
    fn default() -> Self {
        Self { ratio: 0.2, per_second: 5.0 }
    }
}

impl Budget {
    /// What may be queued again within a minute in which so many jobs were claimed.
    #[must_use]
    pub fn of_a_minute(&self, claims: u64) -> u64 {
        // The cast holds at 0 and at the largest number, and takes NaN for 0.
        (self.ratio * claims as f64 + self.per_second * 60.0) as u64
    }

    /// What is left of it after what went through in the last minute.
    #[must_use]
    pub fn left(&self, flow: Flow) -> u64 {
        self.of_a_minute(flow.claims).saturating_sub(flow.requeues)
    }

    /// Why a job waits that found the budget used up. The same words every time, because the history says each reason
    /// once.
    #[must_use]
    pub fn used_up(&self) -> String {
        format!(
            "the recovery budget of this minute is used up ({} per second and {} % of the jobs claimed); it is \
             recovered when there is room again",
            self.per_second,
            (self.ratio * 100.0).round()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_minute_allows_a_share_of_the_claims_and_a_fixed_rate() {
        let budget = Budget::default();
        let left = |claims, requeues| budget.left(Flow { claims, requeues });
        assert_eq!(left(0, 0), 300);
        assert_eq!(left(1_000, 0), 500);
        assert_eq!(left(1_000, 499), 1);
        assert_eq!(left(1_000, 501), 0);
    }

    #[test]
    fn odd_settings_are_no_panic() {
        let of = |ratio, per_second| Budget { ratio, per_second }.of_a_minute(10);
        assert_eq!(of(0.0, f64::INFINITY), u64::MAX);
        assert_eq!(of(-1.0, 0.0), 0);
        assert_eq!(of(f64::NAN, 0.0), 0);
    }

    #[test]
    fn the_reason_says_what_the_budget_is() {
        assert!(Budget::default().used_up().starts_with(
            "the recovery budget of this minute is used up (5 per second and 20 % of the jobs claimed)"
        ));
    }
}
