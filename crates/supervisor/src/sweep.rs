//! Killing what a guard left behind: it, its worker, and whatever was below them.
//!
//! Usually nothing is: a guard outlives its supervisor and ends its worker. But a guard can be killed too.

use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, kill_process_group, pidfd_open};
use tracing::{error, warn};

use crate::AREA;
use crate::proc::{self, ProcessId};
use crate::spec::RUN_VARIABLE;
use crate::state_file::Record;

/// A guard whose supervisor is gone ends its worker at once. So long it is given, before it is killed too.
const GUARD_PATIENCE: Duration = Duration::from_secs(5);

/// How long the killed may take to die.
const DEATH_PATIENCE: Duration = Duration::from_secs(5);

/// A process that was killed may have started others a moment before; so often they are looked for.
const ROUNDS: usize = 10;

/// Ends everything of a record that still lives; answers whether anything did. Blocks until it is dead.
pub(crate) fn end(record: &Record) -> bool {
    let mut found = false;
    if let Some(stat) = record.worker.and_then(ProcessId::alive)
        && let Some(worker) = record.worker
    {
        found = true;
        // Its group bears its number as long as it is its first member.
        if stat.group == worker.pid.as_raw_nonzero().get() {
            let _ = kill_process_group(worker.pid, Signal::KILL);
        }
        let _ = kill_process(worker.pid, Signal::KILL);
    }
    if record.guard.alive().is_some() {
        found = true;
        if !is_gone(record.guard, GUARD_PATIENCE) {
            let _ = kill_process(record.guard.pid, Signal::KILL);
        }
    }
    // Who runs without the two is known by what its environment says.
    let mark = format!("{RUN_VARIABLE}={}", record.guard);
    for _ in 0..ROUNDS {
        let marked: Vec<ProcessId> = proc::all().filter_map(|pid| marked(pid, &mark)).collect();
        if marked.is_empty() {
            break;
        }
        found = true;
        for process in &marked {
            let _ = kill_process(process.pid, Signal::KILL);
        }
        for process in marked {
            if !is_gone(process, DEATH_PATIENCE) {
                let pid = proc::number(process.pid);
                error!(area = AREA, pid, worker_id = record.instance, "an old process cannot be killed");
                return true;
            }
        }
    }
    found
}

/// Ends what the supervisor before us left.
pub(crate) fn end_all(records: &[Record]) {
    for record in records {
        if end(record) {
            warn!(
                area = AREA,
                worker_id = record.instance,
                "processes of an earlier run were still there; killed"
            );
        }
    }
}

fn marked(pid: Pid, mark: &str) -> Option<ProcessId> {
    let id = ProcessId::of(pid).ok()?;
    (proc::has_variable(pid, mark) && id.alive().is_some()).then_some(id)
}

/// Waits until a process is dead, for so long at most.
fn is_gone(process: ProcessId, patience: Duration) -> bool {
    let Ok(descriptor) = pidfd_open(process.pid, PidfdFlags::empty()) else {
        return process.alive().is_none();
    };
    // Opened for its number, it may be somebody else's by now.
    if process.alive().is_none() {
        return true;
    }
    let timeout = Timespec { tv_sec: i64::try_from(patience.as_secs()).unwrap_or(i64::MAX), tv_nsec: 0 };
    let dead = poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], Some(&timeout));
    dead.is_ok_and(|ready| ready > 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::process::CommandExt;
    use std::process::{Child, Command};

    /// A process with a child of its own, in a group of their own.
    fn group() -> (Child, ProcessId) {
        let child = Command::new("sh").args(["-c", "sleep 1000 & wait"]).process_group(0).spawn().unwrap();
        let id = ProcessId::of(Pid::from_child(&child)).unwrap();
        (child, id)
    }

    fn not(id: ProcessId) -> ProcessId {
        ProcessId { start: id.start + 1, ..id }
    }

    fn record(guard: ProcessId, worker: ProcessId) -> Record {
        Record { instance: "crawler-1".to_owned(), guard, worker: Some(worker) }
    }

    #[test]
    fn who_only_has_the_number_of_an_old_process_is_left_alone() {
        let (mut child, id) = group();
        assert!(!end(&record(not(id), not(id))));
        assert!(id.alive().is_some());
        assert!(end(&record(not(id), id)));
        assert!(id.alive().is_none());
        child.wait().unwrap();
    }
}
