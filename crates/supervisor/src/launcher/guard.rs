//! Standing between a supervisor and one process of a worker.

use std::fs::File;
use std::io::{self, PipeReader, Read, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode, Stdio};

use nix::sys::resource::{UsageWho, getrusage};
use nix::sys::signal::{SigSet, Signal as Caught};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::io::Errno;
use rustix::process::{
    Pid, Signal, WaitId, WaitIdOptions, WaitOptions, getpid, getppid, kill_process, kill_process_group,
};
use rustix::time::{Itimerspec, TimerfdClockId, TimerfdFlags, TimerfdTimerFlags};

use super::enter::take_stdin;
use super::orders::{Enter, Guard as Orders};
use super::scale::Scale;
use crate::proc::{self, ProcessId};
use crate::report::{End, KILL, Report, START, Status, TERMINATE};
use crate::spec::RUN_VARIABLE;

/// Signals that ask a guard to end; its parent's death is one of them. The others are blocked.
const ENDS: [Caught; 4] = [Caught::SIGTERM, Caught::SIGINT, Caught::SIGHUP, Caught::SIGQUIT];

/// Runs a worker until it ends, or until its supervisor does.
pub(super) fn run(orders: Orders) -> ExitCode {
    // It is the supervisor's end of the socket that matters; one that cannot be reported to is noticed by its silence.
    let Ok(mut supervisor) = take_stdin().map(UnixStream::from) else { return ExitCode::FAILURE };
    // Whoever comes after a supervisor that dies must know of us before there is anything to know.
    let mut order = [0];
    if supervisor.read_exact(&mut order).is_err() || order != [START] {
        return ExitCode::FAILURE;
    }
    let report = match Guard::start(&orders, supervisor.try_clone()) {
        Ok(guard) => guard.watch(),
        Err(error) => Report::Failed(format!("the guard cannot work: {error}")),
    };
    say(&supervisor, &report);
    ExitCode::SUCCESS
}

fn say(mut supervisor: &UnixStream, report: &Report) {
    // A supervisor that is gone needs no report, and that it is gone shows when it is listened to.
    let _ = supervisor.write_all(report.to_string().as_bytes());
}

/// A worker's guard.
struct Guard {
    /// `None` when the supervisor is gone.
    supervisor: Option<UnixStream>,
    signals: SignalFd,
    timer: OwnedFd,
    worker: ProcessId,
    /// What keeps the worker from running, as long as it does not run: closes when it does.
    entering: Option<(PipeReader, Vec<u8>)>,
    failure: Option<String>,
    scale: Scale,
    killed: bool,
}

impl Guard {
    fn start(orders: &Orders, supervisor: io::Result<UnixStream>) -> io::Result<Self> {
        let supervisor = supervisor?;
        let signals = catch_signals()?;
        // Out of reach of the terminal's keys, which are for the server.
        rustix::process::setsid()?;
        // Orphans below us fall to us.
        rustix::process::set_child_subreaper(Some(getpid()))?;
        rustix::process::set_parent_process_death_signal(Some(Signal::TERM))?;
        if getppid() != Some(orders.enter.parent) {
            return Err(io::Error::other("its supervisor is gone"));
        }
        let scale = Scale::new(orders.memory_limit);
        let timer = rustix::time::timerfd_create(
            TimerfdClockId::Monotonic,
            TimerfdFlags::CLOEXEC | TimerfdFlags::NONBLOCK,
        )?;
        let every = Timespec::try_from(scale.every()).map_err(io::Error::other)?;
        let every = Itimerspec { it_interval: every, it_value: every };
        rustix::time::timerfd_settime(&timer, TimerfdTimerFlags::empty(), &every)?;
        let (worker, entering) = start_worker(orders)?;
        Ok(Self {
            supervisor: Some(supervisor),
            signals,
            timer,
            worker,
            entering: Some((entering, Vec::new())),
            failure: None,
            scale,
            killed: false,
        })
    }

