//! Looks at the server now and then.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::time::{Instant, sleep_until};

use super::load::Done;
use crate::bench::figure::Moment;
use crate::bench::progress::Progress;

/// So often, spread over the whole time.
pub(super) const MOMENTS: u64 = 200;

pub(super) struct Watch {
    pub(super) pid: u32,
    /// The write-ahead log.
    pub(super) log: PathBuf,
    pub(super) done: Arc<Done>,
}

impl Watch {
    /// How it went.
    pub(super) async fn curve(
        &self,
        start: Instant,
        length: Duration,
        progress: &Progress,
    ) -> Result<Vec<Moment>> {
        let mut curve = Vec::new();
        let (mut before, mut at) = (0, start);
        for number in 1..=MOMENTS {
            sleep_until(start + length.mul_f64(number as f64 / MOMENTS as f64)).await;
            let (now, operations) = (Instant::now(), self.done.operations());
            curve.push(Moment {
                seconds: (now - start).as_secs_f64(),
                per_second: (operations - before) as f64 / (now - at).as_secs_f64().max(f64::EPSILON),
                resident_bytes: self.resident()?,
                // Looked at by its name: the database's files are opened by nobody but the engine.
                log_bytes: std::fs::metadata(&self.log).map_or(0, |found| found.len()),
            });
            (before, at) = (operations, now);
            progress.step();
        }
        Ok(curve)
    }

    /// How much memory the server takes now.
    fn resident(&self) -> Result<u64> {
        let status =
            std::fs::read_to_string(format!("/proc/{}/status", self.pid)).context("the server is gone")?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: u64 = line.trim().trim_end_matches(" kB").parse()?;
        Ok(kib * 1_024)
    }
}
