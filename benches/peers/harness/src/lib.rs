//! What each of the compared queues is asked, and how it is measured: the same for all of them, in a process of its own for
//! each, which does what it reads from its standard input.

use std::io::{BufRead, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// An idle queue that lets a job wait for so long is not measured further.
const LONGEST_WAIT: Duration = Duration::from_secs(5);

/// A queue.
#[async_trait]
pub trait Peer: Send + Sync + 'static {
    /// Enqueues one job with [`payload`]; returns when the queue says that it is kept.
    async fn enqueue(&self) -> Result<()>;

    /// Starts workers that run up to so many jobs at once, each of which calls [`Done::ran`] and is then complete.
    async fn work(&self, at_once: usize, done: Arc<Done>) -> Result<Box<dyn Workers>>;
}

/// Workers that run.
#[async_trait]
pub trait Workers: Send {
    /// Ends them.
    async fn stop(self: Box<Self>) -> Result<()>;
}

/// How a queue is set up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// As its own introduction does it.
    Shipped,
    /// With a write-ahead log and `synchronous=FULL` as far as it lets one, and with what its documentation offers for speed.
    Tuned,
}

/// Counts the jobs that ran.
#[derive(Debug, Default)]
pub struct Done {
    first: OnceLock<Instant>,
    ran: AtomicU64,
    changed: Notify,
}

impl Done {
    /// A job ran.
    pub fn ran(&self) {
        self.first.get_or_init(Instant::now);
        self.ran.fetch_add(1, Ordering::SeqCst);
        self.changed.notify_one();
    }

    async fn reach(&self, number: u64) -> Result<()> {
        while self.ran.load(Ordering::SeqCst) < number {
            let waited = tokio::time::timeout(Duration::from_secs(60), self.changed.notified()).await;
            ensure!(waited.is_ok(), "no job ran for a minute");
        }
        Ok(())
    }
}

/// Arguments of about two hundred bytes.
pub fn payload() -> &'static str {
    concat!(
        r#"{"root":"https://example.org/group/project","page":4,"since":"2025-06-03T16:00:05.000Z","#,
        r#""fields":["title","state","labels","author","milestone"],"trace":"4bf92f3577b34da6a3ce929d0e0e4736"}"#
    )
}

/// Answers orders until nobody gives any. `open` opens a queue in a folder that exists.
pub async fn serve<P: Peer, F>(open: impl Fn(PathBuf, Mode) -> F) -> Result<()>
where
    F: Future<Output = Result<P>>,
{
    let mut args = std::env::args().skip(1);
    let folder = PathBuf::from(args.next().context("the first argument is a folder")?);
    let mode = match args.next().as_deref() {
        Some("shipped") => Mode::Shipped,
        Some("tuned") => Mode::Tuned,
        other => bail!("the second argument is `shipped` or `tuned`, not {other:?}"),
    };
    // What is enqueued in one is never worked on; the other is always worked on to its end.
    let filled = Arc::new(open(made(&folder.join("filled"))?, mode).await?);
    let worked = Arc::new(open(made(&folder.join("worked"))?, mode).await?);
    for line in std::io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split(' ').collect();
        let answer = match words.as_slice() {
            ["enqueue", callers, ms] => enqueue(&filled, callers.parse()?, ms.parse()?).await?,
            ["drain", at_once, jobs] => drain(&worked, at_once.parse()?, jobs.parse()?).await?,
            ["idle", samples] => idle(&worked, samples.parse()?).await?,
            _ => bail!("no order: {line}"),
        };
        let mut out = std::io::stdout().lock();
        writeln!(out, "{answer}")?;
        out.flush()?;
    }
    // How a queue behaves when it is dropped is not measured.
    std::process::exit(0)
}

fn made(folder: &Path) -> Result<PathBuf> {
    std::fs::create_dir_all(folder)?;
    Ok(folder.to_owned())
}

/// So many callers enqueue for so long; answers how many jobs, and seconds.
async fn enqueue<P: Peer>(peer: &Arc<P>, callers: usize, ms: u64) -> Result<String> {
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..callers {
        let peer = Arc::clone(peer);
        tasks.spawn(async move {
            let mut count = 0_u64;
            while start.elapsed() < Duration::from_millis(ms) {
                peer.enqueue().await?;
                count += 1;
            }
            anyhow::Ok(count)
        });
    }
    let mut count = 0;
    while let Some(done) = tasks.join_next().await {
        count += done??;
    }
    Ok(format!("{count} {}", start.elapsed().as_secs_f64()))
}

/// Workers run so many jobs that wait already; answers how many, and seconds. What starting the workers takes does not count.
async fn drain<P: Peer>(peer: &Arc<P>, at_once: usize, jobs: u64) -> Result<String> {
    let left = Arc::new(AtomicU64::new(jobs));
    let mut tasks = JoinSet::new();
    for _ in 0..16 {
        let (peer, left) = (Arc::clone(peer), Arc::clone(&left));
        tasks.spawn(async move {
            while left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok() {
                peer.enqueue().await?;
            }
            anyhow::Ok(())
        });
    }
    while let Some(done) = tasks.join_next().await {
        done??;
    }
    let done = Arc::new(Done::default());
    let workers = peer.work(at_once, Arc::clone(&done)).await?;
    done.reach(jobs).await?;
    let took = done.first.get().context("no job ran")?.elapsed();
    workers.stop().await?;
    Ok(format!("{jobs} {}", took.as_secs_f64()))
}

/// From before a job is enqueued until it runs, on a queue that is idle; answers the median and the 99th percentile in
/// milliseconds, infinite where a job waited for seconds.
async fn idle<P: Peer>(peer: &Arc<P>, samples: usize) -> Result<String> {
    let done = Arc::new(Done::default());
    let workers = peer.work(16, Arc::clone(&done)).await?;
    // Until they wait.
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    let mut took = Vec::new();
    for number in 1..=samples as u64 {
        tokio::time::sleep(Duration::from_millis(20)).await;
        let start = Instant::now();
        let reached = tokio::time::timeout(LONGEST_WAIT, done.reach(number));
        let (enqueued, reached) = tokio::join!(peer.enqueue(), async { (reached.await, start.elapsed()) });
        enqueued?;
        let (Ok(ran), elapsed) = reached else { break };
        ran?;
        took.push(elapsed);
    }
    workers.stop().await?;
    if took.len() < samples {
        return Ok("inf inf".to_owned());
    }
    took.sort_unstable();
    let at = |share: f64| took[((took.len() as f64 * share).ceil() as usize).max(1) - 1].as_secs_f64() * 1e3;
    Ok(format!("{:.3} {:.3}", at(0.5), at(0.99)))
}
