//! What belongs to a half-open circuit: its probes.

use std::time::Duration;

use super::{Outcome, Reason, Settings};

/// A reserved probe.
#[derive(Debug)]
struct Probe {
    number: u64,
    overdue_at: Duration,
}

/// The probes of one half-open circuit.
#[derive(Debug, Default)]
pub(super) struct HalfOpen {
    under_way: Vec<Probe>,
    succeeded: u32,
    abandoned: u32,
}

impl HalfOpen {
    pub(super) fn in_flight(&self) -> u32 {
        u32::try_from(self.under_way.len()).unwrap_or(u32::MAX)
    }

    pub(super) fn succeeded(&self) -> u32 {
        self.succeeded
    }

    pub(super) fn abandoned(&self) -> u32 {
        self.abandoned
    }

    /// When the first probe will be overdue.
    pub(super) fn overdue_at(&self) -> Option<Duration> {
        self.under_way.iter().map(|probe| probe.overdue_at).min()
    }

    pub(super) fn reserve(&mut self, number: u64, overdue_at: Duration) {
        self.under_way.push(Probe { number, overdue_at });
    }

    /// Takes the report of a probe; returns why the circuit closes or opens, if it does.
    pub(super) fn report(
        &mut self,
        number: u64,
        outcome: Outcome,
        slow: bool,
        settings: &Settings,
    ) -> Option<Reason> {
        self.under_way.retain(|probe| probe.number != number);
        match outcome {
            Outcome::Failure => Some(Reason::ProbeFailed),
            Outcome::Success if slow => Some(Reason::ProbeSlow),
            Outcome::Success => {
                self.succeeded += 1;
                (self.succeeded >= settings.probes_to_close)
                    .then_some(Reason::ProbesSucceeded(self.succeeded))
            }
            Outcome::Abandoned => {
                self.abandoned += 1;
                let enough = self.abandoned >= settings.max_abandoned_probes;
                enough.then_some(Reason::ProbesAbandoned(self.abandoned))
            }
        }
    }
}
