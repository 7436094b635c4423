//! The supervisor's side of a guard.

use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdUnixStream;
use std::process::Stdio;

use rustix::net::SendFlags;
use tokio::io::{AsyncBufReadExt, BufReader, Lines};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::process::{Child, ChildStderr, ChildStdout, Command};

use crate::config::Config;
use crate::launcher::{EnterOrders, GUARD, GuardOrders};
use crate::proc::ProcessId;
use crate::report::{KILL, Report, START, TERMINATE};
use crate::seat::Seat;
use crate::spawner::{Noted, Spawner};
use crate::spec::NAME_VARIABLE;
use crate::state_file::Record;

/// A guard that runs, with its worker or on the way to it.
#[derive(Debug)]
pub(crate) struct Guarded {
    noted: Noted,
    child: Child,
    reports: Lines<BufReader<OwnedReadHalf>>,
    orders: OwnedWriteHalf,
}

impl Guarded {
    /// Starts a guard; answers also what its worker writes.
    pub(crate) async fn start(
        spawner: &Spawner,
        config: &Config,
        seat: &Seat,
    ) -> io::Result<(Self, ChildStdout, ChildStderr)> {
        let (ours, guards) = StdUnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (reports, orders) = UnixStream::from_std(ours)?.into_split();
        let (mut child, noted) =
            spawner.spawn(command(config, seat, guards), seat.instance.to_string()).await?;
        let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other("the guard came without its output"));
        };
        let guarded = Self { noted, child, reports: BufReader::new(reports).lines(), orders };
        guarded.order(START);
        Ok((guarded, stdout, stderr))
    }

    /// The next report; `None` when none will come any more.
    ///
    /// # Cancel safety
    /// No report is lost.
    pub(crate) async fn next(&mut self) -> Option<Report> {
        // A line that is no report comes from a launcher of another version, of which nothing can be expected.
        self.reports.next_line().await.ok().flatten()?.parse().ok()
    }

    /// What is written down of it, when it is known which process the worker is.
    pub(crate) fn record(&self, worker: Option<ProcessId>) -> Record {
        Record { worker, ..self.noted.record.clone() }
    }

    /// Writes down which process the worker is.
    pub(crate) fn note(&self, worker: ProcessId) {
        self.noted.add(worker);
    }

    /// Orders the guard to send `SIGTERM` to the worker's group.
    pub(crate) fn terminate(&self) {
        self.order(TERMINATE);
    }

    /// Orders the guard to kill the worker and everything below it.
    pub(crate) fn kill(&self) {
        self.order(KILL);
    }

    fn order(&self, order: u8) {
        // Past the runtime, which would first have to learn that the socket can be written to; and the few bytes of a life
        // always can. A guard that is gone shows as the end of its reports.
        let socket: &UnixStream = self.orders.as_ref();
        let _ = rustix::net::send(socket, &[order], SendFlags::NOSIGNAL);
    }

    /// Kills the guard itself.
    pub(crate) fn kill_guard(&mut self) {
        // One that is dead already need not be killed.
        let _ = self.child.start_kill();
    }

    /// Waits for a guard that said its last word.
    pub(crate) async fn bury(mut self) {
        self.kill_guard();
        // It was killed, or had ended before; that is all there is to know.
        let _ = self.child.wait().await;
    }
}

fn command(config: &Config, seat: &Seat, socket: StdUnixStream) -> Command {
    let spec = &seat.spec;
    let mut line = vec![OsString::from(&spec.command)];
    line.extend(spec.args.iter().map(OsString::from));
    let orders = GuardOrders {
        enter: EnterOrders {
            parent: rustix::process::getpid(),
            open_files: spec.open_files,
            user: spec.user.as_ref().map(OsString::from),
            dir: spec.dir.as_ref().map(OsString::from),
            command: line,
        },
        memory_limit: spec.memory_limit,
        again: config.launcher.args.clone(),
        name: seat.instance.as_str().into(),
    };
    let mut command = Command::new(&config.launcher.program);
    command
        .arg0(format!("worker-{GUARD}"))
        .args(&config.launcher.args)
        .args(orders.arguments())
        .env_clear()
        .envs(passed(config, spec.user.is_some()))
        .envs(&spec.env)
        .env(NAME_VARIABLE, seat.instance.as_str())
        .stdin(Stdio::from(OwnedFd::from(socket)))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// What of our own environment the worker gets. Another user has a home and a name of its own.
fn passed(config: &Config, other_user: bool) -> impl Iterator<Item = (&String, OsString)> {
    const ABOUT_US: [&str; 3] = ["HOME", "USER", "LOGNAME"];
    let names = config.pass_env.iter().filter(move |name| !(other_user && ABOUT_US.contains(&name.as_str())));
    names.filter_map(|name| Some((name, std::env::var_os(name)?)))
}
