//! Runs the queues in turn, and prints the table.
//!
//! `peers FOLDER ROUNDS BINARY...`: a folder on the disk that counts, how many rounds, and the compared programs, which are
//! called after what they are. The first is what the others are compared with.

use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use anyhow::{Context, Result, ensure};

/// A turn of enqueuing, in milliseconds.
const TURN_MS: u64 = 500;
/// Jobs of the first drain, at least and at most.
const FEW: u64 = 300;
const MOST: u64 = 20_000;
const SAMPLES: u64 = 60;

struct Running {
    name: String,
    mode: &'static str,
    child: Child,
    orders: ChildStdin,
    answers: BufReader<ChildStdout>,
    enqueue_1: Sum,
    enqueue_16: Sum,
    drain: Sum,
    idle: (f64, f64),
}

#[derive(Default, Clone, Copy)]
struct Sum {
    count: f64,
    seconds: f64,
}

impl Sum {
    fn add(&mut self, (count, seconds): (f64, f64)) {
        self.count += count;
        self.seconds += seconds;
    }

    fn rate(self) -> f64 {
        self.count / self.seconds.max(f64::EPSILON)
    }
}

impl Running {
    fn start(binary: &Path, mode: &'static str, folder: &Path) -> Result<Self> {
        let name = binary.file_name().context("a program has a name")?.to_string_lossy().into_owned();
        let mut child = Command::new(binary)
            .arg(folder.join(format!("{name}-{mode}")))
            .arg(mode)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start {}", binary.display()))?;
        let orders = child.stdin.take().context("no standard input")?;
        let answers = BufReader::new(child.stdout.take().context("no standard output")?);
        let none = Sum::default();
        Ok(Self {
            name,
            mode,
            child,
            orders,
            answers,
            enqueue_1: none,
            enqueue_16: none,
            drain: none,
            idle: (0.0, 0.0),
        })
    }

    fn ask(&mut self, order: &str) -> Result<(f64, f64)> {
        writeln!(self.orders, "{order}")?;
        let mut line = String::new();
        let read = self.answers.read_line(&mut line)?;
        ensure!(read > 0, "{} ({}) ended at `{order}`", self.name, self.mode);
        let (first, second) = line.trim().split_once(' ').context("two numbers are answered")?;
        Ok((first.parse()?, second.parse()?))
    }
}

fn waited(ms: f64) -> String {
    if ms.is_finite() { format!("{ms:.2} ms") } else { "more than 5 s".to_owned() }
}

fn main() -> Result<()> {
    let mut args = std::env::args().skip(1);
    let folder = args.next().context("which folder?")?;
    let rounds: usize = args.next().context("how many rounds?")?.parse()?;
    let mut all = Vec::new();
    for binary in args {
        for mode in ["tuned", "shipped"] {
            all.push(Running::start(Path::new(&binary), mode, Path::new(&folder))?);
        }
    }
    for peer in &mut all {
        let (few, seconds) = peer.ask(&format!("drain 16 {FEW}"))?;
        peer.drain = Sum { count: few, seconds };
    }
    for _ in 0..rounds {
        for peer in &mut all {
            let done = peer.ask(&format!("enqueue 1 {TURN_MS}"))?;
            peer.enqueue_1.add(done);
        }
        for peer in &mut all {
            let done = peer.ask(&format!("enqueue 16 {TURN_MS}"))?;
            peer.enqueue_16.add(done);
        }
        for peer in &mut all {
            let jobs = (peer.drain.rate() * TURN_MS as f64 / 1e3) as u64;
            let done = peer.ask(&format!("drain 16 {}", jobs.clamp(FEW, MOST)))?;
            peer.drain.add(done);
        }
    }
    for peer in &mut all {
        peer.idle = peer.ask(&format!("idle {SAMPLES}"))?;
    }
    println!("| queue | enqueue ×1 | enqueue ×16 | drain ×16 | idle p50 | idle p99 |");
    println!("|---|---|---|---|---|---|");
    let ours = (all[0].enqueue_1.rate(), all[0].enqueue_16.rate(), all[0].drain.rate());
    for peer in &all {
        let shown = |rate: f64, ours: f64| format!("{rate:.0}/s ({:.2}×)", rate / ours);
        println!(
            "| {}, {} | {} | {} | {} | {} | {} |",
            peer.name,
            peer.mode,
            shown(peer.enqueue_1.rate(), ours.0),
            shown(peer.enqueue_16.rate(), ours.1),
            shown(peer.drain.rate(), ours.2),
            waited(peer.idle.0),
            waited(peer.idle.1),
        );
    }
    for mut peer in all {
        drop(peer.orders);
        peer.child.wait()?;
    }
    Ok(())
}
