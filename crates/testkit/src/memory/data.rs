//! All that a store in memory holds.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use chrono::{DateTime, Utc};
use reclaimer_domain::account::Account;
use reclaimer_domain::alert::AlertState;
use reclaimer_domain::area::Area;
use reclaimer_domain::history::{Actor, HistoryEntry, JobEvent};
use reclaimer_domain::id::{JobId, RunId};
use reclaimer_domain::job::{Job, LeaseToken, Status};
use reclaimer_domain::name::{AccountId, QueueName, UniqueKey};
use reclaimer_domain::ports::{self, CreatedJob, StoreError};
use reclaimer_domain::recovery::RunRecord;

use super::effects::Effects;
use super::row::{Found, Row};

/// Cheap to copy, so that a write that fails leaves nothing behind.
#[derive(Debug, Clone, Default)]
pub(super) struct Data {
    rows: BTreeMap<JobId, Arc<Row>>,
    /// Jobs that retention removed, for their history.
    past: BTreeMap<JobId, Arc<Row>>,
    /// The id of the latest event.
    last_event: i64,
    pub(super) accounts: BTreeMap<AccountId, KeptAccount>,
    pub(super) paused: BTreeSet<QueueName>,
    pub(super) areas: BTreeMap<String, Area>,
    pub(super) orders: BTreeMap<String, KeptOrder>,
    pub(super) runs: BTreeMap<RunId, RunRecord>,
    pub(super) alerts: BTreeMap<String, AlertState>,
    /// Which cycle holds the one place, and until when.
    pub(super) place: Option<(RunId, DateTime<Utc>)>,
}

#[derive(Debug, Clone)]
pub(super) struct KeptAccount {
    pub(super) account: Account,
    pub(super) is_erased: bool,
}

/// An order that was carried out under an idempotency key.
#[derive(Debug, Clone)]
pub(super) struct KeptOrder {
    pub(super) digest: String,
    pub(super) answers: Vec<CreatedJob>,
    pub(super) at: DateTime<Utc>,
}

impl Data {
    /// Every row, by id.
    pub(super) fn rows(&self) -> impl DoubleEndedIterator<Item = &Row> {
        self.rows.values().map(|row| &**row)
    }

    /// Every row, and those of jobs that retention removed.
    pub(super) fn rows_and_past(&self) -> impl Iterator<Item = &Row> {
        self.rows.values().chain(self.past.values()).map(|row| &**row)
    }

    pub(super) fn row(&self, id: &JobId) -> Option<&Row> {
        self.rows.get(id).map(|row| &**row)
    }

    pub(super) fn row_mut(&mut self, id: &JobId) -> Option<&mut Row> {
        self.rows.get_mut(id).map(Arc::make_mut)
    }

    pub(super) fn find(&self, id: &JobId) -> Option<Found> {
        self.row(id).map(Row::read)
    }

    /// The running job that a lease holds, if its row can be read.
    pub(super) fn find_by_lease(&self, token: &LeaseToken) -> Option<Job> {
        let holds = |row: &&Row| row.job.lease.as_ref().is_some_and(|lease| lease.token == *token);
        let mut running = self.rows().filter(|row| row.status() == Some(Status::Running));
        running.find(holds)?.read().ok()
    }

    /// One account that was not erased.
    pub(super) fn account(&self, id: &AccountId) -> Option<&Account> {
        self.accounts.get(id).filter(|kept| !kept.is_erased).map(|kept| &kept.account)
    }

    /// Puts a job in, over what there was.
    pub(super) fn put(&mut self, job: Job) {
        self.rows.insert(job.id.clone(), Arc::new(Row::new(job)));
    }

    pub(super) fn remove(&mut self, id: &JobId) -> bool {
        self.rows.remove(id).is_some()
    }

    /// Removes a job whose history stays.
    pub(super) fn retire(&mut self, id: &JobId) {
        self.past.extend(self.rows.remove_entry(id));
    }

    /// Removes an event of a job, and with its last one what is kept of a job that was removed.
    pub(super) fn forget(&mut self, id: &JobId, event: i64) {
        let row = self.rows.get_mut(id).or_else(|| self.past.get_mut(id));
        let Some(row) = row.map(Arc::make_mut) else { return };
        row.events.retain(|its| its.id != event);
        if row.events.is_empty() {
            self.past.remove(id);
        }
    }

    /// Writes a new job and its first event, unless a live job holds its unique key.
    pub(super) fn insert_new(
        &mut self,
        effects: &mut Effects,
        job: &Job,
        actor: Actor,
    ) -> Result<CreatedJob, StoreError> {
        if let Some(holder) = job.unique_key.as_ref().and_then(|key| self.key_holder(key)) {
            return Ok(CreatedJob { id: holder, created: false });
        }
        if self.rows.contains_key(&job.id) {
            let source = format!("there is a job `{}` already", job.id).into();
            return Err(StoreError::Failed { operation: "create a job", source });
        }
        self.put(job.clone());
        self.append(&job.id, job.created(actor));
        effects.now_waits(job);
        Ok(CreatedJob { id: job.id.clone(), created: true })
    }

    /// The live job that holds a unique key.
    pub(super) fn key_holder(&self, key: &UniqueKey) -> Option<JobId> {
        let holds = |row: &&Row| row.is_live() && row.job.unique_key.as_ref() == Some(key);
        self.rows().find(holds).map(|row| row.job.id.clone())
    }

    /// Writes a changed job, and what history says of the change.
    pub(super) fn save(&mut self, job: &Job, entries: impl IntoIterator<Item = HistoryEntry>) {
        if let Some(row) = self.row_mut(&job.id) {
            row.mend(job.clone());
        }
        entries.into_iter().for_each(|entry| self.append(&job.id, entry));
    }

    /// Appends an event.
    pub(super) fn append(&mut self, id: &JobId, entry: HistoryEntry) {
        let event = JobEvent { id: self.last_event + 1, job_id: id.clone(), entry };
        if let Some(row) = self.row_mut(id) {
            row.events.push(event);
            self.last_event += 1;
        }
    }

    /// What was appended since the data was `before`, in order.
    pub(super) fn changes_since(&self, before: &Self) -> Vec<ports::Change> {
        let mut changes: Vec<ports::Change> =
            self.rows().flat_map(|row| row.changes_after(before.last_event)).collect();
        changes.sort_by_key(|change| change.event_id);
        changes
    }

    /// Sets a row aside that cannot be read; answers whether it is one.
    pub(super) fn set_aside(&mut self, id: &JobId, actor: Actor, now: DateTime<Utc>) -> bool {
        let Some(row) = self.row(id).filter(|row| row.is_broken()) else { return false };
        let (mut job, entry) = row.salvaged(actor, now);
        // One that was over lives again by this, but without a key that another job holds by now.
        let holder = job.unique_key.as_ref().and_then(|key| self.key_holder(key));
        if holder.is_some_and(|holder| holder != job.id) {
            job.unique_key = None;
        }
        self.save(&job, [entry]);
        true
    }

    /// A job; one whose row cannot be read is set aside first, which makes it readable.
    pub(super) fn readable(&mut self, id: &JobId, now: DateTime<Utc>) -> Option<Job> {
        self.set_aside(id, Actor::System, now);
        self.find(id)?.ok()
    }
}
