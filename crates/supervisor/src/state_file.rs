//! Which processes run, written down for the supervisor that comes after us.
//!
//! ```text
//! reclaimer-workers 1 BOOT-ID
//! INSTANCE GUARD-PID-START WORKER-PID-START
//! ```
//!
//! Every version of the file replaces the one before at once. It is not flushed to the disk: what the machine forgets when
//! it goes down is of processes that went down with it.

use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::FlockOperation;

use crate::proc::{self, ProcessId};

/// One process of a worker, with its guard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Record {
    pub(crate) instance: String,
    pub(crate) guard: ProcessId,
    /// `None` when the guard has not told yet.
    pub(crate) worker: Option<ProcessId>,
}

/// The file, held by us alone.
#[derive(Debug)]
pub(crate) struct StateFile {
    path: PathBuf,
    boot: String,
    records: Vec<Record>,
    _lock: File,
}

/// Why a state file cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum OpenError {
    #[error("in use")]
    Taken,
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl StateFile {
    /// Takes the file over; answers also what the supervisor before us left in it.
    pub(crate) fn open(path: &Path) -> Result<(Self, Vec<Record>), OpenError> {
        let lock = File::options()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(with_suffix(path, ".lock"))?;
        rustix::fs::flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| {
            if error == rustix::io::Errno::WOULDBLOCK {
                OpenError::Taken
            } else {
                OpenError::Io(error.into())
            }
        })?;
        let boot = proc::boot_id()?;
        let text = match fs::read(path) {
            Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(error.into()),
        };
        let left = parse(&text, &boot);
        Ok((Self { path: path.to_owned(), boot, records: left.clone(), _lock: lock }, left))
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) -> io::Result<()> {
        self.records.clear();
        self.write()
    }

    /// Adds a record, or replaces the one of the same guard.
    pub(crate) fn put(&mut self, record: Record) -> io::Result<()> {
        self.records.retain(|other| other.guard != record.guard);
        self.records.push(record);
        self.write()
    }

    pub(crate) fn remove(&mut self, guard: ProcessId) -> io::Result<()> {
        self.records.retain(|record| record.guard != guard);
        self.write()
    }

    fn write(&self) -> io::Result<()> {
        let new = with_suffix(&self.path, ".new");
        let mut file = File::options().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
        file.write_all(format(&self.records, &self.boot).as_bytes())?;
        fs::rename(&new, &self.path)
    }
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

const TITLE: &str = "reclaimer-workers 1";

fn format(records: &[Record], boot: &str) -> String {
    let mut text = format!("{TITLE} {boot}\n");
    for Record { instance, guard, worker } in records {
        let worker = worker.map_or("-".to_owned(), |worker| worker.to_string());
        // Writing to a string cannot fail.
        let _ = writeln!(text, "{instance} {guard} {worker}");
    }
    text
}

/// What of the text is about processes of this start of the machine. A line that is none is passed over: a file may be torn
/// if the machine went down, and then says nothing of the present.
fn parse(text: &str, boot: &str) -> Vec<Record> {
    let mut lines = text.lines();
    if lines.next() != Some(&format!("{TITLE} {boot}")) {
        return Vec::new();
    }
    lines.filter_map(parse_record).collect()
}

fn parse_record(line: &str) -> Option<Record> {
    let words: Vec<&str> = line.split(' ').collect();
    let [instance, guard, worker] = *words.as_slice() else { return None };
    let worker = match worker {
        "-" => None,
        worker => Some(worker.parse().ok()?),
    };
    Some(Record { instance: instance.to_owned(), guard: guard.parse().ok()?, worker })
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::process::Pid;

    fn id(pid: i32) -> ProcessId {
        ProcessId { pid: Pid::from_raw(pid).unwrap(), start: 7 }
    }

    fn record(pid: i32) -> Record {
        Record { instance: format!("crawler-{pid}"), guard: id(pid), worker: Some(id(pid + 1)) }
    }

    #[test]
    fn what_one_supervisor_leaves_the_next_one_finds() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("workers");
        let (mut file, left) = StateFile::open(&path).unwrap();
        assert_eq!(left, []);
        for pid in [10, 20, 30] {
            file.put(Record { worker: None, ..record(pid) }).unwrap();
            file.put(record(pid)).unwrap();
        }
        file.put(Record { worker: None, ..record(40) }).unwrap();
        file.remove(id(20)).unwrap();
        assert!(matches!(StateFile::open(&path), Err(OpenError::Taken)), "two at once");
        drop(file);

        let (mut file, left) = StateFile::open(&path).unwrap();
        assert_eq!(left, [record(10), record(30), Record { worker: None, ..record(40) }]);
        file.clear().unwrap();
        drop(file);
        assert_eq!(StateFile::open(&path).unwrap().1, []);
    }

    #[test]
    fn another_start_of_the_machine_and_torn_files_say_nothing() {
        let text = format(&[record(10)], "boot-1");
        assert_eq!(parse(&text, "boot-1"), [record(10)]);
        assert_eq!(parse(&text, "boot-2"), []);
        for cut in 0..text.len() - 1 {
            assert!(parse(&text[..cut], "boot-1").iter().all(|found| found.guard == id(10)), "{cut}");
        }
        assert_eq!(parse("\0\0\0", "boot-1"), []);
        assert_eq!(parse("reclaimer-workers 1 boot-1\na b c d\nx 1-1 y\n\n", "boot-1"), []);
    }
}
