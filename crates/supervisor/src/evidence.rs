//! What is known of the end of a process.

use std::fmt;
use std::time::Duration;

use nix::sys::signal::Signal;

use crate::instance::Instance;

/// How a process ended, and what it left: the evidence that goes into the history of what it was working on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Which process of which worker.
    pub instance: Instance,
    /// Its process id; `None` when it never ran.
    pub pid: Option<u32>,
    /// Why it ended.
    pub cause: Cause,
    /// The code it exited with, if it did, whoever made it end.
    pub exit_code: Option<i32>,
    /// The number of the signal that killed it, if one did, whoever sent it.
    pub signal: Option<i32>,
    /// Whether it was killed for want of memory, by its own limit or the machine's, whatever else made it end.
    pub out_of_memory: bool,
    /// The most bytes of memory that it was known to hold: exact for the largest of its processes, sampled for all of
    /// them together, where pages that they share count for each. `None` when that is not known.
    pub peak_memory: Option<u64>,
    /// For how long it was ready; `None` when it never was.
    pub ready_for: Option<Duration>,
    /// For how long it ran, its start included.
    pub ran_for: Duration,
    /// The last lines of its output, oldest first.
    pub output: Vec<Line>,
}

/// Why a process ended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Cause {
    /// It exited by itself.
    Exited {
        /// With this code.
        code: i32,
    },
    /// A signal killed it that was not ours.
    Signalled {
        /// The signal's number.
        signal: i32,
    },
    /// It held more memory than its limit and was killed for it.
    MemoryLimit,
    /// The kernel killed it because memory ran out, of the machine or of the control group that it shares with us.
    OutOfMemory,
    /// It was not ready in time and was ended.
    NeverReady,
    /// It gave no sign of life for too long and was ended.
    Deaf,
    /// It could not be started.
    NotStarted {
        /// What failed, and what to do.
        why: String,
    },
    /// The guard that stood between it and us ended first; what was left of it was killed.
    GuardLost,
    /// It was asked to end, for good or to be restarted.
    Stopped,
}

impl Cause {
    /// A stable word for it.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::Exited { .. } => "exited",
            Self::Signalled { .. } => "signalled",
            Self::MemoryLimit => "memory_limit",
            Self::OutOfMemory => "out_of_memory",
            Self::NeverReady => "never_ready",
            Self::Deaf => "deaf",
            Self::NotStarted { .. } => "not_started",
            Self::GuardLost => "guard_lost",
            Self::Stopped => "stopped",
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exited { code } => write!(f, "exited with code {code}"),
            Self::Signalled { signal } => write!(f, "killed by {}", signal_name(*signal)),
            Self::MemoryLimit => f.write_str("killed for passing its memory limit"),
            Self::OutOfMemory => f.write_str("killed by the kernel because memory ran out"),
            Self::NeverReady => f.write_str("ended because it was not ready in time"),
            Self::Deaf => f.write_str("ended because it gave no sign of life"),
            Self::NotStarted { why } => write!(f, "could not start: {why}"),
            Self::GuardLost => f.write_str("ended because its guard was lost"),
            Self::Stopped => f.write_str("ended as it was asked to"),
        }
    }
}

/// A signal as people know it.
pub(crate) fn signal_name(number: i32) -> String {
    Signal::try_from(number).map_or_else(|_| format!("signal {number}"), |signal| signal.to_string())
}

/// A line that a process wrote.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Line {
    /// Where it wrote it.
    pub stream: Stream,
    /// The line without its end, clipped to [`MAX_KEPT`] bytes; what is not UTF-8 is replaced.
    pub text: String,
}

/// So many of the last lines are kept as evidence.
pub const KEPT_LINES: usize = 50;

/// The most bytes of a line that are kept as evidence.
pub const MAX_KEPT: usize = 400;

/// Where a process wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// Its standard output.
    Stdout,
    /// Its standard error.
    Stderr,
}

impl Stream {
    /// `stdout` or `stderr`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Stdout => "stdout",
            Self::Stderr => "stderr",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_read_as_sentences() {
        assert_eq!(Cause::Signalled { signal: 9 }.to_string(), "killed by SIGKILL");
        assert_eq!(Cause::Signalled { signal: 40 }.to_string(), "killed by signal 40");
        assert_eq!(Cause::Exited { code: 3 }.to_string(), "exited with code 3");
    }
}
