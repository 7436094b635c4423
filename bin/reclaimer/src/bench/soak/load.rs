//! Clients that do what they should, as fast as they can.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use serde_json::json;
use tokio::time::{Instant, sleep};

use crate::bench::http::load::Handed;
use crate::bench::http::wire::{Address, Connection, request};
use crate::bench::store::payload;

/// So often a worker reports progress on a job before it is done.
const REPORTS: u32 = 8;
/// So many jobs more than were done are created, at most.
const AHEAD: u64 = 1_000;
/// Before something is asked again for which there was no room, or looked for again which was not there.
const LATER: Duration = Duration::from_millis(5);

/// What was done.
#[derive(Debug, Default)]
pub(super) struct Done {
    operations: AtomicU64,
    refused: AtomicU64,
    created: AtomicU64,
    finished: AtomicU64,
}

impl Done {
    pub(super) fn operations(&self) -> u64 {
        self.operations.load(Ordering::Relaxed)
    }

    pub(super) fn refused(&self) -> u64 {
        self.refused.load(Ordering::Relaxed)
    }
}

/// Asks until there is room for it.
async fn ask<'a>(connection: &'a mut Connection, request: &[u8], done: &Done) -> Result<&'a [u8]> {
    while matches!(connection.exchange(request).await?, 429 | 503) {
        done.refused.fetch_add(1, Ordering::Relaxed);
        sleep(LATER).await;
    }
    done.operations.fetch_add(1, Ordering::Relaxed);
    connection.last()
}

/// Takes a job, reports progress and that it is done, and so on.
pub(super) async fn work(
    address: Address,
    token: Arc<str>,
    number: usize,
    end: Instant,
    done: Arc<Done>,
) -> Result<()> {
    let mut connection = address.connect().await?;
    let path = format!("/api/internal/jobs/open?workerId=bench-{number}&queue=default&limit=1&wait=1");
    let open = request("GET", &path, Some(&token), "");
    let report = |body: &str| request("POST", "/api/internal/jobs/progress", Some(&token), body);
    while Instant::now() < end {
        let jobs: Vec<Handed<'_>> = serde_json::from_slice(ask(&mut connection, &open, &done).await?)?;
        let reports: Vec<_> =
            jobs.iter().map(|job| (report(&job.under_way()), report(&job.done()))).collect();
        for (under_way, finished) in reports {
            for _ in 0..REPORTS {
                ask(&mut connection, &under_way, &done).await?;
            }
            ask(&mut connection, &finished, &done).await?;
            done.finished.fetch_add(1, Ordering::Relaxed);
        }
    }
    Ok(())
}

/// Creates as many jobs as are done.
pub(super) async fn produce(address: Address, token: Arc<str>, end: Instant, done: Arc<Done>) -> Result<()> {
    let mut connection = address.connect().await?;
    let order = json!({ "command": "BENCH", "payload": payload() }).to_string();
    let create = request("POST", "/api/jobs", Some(&token), &order);
    while Instant::now() < end {
        if done.created.load(Ordering::Relaxed) > done.finished.load(Ordering::Relaxed) + AHEAD {
            sleep(LATER).await;
            continue;
        }
        let answer = ask(&mut connection, &create, &done).await?;
        ensure!(!answer.is_empty(), "a job was created without an answer: a defect");
        done.created.fetch_add(1, Ordering::Relaxed);
    }
    Ok(())
}
