//! What holds for every policy and every job.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use reclaimer_domain::account::AccountState;
use reclaimer_domain::decision::{Action, Requirement, StuckSign, Unmet};
use reclaimer_domain::job::report::Retryable;
use reclaimer_domain::job::{Job, Priority, Status};
use reclaimer_domain::time::{after, before, between};
use reclaimer_policy::{
    Backoff, Defaults, Effect, Jitter, Kind, Match, Policy, Rule, Subject, before_builtin,
};
use reclaimer_testkit::{a_job, noon, seeded};

const COMMANDS: [&str; 3] = ["PROJECT_ISSUES", "PROJECT_COMMITS", "GROUP"];
const QUEUES: [&str; 3] = ["default", "slow", "big-memory"];
const TYPES: [&str; 3] = ["http_5xx", "credential_missing", "parse"];
const ERRORS: [&str; 5] = [
    "Missing access token",
    "HTTP 503 from GitLab",
    "boom",
    "invalid_grant: revoked",
    "ÜBERLAUF im Speicher",
];

/// `None` more often than not: rules that ask for everything match nothing.
fn sometimes<T: Clone + std::fmt::Debug + 'static>(
    strategy: impl Strategy<Value = T> + 'static,
) -> BoxedStrategy<Option<T>> {
    prop_oneof![2 => Just(None), 1 => strategy.prop_map(Some)].boxed()
}

fn some_of<T: Clone + std::fmt::Debug + 'static>(all: &'static [T]) -> BoxedStrategy<Vec<T>> {
    prop_oneof![2 => Just(Vec::new()), 1 => proptest::sample::subsequence(all, 0..=all.len())].boxed()
}

fn names<T: std::str::FromStr<Err: std::fmt::Debug>>(words: Vec<&'static str>) -> Vec<T> {
    words.into_iter().map(|word| word.parse().unwrap()).collect()
}

fn texts(words: Vec<&'static str>) -> Vec<String> {
    words.into_iter().map(ToOwned::to_owned).collect()
}

fn any_match() -> impl Strategy<Value = Match> {
    let retryable = select(vec![Retryable::Yes, Retryable::No, Retryable::AskPolicy]);
    let numbers = (
        sometimes(select(vec![Status::Failed, Status::Running])),
        sometimes(retryable),
        some_of(&StuckSign::ALL),
        sometimes(0_u32..6),
        sometimes((0_u64..10_000).prop_map(Duration::from_secs)),
        sometimes((-20_i64..=19).prop_map(|number| Priority::try_from(number).unwrap())),
    );
    let words = (
        some_of(&QUEUES),
        some_of(&TYPES),
        some_of(&["PROJECT_*", "*S", "GROUP", "{A,PROJECT_C*}", "?ROUP"]),
        some_of(&["ACCESS token", "503", "überlauf", "oo"]),
        sometimes(select(vec!["^boom$", "(?i)missing|GRANT", r"HTTP 5\d\d", "im$"])),
    );
    (numbers, words).prop_map(|(numbers, words)| {
        let (status, retryable, stuck, attempt_at_least, older_than, priority_below) = numbers;
        let (queue, error_type, command, error_contains, error_regex) = words;
        Match {
            status,
            retryable,
            stuck,
            attempt_at_least,
            older_than,
            priority_below,
            queue: names(queue),
            error_type: texts(error_type),
            command: texts(command),
            error_contains: texts(error_contains),
            error_regex: error_regex.map(ToOwned::to_owned),
        }
    })
}

fn any_backoff() -> impl Strategy<Value = Backoff> {
    let time = || (0_u64..100_000).prop_map(Duration::from_millis);
    let kind = prop_oneof![
        time().prop_map(|delay| Kind::Fixed { delay }),
        time().prop_map(|base| Kind::Linear { base }),
        (time(), 1.0_f64..100.0).prop_map(|(base, factor)| Kind::Exponential { base, factor }),
    ];
    (kind, time(), select(Jitter::ALL.to_vec())).prop_map(|(kind, cap, jitter)| Backoff { kind, cap, jitter })
}

fn any_rule() -> impl Strategy<Value = Rule> {
    let effect =
        prop_oneof![3 => Just(Effect::Requeue), 1 => Just(Effect::Quarantine), 1 => Just(Effect::Leave)];
    let budgets = (sometimes(0_u32..4), sometimes(1_u32..5), sometimes(any_backoff()));
    (any_match(), effect, some_of(&Requirement::ALL), sometimes(select(QUEUES.to_vec())), budgets).prop_map(
        |(when, effect, require, queue, (max_recoveries, poison_after, backoff))| Rule {
            when,
            require,
            queue: queue.map(|queue| queue.parse().unwrap()),
            backoff,
            max_recoveries,
            poison_after,
            ..Rule::new("r".parse().unwrap(), effect)
        },
    )
}

