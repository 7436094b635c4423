//! A store in memory that keeps the contract of the port, and can be made to fail, to wait, and to be changed by
//! others at the wrong moment.

use std::collections::HashSet;
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, TimeDelta, Utc};
use reclaimer_domain::account::AccountState;
use reclaimer_domain::id::{JobId, RunId};
use reclaimer_domain::job::{Job, Status};
use reclaimer_domain::ports::{
    BrokenRow, Candidate, Candidates, Case, Flow, HistoryPage, Outcome, Page, Planned, RecoveryStore,
    Refused, Search, Seen, StoreError, Undo, Undone,
};
use reclaimer_domain::recovery::{CycleRunning, RecoveryType, RunRecord, Trigger};
use reclaimer_domain::time::after;
use tokio::sync::Notify;

/// What was asked of the store.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Call {
    Begin,
    End,
    Candidates,
    Apply(usize),
    SetAside,
    Grace(DateTime<Utc>),
    Shift(TimeDelta),
    Undo(Undo),
}

/// Changes the rows behind the engine's back.
type Meddler = Box<dyn FnOnce(&mut Rows) + Send>;

#[derive(Default)]
pub(crate) struct Rows {
    pub(crate) jobs: Vec<Job>,
    pub(crate) broken: Vec<BrokenRow>,
    /// Accounts with a live token; of those not listed, names that begin with `gone` do not exist.
    pub(crate) valid: HashSet<String>,
    pub(crate) records: Vec<RunRecord>,
    pub(crate) calls: Vec<Call>,
    pub(crate) place: Option<(RunId, DateTime<Utc>)>,
    /// When jobs were queued again that count against the budget.
    pub(crate) requeued: Vec<DateTime<Utc>>,
    /// Every call fails.
    pub(crate) away: bool,
    /// The next calls of this kind fail like this.
    pub(crate) failures: Vec<(Call, StoreError)>,
    /// Applying anything to these fails.
    pub(crate) poisoned: HashSet<String>,
    /// Done right before the next decisions are applied.
    pub(crate) before_apply: Option<Meddler>,
    /// Searches wait for this.
    pub(crate) gate: Option<Arc<Notify>>,
}

#[derive(Default)]
pub(crate) struct FakeStore(Mutex<Rows>);

impl fmt::Debug for FakeStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("FakeStore")
    }
}

impl FakeStore {
    /// Looks at the rows, or changes them.
    pub(crate) fn with<T>(&self, look: impl FnOnce(&mut Rows) -> T) -> T {
        look(&mut self.0.lock().unwrap())
    }

    pub(crate) fn add(&self, jobs: impl IntoIterator<Item = Job>) {
        self.with(|rows| {
            rows.jobs.extend(jobs);
            rows.jobs.sort_by_key(|job| job.id.clone());
        });
    }

    pub(crate) fn job(&self, id: &str) -> Job {
        self.with(|rows| rows.jobs.iter().find(|job| job.id.as_str() == id).unwrap().clone())
    }

    pub(crate) fn count(&self, status: Status) -> usize {
        self.with(|rows| rows.jobs.iter().filter(|job| job.status == status).count())
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.with(|rows| rows.calls.clone())
    }

    /// The calls since the last look, without searches.
    pub(crate) fn take_calls(&self) -> Vec<Call> {
        self.with(|rows| std::mem::take(&mut rows.calls))
            .into_iter()
            .filter(|call| *call != Call::Candidates)
            .collect()
    }

    pub(crate) fn begun(&self) -> usize {
        self.calls().into_iter().filter(|call| *call == Call::Begin).count()
    }

    /// What set off the recorded runs, oldest first.
    pub(crate) fn triggers(&self) -> Vec<Trigger> {
        self.with(|rows| rows.records.iter().map(|record| record.trigger).collect())
    }

