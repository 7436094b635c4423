//! Why a job is where it is, and what would happen to it next: the answer of the API and of the command line, word for
//! word.

use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::account::AccountState;
use reclaimer_domain::decision::{Action, Decision, PolicyHash, StuckSign};
use reclaimer_domain::history::{Actor, EventKind, JobEvent};
use reclaimer_domain::id::{JobId, RunId};
use reclaimer_domain::job::{Job, Status};
use reclaimer_domain::name::RuleName;
use reclaimer_domain::recovery::DecisionReport;
use reclaimer_domain::time::{after, between, millis, millis_option, rfc3339, spoken};
use serde::{Deserialize, Serialize};

use crate::budget::Budget;
use crate::policy::{Policy, Subject};
use crate::stuck::StuckLimits;
use crate::trace::{TestedRequirement, TriedRule};

/// What an explanation is about.
#[derive(Debug, Clone, Copy)]
pub struct Question<'a> {
    /// The job.
    pub job: &'a Job,
    /// The state of the account it names.
    pub account: &'a AccountState,
    /// The job's latest events, in any order.
    pub history: &'a [JobEvent],
    /// When a running job counts as stuck.
    pub stuck: &'a StuckLimits,
    /// When recovery looks at jobs by itself; `None` = never.
    pub rhythm: Option<Rhythm>,
    /// The moment asked about.
    pub now: DateTime<Utc>,
}

/// When recovery looks at jobs by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rhythm {
    /// When the next run starts that looks at every job.
    pub next_run: DateTime<Utc>,
    /// From one such run to the next.
    pub interval: Duration,
    /// From one look for expired leases to the next.
    pub lease_check: Duration,
}

impl Rhythm {
    /// The first run from `moment` on.
    fn run_after(&self, moment: DateTime<Utc>) -> DateTime<Utc> {
        let interval = self.interval.max(Duration::from_millis(1));
        let runs = between(self.next_run, moment).as_nanos().div_ceil(interval.as_nanos());
        let wait = interval.checked_mul(u32::try_from(runs).unwrap_or(u32::MAX)).unwrap_or(Duration::MAX);
        after(self.next_run, wait)
    }
}

/// Why a job is where it is, and what recovery would do with it now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// Which job.
    pub job_id: JobId,
    /// Where it stands.
    pub status: Status,
    /// The moment that all of this is about.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
    /// The policy in force.
    pub policy_hash: PolicyHash,
    /// The whole in one sentence.
    pub summary: String,
    /// What would be decided now; absent for a job that recovery has nothing to decide about.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub decision: Option<DecisionReport>,
    /// The rules that were tried, in order, up to the first that matched.
    pub rules: Vec<TriedRule>,
    /// The rules behind it.
    pub not_tried: Vec<RuleName>,
    /// The budgets of the job under the rule that matched.
    pub budgets: Vec<Budget>,
    /// What that rule requires.
    pub requirements: Vec<TestedRequirement>,
    /// When recovery looks at the job next.
    pub next_look: NextLook,
    /// What recovery last said of the job; absent when it never looked at it, or the history is pruned.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub on_record: Option<OnRecord>,
}

/// When recovery looks at a job next, at the latest.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NextLook {
    /// The moment; `null` = not by itself.
    #[serde(with = "millis_option", default)]
    pub at: Option<DateTime<Utc>>,
    /// Why then, or why not at all.
    pub why: String,
}

/// What recovery said of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OnRecord {
    /// When.
    #[serde(with = "millis")]
    pub at: DateTime<Utc>,
    /// The kind of the event: `not_recovered`, `recovered`, `reclaimed`, `quarantined` or `set_aside`.
    pub kind: String,
    /// In which run.
    pub run_id: RunId,
    /// By which rule.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub rule: Option<RuleName>,
    /// Why.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub reason: Option<String>,
    /// By which policy.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy_hash: Option<PolicyHash>,
}

/// Explains a job. The decision is what the engine would decide at this moment; only a random delay comes out
/// differently from one look to the next, as it does for the engine.
pub fn explain<R: rand::Rng + ?Sized>(policy: &Policy, question: &Question<'_>, rng: &mut R) -> Explanation {
    let Question { job, account, history, stuck, now, .. } = *question;
    let sign = stuck.sign(job, now);
    let mut explanation = Explanation {
        job_id: job.id.clone(),
        status: job.status,
        at: now,
        policy_hash: policy.hash(),
        summary: String::new(),
        decision: None,
        rules: Vec::new(),
        not_tried: Vec::new(),
        budgets: Vec::new(),
        requirements: Vec::new(),
        next_look: next_look(question),
        on_record: on_record(history),
    };
    let is_candidate = job.status == Status::Failed || sign.is_some();
    if !is_candidate {
        explanation.summary = standing(job, history);
        return explanation;
    }
    let trace = policy.trace(&Subject { job, account, sign }, now, rng);
    explanation.summary = prospect(&trace.decision);
    explanation.decision = Some(DecisionReport::new(job.id.clone(), &trace.decision));
    explanation.rules = trace.tried;
    explanation.not_tried = trace.not_tried;
    explanation.budgets = trace.budgets;
    explanation.requirements = trace.requirements;
    explanation
}