fn any_policy() -> impl Strategy<Value = Policy> {
    let rules = proptest::collection::vec(any_rule(), 0..12);
    (rules, any::<bool>(), 0_u32..4, 1_u32..4).prop_map(
        |(mut rules, builtin, max_recoveries, poison_after)| {
            for (index, rule) in rules.iter_mut().enumerate() {
                rule.name = format!("rule-{index}").parse().unwrap();
            }
            let rules = if builtin { before_builtin(rules) } else { rules };
            Policy::new(rules, Defaults { max_recoveries, poison_after, ..Defaults::default() }).unwrap()
        },
    )
}

#[derive(Debug, Clone)]
struct Case {
    job: Job,
    account: AccountState,
    sign: Option<StuckSign>,
}

impl Case {
    fn subject(&self) -> Subject<'_> {
        Subject { job: &self.job, account: &self.account, sign: self.sign }
    }
}

/// Any attempt number, small ones more often.
fn any_count() -> impl Strategy<Value = u32> {
    prop_oneof![8 => 0_u32..7, 1 => Just(1_000_000_000), 1 => any::<u32>()]
}

fn any_case() -> impl Strategy<Value = Case> {
    let account = select(vec![
        AccountState::NotNeeded,
        AccountState::Missing("a".parse().unwrap()),
        AccountState::Invalid("a".parse().unwrap()),
        AccountState::Valid("a".parse().unwrap()),
    ]);
    let words = (select(COMMANDS.to_vec()), select(QUEUES.to_vec()), sometimes(select(ERRORS.to_vec())));
    let said = (sometimes(select(TYPES.to_vec())), sometimes(any::<bool>()), -20_i64..=19);
    let counts = (any_count(), any_count(), any_count(), 0_u64..20_000);
    let kind =
        (select(vec![None, None, Some(StuckSign::LeaseExpired), Some(StuckSign::NoUpdate)]), any::<bool>());
    (account, words, said, counts, kind).prop_map(|(account, words, said, counts, (sign, excused))| {
        let ((command, queue, error), (kind, retryable, priority)) = (words, said);
        let (attempt, recoveries, losses, ago) = counts;
        let mut builder = a_job().command(command).queue(queue).recovered(recoveries).lost_leases(losses);
        if let Some(error) = error {
            builder = builder.progress("error", error.into());
        }
        if let Some(kind) = kind {
            builder = builder.progress("errorType", kind.into());
        }
        if let Some(retryable) = retryable {
            builder = builder.progress("retryable", retryable.into());
        }
        if sign.is_some() {
            builder = builder.held_by("w");
            builder = if excused { builder.excused() } else { builder };
        }
        let mut job =
            builder.updated_at(before(noon(), Duration::from_secs(ago))).attempt(attempt, 5).build();
        if sign.is_none() {
            job.status = Status::Failed;
            job.finished_at = Some(before(noon(), Duration::from_secs(ago / 2)));
        }
        job.priority = Priority::try_from(priority).unwrap();
        Case { job, account, sign }
    })
}

/// What `match` means, told anew and without care for speed.
fn matches(when: &Match, case: &Case) -> bool {
    let Case { job, sign, .. } = case;
    let listed =
        |list: &[String], holds: &dyn Fn(&str) -> bool| list.is_empty() || list.iter().any(|one| holds(one));
    let in_error =
        |regex: &str| job.error().is_some_and(|error| regex::Regex::new(regex).unwrap().is_match(error));
    let since = job.finished_at.unwrap_or(job.updated_at);
    when.status.is_none_or(|status| status == job.status)
        && when.retryable.is_none_or(|said| said == Retryable::of(job))
        && (when.stuck.is_empty() || sign.is_some_and(|sign| when.stuck.contains(&sign)))
        && when.attempt_at_least.is_none_or(|least| job.attempt >= least)
        && when.older_than.is_none_or(|length| between(since, noon()) >= length)
        && when.priority_below.is_none_or(|bound| job.priority < bound)
        && (when.queue.is_empty() || when.queue.contains(&job.queue))
        && listed(&when.error_type, &|kind| job.error_type() == Some(kind))
        && listed(&when.command, &|glob| {
            globset::Glob::new(glob).unwrap().compile_matcher().is_match(job.command.as_str())
        })
        && listed(&when.error_contains, &|part| {
            job.error().is_some_and(|error| error.to_lowercase().contains(&part.to_lowercase()))
        })
        && when.error_regex.as_deref().is_none_or(in_error)
}

/// Compiling a policy is slow beside deciding: each is asked about several jobs.
fn any_cases() -> impl Strategy<Value = Vec<Case>> {
    proptest::collection::vec(any_case(), 16)
}

