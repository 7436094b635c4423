//! What becomes of a page of candidates: decided here, without any I/O, and applied elsewhere or not at all.

use std::time::Duration;

use chrono::{DateTime, Utc};
use rand::RngExt;
use reclaimer_domain::decision::{Action, Decision, Unmet};
use reclaimer_domain::job::Status;
use reclaimer_domain::ports::{Candidate, Planned, Seen};
use reclaimer_domain::time::after;
use reclaimer_policy::{Policy, StuckLimits, Subject};

use crate::budget::Budget;
use crate::spread::Spread;

/// How soon, at the earliest and at the latest, a job is looked at again that found the budget used up.
const LOOK_AGAIN: (Duration, Duration) = (Duration::from_secs(5), Duration::from_secs(10));

/// What a plan is made by.
#[derive(Debug, Clone, Copy)]
pub struct Terms<'a> {
    /// Decides about each job.
    pub policy: &'a Policy,
    /// Says which running jobs are stuck.
    pub stuck: &'a StuckLimits,
    /// How many jobs may be queued again within a minute.
    pub budget: &'a Budget,
    /// How much of it is left.
    pub room: u64,
    /// How the recovered jobs become due.
    pub spread: Spread,
    /// At most so many jobs change their status.
    pub most: u32,
    /// The moment decided for.
    pub now: DateTime<Utc>,
}

/// Decisions about a page of candidates, in their order.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Plan {
    /// One per job decided about. Running jobs that are not stuck are none's business and have no step.
    pub steps: Vec<Planned>,
    /// How much of the budget it uses.
    pub charged: u64,
    /// When every job has become due again that found the budget used up; `None` when none did.
    pub waits_until: Option<DateTime<Utc>>,
    /// How many candidates are left to a later plan, because this one changes as many jobs as it may.
    pub undecided: u32,
}

/// Decides about candidates. Pure: the same terms and the same generator give the same plan.
///
/// The policy alone decides what becomes of a job. The plan then keeps to the budget, which jobs whose loss was our
/// own fault do not use, and spreads what is queued again; it never makes a job due sooner than the policy does.
pub fn plan<R: rand::Rng + ?Sized>(candidates: &[Candidate], terms: &Terms<'_>, rng: &mut R) -> Plan {
    let mut plan = Plan::default();
    let mut changes = 0;
    for Candidate { job, account } in candidates {
        let sign = terms.stuck.sign(job, terms.now);
        if job.status == Status::Running && sign.is_none() {
            continue;
        }
        if changes >= terms.most {
            plan.undecided = plan.undecided.saturating_add(1);
            continue;
        }
        let mut decision = terms.policy.decide(&Subject { job, account, sign }, terms.now, rng);
        let excused = job.lease.as_ref().is_some_and(|lease| lease.excused);
        if matches!(decision.action, Action::Requeue { .. }) && !excused {
            if plan.charged < terms.room {
                plan.charged += 1;
            } else {
                let until = after(terms.now, rng.random_range(LOOK_AGAIN.0..=LOOK_AGAIN.1));
                plan.waits_until = plan.waits_until.max(Some(until));
                let action = Action::Skip { unmet: Unmet::RecoveryBudget, until };
                decision = Decision { action, reason: terms.budget.used_up(), ..decision };
            }
        }
        changes += u32::from(decision.action.changes_status());
        plan.steps.push(Planned { job: job.id.clone(), seen: Seen::of(job), decision });
    }
    spread(&mut plan.steps, terms.spread, rng);
    plan
}

/// Makes the jobs that are queued again due one after another.
fn spread<R: rand::Rng + ?Sized>(steps: &mut [Planned], spread: Spread, rng: &mut R) {
    let mut moments: Vec<&mut DateTime<Utc>> = steps
        .iter_mut()
        .filter_map(|step| match &mut step.decision.action {
            Action::Requeue { run_at, .. } => Some(run_at),
            Action::Quarantine | Action::Skip { .. } | Action::Leave { .. } => None,
        })
        .collect();
    let delays = spread.delays(u32::try_from(moments.len()).unwrap_or(u32::MAX), rng);
    for (run_at, delay) in moments.iter_mut().zip(delays) {
        **run_at = after(**run_at, delay);
    }
}
