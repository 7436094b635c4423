//! Recovery decisions.

use std::fmt::Write;
use std::hint::black_box;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use chrono::{DateTime, Utc};
use rand::SeedableRng;
use rand::rngs::StdRng;
use reclaimer_domain::account::AccountState;
use reclaimer_domain::decision::StuckSign;
use reclaimer_domain::job::{Job, NewJob, Status};
use reclaimer_policy::{Policy, Subject};

use super::figure::Rate;
use super::rate;

/// So many rules, the built-in ones included.
const RULES: usize = 50;
/// So many decisions are one piece of work.
const DECISIONS: usize = 1_024;

pub(super) fn measure(each: Duration) -> Result<Vec<Rate>> {
    let policy: Policy = rules()?.parse()?;
    ensure!(policy.rules().len() == RULES, "{} rules: a defect", policy.rules().len());
    let now = DateTime::<Utc>::from_timestamp(1_748_966_405, 0).context("a moment")?;
    let unknown =
        "the answer of the provider could not be understood: unexpected end of input at line 1 column 873";
    let long = format!("{unknown}\n{}", "  at Worker.run (worker.js:118:23)\n".repeat(200));
    let mut rates = Vec::new();
    for (what, job, sign, rule) in [
        ("the first rule matches", failed(now, "socket 0 hung up")?, None, Some("hung-up-0")),
        (
            "a rule in the middle matches",
            failed(now, "rejected with code E18 by peer")?,
            None,
            Some("code-18"),
        ),
        ("no rule matches an error of 100 bytes", failed(now, unknown)?, None, None),
        ("no rule matches an error of 7 KB", failed(now, &long)?, None, None),
        ("the last rule matches a stuck job", running(now)?, Some(StuckSign::NoUpdate), Some("stuck")),
    ] {
        let subject = Subject { job: &job, account: &AccountState::NotNeeded, sign };
        rates.push(figure(what, each, &policy, &subject, now, rule)?);
    }
    Ok(rates)
}

/// Rules as people write them: most look for a text, some for a type, a command, a queue, a pattern.
fn rules() -> Result<String> {
    let mut rules = String::new();
    for n in 0..RULES - Policy::builtin().rules().len() {
        let (name, asks) = match n % 5 {
            0 => ("hung-up", format!("error_contains = \"socket {n} hung up\"")),
            1 => ("kind", format!("error_type = [\"http_{n}xx\", \"dns_{n}\"], attempt_at_least = 2")),
            2 => ("missing", format!("command = \"PROJECT_{n}*\", error_contains = \"missing field {n}\"")),
            3 => ("code", format!("error_regex = 'code E{n}\\b'")),
            _ => {
                ("slow", format!("queue = \"slow-{n}\", error_contains = [\"timed out\", \"deadline {n}\"]"))
            }
        };
        writeln!(rules, "[[rule]]\nname = \"{name}-{n}\"\nmatch = {{ status = \"failed\", {asks} }}")?;
        writeln!(rules, "action = \"requeue\"")?;
    }
    Ok(rules)
}

fn job(now: DateTime<Utc>, status: Status) -> Result<Job> {
    let mut job = Job::new("01JX0A7Z6TQK3W0V5B9D2E4F6G".parse()?, NewJob::of("PROJECT_ISSUES".parse()?), now);
    job.status = status;
    job.attempt = 1;
    Ok(job)
}

fn failed(now: DateTime<Utc>, error: &str) -> Result<Job> {
    let mut job = job(now, Status::Failed)?;
    job.finished_at = Some(now);
    job.progress.insert("error".to_owned(), error.into());
    job.progress.insert("errorType".to_owned(), "provider".into());
    Ok(job)
}

fn running(now: DateTime<Utc>) -> Result<Job> {
    job(now, Status::Running)
}

fn figure(
    what: &'static str,
    each: Duration,
    policy: &Policy,
    subject: &Subject<'_>,
    now: DateTime<Utc>,
    rule: Option<&str>,
) -> Result<Rate> {
    let mut rng = StdRng::seed_from_u64(7);
    let decision = policy.decide(subject, now, &mut rng);
    let by = decision.rule.as_ref().map(reclaimer_domain::name::RuleName::as_str);
    ensure!(by == rule, "rule {by:?} decided where {rule:?} should: a defect");
    let decided = rate(each, || {
        for _ in 0..DECISIONS {
            black_box(policy.decide(black_box(subject), now, &mut rng));
        }
        Ok(())
    })?;
    // The least that rules cost which are asked one by one.
    let texts: Vec<&str> =
        policy.rules().flat_map(|rule| &rule.when.error_contains).map(String::as_str).collect();
    let error = subject.job.error().unwrap_or_default();
    let searched = rate(each, || {
        for _ in 0..DECISIONS {
            black_box(texts.iter().filter(|text| black_box(error).contains(**text)).count());
        }
        Ok(())
    })?;
    #[expect(clippy::cast_precision_loss, reason = "far below what a float holds exactly")]
    let decisions = DECISIONS as f64;
    let beside = "str::contains for each text of the rules";
    Ok(Rate::of(what, decided * decisions, beside, searched * decisions))
}