/// The decision fits the first rule that matches.
fn check_first_match(policy: &Policy, case: &Case, seed: u64) -> Result<(), TestCaseError> {
    let decision = policy.decide(&case.subject(), noon(), &mut seeded(seed));
    let first = policy.rules().find(|rule| matches(&rule.when, case));
    prop_assert_eq!(decision.rule.as_ref(), first.map(|rule| &rule.name));
    prop_assert_eq!(decision.policy, policy.hash());
    prop_assert!(!decision.reason.is_empty());
    let effect = first.map(|rule| rule.effect);
    let fits = match decision.action {
        Action::Requeue { .. } | Action::Skip { .. } => effect == Some(Effect::Requeue),
        Action::Quarantine => matches!(effect, Some(Effect::Requeue | Effect::Quarantine)),
        Action::Leave { .. } => matches!(effect, None | Some(Effect::Leave)),
    };
    prop_assert!(fits, "{:?} by {:?}", decision.action, first);
    Ok(())
}

/// The trace says of each rule what its conditions say, and ends with the first that matched.
fn check_trace(policy: &Policy, case: &Case, seed: u64) -> Result<(), TestCaseError> {
    let decision = policy.decide(&case.subject(), noon(), &mut seeded(seed));
    prop_assert_eq!(&policy.decide(&case.subject(), noon(), &mut seeded(seed)), &decision);
    let trace = policy.trace(&case.subject(), noon(), &mut seeded(seed));
    prop_assert_eq!(&trace.decision, &decision);
    for (index, rule) in trace.tried.iter().enumerate() {
        prop_assert_eq!(rule.matched, rule.conditions.iter().all(|condition| condition.holds));
        prop_assert!(!rule.matched || index + 1 == trace.tried.len());
    }
    let matched = trace.tried.last().filter(|rule| rule.matched).map(|rule| &rule.name);
    prop_assert_eq!(matched, decision.rule.as_ref());
    let named = trace.tried.iter().map(|rule| &rule.name).chain(&trace.not_tried);
    prop_assert!(named.eq(policy.rules().map(|rule| &rule.name)));
    Ok(())
}

/// A job that is queued again has not used its budgets up, lacks nothing, and waits no longer than the cap.
fn check_budgets(policy: &Policy, case: &Case, seed: u64) -> Result<(), TestCaseError> {
    let decision = policy.decide(&case.subject(), noon(), &mut seeded(seed));
    let Some(rule) = policy.rules().find(|rule| Some(&rule.name) == decision.rule.as_ref()) else {
        return Ok(());
    };
    let Case { job, account, .. } = case;
    let excused = job.lease.as_ref().is_some_and(|lease| lease.excused);
    let running = job.status == Status::Running;
    let defaults = policy.defaults();
    match &decision.action {
        Action::Requeue { run_at, queue, .. } => {
            if !excused {
                prop_assert!(job.attempt < job.max_attempts);
                let poison_after = rule.poison_after.unwrap_or(defaults.poison_after);
                prop_assert!(!running || job.lease_losses.saturating_add(1) < poison_after);
                let most = rule.max_recoveries.or((!running).then_some(defaults.max_recoveries));
                prop_assert!(most.is_none_or(|most| job.recoveries < most));
            }
            prop_assert!(rule.require.iter().all(|need| need.holds(account)));
            let cap = rule.backoff.unwrap_or(defaults.backoff).cap;
            prop_assert!((noon()..=after(noon(), cap)).contains(run_at), "{run_at}");
            prop_assert_eq!(queue, &rule.queue);
        }
        Action::Skip { unmet: Unmet::Requirement(unmet), until } => {
            prop_assert!(rule.require.contains(unmet) && !unmet.holds(account));
            prop_assert_eq!(*until, after(noon(), defaults.look_again));
        }
        Action::Skip { unmet: Unmet::RecoveryBudget, .. } => {
            prop_assert!(false, "a policy knows nothing of what others were given");
        }
        Action::Quarantine | Action::Leave { .. } => {}
    }
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn every_job_gets_the_decision_of_the_first_rule_that_matches_and_a_trace_of_it(
        policy in any_policy(),
        cases in any_cases(),
        seed: u64,
    ) {
        for case in &cases {
            check_first_match(&policy, case, seed)?;
            check_trace(&policy, case, seed)?;
            check_budgets(&policy, case, seed)?;
        }
        let again = Policy::new(policy.rules().cloned().collect(), *policy.defaults()).unwrap();
        prop_assert_eq!(again.hash(), policy.hash());
    }

    #[test]
    fn the_hash_tells_policies_apart(mut one in any_rule(), mut other in any_rule()) {
        // Patterns are compiled elsewhere; here the differences count.
        one.when.error_regex = None;
        other.when.error_regex = None;
        let hash = |rule: &Rule| Policy::new(vec![rule.clone()], Defaults::default()).unwrap().hash();
        prop_assert_eq!(hash(&one) == hash(&other), one == other);
    }
}
