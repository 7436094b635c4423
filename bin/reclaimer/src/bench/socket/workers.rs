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
pub(super) struct Workers(Arc<[Mutex<Worker>]>);

struct Worker {
    session: Session,
    /// On the jobs that it holds.
    reports: Vec<String>,
}

impl Workers {
    /// So many workers at the socket of a link.
    pub(super) async fn connect(socket: &Path, many: usize) -> Result<Self> {
        let mut workers = Vec::new();
        for number in 0..many {
            let session = Session::connect(socket, &format!("bench-{number}")).await?;
            workers.push(Mutex::new(Worker { session, reports: Vec::new() }));
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
                async move { workers.0[number].lock().await.take_and_report(many).await }
            }
        })
        .await
    }

    /// Each reports what it holds finished and takes as many jobs by the last of these reports, again and again. What is
    /// counted is jobs reported.
    pub(super) async fn go_on(&self, many: usize, length: Duration) -> Result<Done> {
        drive(self.0.len(), length, |number| {
            let workers = self.clone();
            move || {
                let workers = workers.clone();
                async move { workers.0[number].lock().await.go_on(many).await }
            }
        })
        .await
    }
}

impl Worker {
    async fn take_and_report(&mut self, many: usize) -> Result<u64> {
        self.take(many).await?;
        let reports = std::mem::take(&mut self.reports);
        reports.iter().for_each(|report| self.session.report(report));
        self.receive(reports.len()).await?;
        Ok(2 * reports.len() as u64)
    }

    async fn go_on(&mut self, many: usize) -> Result<u64> {
        if self.reports.is_empty() {
            self.take(many).await?;
        }
        let Some((last, reports)) = self.reports.split_last() else { return Ok(0) };
        reports.iter().for_each(|report| self.session.report(report));
        self.session.report_for_next(last, many);
        let reported = self.reports.len();
        self.receive(reported).await?;
        self.reports = self.session.jobs(|job| job.done()).await?;
        Ok(reported as u64)
    }

    async fn take(&mut self, many: usize) -> Result<()> {
        self.session.request(many, 0);
        self.session.send().await?;
        self.reports = self.session.jobs(|job| job.done()).await?;
        Ok(())
    }

    /// Sends reports, and waits for their receipts.
    async fn receive(&mut self, receipts: usize) -> Result<()> {
        self.session.send().await?;
        for _ in 0..receipts {
            self.session.receipt().await?;
        }
        Ok(())
    }
}
