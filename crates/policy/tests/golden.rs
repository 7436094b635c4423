//! A dozen policies and the same jobs for each: what is decided, and why. The files in `golden/` are there to be read; run
//! with `UPDATE_SNAPSHOTS=1` to write them anew.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::fmt::Write;
use std::path::Path;
use std::time::Duration;

use reclaimer_domain::account::AccountState;
use reclaimer_domain::decision::{Action, Decision, Unmet};
use reclaimer_domain::job::Job;
use reclaimer_domain::time::{before, between, spoken};
use reclaimer_policy::file::{Checked, read};
use reclaimer_policy::{StuckLimits, Subject, Trace};
use reclaimer_testkit::{JobBuilder, a_job, noon, seeded};

const HOUR: Duration = Duration::from_secs(3_600);

fn ago(length: Duration) -> chrono::DateTime<chrono::Utc> {
    before(noon(), length)
}

/// A failed job, an hour ago.
fn failed(error: &str) -> JobBuilder {
    a_job().failed_with(error).finished_at(ago(HOUR)).updated_at(ago(HOUR))
}

/// A running job whose lease ended a second ago.
fn lost() -> JobBuilder {
    a_job().held_by("crawler-1").leased_until(ago(Duration::from_secs(1))).updated_at(ago(HOUR))
}

/// Every job, with what it is called in the golden files.
fn jobs() -> Vec<(&'static str, Job)> {
    let token = "Missing access token for account 42";
    let silent = a_job().held_by("crawler-1").leased_until(noon() + HOUR);
    vec![
        ("retryable", failed("timeout").retryable()),
        ("not retryable", failed("no such project").not_retryable()),
        ("no token, account valid", failed(token).error_type("credential_missing").account("valid")),
        ("no token, account invalid", failed(token).error_type("credential_missing").account("invalid")),
        ("no token, no account named", failed(token).error_type("credential_missing")),
        ("unknown type", failed("Unknown DataType mapping: EPIC_V2").command("PROJECT_ISSUES")),
        ("server error", failed("HTTP 503 from GitLab").error_type("http_5xx").command("PROJECT_COMMITS")),
        (
            "server error, other command",
            failed("HTTP 503 from GitLab").error_type("http_5xx").command("USERS"),
        ),
        ("revoked", failed("invalid_grant: the token was REVOKED").account("invalid")),
        ("attempts used up", failed("timeout").retryable().attempt(5, 5)),
        ("recovered five times", failed("timeout").retryable().attempt(2, 9).recovered(5)),
        ("urgent", failed("boom").retryable().priority(-15)),
        ("failed just now", failed("boom").finished_at(noon())),
        ("lease lost", lost()),
        ("lease lost a third time", lost().attempt(3, 5).lost_leases(2)),
        ("lease lost by our absence", lost().excused().attempt(5, 5)),
        ("silent", silent.clone().updated_at(ago(HOUR * 3)).queue("slow")),
        ("past its timeout", silent.timeout(HOUR / 2).started_at(ago(HOUR)).updated_at(noon())),
    ]
    .into_iter()
    .map(|(name, job)| (name, job.build()))
    .collect()
}

fn account(job: &Job) -> AccountState {
    match &job.account_id {
        None => AccountState::NotNeeded,
        Some(id) if id.as_str() == "valid" => AccountState::Valid(id.clone()),
        Some(id) => AccountState::Invalid(id.clone()),
    }
}

fn told(decision: &Decision) -> String {
    let mut line = decision.action.as_str().to_owned();
    match &decision.action {
        Action::Requeue { run_at, priority, queue } => {
            let delay = between(noon(), *run_at);
            line.push_str(&if delay.is_zero() {
                " now".to_owned()
            } else {
                format!(" in {}", spoken(delay))
            });
            line.extend(priority.map(|priority| format!(", priority {priority}")));
            line.extend(queue.as_ref().map(|queue| format!(", queue {queue}")));
        }
        Action::Skip { unmet, until } => {
            let rest = spoken(between(noon(), *until));
            let unmet = match unmet {
                Unmet::Requirement(requirement) => requirement.as_str(),
                Unmet::RecoveryBudget => "room",
            };
            write!(line, " for want of {unmet}, looked at again in {rest}").unwrap();
        }
        Action::Leave { until } => {
            write!(line, ", looked at again in {}", spoken(between(noon(), *until))).unwrap()
        }
        Action::Quarantine => {}
    }
    let rule = decision.rule.as_ref().map_or_else(|| "no rule".to_owned(), |rule| format!("rule {rule}"));
    format!("{line}, by {rule}: {}", decision.reason)
}

fn work(trace: &Trace) -> String {
    let mut lines = String::new();
    for rule in &trace.tried {
        let said = if rule.matched {
            let found = rule.conditions.iter().map(|one| format!("{} {}", one.key, one.actual));
            found.collect::<Vec<_>>().join(", ")
        } else {
            // The first that does not hold says enough here.
            let failing = rule.conditions.iter().find(|condition| !condition.holds).unwrap();
            format!("{} is {}, not {}", failing.key, failing.actual, failing.expected)
        };
        let mark = if rule.matched { "✔" } else { "✘" };
        let said = if said.is_empty() { "every job" } else { &said };
        writeln!(lines, "    {mark} {}: {said}", rule.name).unwrap();
    }
    let budgets =
        trace.budgets.iter().map(|one| format!("{} {} of {}", one.kind.as_str(), one.used, one.most));
    let needs = trace.requirements.iter().map(|need| format!("{}: {}", need.key, need.actual));
    let more: Vec<String> = budgets.chain(needs).collect();
    if !more.is_empty() {
        writeln!(lines, "    {}", more.join("; ")).unwrap();
    }
    lines
}

fn golden(policy: &str) -> String {
    let Checked { policy, warnings } = read(policy, Default::default()).unwrap();
    let rules: Vec<&str> = policy.rules().map(|rule| rule.name.as_str()).collect();
    let mut page = format!("policy {}: {}\n", policy.hash(), rules.join(", "));
    for warning in &warnings {
        writeln!(page, "warning {warning}").unwrap();
    }
    for (name, job) in jobs() {
        let account = account(&job);
        let sign = StuckLimits::default().sign(&job, noon());
        let trace = policy.trace(&Subject { job: &job, account: &account, sign }, noon(), &mut seeded(7));
        write!(page, "\n{name}\n  → {}\n{}", told(&trace.decision), work(&trace)).unwrap();
    }
    page
}

#[test]
fn policies_decide_what_their_golden_files_say() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/golden");
    let mut policies = 0;
    let mut wrong = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|ending| ending == "toml") {
            policies += 1;
            let found = golden(&std::fs::read_to_string(&path).unwrap());
            let stored = path.with_extension("txt");
            if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
                std::fs::write(&stored, &found).unwrap();
            } else if std::fs::read_to_string(&stored).unwrap_or_default() != found {
                wrong.push(stored.file_name().unwrap().to_owned());
            }
        }
    }
    assert!(policies >= 12, "{policies} policies");
    assert!(
        wrong.is_empty(),
        "{wrong:?} say something else: run with UPDATE_SNAPSHOTS=1 and read what changed"
    );
}
