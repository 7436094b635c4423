//! Counts the instructions of each piece of work, and says when one takes more than its budget.
//!
//! It runs itself under callgrind, twice for each piece: few times and many. The difference is what the piece takes, without
//! what starting and preparing do.

#![expect(clippy::print_stdout, reason = "what it is for")]

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use clap::Parser;

/// What each piece may take, in instructions.
const BUDGETS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/budgets.toml");
/// It may take a tenth more: compilers and processors differ.
const MARGIN: f64 = 1.1;
/// A piece that takes so much less than its budget guards nothing any more.
const SLACK: f64 = 0.8;

/// Counts the instructions of the hot paths.
#[derive(Parser)]
struct Args {
    /// Write what was counted into the budgets
    #[arg(long)]
    renew: bool,
    /// Do one piece of work so many times, without counting
    #[arg(long, hide = true, num_args = 2, value_names = ["PIECE", "TIMES"])]
    work: Option<Vec<String>>,
}

fn main() -> Result<ExitCode> {
    let args = Args::parse();
    if let Some([name, times]) = args.work.as_deref() {
        return work(name, times.parse()?).map(|()| ExitCode::SUCCESS);
    }
    let mut counted = BTreeMap::new();
    for piece in reclaimer_benches::all()? {
        let few = piece.times / 10;
        let instructions = count(piece.name, few + piece.times)?.saturating_sub(count(piece.name, few)?);
        counted.insert(piece.name.to_owned(), instructions / u64::from(piece.times));
    }
    if args.renew {
        let text = toml::to_string(&counted)?;
        std::fs::write(BUDGETS, format!("# Instructions of each piece of work; see README.md.\n{text}"))?;
        println!("{} budgets are written to {BUDGETS}", counted.len());
        return Ok(ExitCode::SUCCESS);
    }
    let budgets: BTreeMap<String, u64> = toml::from_str(&std::fs::read_to_string(BUDGETS)?)?;
    ensure!(
        budgets.keys().eq(counted.keys()),
        "the pieces of work are not those of {BUDGETS}: write them anew with `cargo run --profile guard -p \
         reclaimer-benches -- --renew`"
    );
    let mut verdict = ExitCode::SUCCESS;
    for (name, took) in &counted {
        let budget = budgets[name];
        #[expect(clippy::cast_precision_loss, reason = "far below what a float holds exactly")]
        let share = *took as f64 / budget as f64;
        println!("{name:<55} {took:>9} of {budget:>9} instructions ({share:.2})");
        if share > MARGIN {
            verdict = ExitCode::FAILURE;
            println!(
                "  over budget: find out what costs more. If it is meant, write the budget anew with `cargo run \
                 --profile guard -p reclaimer-benches -- --renew` and say why in the commit"
            );
        } else if share < SLACK {
            println!("  well below its budget, which guards little now: write it anew with --renew");
        }
    }
    Ok(verdict)
}

fn work(name: &str, times: u32) -> Result<()> {
    let piece = reclaimer_benches::all()?.into_iter().find(|piece| piece.name == name);
    let mut piece = piece.with_context(|| format!("there is no piece of work `{name}`"))?;
    for _ in 0..times {
        (piece.once)()?;
    }
    Ok(())
}

/// The instructions of a process that does a piece of work so many times.
fn count(name: &str, times: u32) -> Result<u64> {
    let out = tempfile::NamedTempFile::new()?;
    let ran = Command::new("valgrind")
        .args(["--tool=callgrind", "--quiet"])
        .arg(format!("--callgrind-out-file={}", out.path().display()))
        .arg(std::env::current_exe()?)
        .args(["--work", name, &times.to_string()])
        .output()
        .context("cannot run valgrind; install it (Debian: valgrind)")?;
    if !ran.status.success() {
        bail!("`{name}` failed under valgrind: {}", String::from_utf8_lossy(&ran.stderr));
    }
    total(out.path())
}

/// The total that callgrind wrote down.
fn total(out: &Path) -> Result<u64> {
    let text = std::fs::read_to_string(out)?;
    let line = text.lines().find_map(|line| line.strip_prefix("totals: ").or(line.strip_prefix("summary: ")));
    line.and_then(|number| number.trim().parse().ok()).context("callgrind wrote no total")
}
