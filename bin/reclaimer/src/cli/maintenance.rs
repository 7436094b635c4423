//! `reclaimer backup` and `reclaimer migrate`: on the database itself, beside a server or without one.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use bytesize::ByteSize;
use reclaimer_persistence::{maintenance, migrate};
use serde_json::json;

use super::Common;
use crate::wiring::database_file;

#[derive(Debug, clap::Args)]
pub(super) struct Backup {
    /// The file to make; it must not exist
    file: PathBuf,
}

pub(super) fn backup(common: &Common, args: Backup) -> Result<()> {
    let (settings, output) = (common.load()?.settings, common.output());
    let report = maintenance::backup(&database_file(&settings)?, &args.file)?;
    if output.is_json() {
        let path = report.path.display().to_string();
        return output.json(&json!({ "path": path, "bytes": report.bytes, "jobs": report.jobs }));
    }
    let size = ByteSize::b(report.bytes).display().iec();
    output.text(&format!("{}: {size}, {} jobs, verified", report.path.display(), report.jobs))
}

#[derive(Debug, clap::Args)]
pub(super) struct Migrate {
    /// Only list what is pending; the exit code is 1 when something is
    #[arg(long)]
    check: bool,
}

pub(super) fn migrate(common: &Common, args: Migrate) -> Result<ExitCode> {
    let (settings, output) = (common.load()?.settings, common.output());
    let file = database_file(&settings)?;
    let steps = if args.check { migrate::pending(&file)? } else { migrate::run(&file)? };
    if output.is_json() {
        output.json(&json!({ if args.check { "pending" } else { "applied" }: steps }))?;
    } else {
        for step in &steps {
            output.text(&format!("{}: {step}", if args.check { "pending" } else { "applied" }))?;
        }
        if steps.is_empty() {
            output.text("the database is up to date")?;
        }
    }
    Ok(if args.check && !steps.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}