/// What would become of the job, in one sentence.
fn prospect(decision: &Decision) -> String {
    let reason = &decision.reason;
    let rule = decision.rule.as_ref().map(RuleName::as_str).unwrap_or_default();
    match &decision.action {
        Action::Requeue { .. } => format!("rule `{rule}` would queue it again: {reason}"),
        Action::Quarantine => format!("rule `{rule}` would set it aside for a person: {reason}"),
        Action::Skip { .. } => format!("rule `{rule}` matches, but {reason}"),
        Action::Leave { .. } if rule.is_empty() => reason.clone(),
        Action::Leave { .. } => format!("rule `{rule}` leaves it: {reason}"),
    }
}

/// Why the job is where it is, in one sentence, from the event that brought it there.
fn standing(job: &Job, history: &[JobEvent]) -> String {
    if let (Status::Running, Some(lease)) = (job.status, &job.lease) {
        let end = rfc3339(lease.expires_at);
        return format!("it runs: worker {} holds it, and its lease lasts until {end}", lease.worker);
    }
    let came_here = |event: &&JobEvent| {
        let changes_nothing = matches!(
            event.entry.kind,
            EventKind::StaleReport | EventKind::Evidence | EventKind::NotRecovered
        );
        event.entry.to == Some(job.status) && !changes_nothing
    };
    let Some(event) = history.iter().filter(came_here).max_by_key(|event| event.id) else {
        return format!("it is {}; the history no longer says why", job.status);
    };
    let entry = &event.entry;
    let (kind, actor, at) = (entry.kind.as_str().replace('_', " "), who(&entry.actor), rfc3339(entry.at));
    let reason = entry.reason.as_ref().map(|reason| format!(": {reason}")).unwrap_or_default();
    if kind == job.status.as_str() {
        format!("it was {kind} by {actor} at {at}{reason}")
    } else {
        format!("it is {} since it was {kind} by {actor} at {at}{reason}", job.status)
    }
}

/// An actor in a sentence.
fn who(actor: &Actor) -> String {
    match actor {
        Actor::Worker(worker) => format!("worker {worker}"),
        Actor::Recovery(run) => format!("recovery run {run}"),
        Actor::Admin => "an admin".to_owned(),
        Actor::Producer => "a producer".to_owned(),
        Actor::System => "Reclaimer".to_owned(),
    }
}

fn next_look(question: &Question<'_>) -> NextLook {
    let Question { job, stuck, now, .. } = *question;
    let never = |why: &str| NextLook { at: None, why: format!("not looked at: {why}") };
    let sign = stuck.sign(job, now);
    match job.status {
        Status::Failed => next_run(question, "every failed job"),
        Status::Running if sign == Some(StuckSign::LeaseExpired) => next_lease_check(question),
        Status::Running if sign.is_some() => next_run(question, "every stuck job"),
        Status::Running => match stuck.stuck_at(job) {
            Some(at) => NextLook {
                at: Some(at),
                why: "it counts as stuck from then on, unless its worker is heard of first".into(),
            },
            None => never("it runs, and nothing makes it count as stuck"),
        },
        Status::Queued if job.run_at > now => {
            never(&format!("it is queued, and no worker gets it before {}", rfc3339(job.run_at)))
        }
        Status::Queued => never("it is queued, and the next worker gets it"),
        Status::Finished => never("it is finished"),
        Status::Cancelled => never("it is cancelled"),
        Status::Paused => never("it is paused until somebody resumes it"),
        Status::Quarantined => never("it waits for a person, who can release or cancel it"),
    }
}

/// Said of a job that would be looked at if recovery ran.
fn on_demand() -> NextLook {
    let why = "not looked at: recovery does not run by itself here; ask for a run";
    NextLook { at: None, why: why.into() }
}

/// Until when a job is not to be looked at, if that is yet to come.
fn rests_until(question: &Question<'_>) -> Option<DateTime<Utc>> {
    question.job.recover_after.filter(|until| *until > question.now)
}

fn next_run(question: &Question<'_>, looks_at: &str) -> NextLook {
    match (question.rhythm, rests_until(question)) {
        (None, _) => on_demand(),
        (Some(rhythm), Some(until)) => NextLook {
            at: Some(rhythm.run_after(until)),
            why: format!("it rests until {}; the next run after that looks at it", rfc3339(until)),
        },
        (Some(rhythm), None) => {
            NextLook { at: Some(rhythm.next_run), why: format!("the next run looks at {looks_at}") }
        }
    }
}

fn next_lease_check(question: &Question<'_>) -> NextLook {
    let Some(rhythm) = question.rhythm else { return on_demand() };
    let at = rests_until(question).unwrap_or(question.now);
    let every = spoken(rhythm.lease_check);
    NextLook {
        at: Some(after(at, rhythm.lease_check)),
        why: format!("expired leases are looked for every {every}"),
    }
}

/// What recovery last said of the job.
fn on_record(history: &[JobEvent]) -> Option<OnRecord> {
    let by_recovery = |event: &JobEvent| match &event.entry.actor {
        Actor::Recovery(run) => Some((event.id, run.clone(), event.entry.clone())),
        Actor::Worker(_) | Actor::Admin | Actor::Producer | Actor::System => None,
    };
    let (_, run_id, entry) = history.iter().filter_map(by_recovery).max_by_key(|(id, ..)| *id)?;
    let hash = entry.detail.as_ref().and_then(|detail| detail.get("policy")?.as_str()?.parse().ok());
    Some(OnRecord {
        at: entry.at,
        kind: entry.kind.as_str().to_owned(),
        run_id,
        rule: entry.rule,
        reason: entry.reason,
        policy_hash: hash,
    })
}
