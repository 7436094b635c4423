//! Several reports at once, and the next jobs with them.

use std::sync::Arc;
use std::time::Duration;

use reclaimer_domain::job::report::Report;
use reclaimer_domain::ports::{self, ReportAnswer, ReportOrder, Reports, StoreError};
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
    /// The next jobs, or why there are none; none where none were wanted.
    pub next: Result<Vec<JobOnTheWire>, StoreError>,
}

impl Provisioning {
    /// Applies reports as [`Self::report`] does, each on its own, and leases the next jobs to their worker as
    /// [`Self::open`] does, if it wants any: by one operation of the store. Jobs are leased whatever became of the reports:
    /// whoever repeats an end, or has lost the job, has room as well. [`Want::wait`] does not count; credentials of the jobs
    /// that have to be refreshed hold the answer up for as long as they may when jobs are asked for alone.
    ///
    /// # Errors
    /// When the store cannot; then nothing was done, unless it says that the outcome is unknown.
    ///
    /// # Cancel safety
    /// Dropping the future does not undo the reports; the jobs are given back, and cost no attempt.
    pub async fn report_all(&self, reports: Vec<Report>, next: Option<Want>) -> Result<Reported, StoreError> {
        if reports.is_empty() && next.is_none() {
            return Ok(Reported { answers: Vec::new(), next: Ok(Vec::new()) });
        }
        let mut orders = Vec::with_capacity(reports.len());
        for report in reports {
            orders.push(self.order(report).await?);
        }
        let orders: Arc<[ReportOrder]> = orders.into();
        match self.together(&orders, next.as_ref()).await {
            // One of them is refused for a reason of its own, which must not be the others' trouble.
            Err(StoreError::Failed { .. }) => Ok(self.one_by_one(&orders, next).await),
            done => done,
        }
    }

    async fn together(
        &self,
        orders: &Arc<[ReportOrder]>,
        next: Option<&Want>,
    ) -> Result<Reported, StoreError> {
        let (answers, jobs) = match next {
            Some(want) => {
                let asked = delivery::report_and_claim(&self.inner, Arc::clone(orders), self.claim(want));
                let (answers, claimed, undelivered) = asked.await?;
                (answers, self.hand_out(claimed.jobs, undelivered, &want.worker).await)
            }
            None => {
                let reports = Reports { reports: Arc::clone(orders), next: None };
                let ports::Reported { answers, .. } = self.inner.jobs.report_all(reports).await?;
                (answers, Vec::new())
            }
        };
        for (ReportOrder { report, .. }, answer) in orders.iter().zip(&answers) {
            say(&report.job, report.outcome.as_str(), answer);
        }
        Ok(Reported { answers: answers.into_iter().map(Ok).collect(), next: Ok(jobs) })
    }

    async fn one_by_one(&self, orders: &[ReportOrder], next: Option<Want>) -> Reported {
        let mut answers = Vec::with_capacity(orders.len());
        for order in orders {
            answers.push(self.apply(order.clone()).await);
        }
        // Whose report is not settled still has its job.
        let next = match next.filter(|_| answers.iter().all(Result::is_ok)) {
            Some(want) => self.open(Want { wait: Duration::ZERO, ..want }, &CancellationToken::new()).await,
            None => Ok(Vec::new()),
        };
        Reported { answers, next }
    }
}