    fn call(&self, call: Call) -> Result<std::sync::MutexGuard<'_, Rows>, StoreError> {
        let mut rows = self.0.lock().unwrap();
        rows.calls.push(call.clone());
        if rows.away {
            return Err(StoreError::Unavailable { reason: "out for lunch".into(), source: None });
        }
        let same =
            |(other, _): &(Call, StoreError)| std::mem::discriminant(other) == std::mem::discriminant(&call);
        match rows.failures.iter().position(same) {
            Some(index) => Err(rows.failures.remove(index).1),
            None => Ok(rows),
        }
    }
}

impl Rows {
    fn apply(&mut self, run: &RunId, planned: &Planned, now: DateTime<Utc>) -> Outcome {
        let Some(job) = self.jobs.iter_mut().find(|job| job.id == planned.job) else {
            return Outcome::LostRace { found: None };
        };
        if Seen::of(job) != planned.seen {
            return Outcome::LostRace { found: Some(job.status) };
        }
        let excused = job.lease.as_ref().is_some_and(|lease| lease.excused);
        if let Err(illegal) = job.recover(&planned.decision, run, now) {
            return Outcome::Refused(Refused::Illegal(illegal));
        }
        if job.status == Status::Queued && !excused {
            self.requeued.push(now);
        }
        Outcome::Applied
    }

    fn account(&self, job: &Job) -> AccountState {
        match &job.account_id {
            None => AccountState::NotNeeded,
            Some(id) if self.valid.contains(id.as_str()) => AccountState::Valid(id.clone()),
            Some(id) if id.as_str().starts_with("gone") => AccountState::Missing(id.clone()),
            Some(id) => AccountState::Invalid(id.clone()),
        }
    }
}

/// Whether the search may find the job; coarse, as the port allows.
fn fits(job: &Job, search: &Search) -> bool {
    let sought = match job.status {
        Status::Failed => search.kind != RecoveryType::Stuck,
        Status::Running if search.expired_leases_only => {
            job.lease.as_ref().is_some_and(|lease| lease.expires_at <= search.now)
        }
        Status::Running => search.kind != RecoveryType::Failed,
        _ => false,
    };
    let behind = search.after.as_ref().is_none_or(|(status, id)| {
        (job.status == Status::Running, &job.id) > (*status == Status::Running, id)
    });
    sought && behind && job.recover_after.is_none_or(|at| search.resting || at <= search.now)
}

#[async_trait]
impl RecoveryStore for FakeStore {
    async fn begin(
        &self,
        run: RunId,
        hold_for: Duration,
        now: DateTime<Utc>,
    ) -> Result<Result<(), CycleRunning>, StoreError> {
        let mut rows = self.call(Call::Begin)?;
        if let Some((_, until)) = rows.place.as_ref().filter(|(_, until)| *until > now) {
            return Ok(Err(CycleRunning { until: *until }));
        }
        rows.place = Some((run, after(now, hold_for)));
        Ok(Ok(()))
    }

    async fn end(&self, run: RunId, record: Option<RunRecord>) -> Result<(), StoreError> {
        let mut rows = self.call(Call::End)?;
        assert_eq!(
            rows.place.take().map(|(holder, _)| holder),
            Some(run),
            "the place changed hands in a cycle"
        );
        rows.records.extend(record);
        Ok(())
    }

    async fn candidates(&self, search: Search) -> Result<Candidates, StoreError> {
        let gate = self.with(|rows| rows.gate.clone());
        if let Some(gate) = gate {
            gate.notified().await;
        }
        let rows = self.call(Call::Candidates)?;
        let mut found: Vec<&Job> = rows.jobs.iter().filter(|job| fits(job, &search)).collect();
        found.sort_by_key(|job| (job.status == Status::Running, &job.id));
        let limit = search.limit as usize;
        // Broken rows come first and, as with a LIMIT, take places of the page.
        let broken = if search.after.is_none() { rows.broken.clone() } else { Vec::new() };
        let jobs = found.iter().take(limit.saturating_sub(broken.len()));
        let jobs = jobs.map(|job| Candidate { job: (*job).clone(), account: rows.account(job) }).collect();
        Ok(Candidates { jobs, broken, more: found.len() > limit })
    }

