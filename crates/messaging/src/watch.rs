//! Whose processes are heard over a link.

use std::fmt;
use std::time::Duration;

use reclaimer_domain::job::LeaseToken;
use reclaimer_domain::name::WorkerId;

/// Is told of the processes at the other ends: whoever keeps them alive wants to know.
pub trait PeerWatch: Send + Sync + fmt::Debug {
    /// The worker of this process was heard: told with its first valid message, whenever it takes another name, and at
    /// most about once a second besides, sooner where silence is judged sooner.
    fn heard(&self, pid: i32, worker: &WorkerId);

    /// A connection with this process ended, and these leases live on a grace: what it holds, unless it comes back. Answers
    /// how long they are to live on at least, so that what is known of the end of the process comes before theirs.
    fn lost(&self, pid: i32, leases: &[LeaseToken]) -> Duration;
}

/// Nobody wants to know.
#[derive(Debug, Clone, Copy)]
pub struct NoWatch;

impl PeerWatch for NoWatch {
    fn heard(&self, _: i32, _: &WorkerId) {}

    fn lost(&self, _: i32, _: &[LeaseToken]) -> Duration {
        Duration::ZERO
    }
}