    /// Watches until the worker is dead, and buries it.
    fn watch(mut self) -> Report {
        while !self.is_dead() {
            let ready = self.wait();
            if ready.timer {
                self.weigh();
            }
            if ready.entering {
                self.read_entering();
            }
            if ready.signals {
                self.read_signals();
            }
            if ready.supervisor {
                self.read_orders();
            }
        }
        // It may have died before it was seen to run, or of what kept it from running.
        while self.entering.is_some() {
            self.read_entering();
        }
        self.bury()
    }

    fn wait(&self) -> Ready {
        let mut fds =
            vec![PollFd::new(&self.signals, PollFlags::IN), PollFd::new(&self.timer, PollFlags::IN)];
        fds.extend(self.entering.iter().map(|(pipe, _)| PollFd::new(pipe, PollFlags::IN)));
        fds.extend(self.supervisor.iter().map(|socket| PollFd::new(socket, PollFlags::IN)));
        if poll(&mut fds, None).is_err() {
            // Interrupted: by a stop and a continuation of ourselves, as everything else is blocked.
            return Ready::default();
        }
        let mut ready = fds.iter().map(|fd| !fd.revents().is_empty());
        let mut next = |there: bool| there && ready.next().unwrap_or(false);
        Ready {
            signals: next(true),
            timer: next(true),
            entering: next(self.entering.is_some()),
            supervisor: next(self.supervisor.is_some()),
        }
    }

    /// Whether the worker's process is dead; it is not waited for yet, so that its number stays its own.
    fn is_dead(&self) -> bool {
        let options = WaitIdOptions::EXITED | WaitIdOptions::NOHANG | WaitIdOptions::NOWAIT;
        !matches!(rustix::process::waitid(WaitId::Pid(self.worker.pid), options), Ok(None) | Err(Errno::INTR))
    }

    fn weigh(&mut self) {
        let mut expirations = [0; 8];
        let _ = rustix::io::read(&self.timer, &mut expirations);
        if self.scale.weigh(getpid()) {
            self.kill();
        }
    }

    /// Reads on what keeps the worker from running. The end of it with nothing said means that the worker runs.
    fn read_entering(&mut self) {
        let Some((mut pipe, mut said)) = self.entering.take() else { return };
        let mut buffer = [0; 1_024];
        match pipe.read(&mut buffer) {
            Ok(0) | Err(_) if said.is_empty() => self.say(&Report::Started(self.worker)),
            Ok(0) | Err(_) => self.failure = Some(String::from_utf8_lossy(&said).into_owned()),
            Ok(length) => {
                said.extend_from_slice(&buffer[..length]);
                self.entering = Some((pipe, said));
            }
        }
    }

    fn read_signals(&mut self) {
        while let Ok(Some(signal)) = self.signals.read_signal() {
            if signal.ssi_signo == Caught::SIGCHLD as u32 {
                self.reap_orphans();
            } else {
                self.kill();
            }
        }
    }

    /// Waits for the dead that fell to us, never for the worker itself.
    fn reap_orphans(&self) {
        for child in proc::children(getpid()) {
            if child != self.worker.pid {
                let _ = rustix::process::waitpid(Some(child), WaitOptions::NOHANG);
            }
        }
    }

    fn read_orders(&mut self) {
        let mut orders = [0; 16];
        let length = self.supervisor.as_ref().map_or(Ok(0), |mut socket| socket.read(&mut orders));
        match length {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => {
                self.supervisor = None;
                self.kill();
            }
            Ok(length) => {
                for order in &orders[..length] {
                    match *order {
                        TERMINATE => self.terminate(),
                        KILL => self.kill(),
                        _ => {}
                    }
                }
            }
        }
    }

    fn terminate(&self) {
        // A group whose last member died a moment ago cannot be signalled any more, and need not be.
        let _ = kill_process_group(self.worker.pid, Signal::TERM);
        // One that is stopped could not end.
        let _ = kill_process_group(self.worker.pid, Signal::CONT);
    }

