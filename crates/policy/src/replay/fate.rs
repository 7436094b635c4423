//! What became of a job after a decision.

use serde::{Deserialize, Serialize};

/// What became of a job after recovery had decided about it, until it was decided about again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// It finished.
    Finished,
    /// It failed, or was lost, again.
    FailedAgain,
    /// A person or a worker did something else to it: cancelled, paused, released, took back what was done.
    TakenUp,
    /// Nothing yet.
    Open,
}
