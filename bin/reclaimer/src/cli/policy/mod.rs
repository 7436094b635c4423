//! `reclaimer policy`.

mod advise;
mod check;
mod explain;
mod past;
mod show;
mod simulate;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use reqwest::Method;

use super::Common;

#[derive(Debug, clap::Subcommand)]
pub(super) enum Command {
    /// Check a policy file: what is wrong with it, and which rules can never match
    Check {
        /// The file [default: that of the setting `recovery.policy`]
        file: Option<PathBuf>,
    },
    /// Show the policy that the server decides by
    Show,
    /// Say of a job which rules were tried, which condition of each held, and what becomes of it
    Explain {
        /// The job
        job: String,
    },
    /// Say what a policy file would have done with what happened, beside what was done and how that ended
    Simulate(simulate::Args),
    /// Say which limits for silences (`stuck_after`) the observed ones advise, per queue and command
    Advise(past::Span),
    /// Have the server read its policy file anew; one that cannot be used changes nothing
    Reload,
}

pub(super) async fn run(common: &Common, command: Command) -> Result<ExitCode> {
    let output = common.output();
    match command {
        Command::Check { file } => return check::run(&common.load()?.settings.recovery, file, output),
        Command::Show => show::show(&common.client()?.get(&["api", "admin", "policy"]).await?, output)?,
        Command::Explain { job } => {
            let explanation = common.client()?.get(&["api", "admin", "jobs", &job, "explain"]).await?;
            explain::show(&explanation, output)?;
        }
        Command::Simulate(args) => return simulate::run(common, &args),
        Command::Advise(span) => advise::run(common, &span)?,
        Command::Reload => {
            let path = ["api", "admin", "policy", "reload"];
            show::show(&common.client()?.ask(Method::POST, &path, &[], None).await?, output)?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
