//! The store as a `JobStore`: each operation goes to the writer or to a reader.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use diesel::{QueryResult, SqliteConnection};
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
use super::statement::prepared;
use super::writer::Kind;
use super::{
    SqliteStore, bulk, claim, counts, create, event_table, job_table, late, leases, lists, manual, report,
};
use crate::disk;

/// An operation on more jobs than this is one in bulk.
pub(super) const FEW: usize = 20;

impl SqliteStore {
    pub(super) async fn write<T, F>(&self, name: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection, &mut Effects) -> QueryResult<T> + Send + 'static,
    {
        self.writer.run(name, work).await
    }

    /// An operation that can be carried out anew.
    async fn write_often<T, F>(&self, name: &'static str, kind: Kind, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnMut(&mut SqliteConnection, &mut Effects) -> QueryResult<T> + Send + 'static,
    {
        self.writer.run_often(name, kind, work).await
    }

    pub(super) async fn read<T, F>(&self, name: &'static str, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&mut SqliteConnection) -> QueryResult<T> + Send + 'static,
    {
        if !self.readers.is_open() {
            // The writer opens, makes and migrates. Where it cannot, what is there may still be readable.
            drop(self.writer.run("open the database", |_, _| Ok(())).await);
        }
        let read = self.readers.run(name, work).await;
        // What others have written is told to nobody before the disk has confirmed it.
        if !self.durable.confirmed().await {
            return Err(StoreError::Unavailable {
                reason: "the disk did not confirm what was read".to_owned(),
                source: None,
            });
        }
        read
    }

    /// Whether there is room for new jobs. They are refused while there is room for reports still: those are what frees
    /// room again.
    ///
    /// # Errors
    /// When too little room is left.
    pub fn check_room(&self) -> Result<(), StoreError> {
        let Some(free) = disk::free(&self.config.path) else { return Ok(()) };
        let wanted = self.config.min_free;
        if free < wanted {
            return Err(StoreError::LowSpace {
                reason: format!("{free} bytes are free on its disk, {wanted} are wanted (database.min_free)"),
            });
        }
        Ok(())
    }
}

#[async_trait]
impl JobStore for SqliteStore {
    async fn create(&self, order: Create) -> Result<Created, StoreError> {
        self.check_room()?;
        let jobs = order.jobs.len();
        let order = Arc::new(create::Order::new(order));
        let ordered = Arc::clone(&order);
        let create = move |conn: &mut _, effects: &mut _| create::create(conn, effects, &ordered);
        let created = if jobs > FEW {
            self.writer.run_bulk("create jobs", jobs, create).await
        } else {
            self.write_often("create jobs", Kind::Repeatable, create).await
        };
        created.map(|created| order.answer(created))
    }

    async fn claim(&self, order: Claim) -> Result<Claimed, StoreError> {
        let claim = move |conn: &mut _, effects: &mut _| claim::claim(conn, effects, &order);
        self.write_often("claim jobs", Kind::Claim, claim).await
    }

    async fn peek(
        &self,
        queue: Option<QueueName>,
        command: Option<Command>,
        limit: u32,
        now: DateTime<Utc>,
    ) -> Result<Vec<Job>, StoreError> {
        self.read("look at jobs", move |conn| claim::peek(conn, queue.as_ref(), command.as_ref(), limit, now))
            .await
    }

    async fn report(&self, order: ReportOrder) -> Result<ReportAnswer, StoreError> {
        let report = move |conn: &mut _, effects: &mut _| report::report(conn, effects, &order);
        self.write_often("apply a report", Kind::Repeatable, report).await
    }

    async fn report_all(&self, order: Reports) -> Result<Reported, StoreError> {
        if order.reports.len() > FEW {
            let jobs = order.reports.len() + order.next.as_ref().map_or(0, |next| next.tokens.len());
            let report = move |conn: &mut _, effects: &mut Effects| {
                // What claims have found stands no longer: other operations ran since.
                effects.claims.forget();
                report::report_all(conn, effects, &order)
            };
            return self.writer.run_bulk("apply reports", jobs, report).await;
        }
        let kind = if order.next.is_some() { Kind::Claim } else { Kind::Repeatable };
        let report = move |conn: &mut _, effects: &mut _| report::report_all(conn, effects, &order);
        self.write_often("apply reports", kind, report).await
    }

    async fn renew(&self, order: Renew) -> Result<Renewed, StoreError> {
        let renew = move |conn: &mut _, effects: &mut _| leases::renew(conn, effects, &order);
        self.write_often("renew leases", Kind::Repeatable, renew).await
    }

    async fn release(&self, order: Release) -> Result<Released, StoreError> {
        self.write("release leases", move |conn, effects| leases::release(conn, effects, order)).await
    }

    async fn held_by(&self, worker: &WorkerId) -> Result<Vec<(JobId, Lease)>, StoreError> {
        let worker = worker.clone();
        self.read("look for a worker's jobs", move |conn| leases::held_by(conn, &worker)).await
    }

    async fn hold(&self, order: Hold) -> Result<u32, StoreError> {
        self.write("hold leases on", move |conn, effects| leases::hold(conn, effects, order)).await
    }

    async fn note_pending_start(&self, job: JobId, now: DateTime<Utc>) -> Result<bool, StoreError> {
        self.write("note a pending start", move |conn, effects| {
            leases::note_pending_start(conn, effects, &job, now)
        })
        .await
    }

    async fn pending_starts(&self, limit: u32) -> Result<Vec<(JobId, QueueName)>, StoreError> {
        self.read("look for jobs to start", move |conn| lists::pending_starts(conn, limit)).await
    }

    async fn testify(&self, evidence: Evidence) -> Result<bool, StoreError> {
        self.write("keep evidence", move |conn, effects| leases::testify(conn, effects, evidence)).await
    }

    async fn discover(&self, order: Discovery) -> Result<DiscoveryAnswer, StoreError> {
        self.check_room()?;
        self.write("start discovery", move |conn, effects| manual::discover(conn, effects, order)).await
    }

    async fn administer(
        &self,
        id: JobId,
        action: AdminAction,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> Result<Applied<Administered>, StoreError> {
        self.write("administer a job", move |conn, effects| {
            manual::administer(conn, effects, &id, action, actor, now)
        })
        .await
    }

    async fn rerun(
        &self,
        id: JobId,
        new: JobId,
        actor: Actor,
        now: DateTime<Utc>,
    ) -> Result<Applied<Box<Job>>, StoreError> {
        self.write("run a job again", move |conn, effects| manual::rerun(conn, effects, &id, new, actor, now))
            .await
    }

    async fn late_results(&self, id: &JobId) -> Result<Option<Vec<LateResult>>, StoreError> {
        let id = id.clone();
        self.read("read a job's late results", move |conn| {
            if lists::exists(conn, &id)? { late::list(conn, &id).map(Some) } else { Ok(None) }
        })
        .await
    }

    async fn accept_late(&self, order: AcceptLate) -> Result<Applied<Box<Job>>, StoreError> {
        self.write("accept a late result", move |conn, effects| late::accept(conn, effects, order)).await
    }

    async fn administer_many(&self, bulk: Bulk) -> Result<BulkAnswer, StoreError> {
        // Counted by a reader: it may look through the whole table, for which no write should wait.
        let counting = bulk.clone();
        let (eligible, ineligible) =
            self.read("count jobs", move |conn| bulk::count_many(conn, &counting)).await?;
        let (items, more) = if bulk.dry_run {
            self.read("look at jobs", move |conn| bulk::look_at_many(conn, &bulk)).await?
        } else {
            let jobs = usize::try_from(bulk.limit).unwrap_or(usize::MAX);
            self.writer
                .run_bulk("administer jobs", jobs, move |conn, effects| {
                    bulk::administer_many(conn, effects, &bulk)
                })
                .await?
        };
        Ok(BulkAnswer { eligible, ineligible, items, more })
    }

    async fn job(&self, id: &JobId) -> Result<Option<JobRead>, StoreError> {
        let id = id.clone();
        self.read("read a job", move |conn| Ok(job_table::find(conn, id.as_str())?.map(lists::read))).await
    }

    async fn jobs(
        &self,
        filter: JobFilter,
        cursor: Option<JobId>,
        limit: u32,
    ) -> Result<Page<JobRead, JobId>, StoreError> {
        self.read("list jobs", move |conn| lists::page(conn, &filter, cursor.as_ref(), limit)).await
    }

    async fn events(
        &self,
        id: &JobId,
        cursor: Option<i64>,
        limit: u32,
    ) -> Result<Option<Page<JobEvent, i64>>, StoreError> {
        let id = id.clone();
        self.read("read a job's history", move |conn| {
            if lists::exists(conn, &id)? {
                event_table::page(conn, &id, cursor, limit).map(Some)
            } else {
                Ok(None)
            }
        })
        .await
    }

    async fn queues(&self) -> Result<Vec<QueueState>, StoreError> {
        let (queues, foreign) = self.read("count jobs", lists::queues).await?;
        if foreign {
            self.writer.post("count jobs that others wrote", counts::settle);
        }
        Ok(queues)
    }

    async fn pause_queue(
        &self,
        queue: QueueName,
        paused: bool,
        now: DateTime<Utc>,
    ) -> Result<(), StoreError> {
        self.write("pause or resume a queue", move |conn, effects| {
            prepared!(
                "INSERT INTO queue (name, paused, updated_at) VALUES (?, ?, ?) \
                 ON CONFLICT (name) DO UPDATE SET paused = excluded.paused, updated_at = excluded.updated_at",
                queue.as_str(),
                i64::from(paused),
                now,
            )
            .run(conn)?;
            if !paused {
                effects.arrivals.extend(claim::waiting(conn, &queue, now)?);
            }
            Ok(())
        })
        .await
    }

    async fn probe(&self, now: DateTime<Utc>) -> Result<(), StoreError> {
        self.write("write to the database", move |conn, _| {
            prepared!(
                "INSERT INTO probe (name, at) VALUES ('ready', ?) ON CONFLICT (name) DO UPDATE SET at = excluded.at",
                now
            )
            .run(conn)
            .map(drop)
        })
        .await
    }
}
