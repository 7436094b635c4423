//! Plans, and dry runs: the same plan, not applied.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;
use proptest::sample::select;
use reclaimer_domain::account::AccountState;
use reclaimer_domain::decision::{Action, StuckSign, Unmet};
use reclaimer_domain::job::{Job, Status};
use reclaimer_domain::name::QueueName;
use reclaimer_domain::ports::{BrokenRow, Candidate};
use reclaimer_domain::recovery::{DecisionReport, RecoveryType, RunReport};
use reclaimer_domain::time::{after, before};
use reclaimer_policy::{Policy, StuckLimits};
use reclaimer_recovery::{Budget, Config, Explained, Plan, Spread, Terms, plan};
use reclaimer_testkit::{a_job, noon, seeded};

use crate::store::Call;
use crate::world::{SECOND, World, retryable};

/// Plans at noon for jobs that need no account.
#[derive(Debug, Clone, Copy)]
struct Planning {
    room: u64,
    spread: Duration,
    most: u32,
}

const PLENTY: Planning = Planning { room: u64::MAX, spread: Duration::from_secs(10), most: 50 };

impl Planning {
    fn of(self, jobs: Vec<Job>, seed: u64) -> Plan {
        let candidate = |job| Candidate { job, account: AccountState::NotNeeded };
        let candidates: Vec<Candidate> = jobs.into_iter().map(candidate).collect();
        let terms = Terms {
            policy: &Policy::builtin(),
            stuck: &StuckLimits::default(),
            budget: &Budget::default(),
            room: self.room,
            spread: Spread { over: self.spread, batch: 50 },
            most: self.most,
            now: noon(),
        };
        plan(&candidates, &terms, &mut seeded(seed))
    }
}

fn lost(id: &str) -> Job {
    a_job().id(id).held_by("w").leased_until(before(noon(), SECOND)).build()
}

fn excused(id: &str) -> Job {
    a_job().id(id).held_by("w").leased_until(before(noon(), SECOND)).excused().build()
}

fn alive(id: &str) -> Job {
    a_job().id(id).held_by("w").build()
}

fn run_ats(plan: &Plan) -> Vec<chrono::DateTime<chrono::Utc>> {
    let run_at = |action: &Action| match action {
        Action::Requeue { run_at, .. } => Some(*run_at),
        _ => None,
    };
    plan.steps.iter().filter_map(|step| run_at(&step.decision.action)).collect()
}

#[test]
fn running_jobs_that_are_not_stuck_are_left_out() {
    let plan = PLENTY.of(vec![alive("a"), lost("b"), alive("c")], 1);
    let [step] = &plan.steps[..] else { panic!("{plan:?}") };
    assert_eq!(step.job.as_str(), "b");
    assert_eq!(step.decision.sign, Some(StuckSign::LeaseExpired));
    assert_eq!(run_ats(&plan), [noon()], "a single lost job runs at once");
}

#[test]
fn a_plan_changes_no_more_than_it_may() {
    let jobs = vec![lost("a"), lost("b"), alive("c"), lost("d"), lost("e")];
    let plan = Planning { most: 2, ..PLENTY }.of(jobs, 1);
    assert_eq!(
        (plan.steps.len(), plan.undecided),
        (2, 2),
        "the one that is not stuck is not counted as left"
    );
}

#[test]
fn jobs_over_the_budget_wait_with_the_reason() {
    let plan = Planning { room: 1, ..PLENTY }.of(vec![lost("a"), lost("b"), lost("c")], 1);
    assert_eq!((plan.charged, run_ats(&plan).len()), (1, 1));
    let latest = plan.steps[1..].iter().map(|step| {
        assert_eq!(step.decision.rule.as_ref().unwrap().as_str(), "stuck");
        assert!(step.decision.reason.starts_with("the recovery budget of this minute is used up"));
        let Action::Skip { unmet: Unmet::RecoveryBudget, until } = step.decision.action else {
            panic!("{step:?}")
        };
        assert!((after(noon(), SECOND * 5)..=after(noon(), SECOND * 10)).contains(&until));
        until
    });
    assert_eq!(plan.waits_until, latest.max());
}

#[test]
fn what_was_our_own_fault_uses_no_budget() {
    let plan = Planning { room: 0, ..PLENTY }.of(vec![excused("a"), excused("b")], 1);
    assert_eq!((plan.charged, run_ats(&plan).len(), plan.waits_until), (0, 2, None));
}

#[test]
fn a_used_up_budget_keeps_nothing_from_quarantine() {
    let spent = a_job().id("a").failed_with("boom").retryable().attempt(5, 5).build();
    let plan = Planning { room: 0, ..PLENTY }.of(vec![spent], 1);
    assert_eq!(plan.steps[0].decision.action, Action::Quarantine);
}

