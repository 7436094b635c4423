//! What a worker is: its command, and how it is kept alive.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::instance::Instance;

/// A worker of which one or more processes are kept alive. Plain data; checked by
/// [`Supervisor::new`](crate::Supervisor::new).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spec {
    /// Its name, in logs, in [`Instance`] and in the handle.
    pub name: String,
    /// The program: a path, or a name that is looked up in `PATH`. A relative path counts from `dir`.
    pub command: PathBuf,
    /// The program's arguments.
    pub args: Vec<String>,
    /// Its environment, beside the few variables that every worker gets ([`Config::pass_env`](crate::Config::pass_env)).
    pub env: BTreeMap<String, String>,
    /// Where it runs; `None` = where we do.
    pub dir: Option<PathBuf>,
    /// How many processes of it run at a time.
    pub count: u32,
    /// As whom it runs, by name; `None` = as us. Another user needs root.
    pub user: Option<String>,
    /// When a process that ended by itself is started again.
    pub restart: Restart,
    /// Before the first restart; it doubles with each further one, up to a bound that keeps `max_restarts` reachable.
    pub restart_delay: Duration,
    /// At most so many restarts `within` are tried before the process counts as given up.
    pub max_restarts: u32,
    /// The window of `max_restarts`. A process that was ready for so long counts as stable: its restarts are forgotten.
    pub within: Duration,
    /// How long a start may take until the process is said to be ready; `None` = it is ready as soon as it runs.
    pub ready_within: Option<Duration>,
    /// Between `SIGTERM` and `SIGKILL`, and the longest that its last request to finish may take before `SIGTERM`.
    pub stop_grace: Duration,
    /// How many bytes of memory its processes may hold together. See the crate's documentation for how it is kept.
    pub memory_limit: Option<u64>,
    /// How many files each of its processes may have open; `None` = as many as we may.
    pub open_files: Option<u64>,
    /// How long a ready process may stay silent before it counts as deaf; `None` = for ever.
    pub liveness: Option<Duration>,
    /// What happens to a process that used up `max_restarts`.
    pub on_exhausted: OnExhausted,
}

impl Spec {
    /// A worker with one process, always restarted, and nothing special about it.
    #[must_use]
    pub fn new(name: impl Into<String>, command: impl Into<PathBuf>) -> Self {
        Self {
            name: name.into(),
            command: command.into(),
            args: Vec::new(),
            env: BTreeMap::new(),
            dir: None,
            count: 1,
            user: None,
            restart: Restart::default(),
            restart_delay: Duration::from_secs(1),
            max_restarts: 5,
            within: Duration::from_secs(60),
            ready_within: None,
            stop_grace: Duration::from_secs(10),
            memory_limit: None,
            open_files: None,
            liveness: None,
            on_exhausted: OnExhausted::default(),
        }
    }

    /// The worker's instances, in order.
    pub(crate) fn instances(&self) -> impl Iterator<Item = Instance> {
        (1..=self.count).map(|number| Instance::new(&self.name, number))
    }

    /// The longest that a restart is delayed, jitter aside: a process that ends at once reaches `max_restarts` in little
    /// more than half of the window, however its delay grows.
    pub(crate) fn longest_delay(&self) -> Duration {
        self.within / self.max_restarts.max(1).saturating_mul(2)
    }
}

/// When a process that ended by itself is started again. Exit codes 64 (wrong usage) and 78 (wrong configuration) say
/// that a restart cannot help, and are believed: such a process is never restarted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Restart {
    /// Whatever its end.
    #[default]
    Always,
    /// Unless it exited with code 0.
    OnFailure,
    /// Never.
    Never,
}

/// What happens to a process that ended more often than its limit allows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum OnExhausted {
    /// It is tried again every [`Config::slow_retry`](crate::Config::slow_retry), until it is stable.
    #[default]
    Slow,
    /// It stays away until somebody restarts it.
    Hold,
}

/// What a worker's numbers must be within.
const COUNT: RangeInclusive<u32> = 1..=100;
const MAX_RESTARTS: RangeInclusive<u32> = 0..=1_000;
const WITHIN: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(86_400);
const RESTART_DELAY: RangeInclusive<Duration> = Duration::from_millis(10)..=Duration::from_secs(3_600);
const PATIENCE: RangeInclusive<Duration> = Duration::from_millis(100)..=Duration::from_secs(3_600);
const STOP_GRACE: RangeInclusive<Duration> = Duration::ZERO..=Duration::from_secs(3_600);
const MEMORY: RangeInclusive<u64> = 1_048_576..=1 << 50;
const OPEN_FILES: RangeInclusive<u64> = 16..=1_048_576;
const LONGEST_NAME: usize = 64;

