//! The other side: the bare engine.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::Result;
use reclaimer_baseline::{Bare, Reference};
use tokio::sync::Mutex;
use tokio::time::Instant;

use super::ours::payload;
use crate::bench::drive::{Done, drive};

/// So many rows are written at once where it is not measured.
const MANY: usize = 500;

/// A bare table. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Beside {
    bare: Bare,
    payload: Arc<str>,
    /// How many rows wait.
    waiting: Arc<AtomicU64>,
}

impl Beside {
    /// Opens it; the thread ends with the last clone.
    pub(crate) fn open(path: &Path) -> Result<(Self, JoinHandle<()>)> {
        let (bare, thread) = Bare::open(path)?;
        let payload = payload().to_string().into();
        Ok((Self { bare, payload, waiting: Arc::new(AtomicU64::new(0)) }, thread))
    }

    /// So many callers insert rows, so many at once.
    pub(crate) async fn enqueue(&self, callers: usize, batch: usize, length: Duration) -> Result<Done> {
        drive(callers, length, |_| {
            let beside = self.clone();
            move || {
                let beside = beside.clone();
                async move { beside.insert(batch).await }
            }
        })
        .await
    }

    async fn insert(&self, many: usize) -> Result<u64> {
        self.bare.insert((0..many).map(|_| (*self.payload).to_owned()).collect()).await?;
        self.waiting.fetch_add(many as u64, Ordering::Relaxed);
        Ok(many as u64)
    }

    /// So many callers take so many rows and mark them as done, again and again.
    pub(crate) async fn work(&self, callers: usize, many: usize, length: Duration) -> Result<Done> {
        drive(callers, length, |_| {
            let (bare, waiting) = (self.bare.clone(), Arc::clone(&self.waiting));
            move || {
                let (bare, waiting) = (bare.clone(), Arc::clone(&waiting));
                async move {
                    let ids: Vec<i64> = bare.claim(many).await?.iter().map(|row| row.id).collect();
                    let taken = ids.len() as u64;
                    waiting.fetch_sub(taken, Ordering::Relaxed);
                    if taken > 0 {
                        bare.complete(ids).await?;
                    }
                    Ok(taken)
                }
            }
        })
        .await
    }

    /// So many callers mark so many rows as done and take as many others, by one operation, again and again.
    pub(crate) async fn go_on(&self, callers: usize, many: usize, length: Duration) -> Result<Done> {
        drive(callers, length, |_| {
            let (bare, waiting) = (self.bare.clone(), Arc::clone(&self.waiting));
            let held = Arc::new(Mutex::new(Vec::new()));
            move || {
                let (bare, waiting, held) = (bare.clone(), Arc::clone(&waiting), Arc::clone(&held));
                async move {
                    let mut held = held.lock().await;
                    let rows = match held.is_empty() {
                        true => bare.claim(many).await?,
                        false => bare.complete_and_claim(std::mem::take(&mut *held)).await?,
                    };
                    waiting.fetch_sub(rows.len() as u64, Ordering::Relaxed);
                    *held = rows.iter().map(|row| row.id).collect();
                    Ok(rows.len() as u64)
                }
            }
        })
        .await
    }

    /// Takes so many rows, and sets them all back by one statement; answers how long that took.
    pub(crate) async fn take_and_set_back(&self, many: usize) -> Result<Duration> {
        self.top_up(many as u64).await?;
        self.bare.claim(many).await?;
        let start = Instant::now();
        self.bare.set_back().await?;
        Ok(start.elapsed())
    }

    /// Inserts rows until at least so many wait.
    pub(crate) async fn top_up(&self, wanted: u64) -> Result<()> {
        while self.waiting.load(Ordering::Relaxed) < wanted {
            self.insert(MANY).await?;
        }
        Ok(())
    }
}

/// One durable insert per transaction.
pub(super) struct Single {
    reference: Reference,
    payload: String,
}

impl Single {
    pub(crate) fn open(path: &Path) -> Result<Self> {
        Ok(Self { reference: Reference::open(path)?, payload: payload().to_string() })
    }

    /// Inserts for so long.
    pub(crate) fn insert(&mut self, length: Duration) -> Result<Done> {
        let start = Instant::now();
        let mut times = 0;
        while start.elapsed() < length {
            self.reference.insert(&self.payload)?;
            times += 1;
        }
        Ok(Done::new(times, start.elapsed()))
    }
}
