//! What makes an incident.

use std::time::Duration;

/// What a rule looks for. There is one rule of a kind.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Condition {
    /// A link's breaker does not conduct, by itself: one that a person forced open is well.
    BreakerOpen,
    /// Of the recovered jobs that ended within a day, a smaller share than this finished.
    RecoverySuccessBelow(f64),
    /// More jobs than this are quarantined.
    QuarantinedAbove(u64),
    /// A due job has waited for longer than this, in a queue that is not paused.
    OldestQueuedAbove(Duration),
    /// A supervised process was started again more often than this within a time, or was given up.
    WorkerRestartsAbove {
        /// So often is borne with.
        restarts: u64,
        /// Within this time.
        within: Duration,
    },
    /// The database takes no writes.
    DatabaseNotWritable,
    /// A loop of the server does not turn.
    LoopStopped,
}

impl Condition {
    /// The name of the rule, in messages and settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BreakerOpen => "breaker_open",
            Self::RecoverySuccessBelow(_) => "recovery_success",
            Self::QuarantinedAbove(_) => "quarantined_jobs",
            Self::OldestQueuedAbove(_) => "oldest_queued",
            Self::WorkerRestartsAbove { .. } => "worker_restarts",
            Self::DatabaseNotWritable => "database_not_writable",
            Self::LoopStopped => "loop_stopped",
        }
    }
}

/// A condition, and how long it must hold.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rule {
    /// What it looks for.
    pub condition: Condition,
    /// The incident begins when the condition has held for so long.
    pub hold: Duration,
}
