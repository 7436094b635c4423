//! A look at everything.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use chrono::{DateTime, Utc};
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::{Clock, JobStore, QueueState, RecoveryStore, Search};
use reclaimer_domain::recovery::RecoveryType;
use reclaimer_domain::time::before;
use reclaimer_health::{Beat, Health, HealthSource, Limits, Loop, Observations, Queue, Recovery, judge};
use reclaimer_persistence::SqliteStore;
use tokio::sync::Mutex;
use tokio::time::{Instant, timeout};

use super::Ledger;
use super::database::Prober;
use crate::fleet::Fleet;

/// What was seen is good for so long.
const FRESH_FOR: Duration = Duration::from_secs(1);

/// A read that takes longer counts as none.
const PATIENCE: Duration = Duration::from_secs(2);

/// Recovery finds a lost lease within seconds; a job that lost its lease so long ago is not looked after.
const UNATTENDED_AFTER: Duration = Duration::from_secs(60);

/// So many of these are counted.
const MOST_STUCK: u32 = 100;

/// What is looked at.
#[derive(Debug)]
pub(crate) struct Deps {
    pub(crate) store: SqliteStore,
    pub(crate) fleet: Arc<Fleet>,
    pub(crate) recovery: reclaimer_recovery::Handle,
    pub(crate) ledger: Arc<Ledger>,
    /// Of every loop.
    pub(crate) beats: Vec<Beat>,
    pub(crate) limits: Limits,
    pub(crate) clock: Arc<dyn Clock>,
}

/// Looks at everything when somebody asks, at most once a second.
#[derive(Debug)]
pub(crate) struct Observer {
    deps: Deps,
    last: Mutex<Last>,
}

#[derive(Debug)]
struct Last {
    prober: Prober,
    seen: Option<(Instant, Arc<Look>)>,
}

/// What a look at everything found.
#[derive(Debug)]
pub(crate) struct Look {
    /// What it means.
    pub(crate) health: Arc<Health>,
    /// The queues as they were read; none where they could not be.
    pub(crate) queues: Vec<QueueState>,
}

impl Observer {
    pub(crate) fn new(mut deps: Deps) -> Self {
        let prober = Prober::new(deps.store.clone());
        deps.beats.push(prober.beat());
        let last = Mutex::new(Last { prober, seen: None });
        Self { deps, last }
    }

    /// How everything is, or was a moment ago.
    pub(crate) async fn look(&self) -> Arc<Look> {
        let mut last = self.last.lock().await;
        if let Some((at, seen)) = &last.seen
            && at.elapsed() < FRESH_FOR
        {
            return Arc::clone(seen);
        }
        let look = Arc::new(self.look_anew(&mut last.prober).await);
        last.seen = Some((Instant::now(), Arc::clone(&look)));
        look
    }

    /// How many writes wait at this moment.
    pub(crate) fn waiting(&self) -> usize {
        self.deps.store.waiting()
    }

    async fn look_anew(&self, prober: &mut Prober) -> Look {
        let Deps { store, fleet, recovery, ledger, beats, limits, clock } = &self.deps;
        let (database, queues, stuck) = tokio::join!(
            prober.look(&**clock),
            timeout(PATIENCE, store.queues()),
            timeout(PATIENCE, store.candidates(lost_leases(clock.now()))),
        );
        let now = clock.now();
        let states = queues.ok().and_then(Result::ok);
        let queues = states.as_ref().map(|states| states.iter().map(|state| queue(state, ledger)).collect());
        let (stuck, more_stuck) = match stuck {
            Ok(Ok(page)) => (page.jobs.len() + page.broken.len(), page.more),
            // That the database cannot be read is said elsewhere.
            Ok(Err(_)) | Err(_) => (0, false),
        };
        let at = Instant::now().into_std();
        let seen = Observations {
            database,
            links: fleet.seen_links(),
            workers: fleet.seen_workers(),
            processes: fleet.seen_processes(),
            recovery: seen_recovery(recovery, ledger, now),
            queues,
            stuck: u64::try_from(stuck).unwrap_or(u64::MAX),
            more_stuck,
            loops: beats.iter().map(|beat| Loop::of(beat.look(at))).collect(),
        };
        Look { health: Arc::new(judge(seen, limits, now)), queues: states.unwrap_or_default() }
    }
}

#[async_trait]
impl HealthSource for Observer {
    async fn health(&self) -> Arc<Health> {
        Arc::clone(&self.look().await.health)
    }
}

/// Running jobs that lost their lease long ago. Those that the policy leaves alone rest, and are not among them.
fn lost_leases(now: DateTime<Utc>) -> Search {
    Search {
        kind: RecoveryType::Stuck,
        expired_leases_only: true,
        resting: false,
        silent_since: None,
        after: None,
        limit: MOST_STUCK,
        now: before(now, UNATTENDED_AFTER),
    }
}

fn queue(state: &QueueState, ledger: &Ledger) -> Queue {
    let last_taken_at = ledger.last_taken(&state.name);
    let jobs: HashMap<Status, u64> = state.jobs.iter().copied().collect();
    let count = |status| jobs.get(&status).copied().unwrap_or(0);
    Queue {
        name: state.name.to_string(),
        paused: state.paused,
        queued: count(Status::Queued),
        oldest_queued_at: state.oldest_queued,
        running: count(Status::Running),
        failed: count(Status::Failed),
        quarantined: count(Status::Quarantined),
        last_taken_at,
    }
}

fn seen_recovery(recovery: &reclaimer_recovery::Handle, ledger: &Ledger, now: DateTime<Utc>) -> Recovery {
    let schedule = recovery.schedule();
    let success = ledger.successes(now);
    let (last_failure_at, last_failure) =
        schedule.last_failure.map(|failure| (failure.at, failure.error)).unzip();
    Recovery {
        enabled: schedule.enabled,
        last_ended_at: schedule.last_ended_at,
        last_failure_at,
        last_failure,
        finished: success.finished,
        ended: success.ended,
        success_rate: success.rate(),
        counted_since: success.since,
    }
}
