//! A supervisor with a listener that tells the test, and ways to know processes.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rand::{SeedableRng, rngs::StdRng};
use reclaimer_supervisor::{
    AskToFinish, Config, Deps, Ended, GivenUp, Handle, Instance, Launcher, Listener, RunError, Spec, Stream,
    Supervisor, View,
};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};
use tempfile::TempDir;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longer than anything takes on the busiest machine.
const PATIENCE: Duration = Duration::from_secs(60);

/// Something that the supervisor told.
#[derive(Debug)]
pub(crate) enum Event {
    Started(u32),
    Ready(Instance),
    Ended(Arc<Ended>),
    GivenUp(GivenUp),
    Recovered(Instance),
}

#[derive(Debug)]
struct Told(mpsc::UnboundedSender<Event>);

impl Told {
    fn tell(&self, event: Event) {
        // The test may be over.
        let _ = self.0.send(event);
    }
}

impl Listener for Told {
    fn started(&self, _: &Instance, pid: u32) {
        self.tell(Event::Started(pid));
    }

    fn ready(&self, instance: &Instance) {
        self.tell(Event::Ready(instance.clone()));
    }

    fn ended(&self, ended: &Arc<Ended>) {
        self.tell(Event::Ended(Arc::clone(ended)));
    }

    fn given_up(&self, given_up: &GivenUp) {
        self.tell(Event::GivenUp(given_up.clone()));
    }

    fn recovered(&self, instance: &Instance) {
        self.tell(Event::Recovered(instance.clone()));
    }
}

/// What a test may set.
pub(crate) struct Setup {
    pub(crate) workers: Vec<Spec>,
    pub(crate) ask: Arc<dyn AskToFinish>,
    pub(crate) slow_retry: Duration,
    pub(crate) launcher: Launcher,
}

impl Setup {
    pub(crate) fn of(workers: impl Into<Vec<Spec>>) -> Self {
        Self {
            workers: workers.into(),
            ask: Arc::new(()),
            slow_retry: Duration::from_secs(3_600),
            launcher: launcher(),
        }
    }
}

pub(crate) fn launcher() -> Launcher {
    Launcher::at(env!("CARGO_BIN_EXE_reclaimer-launcher"))
}

/// What a supervisor needs that nobody listens to.
pub(crate) fn deps() -> Deps {
    Deps { listener: Arc::new(()), ask: Arc::new(()), rng: StdRng::seed_from_u64(7) }
}

/// A supervisor that runs.
pub(crate) struct Rig {
    pub(crate) handle: Handle,
    events: mpsc::UnboundedReceiver<Event>,
    shutdown: CancellationToken,
    task: JoinHandle<Result<(), RunError>>,
    pub(crate) folder: TempDir,
}

impl Rig {
    pub(crate) fn start(workers: impl Into<Vec<Spec>>) -> Self {
        Self::with(Setup::of(workers))
    }

    pub(crate) fn with(setup: Setup) -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self::with_in(setup, folder)
    }

    pub(crate) fn with_in(setup: Setup, folder: TempDir) -> Self {
        let (tell, events) = mpsc::unbounded_channel();
        let mut config = Config::new(setup.workers, setup.launcher, state_file(folder.path()));
        config.slow_retry = setup.slow_retry;
        let deps = Deps { listener: Arc::new(Told(tell)), ask: setup.ask, ..deps() };
        let (supervisor, handle) = Supervisor::new(config, deps).unwrap();
        let shutdown = CancellationToken::new();
        let task = tokio::spawn(supervisor.run(shutdown.clone()));
        Self { handle, events, shutdown, task, folder }
    }

    pub(crate) async fn next(&mut self) -> Event {
        tokio::time::timeout(PATIENCE, self.events.recv()).await.unwrap().unwrap()
    }

    /// The next process that starts; its pid.
    pub(crate) async fn started(&mut self) -> Pid {
        loop {
            if let Event::Started(pid) = self.next().await {
                return Pid::from_raw(i32::try_from(pid).unwrap()).unwrap();
            }
        }
    }

    /// The next end.
    pub(crate) async fn ended(&mut self) -> Arc<Ended> {
        loop {
            if let Event::Ended(ended) = self.next().await {
                return ended;
            }
        }
    }

    /// The next time that somebody is given up.
    pub(crate) async fn given_up(&mut self) -> GivenUp {
        loop {
            if let Event::GivenUp(given_up) = self.next().await {
                return given_up;
            }
        }
    }

    /// The next time that somebody recovers.
    pub(crate) async fn recovered(&mut self) -> Instance {
        loop {
            if let Event::Recovered(instance) = self.next().await {
                return instance;
            }
        }
    }

    /// Nothing was told that the test did not hear.
    pub(crate) fn quiet(&mut self) {
        let more = self.events.try_recv();
        assert!(more.is_err(), "{more:?}");
    }

    /// The first process.
    pub(crate) fn view(&self) -> View {
        self.handle.workers().remove(0)
    }

    /// Stops in order; answers what was told meanwhile.
    pub(crate) async fn stop(mut self) -> Vec<Event> {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, &mut self.task).await.unwrap().unwrap().unwrap();
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }

    /// Stops in order, and leaves the folder.
    pub(crate) async fn stop_and_leave(self) -> TempDir {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.task).await.unwrap().unwrap().unwrap();
        self.folder
    }

    /// Drops what keeps the workers, as a program does whose runtime ends.
    pub(crate) async fn abort(self) -> TempDir {
        self.task.abort();
        assert!(self.task.await.unwrap_err().is_cancelled());
        self.folder
    }
}

