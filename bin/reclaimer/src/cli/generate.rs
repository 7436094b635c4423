//! `reclaimer openapi` and `reclaimer completions`.

use anyhow::Result;
use clap::CommandFactory;
use clap_complete::Shell;

use super::Cli;
use super::output::Output;

#[derive(Debug, clap::Args)]
pub(super) struct Completions {
    /// For which shell
    shell: Shell,
}

pub(super) fn openapi(output: &Output) -> Result<()> {
    output.text(&reclaimer_server::openapi().to_pretty_json()?)
}

pub(super) fn completions(output: &Output, args: Completions) -> Result<()> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "reclaimer", &mut script);
    output.text(String::from_utf8(script)?.trim_end())
}
