//! Reports that come with a request for the next jobs.

use std::sync::Arc;
use std::time::Duration;

use reclaimer_domain::job::report::Report;
use reclaimer_domain::ports::{ReportAnswer, ReportOrder, StoreError};
use reclaimer_domain::wire::JobOnTheWire;
use tokio_util::sync::CancellationToken;

use crate::delivery;
use crate::open::Want;
use crate::report::say;
use crate::service::Provisioning;

/// What became of reports, and what their worker got next.
#[derive(Debug)]
pub struct Reported {
    /// One per report, in their order.
    pub answers: Vec<Result<ReportAnswer, StoreError>>,
    /// The next jobs, or why there are none.
    pub next: Result<Vec<JobOnTheWire>, StoreError>,
}

impl Provisioning {
    /// Applies reports as [`Self::report`] does, each on its own, and leases the next jobs to their worker as
    /// [`Self::open`] does, by one operation of the store. Jobs are leased whatever became of the reports: whoever
    /// repeats an end, or has lost the job, has room as well. [`Want::wait`] does not count, so that no receipt is
    /// held up for it.
    ///
    /// # Errors
    /// When the store cannot; then nothing was done.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the reports; the jobs are given back, and cost no attempt.
    pub async fn report_and_open(&self, reports: Vec<Report>, want: Want) -> Result<Reported, StoreError> {
        let mut orders = Vec::with_capacity(reports.len());
        for report in reports {
            orders.push(self.order(report).await?);
        }
        let orders: Arc<[ReportOrder]> = orders.into();
        match delivery::report_and_claim(&self.inner, Arc::clone(&orders), self.claim(&want)).await {
            Ok((answers, claimed, undelivered)) => {
                for (ReportOrder { report, .. }, answer) in orders.iter().zip(&answers) {
                    say(&report.job, report.outcome.as_str(), answer);
                }
                let jobs = self.hand_out(claimed.jobs, undelivered, &want.worker).await;
                Ok(Reported { answers: answers.into_iter().map(Ok).collect(), next: Ok(jobs) })
            }
            Err(StoreError::Failed { .. }) => Ok(self.one_by_one(&orders, want).await),
            Err(error) => Err(error),
        }
    }

    /// The store refused a part of it for a reason of that part's own, which must not be the others' trouble.
    async fn one_by_one(&self, orders: &[ReportOrder], want: Want) -> Reported {
        let mut answers = Vec::with_capacity(orders.len());
        for order in orders {
            answers.push(self.apply(order.clone()).await);
        }
        // Whose report is not settled still has its job.
        let next = match answers.iter().all(Result::is_ok) {
            true => self.open(Want { wait: Duration::ZERO, ..want }, &CancellationToken::new()).await,
            false => Ok(Vec::new()),
        };
        Reported { answers, next }
    }
}