pub(crate) fn state_file(folder: &Path) -> PathBuf {
    folder.join("workers")
}

/// A worker that runs a shell script.
pub(crate) fn sh(script: &str) -> Spec {
    Spec { args: vec!["-c".to_owned(), script.to_owned()], ..Spec::new("worker", "/bin/sh") }
}

/// What an ended process wrote to its standard output, line by line.
pub(crate) fn lines(ended: &Ended) -> Vec<&str> {
    let said = ended.output.iter().filter(|line| line.stream == Stream::Stdout);
    said.map(|line| line.text.as_str()).collect()
}

/// A process that is known for certain, whatever becomes of its number.
#[derive(Debug)]
pub(crate) struct Process {
    pub(crate) pid: Pid,
    descriptor: std::os::fd::OwnedFd,
}

impl Process {
    pub(crate) fn of(pid: Pid) -> Self {
        Self { pid, descriptor: pidfd_open(pid, PidfdFlags::empty()).unwrap() }
    }

    pub(crate) fn numbered(text: &str) -> Self {
        Self::of(Pid::from_raw(text.trim().parse().unwrap()).unwrap())
    }

    /// Its parent, as a guard is of its worker.
    pub(crate) fn parent(&self) -> Self {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid.as_raw_nonzero())).unwrap();
        let after_name = stat.rsplit_once(") ").unwrap().1;
        Self::numbered(after_name.split(' ').nth(1).unwrap())
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).unwrap();
    }

    /// Waits until it is dead; whether it is within the patience.
    fn dies_within(&self, patience: Duration) -> bool {
        let timeout = Timespec { tv_sec: i64::try_from(patience.as_secs()).unwrap(), tv_nsec: 0 };
        poll(&mut [PollFd::new(&self.descriptor, PollFlags::IN)], Some(&timeout)).unwrap() > 0
    }

    pub(crate) fn is_dead(&self) -> bool {
        self.dies_within(Duration::ZERO)
    }

    pub(crate) async fn dies(self) {
        assert!(tokio::task::spawn_blocking(move || self.dies_within(PATIENCE)).await.unwrap());
    }
}

/// A pipe with a name, through which scripts tell tests something.
pub(crate) struct Fifo(PathBuf);

impl Fifo {
    pub(crate) fn new(folder: &Path, name: &str) -> Self {
        let path = folder.join(name);
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::from_bits_truncate(0o666)).unwrap();
        Self(path)
    }

    pub(crate) fn path(&self) -> std::path::Display<'_> {
        self.0.display()
    }

    /// What somebody writes, from opening to closing it.
    pub(crate) async fn read(&self) -> String {
        let path = self.0.clone();
        let read = tokio::task::spawn_blocking(move || std::fs::read_to_string(path).unwrap());
        tokio::time::timeout(PATIENCE, read).await.unwrap().unwrap()
    }

    /// The processes whose numbers somebody writes.
    pub(crate) async fn processes(&self) -> Vec<Process> {
        self.read().await.split_ascii_whitespace().map(Process::numbered).collect()
    }

    /// Lets somebody go on who reads.
    pub(crate) async fn release(&self) {
        let path = self.0.clone();
        let write = tokio::task::spawn_blocking(move || std::fs::write(path, "go\n").unwrap());
        tokio::time::timeout(PATIENCE, write).await.unwrap().unwrap();
    }
}
