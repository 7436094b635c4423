//! The launcher as a program of its own, for those who embed the supervisor in a program that has no command to spare.

use std::process::ExitCode;

fn main() -> ExitCode {
    reclaimer_supervisor::launcher::run(std::env::args_os().skip(1))
}
