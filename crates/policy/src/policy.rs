//! The recovery policy: a pure function from a job, its account, the signs of its being stuck, time and chance to a
//! decision.
//!
//! A [`Policy`] is a list of [`Rule`]s; the first whose [`Match`](crate::Match) holds decides. Before a rule may queue a job again,
//! the job's budgets must allow it (else it is quarantined) and the rule's requirements must hold (else it is skipped
//! and looked at again later).

use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::account::AccountState;
use reclaimer_domain::decision::{Action, Decision, StuckSign, Unmet};
use reclaimer_domain::job::{Job, Status};
use reclaimer_domain::time::{after, spoken};

use crate::backoff::Backoff;
use crate::rule::{Effect, Rule};

/// What a decision is about.
#[derive(Debug, Clone, Copy)]
pub struct Subject<'a> {
    /// The job.
    pub job: &'a Job,
    /// The state of the account it names.
    pub account: &'a AccountState,
    /// Why it counts as stuck, for a running job; see [`StuckLimits::sign`](crate::StuckLimits::sign).
    pub sign: Option<StuckSign>,
}

/// Rules and the limits that hold for all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct Policy {
    /// Tried in order; the first that matches decides.
    pub rules: Vec<Rule>,
    /// How often a failed job is recovered, where its rule does not say.
    pub max_recoveries: u32,
    /// The delay before a recovered job runs, where its rule does not say.
    pub backoff: Backoff,
    /// Leases lost in a row without a report until a job counts as poison.
    pub poison_after: u32,
    /// When a job that was skipped or left is looked at again.
    pub look_again: Duration,
}

impl Policy {
    /// Decides what becomes of one job. Total: every job gets a decision.
    pub fn decide<R: rand::Rng + ?Sized>(
        &self,
        subject: &Subject<'_>,
        now: DateTime<Utc>,
        rng: &mut R,
    ) -> Decision {
        let until = after(now, self.look_again);
        let Some(rule) = self.rules.iter().find(|rule| rule.when.holds(subject)) else {
            return Decision {
                action: Action::Leave { until },
                rule: None,
                reason: leave_reason(subject),
                sign: subject.sign,
            };
        };
        let decision =
            |action, reason| Decision { action, rule: Some(rule.name.clone()), reason, sign: subject.sign };
        match rule.effect {
            Effect::Leave => decision(Action::Leave { until }, rule.said(subject)),
            Effect::Quarantine => decision(Action::Quarantine, rule.said(subject)),
            Effect::Requeue => {
                if let Some(spent) = self.spent_budget(rule, subject) {
                    return decision(Action::Quarantine, spent);
                }
                if let Some(unmet) = rule.require.iter().find(|need| !need.holds(subject.account)) {
                    let reason = unmet.unmet(subject.account);
                    return decision(Action::Skip { unmet: Unmet::Requirement(*unmet), until }, reason);
                }
                let job = subject.job;
                let delay = rule.backoff.unwrap_or(self.backoff).delay(job.recoveries, rng);
                // A delay counts from the failure: one that has passed already holds nobody up.
                let since = job.finished_at.filter(|_| job.status == Status::Failed).unwrap_or(now);
                let run_at = after(since.min(now), delay).max(now);
                decision(Action::Requeue { run_at, priority: rule.priority }, rule.said(subject))
            }
        }
    }

    /// Why the job may not run again, if so.
    fn spent_budget(&self, rule: &Rule, subject: &Subject<'_>) -> Option<String> {
        let job = subject.job;
        let excused = job.lease.as_ref().is_some_and(|lease| lease.excused);
        if excused {
            return None;
        }
        if job.status == Status::Running {
            let losses = job.lease_losses.saturating_add(1);
            if losses >= self.poison_after {
                return Some(format!("poison: its lease was lost {losses} times in a row without a report"));
            }
        }
        if job.attempt >= job.max_attempts {
            return Some(format!("all {} attempts are used up", job.max_attempts));
        }
        // A stuck job is budgeted by its attempts and lost leases; recoveries count where its rule says so.
        let most = match (rule.max_recoveries, job.status) {
            (Some(most), _) => Some(most),
            (None, Status::Running) => None,
            (None, _) => Some(self.max_recoveries),
        }?;
        (job.recoveries >= most).then(|| format!("all {most} recoveries are used up"))
    }
}

fn leave_reason(subject: &Subject<'_>) -> String {
    let job = subject.job;
    match (job.status, job.error()) {
        (Status::Failed, Some(error)) => format!("no rule recovers it; it failed with: {}", short(error)),
        (Status::Failed, None) => "no rule recovers it; it failed without saying why".to_owned(),
        _ => "no rule recovers it".to_owned(),
    }
}

/// At most 200 characters of a text that came from a worker.
fn short(text: &str) -> String {
    match text.char_indices().nth(200) {
        Some((cut, _)) => format!("{}…", &text[..cut]),
        None => text.to_owned(),
    }
}

impl Rule {
    /// The rule's reason, or a sentence made from what it saw.
    fn said(&self, subject: &Subject<'_>) -> String {
        if let Some(reason) = &self.reason {
            return reason.clone();
        }
        let job = subject.job;
        match (subject.sign, job.error()) {
            (Some(StuckSign::LeaseExpired), _) => match &job.lease {
                Some(lease) if lease.excused => {
                    format!("worker {} did not come back after our own absence", lease.worker)
                }
                Some(lease) => format!("the lease of worker {} expired without a renewal", lease.worker),
                None => "it runs without a lease".to_owned(),
            },
            (Some(StuckSign::NoUpdate), _) => "nobody said anything about it for too long".to_owned(),
            (Some(StuckSign::Timeout), _) => {
                format!("it ran longer than its timeout of {}", spoken(job.timeout.unwrap_or_default()))
            }
            (None, Some(error)) => format!("it failed with: {}", short(error)),
            (None, None) => format!("rule {} matches", self.name),
        }
    }
}
