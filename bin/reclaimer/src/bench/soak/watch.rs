//! Looks at the server now and then.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::time::{Instant, sleep_until};

use super::load::Done;
use crate::bench::figure::Moment;
use crate::bench::process::Process;
use crate::bench::progress::Progress;

/// So often, spread over the whole time.
pub(super) const MOMENTS: u64 = 200;

pub(super) struct Watch {
    pub(super) process: Process,
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
                resident_bytes: self.process.resident()?,
                // Looked at by its name: the database's files are opened by nobody but the engine.
                log_bytes: std::fs::metadata(&self.log).map_or(0, |found| found.len()),
            });
            (before, at) = (operations, now);
            progress.step();
        }
        Ok(curve)
    }
}
