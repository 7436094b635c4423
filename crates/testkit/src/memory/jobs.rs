//! The store as a `JobStore`.

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reclaimer_domain::history::{Actor, JobEvent};
use reclaimer_domain::id::JobId;
use reclaimer_domain::job::{Job, LateResult, Lease};
use reclaimer_domain::name::{Command, QueueName, WorkerId};
use reclaimer_domain::ports::{
    AcceptLate, AdminAction, Administered, Applied, Bulk, BulkAnswer, Claim, Claimed, Create, Created,
    Discovery, DiscoveryAnswer, Evidence, Hold, JobFilter, JobRead, JobStore, Page, QueueState, Release,
    Released, Renew, Renewed, ReportAnswer, ReportOrder, Reported, Reports, StoreError,
};

use super::effects::Effects;
use super::{MemoryStore, bulk, claim, create, late, leases, lists, manual, report};

#[async_trait]
impl JobStore for MemoryStore {
    async fn create(&self, order: Create) -> Result<Created, StoreError> {
        self.write(|data, effects| create::create(data, effects, order)).await
    }

    async fn claim(&self, order: Claim) -> Result<Claimed, StoreError> {
        self.write(|data, effects| Ok(claim::claim(data, effects, order))).await
    }

    async fn peek(
        &self,
        queue: Option<QueueName>,
        command: Option<Command>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Vec<Job>, StoreError> {
        self.read(|data| claim::peek(data, queue.as_ref(), command, limit, now))
    }

    async fn report(&self, order: ReportOrder) -> Result<ReportAnswer, StoreError> {
        self.write(|data, effects| report::report(data, effects, order)).await
    }

    async fn report_all(&self, order: Reports) -> Result<Reported, StoreError> {
        self.write(|data, effects| {
            let reports = order.reports.iter().cloned();
            let answers =
                reports.map(|order| report::report(data, effects, order)).collect::<Result<_, _>>()?;
            let next = order.next.map(|next| claim::claim(data, effects, next));
            Ok(Reported { answers, next })
        })
        .await
    }

    async fn renew(&self, order: Renew) -> Result<Renewed, StoreError> {
        self.write(|data, _| Ok(leases::renew(data, order))).await
    }

    async fn release(&self, order: Release) -> Result<Released, StoreError> {
        self.write(|data, effects| Ok(leases::release(data, effects, order))).await
    }

    async fn held_by(&self, worker: &WorkerId) -> Result<Vec<(JobId, Lease)>, StoreError> {
        self.read(|data| leases::held_by(data, worker))
    }

    async fn hold(&self, order: Hold) -> Result<u32, StoreError> {
        self.write(|data, _| Ok(leases::hold(data, order))).await
    }

    async fn note_pending_start(&self, job: JobId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        self.write(|data, _| Ok(leases::note_pending_start(data, &job, now))).await
    }

    async fn pending_starts(&self, limit: u32) -> Result<Vec<(JobId, QueueName)>, StoreError> {
        self.read(|data| leases::pending_starts(data, limit))
    }

    async fn testify(&self, evidence: Evidence) -> Result<bool, StoreError> {
        self.write(|data, _| Ok(leases::testify(data, evidence))).await
    }

    async fn discover(&self, order: Discovery) -> Result<DiscoveryAnswer, StoreError> {
        self.write(|data, effects| manual::discover(data, effects, order)).await
    }

    async fn administer(
        &self,
        id: JobId,
        action: AdminAction,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> Result<Applied<Administered>, StoreError> {
        self.write(|data, effects| Ok(manual::administer(data, effects, &id, action, actor, now))).await
    }

    async fn rerun(
        &self,
        id: JobId,
        new: JobId,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> Result<Applied<Box<Job>>, StoreError> {
        self.write(|data, effects| manual::rerun(data, effects, &id, new, actor, now)).await
    }

    async fn late_results(&self, id: &JobId) -> Result<Option<Vec<LateResult>>, StoreError> {
        self.read(|data| data.row(id).map(|row| row.late.clone()))
    }

    async fn accept_late(&self, order: AcceptLate) -> Result<Applied<Box<Job>>, StoreError> {
        self.write(|data, effects| late::accept(data, effects, order)).await
    }

    async fn administer_many(&self, bulk: Bulk) -> Result<BulkAnswer, StoreError> {
        if bulk.dry_run {
            return self
                .read(|data| bulk::administer_many(&mut data.clone(), &mut Effects::default(), &bulk));
        }
        self.write(|data, effects| Ok(bulk::administer_many(data, effects, &bulk))).await
    }

    async fn job(&self, id: &JobId) -> Result<Option<JobRead>, StoreError> {
        self.read(|data| data.row(id).map(lists::read))
    }

    async fn jobs(
        &self,
        filter: JobFilter,
        cursor: Option<JobId>,
        limit: u32,
    ) -> Result<Page<JobRead, JobId>, StoreError> {
        self.read(|data| lists::jobs(data, &filter, cursor.as_ref(), limit))
    }

    async fn events(
        &self,
        id: &JobId,
        cursor: Option<i64>,
        limit: u32,
    ) -> Result<Option<Page<JobEvent, i64>>, StoreError> {
        self.read(|data| data.row(id).map(|row| lists::events(row, cursor, limit)))
    }

    async fn queues(&self) -> Result<Vec<QueueState>, StoreError> {
        self.read(lists::queues)
    }

    async fn pause_queue(
        &self,
        queue: QueueName,
        paused: bool,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.write(|data, effects| {
            if paused {
                data.paused.insert(queue);
            } else {
                data.paused.remove(&queue);
                effects.arrivals.extend(claim::arrivals(data, &queue, now));
            }
            Ok(())
        })
        .await
    }

    async fn probe(&self, _now: DateTime<Utc>) -> Result<(), StoreError> {
        self.write(|_, _| Ok(())).await
    }
}
