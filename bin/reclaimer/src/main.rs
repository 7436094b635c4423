//! The `reclaimer` program: a server that hands jobs to workers and gets every job back that goes wrong, and the command
//! line around it.

mod alerting;
mod bench;
mod cli;
mod client;
mod config;
mod crawler;
mod data_dir;
mod demo;
mod docs_site;
mod fleet;
mod health;
mod logging;
mod policy;
mod server_process;
mod system;
mod systemd;
mod top;
mod traces;
mod wiring;

use std::process::ExitCode;

use clap::Parser;
use mimalloc::MiMalloc;

/// Every operation of the store is made by one thread and let go by another: docs/decisions/0008.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

fn main() -> ExitCode {
    // A process that stands between the supervisor and a worker: it must be what it is before anything else runs.
    let mut arguments = std::env::args_os().skip(1);
    if arguments.next().is_some_and(|first| first == fleet::LAUNCH) {
        return reclaimer_supervisor::launcher::run(arguments);
    }
    let cli = cli::Cli::parse();
    match cli::run(cli) {
        Ok(code) => code,
        Err(error) => cli::output::complain(&error),
    }
}