/// A job in any of the conditions that a search brings up.
fn any_job() -> impl Strategy<Value = Job> {
    let errors = prop_oneof![Just("boom"), Just("Missing access token"), Just("Missing account data for 4")];
    let account = prop_oneof![Just(None), Just(Some("good")), Just(Some("stale")), Just(Some("gone"))];
    (errors, account, 0_u8..7, 1_u32..7, 0_u32..7, 0_u64..10_000).prop_map(
        |(error, account, kind, attempt, recoveries, ago)| {
            let moment = before(noon(), Duration::from_secs(ago));
            let held = a_job().held_by("w").leased_until(moment).updated_at(moment).lost_leases(attempt % 3);
            let job = match kind {
                0 => a_job().failed_with(error),
                1 => a_job().failed_with(error).not_retryable(),
                2 | 3 => a_job().failed_with(error).retryable(),
                4 => held.excused(),
                5 => held.leased_until(after(noon(), SECOND * 600)),
                _ => held,
            };
            let job = job.attempt(attempt, 5).recovered(recoveries);
            account.into_iter().fold(job, |job, account| job.account(account)).build()
        },
    )
}

fn any_jobs() -> impl Strategy<Value = Vec<Job>> {
    proptest::collection::vec(any_job(), 0..60).prop_map(|mut jobs| {
        for (index, job) in jobs.iter_mut().enumerate() {
            job.id = format!("job-{index:03}").parse().unwrap();
        }
        jobs
    })
}

proptest! {
    #[test]
    fn spreading_never_makes_a_job_due_sooner_nor_later_than_the_window(jobs in any_jobs(), seed: u64) {
        let at_once = Planning { spread: Duration::ZERO, ..PLENTY }.of(jobs.clone(), seed);
        let spread = PLENTY.of(jobs, seed);
        let n = u32::try_from(run_ats(&spread).len()).unwrap();
        let window = Spread { over: PLENTY.spread, batch: 50 }.window(n);
        for (early, late) in run_ats(&at_once).into_iter().zip(run_ats(&spread)) {
            prop_assert!(early <= late && late <= after(early, window), "{early} {late} {window:?}");
        }
    }

    #[test]
    fn every_step_is_about_a_job_of_its_own_as_it_was_seen(
        jobs in any_jobs(),
        room in 0_u64..60,
        most in 0_u32..60,
        seed: u64,
    ) {
        let plan = Planning { room, most, ..PLENTY }.of(jobs.clone(), seed);
        let distinct: HashSet<_> = plan.steps.iter().map(|step| &step.job).collect();
        prop_assert_eq!(distinct.len(), plan.steps.len());
        prop_assert!(plan.charged <= room);
        let changes = plan.steps.iter().filter(|step| step.decision.action.changes_status()).count();
        prop_assert!(changes <= most as usize);
        for step in &plan.steps {
            let job = jobs.iter().find(|job| job.id == step.job).unwrap();
            prop_assert_eq!(&step.seen, &reclaimer_domain::ports::Seen::of(job));
        }
    }
}

/// Policies that decide in every way there is.
const POLICIES: [&str; 3] = [
    "",
    r#"
        [defaults]
        max_recoveries = 2
        [[rule]]
        name = "elsewhere"
        match = { stuck = "lease_expired", attempt_at_least = 2 }
        action = "requeue"
        queue = "big-memory"
        priority = -5
        backoff = { kind = "exponential", base = "1s", jitter = "decorrelated" }
        [[rule]]
        name = "boom"
        match = { error_contains = "BOOM", retryable = false }
        action = "quarantine"
    "#,
    r#"
        builtin = false
        [[rule]]
        name = "patient"
        match = { status = "failed", older_than = "1h" }
        require = ["account_present"]
        action = "requeue"
        [[rule]]
        name = "hands-off"
        match = { status = "running" }
        action = "leave"
    "#,
];

