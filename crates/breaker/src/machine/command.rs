//! What a person may order.

use std::fmt;

/// An order to the breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Command {
    /// Refuse every call until ordered otherwise.
    ForceOpen,
    /// Let every call through until ordered otherwise. Outcomes are still counted, to be seen; they trip nothing.
    ForceClosed,
    /// Take a force away: from forced open to half-open, from forced closed to closed. Changes nothing where there is
    /// no force.
    Auto,
    /// Close, whatever the state, and forget all that was counted, the growth of the open time too.
    Reset,
}

impl Command {
    /// All commands.
    pub const ALL: [Self; 4] = [Self::ForceOpen, Self::ForceClosed, Self::Auto, Self::Reset];

    /// Its name: `force_open`, `force_closed`, `auto`, `reset`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ForceOpen => "force_open",
            Self::ForceClosed => "force_closed",
            Self::Auto => "auto",
            Self::Reset => "reset",
        }
    }
}

impl fmt::Display for Command {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}
