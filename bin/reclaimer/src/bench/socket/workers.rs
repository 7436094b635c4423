//! Workers of the link that take jobs and report them, one after another.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use tokio::sync::Mutex;

use super::session::Session;
use crate::bench::drive::{Done, drive};

/// Connected workers.
#[derive(Clone)]
pub(super) struct Workers(Arc<[Mutex<Session>]>);

impl Workers {
    /// So many workers at the socket of a link.
    pub(super) async fn connect(socket: &Path, many: usize) -> Result<Self> {
        let mut workers = Vec::new();
        for number in 0..many {
            workers.push(Mutex::new(Session::connect(socket, &format!("bench-{number}")).await?));
        }
        Ok(Self(workers.into()))
    }

    /// Each takes so many jobs with a request and reports each finished, again and again. What is counted is durable
    /// operations on jobs: that one was taken, and that one was reported.
    pub(super) async fn take_and_report(&self, many: usize, length: Duration) -> Result<Done> {
        drive(self.0.len(), length, |number| {
            let workers = self.clone();
            move || {
                let workers = workers.clone();
                async move { take_and_report(&mut *workers.0[number].lock().await, many).await }
            }
        })
        .await
    }
}

async fn take_and_report(session: &mut Session, many: usize) -> Result<u64> {
    session.request(many, 0);
    session.send().await?;
    let reports = session.jobs(|job| job.done()).await?;
    for report in &reports {
        session.report(report);
    }
    session.send().await?;
    for _ in &reports {
        session.receipt().await?;
    }
    Ok(2 * reports.len() as u64)
}
