//! Jobs that were leased for somebody who went away before the answer: given back at once, instead of being missed until
//! their leases end and being held against them.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{Job, Lease, LeaseToken};
use reclaimer_domain::ports::{
    Claim, Claimed, Release, Renew, ReportAnswer, ReportOrder, Reported, Reports, StoreError,
};
use reclaimer_domain::time::between;
use tokio::sync::oneshot;
use tracing::{debug, warn};

use crate::service::Inner;

/// A lease of which this part is over when it is granted is renewed first.
const LATE: u32 = 10;

/// Claims jobs; gives them back when the caller no longer waits for them.
pub(crate) async fn claim(inner: &Arc<Inner>, claim: Claim) -> Result<(Claimed, Undelivered), StoreError> {
    let (jobs, asked_at) = (Arc::clone(&inner.jobs), claim.now);
    let asking = async move { Ok(((), jobs.claim(claim).await?)) };
    let ((), claimed, undelivered) = lease(inner, asked_at, asking).await?;
    Ok((claimed, undelivered))
}

/// Applies reports and then claims jobs, which are given back when the caller no longer waits for them.
pub(crate) async fn report_and_claim(
    inner: &Arc<Inner>,
    reports: Arc<[ReportOrder]>,
    claim: Claim,
) -> Result<(Vec<ReportAnswer>, Claimed, Undelivered), StoreError> {
    let (jobs, asked_at) = (Arc::clone(&inner.jobs), claim.now);
    let asking = async move {
        let Reported { answers, next } = jobs.report_all(Reports { reports, next: Some(claim) }).await?;
        Ok((answers, next.unwrap_or_default()))
    };
    lease(inner, asked_at, asking).await
}

/// Asks the store for jobs; answers what else it said, the jobs, and who has them given back.
async fn lease<T: Send + 'static>(
    inner: &Arc<Inner>,
    asked_at: DateTime<Utc>,
    asking: impl Future<Output = Result<(T, Claimed), StoreError>> + Send + 'static,
) -> Result<(T, Claimed, Undelivered), StoreError> {
    let (answer, leased) = oneshot::channel();
    let owner = Arc::clone(inner);
    // A task of its own: what was asked for happens, whoever goes away meanwhile.
    tokio::spawn(async move {
        let outcome = match asking.await {
            Ok((said, claimed)) => {
                let claimed = freshen(&owner, claimed, asked_at).await;
                let undelivered = Undelivered::of(&owner, &claimed.jobs);
                Ok((said, claimed, undelivered))
            }
            Err(error) => Err(error),
        };
        // An answer that nobody takes is dropped, here or where it lies, and its jobs go back.
        drop(answer.send(outcome));
    });
    leased.await.unwrap_or(Err(StoreError::Closing))
}

/// Leases count from when they were asked for. Where that is long ago, e.g. because another process held the database
/// locked, they are renewed before anybody gets them; a job that was taken back meanwhile is not handed out.
async fn freshen(inner: &Inner, mut claimed: Claimed, asked_at: DateTime<Utc>) -> Claimed {
    let (now, lease_for) = (inner.now(), inner.config.lease);
    if claimed.jobs.is_empty() || between(asked_at, now) <= lease_for / LATE {
        return claimed;
    }
    let renew = Renew { leases: leases(&claimed.jobs), named: false, lease_for, now };
    match inner.jobs.renew(renew).await {
        Ok(answer) => {
            let mut renewed: HashMap<JobId, Lease> = answer.renewed.into_iter().collect();
            claimed.jobs.retain_mut(|job| {
                job.lease = renewed.remove(&job.id);
                job.lease.is_some()
            });
        }
        Err(error) => {
            warn!(area = "JOB-MANAGER", %error, "jobs are handed out with leases of which a part is over");
        }
    }
    claimed
}

/// Jobs between their claim and the answer that carries them.
#[derive(Debug)]
pub(crate) struct Undelivered {
    inner: Arc<Inner>,
    leases: Vec<LeaseToken>,
}

impl Undelivered {
    fn of(inner: &Arc<Inner>, jobs: &[Job]) -> Self {
        Self { inner: Arc::clone(inner), leases: leases(jobs) }
    }

    /// The answer is there.
    pub(crate) fn deliver(mut self) {
        self.leases.clear();
    }
}

impl Drop for Undelivered {
    fn drop(&mut self) {
        let leases = std::mem::take(&mut self.leases);
        if !leases.is_empty() {
            let inner = Arc::clone(&self.inner);
            tokio::spawn(async move { give_back(&inner, leases).await });
        }
    }
}

fn leases(jobs: &[Job]) -> Vec<LeaseToken> {
    jobs.iter().filter_map(|job| job.lease.as_ref()).map(|lease| lease.token.clone()).collect()
}

async fn give_back(inner: &Inner, leases: Vec<LeaseToken>) {
    let count = leases.len();
    let reason = Some("whoever asked for it went away before it was handed out".to_owned());
    let release = Release { leases, reason, delay: Duration::ZERO, now: inner.now() };
    match inner.jobs.release(release).await {
        Ok(_) => debug!(area = "JOB-MANAGER", count, "jobs given back that could not be handed out"),
        Err(error) => {
            warn!(area = "JOB-MANAGER", count, %error, "jobs could not be given back; they come back when their leases end");
        }
    }
}
