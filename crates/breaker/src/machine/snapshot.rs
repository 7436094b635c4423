//! What is shown of a breaker, and what a refused caller is told.

use std::fmt;
use std::time::Duration;

use super::{State, Window};

/// Everything there is to see of a breaker at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Snapshot {
    /// The moment, on the breaker's clock.
    pub at: Duration,
    /// The state.
    pub state: State,
    /// When the state began, on the breaker's clock.
    pub since: Duration,
    /// How many transitions there were.
    pub generation: u64,
    /// When to come back for a probe, on the breaker's clock: the end of the open time; `at` when a half-open circuit
    /// has a probe free; the moment at which the first probe will be overdue when it has not; otherwise nothing.
    pub next_probe_at: Option<Duration>,
    /// How often the circuit opened since it was last closed for long enough; the open time grows with it.
    pub openings: u32,
    /// How many calls in a row failed since the circuit last closed. Probes do not count here; while the circuit is open
    /// or half-open, this and the next two are of the time before it opened.
    pub consecutive_failures: u32,
    /// The failures in the windows of the settings, in their order.
    pub failure_rates: Vec<Measured>,
    /// The slow calls in their window; nothing if slow calls are not counted.
    pub slow_calls: Option<Measured>,
    /// How many probes are under way; 0 unless half-open, as for the next two.
    pub probes_in_flight: u32,
    /// How many succeeded since the circuit became half-open.
    pub probes_succeeded: u32,
    /// How many were given up without an outcome since then.
    pub probes_abandoned: u32,
}

/// The calls that a window holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Measured {
    /// The window.
    pub window: Window,
    /// How many calls it holds.
    pub calls: u64,
    /// How many of them failed, or were slow, whichever is measured.
    pub hits: u64,
}

impl Measured {
    /// The share of hits, from 0 to 1; nothing while there are no calls.
    #[must_use]
    pub fn rate(&self) -> Option<f64> {
        (self.calls > 0).then(|| self.hits as f64 / self.calls as f64)
    }
}

impl fmt::Display for Measured {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { window, calls, hits } = self;
        match window {
            Window::Calls(_) => write!(f, "{hits} of the last {calls} calls"),
            Window::Time(time) => write!(f, "{hits} of {calls} calls within {time:?}"),
        }
    }
}

/// The call was refused: the circuit is open, or half-open with all its probes under way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the circuit is {state}; {}", Advice(*retry_after))]
pub struct CircuitOpen {
    /// The state that refused it: open, half-open or forced open.
    pub state: State,
    /// When to come back, on the breaker's clock: when the open time is over, or when a probe under way will be
    /// overdue. Nothing while the circuit is forced open, which no time ends.
    pub retry_at: Option<Duration>,
    /// The same, counted from the refusal.
    pub retry_after: Option<Duration>,
}

impl CircuitOpen {
    pub(super) fn new(state: State, retry_at: Option<Duration>, now: Duration) -> Self {
        Self { state, retry_at, retry_after: None }.as_of(now)
    }

    /// The same refusal, given at this moment.
    pub(crate) fn as_of(self, now: Duration) -> Self {
        Self { retry_after: self.retry_at.map(|at| at.saturating_sub(now)), ..self }
    }
}

/// What to do about a refusal.
struct Advice(Option<Duration>);

impl fmt::Display for Advice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(after) => write!(f, "try again in {after:.1?}"),
            None => f.write_str("it stays so until it is ordered otherwise"),
        }
    }
}
