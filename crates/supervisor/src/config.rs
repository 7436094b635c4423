//! Settings of a supervisor.

use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

use crate::spec::Spec;

/// What is supervised, and with what means.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The workers.
    pub workers: Vec<Spec>,
    /// The program between us and each process of a worker.
    pub launcher: Launcher,
    /// Where it is written down which processes run, for the supervisor that comes after us. A file `<state_file>.lock`
    /// beside it keeps two supervisors from using it at once. The folder must be there.
    pub state_file: PathBuf,
    /// The variables of our own environment that workers get. Others are withheld: they may hold secrets of the server.
    pub pass_env: Vec<String>,
    /// Between two attempts to start a process that is given up, give or take a fifth; a day at most.
    pub slow_retry: Duration,
}

/// What a program needs to find others, to know where it may write, and to speak and reckon as its user does.
const PASSED: [&str; 10] =
    ["PATH", "HOME", "USER", "LOGNAME", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TMPDIR"];

/// Whatever the settings say, a process that is given up is tried not without a pause, and not only when nobody remembers it.
const SHORTEST_RETRY: Duration = Duration::from_millis(10);
const LONGEST_RETRY: Duration = Duration::from_secs(86_400);

impl Config {
    /// The same settings, with one that would make the supervisor spin or stand still brought into range.
    pub(crate) fn in_range(mut self) -> Self {
        self.slow_retry = self.slow_retry.clamp(SHORTEST_RETRY, LONGEST_RETRY);
        self
    }

    /// The usual settings.
    #[must_use]
    pub fn new(workers: Vec<Spec>, launcher: Launcher, state_file: impl Into<PathBuf>) -> Self {
        Self {
            workers,
            launcher,
            state_file: state_file.into(),
            pass_env: PASSED.map(str::to_owned).to_vec(),
            slow_retry: Duration::from_secs(300),
        }
    }
}

/// How the launcher is called.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Launcher {
    pub(crate) program: PathBuf,
    pub(crate) args: Vec<OsString>,
}

impl Launcher {
    /// This very program, which answers to `args` with [`launcher::run`](crate::launcher::run). Also when its file was
    /// replaced by a newer version meanwhile: the kernel still knows the one that runs.
    #[must_use]
    pub fn this_program(args: impl IntoIterator<Item = impl Into<OsString>>) -> Self {
        Self { program: "/proc/self/exe".into(), args: args.into_iter().map(Into::into).collect() }
    }

    /// A program of its own, as `reclaimer-launcher` is; of the same version as this crate.
    #[must_use]
    pub fn at(program: impl Into<PathBuf>) -> Self {
        Self { program: program.into(), args: Vec::new() }
    }
}
