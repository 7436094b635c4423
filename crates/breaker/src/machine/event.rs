//! What is said about a transition.

use std::fmt;
use std::time::Duration;

use super::{Command, Measured, State};

/// A transition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// The generation that it began: 1 for the first transition, one more for each.
    pub generation: u64,
    /// The state before.
    pub from: State,
    /// The state since. The same as before only when a closed circuit is reset.
    pub to: State,
    /// Why.
    pub reason: Reason,
    /// When it took effect, on the breaker's clock. What time brought about is dated to when it was due, which may be
    /// long before anybody noticed.
    pub at: Duration,
    /// When the next probe may be made, on the breaker's clock: nothing for a state that needs none, or that ends only
    /// by an order.
    pub next_probe_at: Option<Duration>,
}

/// Why a transition took place.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Reason {
    /// So many calls in a row failed.
    ConsecutiveFailures(u32),
    /// Too large a share of calls failed.
    FailureRate(Measured),
    /// Too large a share of calls was slow.
    SlowCalls(Measured),
    /// The open time is over.
    OpenTimeOver,
    /// So many probes succeeded, which is enough.
    ProbesSucceeded(u32),
    /// A probe failed.
    ProbeFailed,
    /// A probe succeeded, but was slow.
    ProbeSlow,
    /// A probe was not reported in time.
    ProbeOverdue,
    /// So many probes were given up without an outcome.
    ProbesAbandoned(u32),
    /// A person ordered it.
    Ordered(Command),
}

impl Reason {
    /// A short name that does not change, for labels of metrics and the like; the name of the command for an order.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ConsecutiveFailures(_) => "consecutive_failures",
            Self::FailureRate(_) => "failure_rate",
            Self::SlowCalls(_) => "slow_calls",
            Self::OpenTimeOver => "open_time_over",
            Self::ProbesSucceeded(_) => "probes_succeeded",
            Self::ProbeFailed => "probe_failed",
            Self::ProbeSlow => "probe_slow",
            Self::ProbeOverdue => "probe_overdue",
            Self::ProbesAbandoned(_) => "probes_abandoned",
            Self::Ordered(command) => command.as_str(),
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ConsecutiveFailures(1) => f.write_str("a call failed"),
            Self::ConsecutiveFailures(n) => write!(f, "{n} calls in a row failed"),
            Self::FailureRate(measured) => write!(f, "{measured} failed"),
            Self::SlowCalls(measured) => write!(f, "{measured} were slow"),
            Self::OpenTimeOver => f.write_str("the open time is over"),
            Self::ProbesSucceeded(1) => f.write_str("a probe succeeded"),
            Self::ProbesSucceeded(n) => write!(f, "{n} probes succeeded"),
            Self::ProbeFailed => f.write_str("a probe failed"),
            Self::ProbeSlow => f.write_str("a probe was slow"),
            Self::ProbeOverdue => f.write_str("a probe was not reported in time"),
            Self::ProbesAbandoned(1) => f.write_str("a probe was given up"),
            Self::ProbesAbandoned(n) => write!(f, "{n} probes were given up"),
            Self::Ordered(command) => write!(f, "ordered: {command}"),
        }
    }
}