/// Why workers cannot be kept as they are written down.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SpecError {
    /// The name is none.
    #[error("`{0}` is no name for a worker; it takes 1 to 64 letters, digits, `-` and `_`")]
    Name(String),
    /// Two processes would have one name.
    #[error("two workers have a process `{0}`; rename one of the workers")]
    SameName(String),
    /// There is no program.
    #[error("worker `{0}` has no command; give the program to run")]
    NoCommand(String),
    /// A text holds a zero byte, which no program can be given.
    #[error("worker `{worker}`: {field} holds a zero byte; remove it")]
    ZeroByte {
        /// The worker.
        worker: String,
        /// What of it.
        field: &'static str,
    },
    /// A variable's name is none.
    #[error("worker `{worker}`: `{variable}` is no name for a variable; it is not empty and has no `=`")]
    Variable {
        /// The worker.
        worker: String,
        /// The name.
        variable: String,
    },
    /// A variable is ours to set.
    #[error("worker `{worker}`: {variable} is set by the supervisor; choose another name")]
    Reserved {
        /// The worker.
        worker: String,
        /// The name.
        variable: String,
    },
    /// A number or a time is out of range.
    #[error("worker `{worker}`: {field} is {value}; it takes {least} to {most}")]
    OutOfRange {
        /// The worker.
        worker: String,
        /// What of it.
        field: &'static str,
        /// What it is.
        value: String,
        /// The least that is allowed.
        least: String,
        /// The most that is allowed.
        most: String,
    },
    /// The first delays alone would take longer than the window.
    #[error(
        "worker `{worker}`: restart_delay is {delay:?}; with {max_restarts} restarts within {within:?} it takes at most \
         {most:?}, or a process that ends at once would never be given up"
    )]
    SlowDelay {
        /// The worker.
        worker: String,
        /// What it is.
        delay: Duration,
        /// The limit.
        max_restarts: u32,
        /// The limit's window.
        within: Duration,
        /// The most that is allowed.
        most: Duration,
    },
}

/// The variables that say who a worker is.
pub(crate) const NAME_VARIABLE: &str = "RECLAIMER_WORKER";
pub(crate) const RUN_VARIABLE: &str = "RECLAIMER_WORKER_RUN";

/// Checks all workers.
pub(crate) fn check(workers: &[Spec]) -> Result<(), SpecError> {
    let mut names = BTreeSet::new();
    for worker in workers {
        check_one(worker)?;
        for instance in worker.instances() {
            if !names.insert(instance.as_str().to_owned()) {
                return Err(SpecError::SameName(instance.to_string()));
            }
        }
    }
    // A worker named as a process of another would leave open which of them somebody means.
    match workers.iter().find(|worker| names.contains(&worker.name)) {
        Some(worker) => Err(SpecError::SameName(worker.name.clone())),
        None => Ok(()),
    }
}

fn check_one(worker: &Spec) -> Result<(), SpecError> {
    let name = &worker.name;
    let allowed = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    if name.is_empty() || name.len() > LONGEST_NAME || !name.chars().all(allowed) {
        return Err(SpecError::Name(name.clone()));
    }
    if worker.command.as_os_str().is_empty() {
        return Err(SpecError::NoCommand(name.clone()));
    }
    check_texts(worker)?;
    let range = Ranges(name);
    range.check("count", worker.count, &COUNT)?;
    range.check("max_restarts", worker.max_restarts, &MAX_RESTARTS)?;
    range.check_time("within", worker.within, &WITHIN)?;
    range.check_time("restart_delay", worker.restart_delay, &RESTART_DELAY)?;
    range.check_time("stop_grace", worker.stop_grace, &STOP_GRACE)?;
    for (field, time) in [("ready_within", worker.ready_within), ("liveness", worker.liveness)] {
        time.map_or(Ok(()), |time| range.check_time(field, time, &PATIENCE))?;
    }
    worker.memory_limit.map_or(Ok(()), |bytes| range.check("memory_limit", bytes, &MEMORY))?;
    worker.open_files.map_or(Ok(()), |files| range.check("open_files", files, &OPEN_FILES))?;
    let most = worker.longest_delay();
    if worker.restart_delay > most {
        return Err(SpecError::SlowDelay {
            worker: name.clone(),
            delay: worker.restart_delay,
            max_restarts: worker.max_restarts,
            within: worker.within,
            most,
        });
    }
    Ok(())
}

fn check_texts(worker: &Spec) -> Result<(), SpecError> {
    let zero = |path: &Path| path.as_os_str().as_encoded_bytes().contains(&0);
    let texts = [
        ("command", zero(&worker.command)),
        ("args", worker.args.iter().any(|arg| arg.contains('\0'))),
        ("env", worker.env.iter().any(|(name, value)| name.contains('\0') || value.contains('\0'))),
        ("dir", worker.dir.as_deref().is_some_and(zero)),
        ("user", worker.user.as_ref().is_some_and(|user| user.contains('\0'))),
    ];
    if let Some((field, _)) = texts.into_iter().find(|(_, zero)| *zero) {
        return Err(SpecError::ZeroByte { worker: worker.name.clone(), field });
    }
    for variable in worker.env.keys() {
        let (worker, variable) = (worker.name.clone(), variable.clone());
        if variable.is_empty() || variable.contains('=') {
            return Err(SpecError::Variable { worker, variable });
        }
        if variable == NAME_VARIABLE || variable == RUN_VARIABLE {
            return Err(SpecError::Reserved { worker, variable });
        }
    }
    Ok(())
}

