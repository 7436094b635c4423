//! What is counted of the calls of a closed circuit.

use std::time::Duration;

use super::window::Gauge;
use super::{Measured, Outcome, Reason, Settings};

/// The counts of one closed, or forced closed, time.
#[derive(Debug)]
pub(super) struct Tally {
    consecutive_failures: u32,
    max_consecutive_failures: Option<u32>,
    failures: Vec<Gauge>,
    slow: Option<Gauge>,
}

impl Tally {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            consecutive_failures: 0,
            max_consecutive_failures: settings.consecutive_failures,
            failures: settings.failure_rates.iter().copied().map(Gauge::new).collect(),
            slow: settings.slow_calls.map(|slow_calls| Gauge::new(slow_calls.rate)),
        }
    }

    /// Counts a call; returns the first condition that holds now, if one does. A call that was given up says nothing
    /// about the dependency.
    pub(super) fn record(&mut self, outcome: Outcome, slow: bool, at: Duration) -> Option<Reason> {
        let failed = match outcome {
            Outcome::Success => false,
            Outcome::Failure => true,
            Outcome::Abandoned => return None,
        };
        self.consecutive_failures = if failed { self.consecutive_failures.saturating_add(1) } else { 0 };
        for gauge in &mut self.failures {
            gauge.record(failed, at);
        }
        if let Some(gauge) = &mut self.slow {
            gauge.record(slow, at);
        }
        self.tripped(at)
    }

    fn tripped(&self, at: Duration) -> Option<Reason> {
        if self.max_consecutive_failures.is_some_and(|max| self.consecutive_failures >= max) {
            return Some(Reason::ConsecutiveFailures(self.consecutive_failures));
        }
        let failures = self.failures.iter().find_map(|gauge| gauge.reached(at)).map(Reason::FailureRate);
        failures.or_else(|| self.slow.as_ref()?.reached(at).map(Reason::SlowCalls))
    }

    pub(super) fn consecutive_failures(&self) -> u32 {
        self.consecutive_failures
    }

    pub(super) fn failure_rates(&self, at: Duration) -> Vec<Measured> {
        self.failures.iter().map(|gauge| gauge.measured(at)).collect()
    }

    pub(super) fn slow_calls(&self, at: Duration) -> Option<Measured> {
        self.slow.as_ref().map(|gauge| gauge.measured(at))
    }
}
