//! The store as a `RecoveryStore`.

use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reclaimer_domain::history::{Actor, EventKind};
use reclaimer_domain::id::{JobId, RunId};
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::{
    BrokenRow, Candidates, Case, Flow, HistoryPage, Outcome, Page, Planned, RecoveryStore, Refused, Search,
    Seen, StoreError, Taken, Undo, Undone,
};
use reclaimer_domain::recovery::{CycleRunning, RunRecord};

use super::data::Data;
use super::effects::Effects;
use super::row::Change;
use super::{MemoryStore, candidates, cycles, leases};

#[async_trait]
impl RecoveryStore for MemoryStore {
    async fn begin(
        &self,
        run: RunId,
        hold_for: Duration,
        now: DateTime<Utc>,
    ) -> Result<Result<(), CycleRunning>, StoreError> {
        self.write(|data, _| Ok(cycles::begin(data, run, hold_for, now))).await
    }

    async fn end(&self, run: RunId, record: Option<RunRecord>) -> Result<(), StoreError> {
        self.write(|data, _| {
            cycles::end(data, &run, record);
            Ok(())
        })
        .await
    }

    async fn candidates(&self, search: Search) -> Result<Candidates, StoreError> {
        self.read(|data| candidates::candidates(data, &search))
    }

    async fn apply(
        &self,
        run: RunId,
        decisions: Vec<Planned>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Outcome>, StoreError> {
        self.write(|data, effects| {
            Ok(decisions.iter().map(|planned| apply(data, effects, &run, planned, now)).collect())
        })
        .await
    }

    async fn set_aside(
        &self,
        rows: Vec<BrokenRow>,
        run: RunId,
        now: DateTime<Utc>,
    ) -> Result<u32, StoreError> {
        self.write(|data, _| {
            let ids = rows.iter().filter_map(|row| row.id.parse::<JobId>().ok());
            let changed = ids.filter(|id| data.set_aside(id, Actor::Recovery(run.clone()), now));
            Ok(u32::try_from(changed.count()).unwrap_or(u32::MAX))
        })
        .await
    }

    async fn grant_grace(&self, until: DateTime<Utc>) -> Result<u32, StoreError> {
        self.write(|data, _| Ok(leases::grant_grace(data, until))).await
    }

    async fn shift_leases(&self, by: chrono::Duration) -> Result<u32, StoreError> {
        self.write(|data, _| Ok(leases::shift(data, by))).await
    }

    async fn flow(&self, now: DateTime<Utc>) -> Result<Flow, StoreError> {
        Ok(self.flow.lock().map(|flow| flow.last_minute(now)).unwrap_or_default())
    }

    async fn case(&self, id: &JobId, now: DateTime<Utc>) -> Result<Option<Case>, StoreError> {
        self.read(|data| candidates::case(data, id, now))
    }

    async fn replay(
        &self,
        since: DateTime<Utc>,
        cursor: Option<i64>,
        limit: u32,
    ) -> Result<HistoryPage, StoreError> {
        self.read(|data| cycles::replay(data, since, cursor, limit))
    }

    async fn last_event(&self) -> Result<i64, StoreError> {
        self.read(cycles::last_event)
    }

    async fn runs(&self, cursor: Option<RunId>, limit: u32) -> Result<Page<RunRecord, RunId>, StoreError> {
        self.read(|data| cycles::runs(data, cursor.as_ref(), limit))
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError> {
        self.read(|data| data.runs.get(id).cloned())
    }

    async fn undo(&self, order: Undo) -> Result<Undone, StoreError> {
        if order.dry_run {
            return self.read(|data| cycles::undo(&mut data.clone(), &order));
        }
        self.write(|data, _| Ok(cycles::undo(data, &order))).await
    }
}

fn apply(
    data: &mut Data,
    effects: &mut Effects,
    run: &RunId,
    planned: &Planned,
    now: DateTime<Utc>,
) -> Outcome {
    let before = match data.find(&planned.job) {
        None => return Outcome::LostRace { found: None },
        Some(Err(broken)) => {
            return Outcome::Refused(Refused::Broken { id: broken.id, reason: broken.reason });
        }
        Some(Ok(job)) => job,
    };
    if Seen::of(&before) != planned.seen {
        return Outcome::LostRace { found: Some(before.status) };
    }
    let mut job = before.clone();
    let entry = match job.recover(&planned.decision, run, now) {
        Ok(entry) => entry,
        Err(illegal) => return Outcome::Refused(illegal.into()),
    };
    if entry.kind == EventKind::NotRecovered {
        let is_news = data.row(&job.id).is_some_and(|row| !row.repeats_last(&entry));
        data.save(&job, is_news.then_some(entry));
        return Outcome::Applied;
    }
    data.save(&job, [entry]);
    let held = before.lease.clone();
    if job.status == Status::Queued && !held.as_ref().is_some_and(|lease| lease.excused) {
        effects.count(Flow { requeues: 1, ..Flow::default() }, now);
    }
    effects.now_waits(&job);
    effects.lease_taken(&job, held, Taken::Reclaimed);
    if let Some(row) = data.row_mut(&job.id) {
        row.change = Some(Change { run: run.clone(), at: now, before });
    }
    Outcome::Applied
}
