//! One cycle: search, plan, apply, page by page, and the report.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::SeedableRng;
use rand::rngs::StdRng;
use reclaimer_domain::id::{IdGenerator, RunId};
use reclaimer_domain::ports::{
    BrokenRow, Candidates, Clock, RecoveryStore, RunBegun, RunListener, Search, StoreError,
};
use reclaimer_domain::recovery::{CycleRunning, RunRecord, RunReport, Trigger};
use reclaimer_domain::time::{before, between};
use reclaimer_policy::Policy;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::warn;

use crate::agenda::{Cursor, Order};
use crate::apply::{Fate, apply, set_aside};
use crate::config::Config;
use crate::handle::RecoverError;
use crate::journal::{AREA, Journal};
use crate::plan::{Terms, plan};
use crate::report::{Heading, Tally};
use crate::spread::Spread;

/// For how long a cycle takes the one place in the database: a server that dies in a cycle keeps the others from
/// recovering for no longer than this.
pub(crate) const HOLD_FOR: Duration = Duration::from_secs(15);

/// After so long a cycle begins no further page: its last one shall be applied before the hold ends, and a process that
/// was stopped in a cycle shall first see to what it owes the leases.
const LAST_PAGE: Duration = Duration::from_secs(10);

/// A cycle looks at no more than so many times the jobs it may change.
const LOOKS: u32 = 20;

/// Runs cycles.
#[derive(Debug)]
pub(crate) struct Cycles {
    store: Arc<dyn RecoveryStore>,
    clock: Arc<dyn Clock>,
    /// The policy in force; it may be exchanged between two cycles, never within one.
    policy: watch::Receiver<Arc<Policy>>,
    config: Arc<Config>,
    listener: Arc<dyn RunListener>,
    ids: IdGenerator<StdRng>,
    rng: StdRng,
}

/// What a cycle came to.
#[derive(Debug)]
pub(crate) struct Done {
    /// What it did.
    pub(crate) report: RunReport,
    /// Set when it stopped before the end.
    pub(crate) rest: Option<Rest>,
    /// When every job has become due again that found the budget used up.
    pub(crate) waits_until: Option<DateTime<Utc>>,
    /// Why it broke off, if it did; what it had done until then stands, and is in the report.
    pub(crate) failure: Option<StoreError>,
}

/// What a cycle left to the next.
#[derive(Debug, Clone)]
pub(crate) struct Rest {
    /// Where that one goes on; `None` = from the beginning.
    pub(crate) from: Option<Cursor>,
}

/// What holds throughout one cycle.
#[derive(Debug, Clone, Copy)]
struct Cycle<'a> {
    order: &'a Order,
    run: &'a RunId,
    policy: &'a Policy,
    begun: Beginning,
}

/// When a cycle began, on both clocks.
#[derive(Debug, Clone, Copy)]
struct Beginning {
    monotonic: Instant,
    wall: DateTime<Utc>,
}

impl Beginning {
    /// How long ago that is, by the clock that says more: others judge our hold by the wall clock, which goes on
    /// while the machine sleeps.
    fn elapsed(&self, clock: &dyn Clock) -> Duration {
        self.monotonic.elapsed().max(between(self.wall, clock.now()))
    }
}

impl Cycles {
    pub(crate) fn new(
        store: Arc<dyn RecoveryStore>,
        clock: Arc<dyn Clock>,
        policy: watch::Receiver<Arc<Policy>>,
        config: Arc<Config>,
        listener: Arc<dyn RunListener>,
        mut rng: StdRng,
    ) -> Self {
        let ids = IdGenerator::new(StdRng::from_rng(&mut rng));
        Self { store, clock, policy, config, listener, ids, rng }
    }

    /// Runs one cycle. With `stop` cancelled it finishes the page in hand and ends.
    pub(crate) async fn run(
        &mut self,
        order: &Order,
        stop: &CancellationToken,
    ) -> Result<Done, RecoverError> {
        let begun = Beginning { monotonic: Instant::now(), wall: self.clock.now() };
        let run = self.ids.run(begun.wall);
        if !order.dry_run {
            let place: Result<(), CycleRunning> = self.store.begin(run.clone(), HOLD_FOR, begun.wall).await?;
            place?;
        }
        self.listener.begun(&RunBegun {
            run: run.clone(),
            kind: order.kind,
            trigger: order.trigger,
            dry_run: order.dry_run,
            at: begun.wall,
        });
        let policy = Arc::clone(&self.policy.borrow());
        let mut journal = Journal::new(run.clone(), order.trigger, order.dry_run);
        let mut tally = Tally::default();
        let cycle = Cycle { order, run: &run, policy: &policy, begun };
        let pages = self.pages(&cycle, stop, &mut tally, &mut journal).await;

        let (examined, waits_until) = (tally.examined, tally.waits_until);
        let rest = pages.as_ref().ok().cloned().flatten();
        let report = tally.report(&Heading {
            run: &run,
            kind: order.kind,
            trigger: order.trigger,
            dry_run: order.dry_run,
            took: begun.monotonic.elapsed(),
            policy: policy.hash(),
            more: rest.is_some() || waits_until.is_some(),
            failure: pages.as_ref().err(),
        });
        journal.ended(&report, examined > 0);
        if !order.dry_run {
            let worth_keeping = examined > 0 || !report.success || order.trigger != Trigger::LeaseWatch;
            self.end(order, run, begun, worth_keeping.then(|| report.clone())).await;
        }
        self.listener.ended(&report, self.clock.now());
        Ok(Done { report, rest, waits_until, failure: pages.err() })
    }

