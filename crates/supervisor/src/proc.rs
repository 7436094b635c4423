//! What the kernel tells about processes, in `/proc`.

use std::fmt;
use std::fs;
use std::io;
use std::path::Path;

use rustix::process::Pid;

/// A process for ever: its id may be used again, its id and start together not before the machine starts anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ProcessId {
    pub(crate) pid: Pid,
    /// When it started, in ticks since the start of the machine.
    pub(crate) start: u64,
}

impl ProcessId {
    /// The process that has this id now.
    pub(crate) fn of(pid: Pid) -> io::Result<Self> {
        Ok(Self { pid, start: stat(pid)?.start })
    }

    /// What `/proc` says of it if it still lives; a zombie does not.
    pub(crate) fn alive(self) -> Option<Stat> {
        stat(self.pid).ok().filter(|stat| stat.start == self.start && !stat.zombie)
    }
}

/// Two numbers with a dash between them.
impl fmt::Display for ProcessId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}-{}", self.pid.as_raw_nonzero(), self.start)
    }
}

impl std::str::FromStr for ProcessId {
    type Err = ();

    fn from_str(text: &str) -> Result<Self, ()> {
        let (pid, start) = text.split_once('-').ok_or(())?;
        let pid = pid.parse().ok().and_then(Pid::from_raw).ok_or(())?;
        Ok(Self { pid, start: start.parse().map_err(drop)? })
    }
}

/// A process id as people know it.
pub(crate) fn number(pid: Pid) -> u32 {
    pid.as_raw_nonzero().get().unsigned_abs()
}

/// What we use of `/proc/PID/stat`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Stat {
    pub(crate) zombie: bool,
    pub(crate) parent: i32,
    pub(crate) group: i32,
    pub(crate) start: u64,
}

pub(crate) fn stat(pid: Pid) -> io::Result<Stat> {
    let text = read(pid, "stat")?;
    parse_stat(&text)
        .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "/proc/PID/stat reads strangely"))
}

/// The second field is the program's name in parentheses, which may hold anything; the third is the state.
fn parse_stat(text: &str) -> Option<Stat> {
    let (_, rest) = text.rsplit_once(')')?;
    let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
    Some(Stat {
        zombie: matches!(*fields.first()?, "Z" | "X"),
        parent: fields.get(1)?.parse().ok()?,
        group: fields.get(2)?.parse().ok()?,
        start: fields.get(19)?.parse().ok()?,
    })
}

fn read(pid: Pid, file: &str) -> io::Result<String> {
    // A program's name need not be UTF-8.
    let bytes = fs::read(format!("/proc/{}/{file}", pid.as_raw_nonzero()))?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

/// Every process that we can see.
pub(crate) fn all() -> impl Iterator<Item = Pid> {
    pids(Path::new("/proc"))
}

fn pids(folder: &Path) -> impl Iterator<Item = Pid> + use<> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter_map(|entry| Pid::from_raw(entry.file_name().to_str()?.parse().ok()?))
}

/// The children of a process, dead ones that nobody waited for included.
pub(crate) fn children(pid: Pid) -> Vec<Pid> {
    // Most kernels list them; with one that does not, everybody is asked for their parent.
    if !Path::new("/proc/thread-self/children").exists() {
        return children_by_parent(pid);
    }
    let tasks = format!("/proc/{}/task", pid.as_raw_nonzero());
    let lists = pids(Path::new(&tasks))
        .filter_map(|task| fs::read_to_string(format!("{tasks}/{}/children", task.as_raw_nonzero())).ok());
    lists.flat_map(|list| parse_pids(&list)).collect()
}

fn parse_pids(list: &str) -> Vec<Pid> {
    list.split_ascii_whitespace().filter_map(|pid| Pid::from_raw(pid.parse().ok()?)).collect()
}

fn children_by_parent(parent: Pid) -> Vec<Pid> {
    let parent = parent.as_raw_nonzero().get();
    all().filter(|pid| stat(*pid).is_ok_and(|stat| stat.parent == parent)).collect()
}

/// All processes below one.
pub(crate) fn descendants(root: Pid) -> Vec<Pid> {
    let mut found = children(root);
    let mut next = 0;
    while let Some(pid) = found.get(next) {
        let below = children(*pid);
        // A process that moves meanwhile may be seen twice.
        let new: Vec<Pid> = below.into_iter().filter(|pid| !found.contains(pid)).collect();
        found.extend(new);
        next += 1;
    }
    found
}

/// The bytes of memory that a process holds, in the machine or swapped out, shared ones in full. Cheap.
pub(crate) fn held(pid: Pid) -> Option<u64> {
    sum(&read(pid, "status").ok()?, ["VmRSS:", "VmSwap:"])
}