    /// Kills the worker; what is below it follows when it is buried.
    fn kill(&mut self) {
        self.killed = true;
        let _ = kill_process_group(self.worker.pid, Signal::KILL);
        let _ = kill_process(self.worker.pid, Signal::KILL);
    }

    fn say(&self, report: &Report) {
        if let Some(supervisor) = &self.supervisor {
            say(supervisor, report);
        }
    }

    /// Ends all that is left of a dead worker.
    fn bury(self) -> Report {
        // While the dead worker still holds the number of its group, nobody else's can have it.
        let _ = kill_process_group(self.worker.pid, Signal::KILL);
        let status = wait_for(self.worker.pid);
        end_rest();
        if let Some(why) = self.failure {
            return Report::Failed(why);
        }
        let unasked_kill = !self.killed && status == Status::Signalled(Signal::KILL.as_raw());
        let want = self.scale.want(unasked_kill);
        let largest = getrusage(UsageWho::RUSAGE_CHILDREN).map_or(0, |usage| usage.max_rss());
        let largest = u64::try_from(largest).unwrap_or(0) * 1_024;
        Report::Ended(End { status, want, peak_memory: self.scale.peak().max(largest) })
    }
}

/// What there is to do.
#[derive(Default)]
struct Ready {
    signals: bool,
    timer: bool,
    entering: bool,
    supervisor: bool,
}

fn catch_signals() -> io::Result<SignalFd> {
    let mut caught: SigSet = ENDS.into_iter().collect();
    caught.add(Caught::SIGCHLD);
    // All are blocked, as one that is not caught could end or stop us.
    SigSet::all().thread_block()?;
    Ok(SignalFd::with_flags(&caught, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)?)
}

/// Starts the process that becomes the worker, in a group of its own.
fn start_worker(orders: &Orders) -> io::Result<(ProcessId, PipeReader)> {
    let (entering, says) = io::pipe()?;
    let enter = Enter { parent: getpid(), ..orders.enter.clone() };
    let child = Command::new("/proc/self/exe")
        .args(&orders.again)
        .args(enter.arguments())
        .env(RUN_VARIABLE, ProcessId::of(getpid())?.to_string())
        .stdin(Stdio::from(OwnedFd::from(says)))
        .process_group(0)
        .spawn()?;
    // What the worker writes ends when its own processes do.
    let nowhere = File::options().write(true).open("/dev/null")?;
    rustix::stdio::dup2_stdout(nowhere.as_fd())?;
    rustix::stdio::dup2_stderr(nowhere.as_fd())?;
    // The child is waited for by its number.
    Ok((ProcessId::of(Pid::from_child(&child))?, entering))
}

fn wait_for(worker: Pid) -> Status {
    loop {
        match rustix::process::waitpid(Some(worker), WaitOptions::empty()) {
            Err(Errno::INTR) => {}
            Ok(Some((_, status))) => {
                if let Some(signal) = status.terminating_signal() {
                    return Status::Signalled(signal);
                }
                return Status::Exited(status.exit_status().unwrap_or(-1));
            }
            // Cannot happen: it is our child, and nobody else waits for it.
            Ok(None) | Err(_) => return Status::Exited(-1),
        }
    }
}

/// Kills everything that fell to us, and what falls to us thereby, until nothing is left. Each death is followed by a new
/// look, so that its children are seen.
fn end_rest() {
    loop {
        let children = proc::children(getpid());
        let killed = children.iter().filter(|child| kill_process(**child, Signal::KILL).is_ok()).count();
        // Programs that run as somebody mightier than we are cannot be killed, and must not be waited for.
        if killed == 0 && !children.is_empty() {
            return;
        }
        match rustix::process::wait(WaitOptions::empty()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(_) => return,
        }
    }
}
