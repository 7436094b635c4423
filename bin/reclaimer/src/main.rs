//! The `reclaimer` program: a server that hands jobs to workers and gets every job back that goes wrong, and the command
//! line around it.

mod cli;
mod client;
mod config;
mod crawler;
mod data_dir;
mod demo;
mod docs_site;
mod logging;
mod system;
mod wiring;

use std::process::ExitCode;

use clap::Parser;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    match cli::run(cli) {
        Ok(code) => code,
        Err(error) => cli::output::complain(&error),
    }
}