/// The same with shared ones by its share. The kernel walks through all of its memory for it.
pub(crate) fn held_by_share(pid: Pid) -> Option<u64> {
    sum(&read(pid, "smaps_rollup").ok()?, ["Pss:", "SwapPss:"])
}

/// Two fields in kibibytes, as bytes.
fn sum(text: &str, names: [&str; 2]) -> Option<u64> {
    let [first, second] = names.map(|name| field(text, name)?.parse::<u64>().ok());
    Some((first? + second?) * 1_024)
}

/// How many processes the kernel has killed for want of memory.
pub(crate) fn oom_kills() -> Option<u64> {
    field(&fs::read_to_string("/proc/vmstat").ok()?, "oom_kill")?.parse().ok()
}

/// The word after the first word of a line.
fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let mut words = line.split_ascii_whitespace();
        (words.next() == Some(name)).then(|| words.next()).flatten()
    })
}

/// Whether a process was started with this variable in its environment. Not for those whose memory we may not read.
pub(crate) fn has_variable(pid: Pid, assignment: &str) -> bool {
    let environment = fs::read(format!("/proc/{}/environ", pid.as_raw_nonzero())).unwrap_or_default();
    environment.split(|byte| *byte == 0).any(|variable| variable == assignment.as_bytes())
}

/// Tells this start of the machine from any other.
pub(crate) fn boot_id() -> io::Result<String> {
    Ok(fs::read_to_string("/proc/sys/kernel/random/boot_id")?.trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::{Command, Stdio};

    fn me() -> Pid {
        rustix::process::getpid()
    }

    #[test]
    fn a_name_may_hold_anything() {
        let line = "42 (a) R 1 (b)) S 7 40 40 0 -1 0 0 0 0 0 0 0 0 0 20 0 1 0 12345 9 9";
        let stat = Stat { zombie: false, parent: 7, group: 40, start: 12_345 };
        assert_eq!(parse_stat(line), Some(stat));
        assert_eq!(parse_stat("42 (a) S 7 40"), None);
        assert_eq!(parse_stat(""), None);
    }

    #[test]
    fn an_id_and_a_start_are_one_process() {
        let own = ProcessId::of(me()).unwrap();
        assert!(own.alive().is_some());
        assert!(ProcessId { start: own.start + 1, ..own }.alive().is_none());
        assert_eq!(own.to_string().parse(), Ok(own));
        for wrong in ["", "1", "-5", "0-1", "x-1", "1-x", "-1-2"] {
            assert_eq!(wrong.parse::<ProcessId>(), Err(()), "{wrong}");
        }
    }

    #[test]
    fn the_dead_are_not_alive_though_nobody_waited() {
        let mut child = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
        let id = ProcessId::of(Pid::from_child(&child)).unwrap();
        assert!(id.alive().is_some());
        assert!(descendants(me()).contains(&id.pid));
        assert!(children_by_parent(me()).contains(&id.pid));
        drop(child.stdin.take());
        let dead = rustix::process::WaitIdOptions::EXITED | rustix::process::WaitIdOptions::NOWAIT;
        rustix::process::waitid(rustix::process::WaitId::Pid(id.pid), dead).unwrap();
        assert!(id.alive().is_none());
        assert!(children(me()).contains(&id.pid), "a zombie is still a child");
        child.wait().unwrap();
    }

    #[test]
    fn memory_is_measured_in_bytes() {
        let (held, by_share) = (held(me()).unwrap(), held_by_share(me()).unwrap());
        assert!(held > 500_000 && by_share > 100_000, "{held} {by_share}");
        assert_eq!(sum("VmRSS:  10 kB\nVmSwap:\t2 kB\n", ["VmRSS:", "VmSwap:"]), Some(12_288));
    }

    #[test]
    fn the_environment_is_that_of_the_start() {
        let mut child = Command::new("cat")
            .env_clear()
            .env("PATH", "/usr/bin:/bin")
            .env("MARK", "12-34")
            .stdin(Stdio::piped())
            .spawn()
            .unwrap();
        let pid = Pid::from_child(&child);
        assert!(has_variable(pid, "MARK=12-34"));
        assert!(!has_variable(pid, "MARK=12-3") && !has_variable(pid, "ARK=12-34"));
        drop(child.stdin.take());
        child.wait().unwrap();
    }

    #[test]
    fn fields_are_found_by_their_whole_name() {
        assert_eq!(field("a 1\noom_kill_x 2\noom_kill 3\n", "oom_kill"), Some("3"));
        assert_eq!(field("a 1\n", "b"), None);
        assert!(oom_kills().is_some());
        assert_eq!(boot_id().unwrap().len(), 36);
    }
}
