//! Tests of policies that read as sentences.

use std::ops::RangeInclusive;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::account::{AccountState, Standing};
use reclaimer_domain::decision::{Action, Requirement, Unmet};
use reclaimer_domain::job::Job;
use reclaimer_domain::name::RuleName;
use reclaimer_domain::time::{after, between, millis_of, spoken};
use reclaimer_policy::file::Finding;
use reclaimer_policy::{Policy, StuckLimits, Subject, Trace};

use crate::chance::{Extreme, seeded};
use crate::clock::noon;
use crate::job::JobBuilder;

/// A policy under test. Time stands at [`noon`] until told otherwise, and chance gives the same numbers every time.
///
/// ```
/// use reclaimer_testkit::{PolicyTest, a_job};
///
/// let policy = PolicyTest::of(r#"
///     [[rule]]
///     name = "outage"
///     match = { status = "failed", error_contains = "503" }
///     action = "requeue"
///     queue = "slow"
/// "#);
/// policy.on(a_job().failed_with("HTTP 503")).is_requeued_by("outage").into_queue("slow");
/// policy.on(a_job().failed_with("boom")).is_left();
/// ```
#[derive(Debug, Clone)]
pub struct PolicyTest {
    policy: Policy,
    warnings: Vec<Finding>,
    stuck: StuckLimits,
}

/// What a policy is asked about.
#[derive(Debug)]
#[must_use = "say what becomes of it"]
pub struct PolicyCase<'p> {
    test: &'p PolicyTest,
    job: Job,
    account: Standing,
    now: DateTime<Utc>,
}

/// A job that is queued again, for further questions.
#[derive(Debug)]
pub struct Requeued {
    trace: Trace,
    /// The shortest and the longest delay that chance can give.
    delays: RangeInclusive<Duration>,
}

impl PolicyTest {
    /// The policy of this file, with the defaults of the server.
    ///
    /// # Panics
    /// With every finding, when it is none.
    #[must_use]
    #[expect(clippy::panic, reason = "a policy that cannot be read has failed its test")]
    pub fn of(text: &str) -> Self {
        match reclaimer_policy::file::read(text, reclaimer_policy::Defaults::default()) {
            Ok(checked) => Self { warnings: checked.warnings, ..Self::new(checked.policy) },
            Err(invalid) => panic!("{invalid}"),
        }
    }

    /// The file says nothing that its author probably did not mean, e.g. a rule that can never match.
    ///
    /// # Panics
    /// With every warning, when it does.
    #[must_use]
    #[track_caller]
    pub fn without_warnings(self) -> Self {
        let said: Vec<String> = self.warnings.iter().map(ToString::to_string).collect();
        assert!(said.is_empty(), "the policy has warnings:\n{}", said.join("\n"));
        self
    }

    /// A policy that was put together by a program.
    #[must_use]
    pub fn new(policy: Policy) -> Self {
        Self { policy, warnings: Vec::new(), stuck: StuckLimits::default() }
    }

    /// With these limits for running jobs.
    #[must_use]
    pub fn stuck(self, stuck: StuckLimits) -> Self {
        Self { stuck, ..self }
    }

    /// Asks about this job. An account that it names is valid until told otherwise.
    pub fn on(&self, job: JobBuilder) -> PolicyCase<'_> {
        PolicyCase { test: self, job: job.build(), account: Standing::Valid, now: noon() }
    }
}

impl PolicyCase<'_> {
    /// The account that it names stands like this.
    pub fn account(mut self, account: Standing) -> Self {
        self.account = account;
        self
    }

    /// So long after [`noon`].
    pub fn after(mut self, length: Duration) -> Self {
        self.now = after(noon(), length);
        self
    }

    /// The decision and everything that led to it, for what no question here asks. `None` when there is nothing to
    /// decide: the job has not failed and is not stuck.
    #[must_use]
    pub fn trace(&self) -> Option<Trace> {
        self.trace_with(&mut seeded(1))
    }

    fn trace_with(&self, rng: &mut impl rand::Rng) -> Option<Trace> {
        let sign = self.test.stuck.sign(&self.job, self.now);
        if self.job.status != reclaimer_domain::job::Status::Failed && sign.is_none() {
            return None;
        }
        let account: AccountState = self.account.of(self.job.account_id.as_ref());
        let subject = Subject { job: &self.job, account: &account, sign };
        Some(self.test.policy.trace(&subject, self.now, rng))
    }

    /// This rule queues it again.
    ///
    /// # Panics
    /// With the rules that were tried and what was found, when it does not. So do the others.
    #[track_caller]
    pub fn is_requeued_by(self, rule: &str) -> Requeued {
        let trace = self.decided(&format!("queued again by `{rule}`"), |trace| {
            matches!(trace.decision.action, Action::Requeue { .. }) && by(trace, Some(rule))
        });
        let delay = |chance| self.delay_with(chance).unwrap_or_default();
        Requeued { trace, delays: delay(Extreme::LOWEST)..=delay(Extreme::HIGHEST) }
    }

    /// How long it has to wait when it is queued again, to the nearest millisecond.
    fn delay_with(&self, mut chance: Extreme) -> Option<Duration> {
        match self.trace_with(&mut chance)?.decision.action {
            Action::Requeue { run_at, .. } => {
                let delay = between(self.now, run_at) + Duration::from_micros(500);
                Some(Duration::from_millis(millis_of(delay)))
            }
            Action::Quarantine | Action::Skip { .. } | Action::Leave { .. } => None,
        }
    }

    /// This rule sets it aside, or wants to queue it again, and a budget is spent.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn is_quarantined_by(self, rule: &str) {
        self.decided(&format!("set aside by `{rule}`"), |trace| {
            trace.decision.action == Action::Quarantine && by(trace, Some(rule))
        });
    }

    /// This rule matches, and it waits for what that requires.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn waits_for(self, requirement: Requirement, rule: &str) {
        let expected = format!("kept waiting for `{}` by `{rule}`", requirement.as_str());
        self.decided(&expected, |trace| {
            let unmet = match &trace.decision.action {
                Action::Skip { unmet, .. } => Some(*unmet),
                Action::Requeue { .. } | Action::Quarantine | Action::Leave { .. } => None,
            };
            unmet == Some(Unmet::Requirement(requirement)) && by(trace, Some(rule))
        });
    }

    /// This rule leaves it as it is.
    ///
    /// # Panics
    /// When it does not.
    #[track_caller]
    pub fn is_left_by(self, rule: &str) {
        self.decided(&format!("left by `{rule}`"), |trace| {
            matches!(trace.decision.action, Action::Leave { .. }) && by(trace, Some(rule))
        });
    }

    /// No rule matches it.
    ///
    /// # Panics
    /// When one does.
    #[track_caller]
    pub fn is_left(self) {
        self.decided("matched by no rule", |trace| {
            matches!(trace.decision.action, Action::Leave { .. }) && by(trace, None)
        });
    }

    /// It is none of recovery's business: it has not failed and is not stuck.
    ///
    /// # Panics
    /// When it is.
    #[track_caller]
    pub fn is_none_of_its_business(self) {
        if let Some(trace) = self.trace() {
            fail("none of recovery's business", &trace);
        }
    }

    #[track_caller]
    #[expect(clippy::panic, reason = "an assertion")]
    fn decided(&self, expected: &str, holds: impl FnOnce(&Trace) -> bool) -> Trace {
        match self.trace() {
            None => panic!("the job should be {expected}, and it has not failed and is not stuck"),
            Some(trace) if holds(&trace) => trace,
            Some(trace) => fail(expected, &trace),
        }
    }
}