    /// Gives the place back. What the cycle did stands, whether this succeeds or not; at worst the place is free when
    /// the hold ends.
    async fn end(&self, order: &Order, run: RunId, begun: Beginning, report: Option<RunReport>) {
        let ended_at = self.clock.now();
        let record =
            report.map(|report| RunRecord::ended(order.kind, order.trigger, begun.wall, ended_at, report));
        if let Err(error) = self.store.end(run.clone(), record).await {
            warn!(area = AREA, run_id = %run, %error, "the end of a recovery run could not be recorded");
        }
    }

    /// Works through the candidates. Answers where to go on when it stopped before their end.
    async fn pages(
        &mut self,
        cycle: &Cycle<'_>,
        stop: &CancellationToken,
        tally: &mut Tally,
        journal: &mut Journal,
    ) -> Result<Option<Rest>, StoreError> {
        let Cycle { order, run, policy, begun } = *cycle;
        let batch = self.config.batch_size;
        let mut room = self.config.budget.left(self.store.flow(begun.wall).await?);
        let mut cursor = order.from.clone();
        let mut broken_seen = HashSet::new();
        loop {
            if stop.is_cancelled() || begun.elapsed(&*self.clock) >= LAST_PAGE {
                return Ok(Some(Rest { from: cursor }));
            }
            let now = self.clock.now();
            let search = Search {
                kind: order.kind,
                expired_leases_only: order.expired_leases_only,
                resting: order.resting,
                silent_since: self.config.stuck.shortest().map(|limit| before(now, limit)),
                after: cursor.clone(),
                limit: batch,
                now,
            };
            let mut page = self.store.candidates(search).await?;
            page.broken.retain(|row| broken_seen.insert(row.id.clone()));
            self.set_aside(cycle, &page.broken, now, tally, journal).await?;

            let terms = Terms {
                policy,
                stuck: &self.config.stuck,
                budget: &self.config.budget,
                room,
                spread: Spread { over: self.config.spread, batch },
                most: batch.saturating_sub(tally.changed),
                now,
            };
            let plan = plan(&page.jobs, &terms, &mut self.rng);
            let fates = if order.dry_run {
                vec![Fate::Done; plan.steps.len()]
            } else {
                apply(&*self.store, run, &plan.steps, now).await?
            };
            for (step, fate) in plan.steps.iter().zip(&fates) {
                tally.step(step, fate);
                journal.step(step, fate);
            }
            room -= plan.charged;
            tally.waits_until = tally.waits_until.max(plan.waits_until);

            // A page with broken rows may be short of readable ones.
            let more = page.more || !page.broken.is_empty();
            if plan.undecided > 0 || (more && tally.changed >= batch) {
                return Ok(Some(Rest { from: None }));
            }
            let further = furthest(&page);
            // Behind a page that used the budget up nothing can be done, and without a further place to look from
            // the same page would come again.
            if !more || plan.waits_until.is_some() || (further.is_none() && page.broken.is_empty()) {
                return Ok(None);
            }
            cursor = further.or(cursor);
            if tally.examined >= batch.saturating_mul(LOOKS) {
                return Ok(Some(Rest { from: cursor }));
            }
        }
    }

    /// Sets unreadable rows aside. One that cannot even be set aside is counted, and stops nobody.
    async fn set_aside(
        &self,
        cycle: &Cycle<'_>,
        rows: &[BrokenRow],
        now: DateTime<Utc>,
        tally: &mut Tally,
        journal: &mut Journal,
    ) -> Result<(), StoreError> {
        let fates = if cycle.order.dry_run {
            vec![Fate::Done; rows.len()]
        } else {
            set_aside(&*self.store, cycle.run, rows, now).await?
        };
        for (row, fate) in rows.iter().zip(&fates) {
            tally.broken(row, fate);
            journal.broken(row, fate);
        }
        Ok(())
    }
}

/// Where the search goes on after this page: behind its last readable job or, where it has none, behind its last
/// broken row that has a place in the order at all.
fn furthest(page: &Candidates) -> Option<Cursor> {
    let job = page.jobs.last().map(|candidate| (candidate.job.status, candidate.job.id.clone()));
    let row = || {
        let place = |row: &BrokenRow| Some((row.status.parse().ok()?, row.id.parse().ok()?));
        page.broken.iter().rev().find_map(place)
    };
    job.or_else(row)
}
