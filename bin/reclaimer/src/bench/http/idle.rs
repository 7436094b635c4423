//! How long an idle server takes to hand a new job to a worker that waits, and what the disk takes.

use std::io::Write;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use tokio::time::Instant;

use super::load::Handed;
use super::wire::{Address, request};
use crate::bench::figure::Time;
use crate::bench::progress::Progress;
use crate::bench::store::payload;

/// Between two samples, so that nothing is under way any more.
const PAUSE: Duration = Duration::from_millis(10);

/// From before a producer asks for a job until a worker that waits for one holds it.
pub(super) async fn handed(
    address: &Address,
    token: &str,
    samples: usize,
    progress: &Progress,
) -> Result<Time> {
    let (mut producer, mut worker) = (address.connect().await?, address.connect().await?);
    let order = json!({ "command": "BENCH", "queue": "idle", "payload": payload() }).to_string();
    let create = request("POST", "/api/jobs", Some(token), &order);
    let open = request(
        "GET",
        "/api/internal/jobs/open?workerId=bench-idle&queue=idle&limit=1&wait=30",
        Some(token),
        "",
    );
    let mut took = Vec::with_capacity(samples);
    for _ in 0..samples {
        let (start, report) = {
            let start = async {
                // By then the worker waits.
                tokio::time::sleep(PAUSE).await;
                let start = Instant::now();
                producer.ask(&create).await?;
                anyhow::Ok(start)
            };
            let hold = async {
                let jobs = worker.ask(&open).await?;
                let held = Instant::now();
                let [job]: [Handed<'_>; 1] =
                    serde_json::from_slice(jobs).context("jobs/open answered no job")?;
                anyhow::Ok((held, job.done()))
            };
            let (start, held) = tokio::join!(start, hold);
            let (start, (held, report)) = (start?, held?);
            (held - start, report)
        };
        took.push(start);
        worker.ask(&request("POST", "/api/internal/jobs/progress", Some(token), &report)).await?;
        progress.step();
    }
    Ok(Time::of(format!("idle: enqueue until a waiting worker holds the job, {}", address.kind()), took))
}

/// Appending 4 KiB to a file and waiting until they are on the disk, with the same pauses.
pub(super) async fn flushed(file: &Path, samples: usize, progress: &Progress) -> Result<Time> {
    let mut file = std::fs::File::create(file)?;
    let mut took = Vec::with_capacity(samples);
    for _ in 0..samples {
        tokio::time::sleep(PAUSE).await;
        let mut writing = file;
        let (back, time) = tokio::task::spawn_blocking(move || {
            let start = Instant::now();
            writing.write_all(&[7; 4_096])?;
            writing.sync_data()?;
            anyhow::Ok((writing, start.elapsed()))
        })
        .await??;
        file = back;
        took.push(time);
        progress.step();
    }
    ensure!(!took.is_empty(), "nothing was measured");
    Ok(Time::of("the disk alone: 4 KiB appended and flushed, idle between", took))
}