/// Checks numbers of the worker of this name.
struct Ranges<'a>(&'a str);

impl Ranges<'_> {
    fn check<T>(&self, field: &'static str, value: T, range: &RangeInclusive<T>) -> Result<(), SpecError>
    where
        T: PartialOrd + fmt::Display,
    {
        if range.contains(&value) {
            return Ok(());
        }
        Err(self.error(field, value.to_string(), range.start().to_string(), range.end().to_string()))
    }

    fn check_time(
        &self,
        field: &'static str,
        value: Duration,
        range: &RangeInclusive<Duration>,
    ) -> Result<(), SpecError> {
        if range.contains(&value) {
            return Ok(());
        }
        let text = |time: &Duration| format!("{time:?}");
        Err(self.error(field, text(&value), text(range.start()), text(range.end())))
    }

    fn error(&self, field: &'static str, value: String, least: String, most: String) -> SpecError {
        SpecError::OutOfRange { worker: self.0.to_owned(), field, value, least, most }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn worker() -> Spec {
        Spec::new("crawler", "/bin/true")
    }

    #[track_caller]
    fn refused(change: impl FnOnce(&mut Spec)) -> String {
        let mut worker = worker();
        change(&mut worker);
        check(&[worker]).unwrap_err().to_string()
    }

    #[test]
    fn a_plain_worker_is_fine() {
        assert_eq!(check(&[worker(), Spec { count: 100, ..Spec::new("other_1", "sh") }]), Ok(()));
        let edge = Spec {
            restart_delay: SECOND * 6,
            max_restarts: 5,
            within: SECOND * 60,
            stop_grace: Duration::ZERO,
            ..worker()
        };
        assert_eq!(check(&[edge]), Ok(()));
        assert_eq!(check(&[Spec { max_restarts: 0, ..worker() }]), Ok(()));
    }

    #[test]
    fn names_are_plain() {
        for name in ["", "a b", "käfer", "a/b", &"x".repeat(65)] {
            let text = refused(|worker| name.clone_into(&mut worker.name));
            assert!(text.contains("1 to 64 letters, digits, `-` and `_`"), "{text}");
        }
    }

    #[test]
    fn nobody_is_meant_twice() {
        assert_eq!(check(&[worker(), worker()]), Err(SpecError::SameName("crawler-1".to_owned())));
        let like_an_instance = Spec::new("crawler-2", "sh");
        let two = Spec { count: 2, ..worker() };
        assert_eq!(check(&[like_an_instance.clone(), two]), Err(SpecError::SameName("crawler-2".to_owned())));
        assert_eq!(check(&[like_an_instance, worker()]), Ok(()));
    }

    #[test]
    fn texts_can_be_handed_to_a_program() {
        assert_eq!(
            refused(|worker| worker.command = PathBuf::new()),
            "worker `crawler` has no command; give the program to run"
        );
        for (field, text) in [
            ("command", refused(|worker| worker.command = "a\0b".into())),
            ("args", refused(|worker| worker.args = vec!["\0".to_owned()])),
            ("env", refused(|worker| drop(worker.env.insert("A".to_owned(), "\0".to_owned())))),
            ("dir", refused(|worker| worker.dir = Some("\0".into()))),
            ("user", refused(|worker| worker.user = Some("\0".to_owned()))),
        ] {
            assert_eq!(text, format!("worker `crawler`: {field} holds a zero byte; remove it"));
        }
        for name in ["", "A=B"] {
            let text = refused(|worker| drop(worker.env.insert(name.to_owned(), String::new())));
            assert!(text.contains("is no name for a variable"), "{text}");
        }
        let text = refused(|worker| drop(worker.env.insert(RUN_VARIABLE.to_owned(), String::new())));
        assert!(text.contains("RECLAIMER_WORKER_RUN is set by the supervisor"), "{text}");
    }

    #[test]
    fn numbers_are_within_their_range_and_the_error_says_which() {
        let text = refused(|worker| worker.count = 0);
        assert_eq!(text, "worker `crawler`: count is 0; it takes 1 to 100");
        let text = refused(|worker| worker.ready_within = Some(Duration::from_millis(99)));
        assert_eq!(text, "worker `crawler`: ready_within is 99ms; it takes 100ms to 3600s");
        for (field, text) in [
            ("max_restarts", refused(|worker| worker.max_restarts = 1_001)),
            ("within", refused(|worker| worker.within = Duration::ZERO)),
            ("restart_delay", refused(|worker| worker.restart_delay = Duration::ZERO)),
            ("stop_grace", refused(|worker| worker.stop_grace = Duration::MAX)),
            ("liveness", refused(|worker| worker.liveness = Some(Duration::ZERO))),
            ("memory_limit", refused(|worker| worker.memory_limit = Some(1_000))),
            ("open_files", refused(|worker| worker.open_files = Some(3))),
        ] {
            assert!(text.contains(field) && text.contains("it takes"), "{text}");
        }
    }

    #[test]
    fn the_limit_can_be_reached() {
        let text = refused(|worker| worker.restart_delay = SECOND * 7);
        assert!(text.contains("with 5 restarts within 60s it takes at most 6s"), "{text}");
    }
}