    async fn apply(
        &self,
        run: RunId,
        decisions: Vec<Planned>,
        now: DateTime<Utc>,
    ) -> Result<Vec<Outcome>, StoreError> {
        let mut rows = self.call(Call::Apply(decisions.len()))?;
        if let Some(meddle) = rows.before_apply.take() {
            meddle(&mut rows);
        }
        if decisions.iter().any(|planned| rows.poisoned.contains(planned.job.as_str())) {
            return Err(StoreError::Failed { operation: "apply", source: "constraint failed".into() });
        }
        Ok(decisions.iter().map(|planned| rows.apply(&run, planned, now)).collect())
    }

    async fn set_aside(
        &self,
        broken: Vec<BrokenRow>,
        _run: RunId,
        _now: DateTime<Utc>,
    ) -> Result<u32, StoreError> {
        let mut rows = self.call(Call::SetAside)?;
        let before = rows.broken.len();
        rows.broken.retain(|row| !broken.contains(row));
        Ok(u32::try_from(before - rows.broken.len()).unwrap())
    }

    async fn grant_grace(&self, until: DateTime<Utc>) -> Result<u32, StoreError> {
        let mut rows = self.call(Call::Grace(until))?;
        let mut changed = 0;
        for lease in rows.jobs.iter_mut().filter_map(|job| job.lease.as_mut()) {
            lease.expires_at = lease.expires_at.max(until);
            lease.excused = true;
            changed += 1;
        }
        Ok(changed)
    }

    async fn shift_leases(&self, by: TimeDelta) -> Result<u32, StoreError> {
        let mut rows = self.call(Call::Shift(by))?;
        let mut changed = 0;
        for lease in rows.jobs.iter_mut().filter_map(|job| job.lease.as_mut()) {
            lease.expires_at += by;
            changed += 1;
        }
        Ok(changed)
    }

    async fn flow(&self, now: DateTime<Utc>) -> Result<Flow, StoreError> {
        let lately = |at: &&DateTime<Utc>| now - **at < TimeDelta::minutes(1);
        let requeues = self.with(|rows| rows.requeued.iter().filter(lately).count());
        Ok(Flow { claims: 0, requeues: requeues as u64 })
    }

    async fn case(&self, id: &JobId, _now: DateTime<Utc>) -> Result<Option<Case>, StoreError> {
        Ok(self.with(|rows| {
            let job = rows.jobs.iter().find(|job| job.id == *id)?.clone();
            let candidate = Box::new(Candidate { account: rows.account(&job), job });
            Some(Case::Whole { candidate, history: Vec::new() })
        }))
    }

    async fn replay(
        &self,
        _since: DateTime<Utc>,
        _cursor: Option<i64>,
        _limit: u32,
    ) -> Result<HistoryPage, StoreError> {
        Ok(HistoryPage::default())
    }

    async fn last_event(&self) -> Result<i64, StoreError> {
        Ok(0)
    }

    async fn runs(&self, cursor: Option<RunId>, limit: u32) -> Result<Page<RunRecord, RunId>, StoreError> {
        let older = |record: &&RunRecord| cursor.as_ref().is_none_or(|cursor| record.run_id < *cursor);
        let items =
            self.with(|rows| rows.records.iter().rev().filter(older).take(limit as usize).cloned().collect());
        Ok(Page { items, next: None })
    }

    async fn run(&self, id: &RunId) -> Result<Option<RunRecord>, StoreError> {
        Ok(self.with(|rows| rows.records.iter().find(|record| record.run_id == *id).cloned()))
    }

    async fn undo(&self, order: Undo) -> Result<Undone, StoreError> {
        self.call(Call::Undo(order)).map(|_| Undone::default())
    }
}
