//! Reports, signs of life, and leases given back.

use std::time::Duration;

use reclaimer_domain::job::report::Report;
use reclaimer_domain::job::{LeaseToken, SpawnIntent};
use reclaimer_domain::ports::{Release, Released, Renew, Renewed, ReportAnswer, ReportOrder, StoreError};
use tracing::{debug, warn};

use crate::service::Provisioning;

impl Provisioning {
    /// Applies one report; areas it found get the jobs that their kind asks for.
    ///
    /// # Errors
    /// When the store cannot.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the report.
    pub async fn report(&self, report: Report) -> Result<ReportAnswer, StoreError> {
        let (job_id, outcome) = (report.job.clone(), report.outcome.as_str());
        let (spawn, now) = self.inner.ids(|ids, now| {
            let mut spawn = Vec::new();
            for (area, found) in report.areas.iter().enumerate() {
                for command in self.inner.config.spawn.commands(&found.kind) {
                    spawn.push(SpawnIntent { id: ids.job(now), area, command: command.clone() });
                }
            }
            (spawn, now)
        });
        let order = ReportOrder { report, spawn, lease_for: self.inner.config.lease, now };
        let answer = self.inner.jobs.report(order).await?;
        match &answer {
            ReportAnswer::Stale { status } => {
                warn!(area = "JOB-MANAGER", %job_id, outcome, %status, "a report came from somebody who does not hold the job");
            }
            ReportAnswer::Applied { status, spawned, .. } => {
                debug!(area = "JOB-MANAGER", %job_id, outcome, %status, spawned, "report applied");
            }
            ReportAnswer::Duplicate { .. } | ReportAnswer::Refused(_) => {
                debug!(area = "JOB-MANAGER", %job_id, outcome, "report changed nothing");
            }
        }
        Ok(answer)
    }

    /// Renews leases, each of which names a job: their jobs live.
    ///
    /// # Errors
    /// When the store cannot.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the renewal.
    pub async fn heartbeat(&self, leases: Vec<LeaseToken>) -> Result<Renewed, StoreError> {
        let now = self.inner.now();
        self.inner.jobs.renew(Renew { leases, lease_for: self.inner.config.lease, now }).await
    }

    /// Takes leases back unworked; with a `delay` their jobs are not handed out again before it has passed.
    ///
    /// # Errors
    /// When the store cannot.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the release.
    pub async fn release(
        &self,
        leases: Vec<LeaseToken>,
        reason: Option<String>,
        delay: Duration,
    ) -> Result<Released, StoreError> {
        self.inner.jobs.release(Release { leases, reason, delay, now: self.inner.now() }).await
    }
}
