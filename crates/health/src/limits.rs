//! From when on something is not well.

use std::time::Duration;

/// What is borne with before it counts as trouble.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Limits {
    /// A worker that is heard, holds nothing and neither asks for jobs nor takes one is deaf when work has waited for it
    /// for so long.
    pub deaf_after: Duration,
    /// A queue stands still when due jobs wait in it and none was taken for so long.
    pub standstill_after: Duration,
    /// Nobody dials a link any more when the moment of its next attempt passed so long ago.
    pub undialled_after: Duration,
    /// Of fewer recovered jobs that ended nothing is concluded.
    pub fewest_ended: u64,
    /// Recovery does not help when less than this share of the jobs it queued again went on to finish.
    pub lowest_success: f64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            deaf_after: Duration::from_secs(60),
            standstill_after: Duration::from_secs(600),
            undialled_after: Duration::from_secs(60),
            fewest_ended: 10,
            lowest_success: 0.5,
        }
    }
}
