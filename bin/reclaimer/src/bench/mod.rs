//! `reclaimer bench`: what this machine makes of the parts whose speed matters, each beside a baseline of the same run.

mod codec;
mod policy;

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use tokio::time::Instant;

use crate::cli::output::Output;

#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    /// Cut, read and write messages of the worker link
    Codec {
        /// How long each figure is measured
        #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
        each: Duration,
    },
    /// Decide about jobs by a policy of 50 rules
    Policy {
        /// How long each figure is measured
        #[arg(long, value_name = "TIME", default_value = "1s", value_parser = humantime::parse_duration)]
        each: Duration,
    },
}

/// Measures, and prints what was measured.
pub(crate) fn run(command: Command, output: Output) -> Result<()> {
    let figures = match command {
        Command::Codec { each } => codec::measure(each)?,
        Command::Policy { each } => policy::measure(each)?,
    };
    if output.is_json() {
        return output.json(&figures);
    }
    let mut head = vec!["work", "a second", "ratio", "beside"];
    let has_bytes = figures.iter().any(|figure| figure.bytes_per_second.is_some());
    if has_bytes {
        head.insert(2, "bytes");
    }
    let rows = figures.iter().map(|figure| {
        let mut row = vec![
            figure.what.to_owned(),
            format!("{:.2} M/s", figure.per_second / 1e6),
            format!("{:.2}×", figure.ratio),
            figure.baseline.to_owned(),
        ];
        if has_bytes {
            let rate = figure.bytes_per_second.map(|rate| format!("{:.2} GB/s", rate / 1e9));
            row.insert(2, rate.unwrap_or_default());
        }
        row
    });
    output.table(&head, rows)
}

/// One measured figure.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Figure {
    what: &'static str,
    per_second: f64,
    #[serde(skip_serializing_if = "Option::is_none")]
    bytes_per_second: Option<f64>,
    /// To the baseline of the same run.
    ratio: f64,
    baseline: &'static str,
}

/// How often a piece of work is done per second, measured for so long.
fn rate(length: Duration, mut work: impl FnMut() -> Result<()>) -> Result<f64> {
    // Once for the caches.
    work()?;
    let start = Instant::now();
    let mut times = 0_u32;
    while start.elapsed() < length {
        for _ in 0..8 {
            work()?;
        }
        times += 8;
    }
    Ok(f64::from(times) / start.elapsed().as_secs_f64())
}
