//! Becoming the worker: its limits, its user, its folder, its program.

use std::ffi::{CString, OsStr};
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::process::{Command, ExitCode};

use nix::sys::signal::SigSet;
use nix::unistd::{User, initgroups, setgid, setuid};
use rustix::process::{Resource, Rlimit, Signal};

use super::orders::Enter;

/// Whom the kernel kills first when memory runs out: the worker, whose jobs are recovered, before the server that recovers
/// them. Half of the scale, so that a worker that was made an even likelier victim stays it.
const LIKELY_VICTIM: i32 = 500;

/// Becomes the worker, or says why not: on its standard input, which is a pipe to the guard that closes by itself when
/// the worker's program runs.
pub(super) fn run(orders: &Enter) -> ExitCode {
    // Without the pipe there is nobody to tell, and the guard sees the exit.
    let Ok(pipe) = take_stdin() else { return ExitCode::FAILURE };
    let Err(why) = enter(orders);
    let _ = fs::File::from(pipe).write_all(why.as_bytes());
    ExitCode::FAILURE
}

/// Takes over standard input under a number that no other program inherits, and puts nothing in its place.
pub(super) fn take_stdin() -> io::Result<OwnedFd> {
    let taken = io::stdin().as_fd().try_clone_to_owned()?;
    rustix::stdio::dup2_stdin(fs::File::open("/dev/null")?)?;
    Ok(taken)
}

fn enter(orders: &Enter) -> Result<std::convert::Infallible, String> {
    // The guard blocks what would end it; a worker starts as any program does.
    SigSet::empty().thread_set_mask().map_err(|error| format!("cannot unblock signals: {error}"))?;
    // First, because it is not allowed any more after a change of user; and where it cannot be done the worker is only as
    // likely a victim as we are.
    let _ = be_a_likely_victim();
    if let Some(files) = orders.open_files {
        limit_files(files)?;
    }
    let (program, arguments) = orders.command.split_first().ok_or("there is no command")?;
    let mut command = Command::new(program);
    command.args(arguments);
    if let Some(name) = &orders.user {
        let user = become_user(name)?;
        let home = (OsStr::new("HOME"), user.dir.as_os_str());
        for (variable, value) in [home, (OsStr::new("USER"), name), (OsStr::new("LOGNAME"), name)] {
            // What the worker's own settings say stays.
            if std::env::var_os(variable).is_none() {
                command.env(variable, value);
            }
        }
    }
    if let Some(dir) = &orders.dir {
        std::env::set_current_dir(dir)
            .map_err(|error| format!("cannot enter the folder {}: {error}; see `dir`", dir.display()))?;
    }
    // Last, because a change of user takes it back.
    rustix::process::set_parent_process_death_signal(Some(Signal::KILL))
        .map_err(|error| format!("cannot ask to end with its guard: {error}"))?;
    if rustix::process::getppid() != Some(orders.parent) {
        return Err("its guard is gone".to_owned());
    }
    let error = command.exec();
    let hint = match error.kind() {
        io::ErrorKind::NotFound => "; give its full path, or see that it is in PATH",
        io::ErrorKind::PermissionDenied => "; make it executable for the worker's user",
        _ => "",
    };
    Err(format!("cannot run {}: {error}{hint}", program.display()))
}

fn be_a_likely_victim() -> io::Result<()> {
    const FILE: &str = "/proc/self/oom_score_adj";
    let score: i32 = fs::read_to_string(FILE)?.trim().parse().unwrap_or(0);
    fs::write(FILE, score.max(LIKELY_VICTIM).to_string())
}

fn limit_files(files: u64) -> Result<(), String> {
    // Both, or the worker could raise its limit by itself.
    let limit = Rlimit { current: Some(files), maximum: Some(files) };
    rustix::process::setrlimit(Resource::Nofile, limit).map_err(|error| {
        let most = rustix::process::getrlimit(Resource::Nofile).maximum;
        let most = most.map_or("any number".to_owned(), |most| format!("at most {most}"));
        format!("cannot let it have {files} files open: {error}; `open_files` takes {most} here")
    })
}

fn become_user(name: &OsStr) -> Result<User, String> {
    let shown = name.display();
    let found = name.to_str().map_or(Ok(None), User::from_name);
    let user = found.map_err(|error| format!("cannot look up the user {shown}: {error}"))?;
    let user = user.ok_or_else(|| format!("there is no user {shown}; see `user`"))?;
    // Who is it already needs no right to become it.
    if user.uid != nix::unistd::geteuid() {
        let name = CString::new(name.as_bytes()).map_err(|error| error.to_string())?;
        initgroups(&name, user.gid).and_then(|()| setgid(user.gid)).and_then(|()| setuid(user.uid)).map_err(
            |error| {
                format!(
                    "cannot become the user {shown}: {error}; run the server as root, or leave `user` out"
                )
            },
        )?;
    }
    Ok(user)
}
