//! The command line: one file per command.

mod accounts;
mod alerts;
mod config;
mod doctor;
mod generate;
mod jobs;
mod maintenance;
pub(crate) mod output;
mod policy;
mod queues;
mod recover;
mod runs;
mod serve;
mod workers;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::{Parser, Subcommand};
use url::Url;

use crate::client::Client;
use crate::config::{Flags, Loaded, load};
use crate::{bench, crawler, demo, top};
use output::Output;

/// What the environment says to every command.
const ENVIRONMENT: &str = "\
Environment:
  RECLAIMER_TOKEN             The admin token [default: the one in the data folder]
  RECLAIMER_SERVER            The server to ask, as --server
  RECLAIMER_<SECTION>__<KEY>  A setting, e.g. RECLAIMER_SERVER__LISTEN; see `reclaimer config`
  OTEL_EXPORTER_OTLP_ENDPOINT Where the server sends traces; none without it
  NO_COLOR                    No colours, if it is set to anything";

/// Hands jobs to workers and gets every job back that goes wrong
#[derive(Debug, Parser)]
#[command(name = "reclaimer", version, propagate_version = true, max_term_width = 100, after_help = ENVIRONMENT)]
pub(crate) struct Cli {
    #[command(flatten)]
    common: Common,
    #[command(subcommand)]
    command: Option<Command>,
}

/// What every command takes.
#[derive(Debug, Clone, clap::Args)]
struct Common {
    /// The configuration file [default: reclaimer.toml, where there is one]
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The data folder [default: ./data]
    #[arg(long, global = true, value_name = "DIR")]
    data: Option<PathBuf>,
    /// The server to ask [default: the one that runs on the data folder]
    #[arg(long, global = true, value_name = "URL", env = "RECLAIMER_SERVER")]
    server: Option<Url>,
    /// Machine-readable output
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Run the server (what happens without a command)
    Serve(serve::Args),
    /// Show the main job: crawl, kill, hang, recover, prove
    Demo(demo::Args),
    /// Look at jobs and act on them
    #[command(subcommand)]
    Jobs(jobs::Command),
    /// Run a recovery cycle now and show what it decided
    Recover(recover::Args),
    /// Look at past recovery runs, and undo one
    #[command(subcommand)]
    Runs(runs::Command),
    /// Check, show and reload the rules of recovery, and have them explain what becomes of a job
    #[command(subcommand)]
    Policy(policy::Command),
    /// Look at queues, stop and restart them
    #[command(subcommand)]
    Queues(queues::Command),
    /// Look at workers and their processes, stop and restart them
    #[command(subcommand)]
    Workers(workers::Command),
    /// Look at links, and steer what guards them
    #[command(subcommand)]
    Links(workers::LinkCommand),
    /// Look at accounts and set their credentials
    #[command(subcommand)]
    Accounts(accounts::Command),
    /// Look at what people were told of, and try whether they are
    #[command(subcommand)]
    Alerts(alerts::Command),
    /// Show a running server live, with keys to retry, cancel and recover
    Top,
    /// Show the settings in force and where each comes from
    Config,
    /// Check what on-call would, and say what to do about each finding
    Doctor,
    /// Copy the database, also of a running server, into a new verified file
    Backup(maintenance::Backup),
    /// Bring the database up to date
    Migrate(maintenance::Migrate),
    /// Measure this machine, each figure beside a baseline of the same run
    #[command(subcommand)]
    Bench(bench::Command),
    /// Print the description of the HTTP API
    Openapi,
    /// Print a completion script for a shell
    Completions(generate::Completions),
    /// Work as one of the demo's crawlers
    Crawl(crawler::Args),
}

impl Common {
    fn flags(&self) -> Flags {
        Flags { config: self.config.clone(), data: self.data.clone(), listen: Vec::new() }
    }

    fn load(&self) -> Result<Loaded> {
        load(&self.flags())
    }

