//! The launcher: the program between a supervisor and its workers.
//!
//! The supervisor starts it once per process of a worker, as a **guard**. The guard starts itself once more, and that second
//! process **enters** the worker: it takes on the worker's limits, user and folder, and becomes its program. The guard
//! stays, as the parent:
//!
//! - It knows when its supervisor is gone, because their socket closes and because the kernel then signals it, and kills
//!   the worker with everything below it.
//! - It is who orphans of the worker fall to, whatever group or session they moved to: nothing gets away.
//! - It kills the worker's group while the dead worker, not waited for yet, still holds the group's number.
//! - It holds the worker against its memory limit, and can tell the worker's peak from that of any other.
//!
//! A program that embeds the supervisor either ships `reclaimer-launcher`, or calls [`run`] for a hidden command of its
//! own, before it does anything else.

mod enter;
mod guard;
mod orders;
mod scale;

use std::ffi::OsString;
use std::io::Write;
use std::process::ExitCode;

/// Wrong usage, as in `sysexits.h`.
const USAGE: u8 = 64;

/// Does a launcher's work, as its supervisor's arguments say: those after the hidden command, or all of them in a program
/// of its own. Returns when the worker has ended.
///
/// Must be called in the main thread, before there is any other and before any file is opened: every descriptor but the
/// standard three is closed.
#[must_use]
pub fn run(arguments: impl IntoIterator<Item = OsString>) -> ExitCode {
    close_inherited();
    let mut arguments = arguments.into_iter();
    let part = arguments.next();
    let result = match part.as_ref().and_then(|part| part.to_str()) {
        Some(GUARD) => orders::Guard::read(arguments).map(guard::run),
        Some(ENTER) => orders::Enter::read(arguments).map(|orders| enter::run(&orders)),
        _ => Err(orders::NoOrders),
    };
    result.unwrap_or_else(|orders::NoOrders| {
        // With nowhere to write to there is nobody to tell.
        let _ = writeln!(std::io::stderr(), "this command is for supervisors only; it takes their orders");
        ExitCode::from(USAGE)
    })
}

/// Closes what the supervisor had open, or was itself handed, without saying that it is not for programs it starts: a
/// worker has no business with it.
fn close_inherited() {
    const STANDARD: i32 = 2;
    let Ok(folder) = std::fs::read_dir("/proc/self/fd") else { return };
    // All are collected before one is closed, and the folder itself is closed by then.
    let open: Vec<i32> =
        folder.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok()).collect();
    for descriptor in open.into_iter().filter(|descriptor| *descriptor > STANDARD) {
        // That of the folder is no more.
        let _ = nix::unistd::close(descriptor);
    }
}

/// The first argument, for each of the two parts.
pub(crate) const GUARD: &str = "guard";
const ENTER: &str = "enter";

pub(crate) use orders::{Enter as EnterOrders, Guard as GuardOrders};
