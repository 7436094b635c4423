//! The right to make one call.

use crate::breaker::Breaker;
use crate::machine::{Outcome, Ticket};

/// The right to make one call, to be reported when the call has ended. Dropped without a report, the call counts as
/// abandoned: it says nothing, and if it was a probe, its place is free again.
#[derive(Debug)]
#[must_use = "a permit that is dropped is an abandoned call"]
pub struct Permit {
    breaker: Breaker,
    /// There until it is reported.
    ticket: Option<Ticket>,
    generation: u64,
    probe: bool,
}

impl Permit {
    pub(crate) fn new(breaker: Breaker, ticket: Ticket) -> Self {
        Self { breaker, generation: ticket.generation(), probe: ticket.is_probe(), ticket: Some(ticket) }
    }

    /// Reports that the dependency did what it is there for.
    pub fn success(mut self) {
        self.report(Outcome::Success);
    }

    /// Reports that it did not.
    pub fn failure(mut self) {
        self.report(Outcome::Failure);
    }

    /// The generation that gave it. Once the breaker has gone on to another, the report is ignored.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation
    }

    /// Whether the call is a probe of a half-open circuit.
    #[must_use]
    pub fn is_probe(&self) -> bool {
        self.probe
    }

    fn report(&mut self, outcome: Outcome) {
        if let Some(ticket) = self.ticket.take() {
            self.breaker.report(ticket, outcome);
        }
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.report(Outcome::Abandoned);
    }
}