    /// A client of the server meant.
    fn client(&self) -> Result<Client> {
        let token = std::env::var("RECLAIMER_TOKEN").ok().filter(|token| !token.is_empty());
        let data_dir = self.load()?.settings.server.data_dir;
        match &self.server {
            None => Client::of(&data_dir, token),
            Some(server) => {
                let path = data_dir.join(crate::data_dir::ADMIN_TOKEN);
                let token = match token {
                    Some(token) => token,
                    None => std::fs::read_to_string(&path).with_context(|| {
                        format!(
                            "no admin token: set RECLAIMER_TOKEN, or name the data folder with --data ({})",
                            path.display()
                        )
                    })?,
                };
                Client::new(server.clone(), token.trim().to_owned())
            }
        }
    }

    fn output(&self) -> Output {
        Output::new(self.json)
    }
}

/// Carries a command out.
pub(crate) fn run(cli: Cli) -> Result<ExitCode> {
    let Cli { common, command } = cli;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let done = |()| ExitCode::SUCCESS;
    match command {
        None => runtime.block_on(serve::run(&common, serve::Args::default())),
        Some(Command::Serve(args)) => runtime.block_on(serve::run(&common, args)),
        Some(Command::Demo(args)) => runtime.block_on(demo::run(args)).map(|holds| match holds {
            true => ExitCode::SUCCESS,
            false => ExitCode::FAILURE,
        }),
        Some(Command::Jobs(command)) => runtime.block_on(jobs::run(&common, command)),
        Some(Command::Recover(args)) => runtime.block_on(recover::run(&common, args)),
        Some(Command::Runs(command)) => runtime.block_on(runs::run(&common, command)).map(done),
        Some(Command::Policy(command)) => runtime.block_on(policy::run(&common, command)),
        Some(Command::Queues(command)) => runtime.block_on(queues::run(&common, command)).map(done),
        Some(Command::Workers(command)) => runtime.block_on(workers::run(&common, command)).map(done),
        Some(Command::Links(command)) => runtime.block_on(workers::links(&common, command)).map(done),
        Some(Command::Accounts(command)) => runtime.block_on(accounts::run(&common, command)).map(done),
        Some(Command::Alerts(command)) => runtime.block_on(alerts::run(&common, command)).map(done),
        Some(Command::Top) => runtime.block_on(top::run(|| common.client())),
        Some(Command::Config) => config::run(&common).map(done),
        Some(Command::Doctor) => runtime.block_on(doctor::run(&common)),
        Some(Command::Backup(args)) => maintenance::backup(&common, args).map(done),
        Some(Command::Migrate(args)) => maintenance::migrate(&common, args),
        Some(Command::Bench(command)) => {
            let data_dir = || Ok(common.load()?.settings.server.data_dir);
            runtime.block_on(bench::run(command, data_dir, common.output())).map(done)
        }
        Some(Command::Openapi) => generate::openapi(&common.output()).map(done),
        Some(Command::Completions(args)) => generate::completions(&common.output(), args).map(done),
        Some(Command::Crawl(args)) => runtime.block_on(crawler::run(args)).map(done),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_sound() {
        Cli::command().debug_assert();
    }

    #[test]
    fn the_reference_page_shows_every_command() {
        let mut page = String::new();
        let mut root = Cli::command();
        root.build();
        describe(&mut root, "", &mut page);
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/reference/cli.txt");
        if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
            std::fs::write(path, &page).unwrap();
        }
        let stored = std::fs::read_to_string(path).unwrap_or_default();
        assert!(stored == page, "docs/reference/cli.txt is not up to date: run with UPDATE_SNAPSHOTS=1");
    }

    fn describe(command: &mut clap::Command, prefix: &str, page: &mut String) {
        let name = format!("{prefix}{}", command.get_name());
        let help = command.render_long_help().to_string();
        let help: Vec<&str> = help.lines().map(str::trim_end).collect();
        page.push_str(&format!("==== {name} ====\n\n{}\n\n", help.join("\n").trim_end()));
        let shown = |below: &&mut clap::Command| below.get_name() != "help" && !below.is_hide_set();
        for below in command.get_subcommands_mut().filter(shown) {
            describe(below, &format!("{name} "), page);
        }
    }
}
