//! The states.

use std::fmt;

/// Where a circuit stands. As in electricity, a closed circuit conducts: *closed* is the healthy state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum State {
    /// Calls go through, and their outcomes are counted.
    Closed,
    /// Calls are refused until the open time is over.
    Open,
    /// A few calls, the probes, go through to find out; the others are refused.
    HalfOpen,
    /// Calls are refused until a person orders otherwise.
    ForcedOpen,
    /// Calls go through until a person orders otherwise, whatever comes of them.
    ForcedClosed,
}

impl State {
    /// All states.
    pub const ALL: [Self; 5] =
        [Self::Closed, Self::Open, Self::HalfOpen, Self::ForcedOpen, Self::ForcedClosed];

    /// Its name: `closed`, `open`, `half_open`, `forced_open`, `forced_closed`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half_open",
            Self::ForcedOpen => "forced_open",
            Self::ForcedClosed => "forced_closed",
        }
    }
}

/// As people write it: `half-open`, `forced open`.
impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Closed => "closed",
            Self::Open => "open",
            Self::HalfOpen => "half-open",
            Self::ForcedOpen => "forced open",
            Self::ForcedClosed => "forced closed",
        })
    }
}
