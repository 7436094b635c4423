//! How much memory a worker holds, with everything below it.

use std::collections::VecDeque;
use std::time::Duration;

use rustix::process::Pid;

use crate::proc;
use crate::report::Want;

/// Between two weighings of a worker with a limit. Short, because what it takes beyond the limit in between it really
/// takes; each costs a fraction of a millisecond.
const LIMITED: Duration = Duration::from_millis(100);

/// Between two weighings of one without a limit, only to know its peak.
const UNLIMITED: Duration = Duration::from_secs(1);

/// How long is looked back for a kill by the kernel: a large process takes its time to die of one.
const LOOK_BACK: Duration = Duration::from_secs(2);

/// Weighs one worker again and again.
#[derive(Debug)]
pub(super) struct Scale {
    limit: Option<u64>,
    peak: u64,
    /// How many processes the kernel had killed for want of memory, by the last weighings.
    oom_kills: VecDeque<Option<u64>>,
    over: bool,
}

impl Scale {
    pub(super) fn new(limit: Option<u64>) -> Self {
        Self { limit, peak: 0, oom_kills: VecDeque::from([proc::oom_kills()]), over: false }
    }

    /// How much time is to pass between two weighings.
    pub(super) fn every(&self) -> Duration {
        if self.limit.is_some() { LIMITED } else { UNLIMITED }
    }

    /// Weighs everything below `root`; whether that is more than the limit, which is said once.
    pub(super) fn weigh(&mut self, root: Pid) -> bool {
        let looks = LOOK_BACK.as_millis() / self.every().as_millis();
        self.oom_kills.truncate(usize::try_from(looks).unwrap_or(usize::MAX));
        self.oom_kills.push_front(proc::oom_kills());
        let processes = proc::descendants(root);
        let held: u64 = processes.iter().filter_map(|pid| proc::held(*pid)).sum();
        self.peak = self.peak.max(held);
        let Some(limit) = self.limit.filter(|limit| held > *limit && !self.over) else { return false };
        // Processes that share much, as forked ones do, look larger together than they are: asked exactly, which takes
        // longer. One that cannot be asked counts as it looks.
        let exact = processes.iter().filter_map(|pid| proc::held_by_share(*pid).or_else(|| proc::held(*pid)));
        self.over = exact.sum::<u64>() > limit;
        self.over
    }

    /// The most that it ever weighed, in bytes.
    pub(super) fn peak(&self) -> u64 {
        self.peak
    }

    /// Whether a worker ended for want of memory. `unasked_kill` says that a `SIGKILL` ended it that was not ours: if the
    /// kernel killed some process for want of memory lately, it was this one.
    pub(super) fn want(&self, unasked_kill: bool) -> Want {
        let before = self.oom_kills.back().copied().flatten();
        match (self.over, unasked_kill && before.is_some() && proc::oom_kills() > before) {
            (true, _) => Want::Limit,
            (false, true) => Want::Machine,
            (false, false) => Want::None,
        }
    }
}