/// Runs once over these jobs, in a fresh world that is always the same, and answers what was said and done.
fn run(policy: &str, jobs: &[Job], kind: RecoveryType, dry_run: bool) -> (RunReport, Vec<Job>, Vec<Call>) {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let budget = Budget { ratio: 0.0, per_second: 0.25 };
        let world = World::on_demand(Config { budget, batch_size: 10, ..Config::default() }).await;
        world.handle.set_policy(Arc::new(policy.parse().unwrap()));
        world.store.with(|rows| {
            rows.valid.insert("good".to_owned());
            rows.broken.push(BrokenRow {
                id: "odd".into(),
                status: "failed".into(),
                reason: "progress is no JSON".into(),
            });
        });
        world.store.add(jobs.iter().cloned());
        world.store.take_calls();
        let report = world.handle.recover(kind, dry_run).await.unwrap();
        (report, world.store.with(|rows| rows.jobs.clone()), world.store.take_calls())
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn a_dry_run_decides_what_a_real_run_does_and_changes_nothing(
        jobs in any_jobs(),
        policy in select(POLICIES.to_vec()),
        kind in select(RecoveryType::ALL.to_vec()),
    ) {
        let (dry, untouched, calls) = run(policy, &jobs, kind, true);
        let (real, changed, _) = run(policy, &jobs, kind, false);

        prop_assert_eq!(&dry.result.decisions, &real.result.decisions);
        let counts = |report: &RunReport| {
            let result = &report.result;
            let jobs = (result.recovered_jobs, result.quarantined_jobs, result.skipped_jobs);
            (jobs, result.failed_recoveries, result.errors.clone(), result.more)
        };
        prop_assert_eq!(counts(&dry), counts(&real));
        prop_assert_eq!(dry.result.policy_hash, real.result.policy_hash);
        prop_assert!(dry.result.dry_run && !real.result.dry_run);
        prop_assert_eq!(&untouched, &jobs);
        prop_assert_eq!(calls, []);

        let queued = changed.iter().filter(|job| job.status == Status::Queued).count();
        prop_assert_eq!(queued, real.result.recovered_jobs as usize);
    }
}

/// What an explanation says of each of these jobs, and what a dry run over all of them decides.
fn explained(policy: &str, jobs: &[Job]) -> Vec<(Said, Said)> {
    let runtime =
        tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build().unwrap();
    runtime.block_on(async {
        let budget = Budget { ratio: 0.0, per_second: f64::INFINITY };
        let world = World::on_demand(Config { budget, batch_size: 100, ..Config::default() }).await;
        world.handle.set_policy(Arc::new(policy.parse().unwrap()));
        world.store.add(jobs.iter().cloned());
        let report = world.handle.recover(RecoveryType::Comprehensive, true).await.unwrap();
        let mut pairs = Vec::new();
        for job in jobs {
            let Explained::Whole(explanation) = world.handle.explain(&job.id).await.unwrap().unwrap() else {
                continue;
            };
            assert_eq!(Some(explanation.policy_hash), report.result.policy_hash);
            let planned = report.result.decisions.iter().find(|decision| decision.job_id == job.id);
            pairs.push((said(explanation.decision.as_ref()), said(planned)));
        }
        pairs
    })
}

/// What a decision says, but for the delay, which is drawn anew each time.
type Said = Option<(String, Option<String>, String, Option<QueueName>)>;

fn said(decision: Option<&DecisionReport>) -> Said {
    let DecisionReport { action, rule, reason, queue, .. } = decision?.clone();
    Some((action, rule, reason, queue))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn an_explanation_says_what_a_run_would_decide(jobs in any_jobs(), policy in select(POLICIES.to_vec())) {
        let pairs = explained(policy, &jobs);
        prop_assert_eq!(pairs.len(), jobs.len());
        for (explained, planned) in pairs {
            prop_assert_eq!(explained, planned);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn another_policy_holds_from_the_next_cycle_on() {
    let world = World::on_demand(Config::default()).await;
    world.store.add(retryable("job", 2));
    let before = world.handle.policy().hash();
    let policy: Policy = "builtin = false".parse().unwrap();
    let after = policy.hash();
    // A cycle that runs ends by the policy it began with.
    let gate = Arc::new(tokio::sync::Notify::new());
    world.store.with(|rows| rows.gate = Some(Arc::clone(&gate)));
    let handle = world.handle.clone();
    let running = tokio::spawn(async move { handle.recover(RecoveryType::Failed, true).await });
    world.settle().await;
    world.handle.set_policy(Arc::new(policy));
    world.store.with(|rows| rows.gate = None);
    gate.notify_one();
    let report = running.await.unwrap().unwrap();
    assert_eq!((report.result.policy_hash, report.result.recovered_jobs), (Some(before), 2));

    let report = world.handle.recover(RecoveryType::Failed, false).await.unwrap();
    assert_eq!((report.result.policy_hash, report.result.skipped_jobs), (Some(after), 2));
    assert_eq!(world.handle.policy().hash(), after);
}

#[tokio::test(start_paused = true)]
async fn a_dry_run_leaves_no_record_takes_no_place_and_is_not_followed_up() {
    let world = World::on_demand(Config::default()).await;
    world.store.add(retryable("job", 60));
    world.store.take_calls();
    let report = world.handle.recover(RecoveryType::Failed, true).await.unwrap();
    assert_eq!((report.result.recovered_jobs, report.result.more), (50, true));
    assert!(report.message.starts_with("Job recovery dry run"), "{}", report.message);
    world.pass(SECOND * 30).await;
    assert_eq!(world.store.take_calls(), []);
    assert_eq!(world.handle.runs(None, 10).await.unwrap().items, []);
    assert_eq!(world.store.count(Status::Failed), 60);
}