impl Requeued {
    /// It runs so long after it is decided about, at the earliest, however chance falls.
    ///
    /// # Panics
    /// When it runs at another moment, or chance has a say in it.
    #[track_caller]
    pub fn after(self, expected: Duration) -> Self {
        if self.delays != (expected..=expected) {
            let [expected, soonest, latest] =
                [expected, *self.delays.start(), *self.delays.end()].map(spoken);
            let delay = if soonest == latest { soonest } else { format!("{soonest} to {latest}") };
            fail(&format!("queued again after {expected}, not after {delay}"), &self.trace);
        }
        self
    }

    /// It runs within so long after it is decided about, however chance falls.
    ///
    /// # Panics
    /// When it may run later.
    #[track_caller]
    pub fn within(self, most: Duration) -> Self {
        if *self.delays.end() > most {
            let [most, latest] = [most, *self.delays.end()].map(spoken);
            fail(&format!("queued again within {most}, not after up to {latest}"), &self.trace);
        }
        self
    }

    /// It goes into this queue.
    ///
    /// # Panics
    /// When it goes into another, or stays in its own.
    #[track_caller]
    pub fn into_queue(self, expected: &str) -> Self {
        let Action::Requeue { queue, .. } = &self.trace.decision.action else { return self };
        if queue.as_ref().map(|queue| queue.as_str()) != Some(expected) {
            let found =
                queue.as_ref().map_or("left in its own".to_owned(), |queue| format!("into `{queue}`"));
            fail(&format!("put into queue `{expected}`, not {found}"), &self.trace);
        }
        self
    }

    /// It gets this priority.
    ///
    /// # Panics
    /// When it gets another, or keeps its own.
    #[track_caller]
    pub fn with_priority(self, expected: i8) -> Self {
        let Action::Requeue { priority, .. } = &self.trace.decision.action else { return self };
        if priority.map(|priority| priority.get()) != Some(expected) {
            let found = priority.map_or("left its own".to_owned(), |priority| priority.get().to_string());
            fail(&format!("given priority {expected}, not {found}"), &self.trace);
        }
        self
    }
}

/// Whether this rule decided.
fn by(trace: &Trace, rule: Option<&str>) -> bool {
    trace.decision.rule.as_ref().map(RuleName::as_str) == rule
}

/// Says what was decided, and why.
#[track_caller]
#[expect(clippy::panic, reason = "an assertion")]
fn fail(expected: &str, trace: &Trace) -> ! {
    let decision = &trace.decision;
    let rule = decision.rule.as_ref().map_or("no rule", RuleName::as_str);
    let mut said = format!(
        "the job should be {expected}\nbut: {} by {rule}: {}\n",
        decision.action.as_str(),
        decision.reason
    );
    let mark = |holds| if holds { "✓" } else { "✗" };
    for tried in &trace.tried {
        let verdict = if tried.matched { "matches" } else { "does not match" };
        said += &format!("rule `{}` {verdict}\n", tried.name);
        for tested in &tried.conditions {
            let (mark, key) = (mark(tested.holds), &tested.key);
            said += &format!("  {mark} {key} {}: {}\n", tested.expected, tested.actual);
        }
    }
    for budget in &trace.budgets {
        let (kind, used, most) = (budget.kind.as_str(), budget.used, budget.most);
        said += &format!("  {} budget {kind}: {used} of {most} used\n", mark(!budget.is_spent()));
    }
    for requirement in &trace.requirements {
        let (mark, key, found) = (mark(requirement.holds), &requirement.key, &requirement.actual);
        said += &format!("  {mark} requires {key}: {found}\n");
    }
    panic!("{said}");
}
