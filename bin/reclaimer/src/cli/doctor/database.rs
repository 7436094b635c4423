//! The database's file: its soundness, its tables, what lies in it.

use std::path::Path;
use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::decision::StuckSign;
use reclaimer_domain::job::Job;
use reclaimer_domain::ports::{Clock, StoreError};
use reclaimer_domain::time::before;
use reclaimer_persistence::maintenance::{self, Inspection};
use reclaimer_persistence::migrate;
use reclaimer_recovery::Config;
use rustix::fs::{Access, access};

use super::Finding;
use crate::system::SystemClock;

const RESTORE: &str = "stop the server, keep a copy of the file, and restore the latest backup";

/// A server that runs finds lost jobs within this time, and the others with its next periodic run.
const LEEWAY: Duration = Duration::from_secs(60);

pub(super) fn check(file: &Path, recovery: &Config) -> Vec<Finding> {
    if !file.exists() {
        let found = format!("{} does not exist", file.display());
        let advice = "start the server, which makes it, or name its folder with --data";
        return vec![Finding::warning("database", found, advice)];
    }
    let mut findings = Vec::new();
    findings.push(match maintenance::integrity(file) {
        Ok(problems) if problems.is_empty() => Finding::ok("integrity", "the database is sound"),
        Ok(problems) => Finding::problem("integrity", problems.join("; "), RESTORE),
        // Whatever hinders this hinders every other look at it.
        Err(error) => return vec![trouble("integrity", file, &error)],
    });
    match migrate::pending(file) {
        Ok(pending) if pending.is_empty() => findings.push(Finding::ok("migrations", "none is pending")),
        Ok(pending) => {
            findings.push(Finding::problem("migrations", pending.join(", "), "run `reclaimer migrate`"));
            return findings;
        }
        Err(error) => {
            findings.push(trouble("migrations", file, &error));
            return findings;
        }
    }
    match maintenance::inspect(file) {
        Ok(seen) => findings.extend(jobs(&seen)),
        Err(error) => findings.push(trouble("jobs", file, &error)),
    }
    findings.push(match maintenance::running(file) {
        Ok(running) => stuck(&running, recovery, SystemClock.now()),
        Err(error) => trouble("stuck jobs", file, &error),
    });
    findings
}

/// What to do about a database that cannot be looked at, by the kind of trouble.
fn trouble(check: &'static str, file: &Path, error: &StoreError) -> Finding {
    let advice = match error {
        StoreError::Busy { .. } => {
            "another process holds it locked, e.g. a shell or a backup: `fuser` on the file says which; end it, or wait"
        }
        StoreError::MigrationNeeded { .. } => "run the version of reclaimer that made it, or a newer one",
        error if maintenance::is_corrupt(error) => RESTORE,
        _ if access(file, Access::READ_OK | Access::WRITE_OK).is_err() => {
            "run this as the user who owns the file, or see to its permissions"
        }
        _ => "see the reason, and the server's log",
    };
    Finding::problem(check, error.to_string(), advice)
}

fn jobs(seen: &Inspection) -> Vec<Finding> {
    let all: Vec<String> = seen.jobs.iter().map(|(status, count)| format!("{count} {status}")).collect();
    let all = if all.is_empty() { "no jobs".to_owned() } else { all.join(", ") };
    let mut findings = vec![Finding::ok("jobs", format!("{all}; SQLite {}", seen.engine))];
    if let Some((_, count)) = seen.jobs.iter().find(|(status, _)| status == "quarantined") {
        let found = format!("{} for a person", counted(*count, "job waits", "jobs wait"));
        let advice = "`reclaimer jobs list --status quarantined`, then `jobs release` or `jobs cancel`";
        findings.push(Finding::warning("quarantine", found, advice));
    }
    findings
}

/// Running jobs that recovery should have taken back by now, by the sign they are known by.
fn stuck(running: &[Job], recovery: &Config, now: DateTime<Utc>) -> Finding {
    let (soon, later) = (before(now, LEEWAY), before(now, LEEWAY.saturating_add(recovery.interval)));
    let sign = |job: &Job| match recovery.stuck.sign(job, soon)? {
        StuckSign::LeaseExpired => Some(StuckSign::LeaseExpired),
        StuckSign::Timeout | StuckSign::NoUpdate => recovery.stuck.sign(job, later),
    };
    let signs: Vec<StuckSign> = running.iter().filter_map(sign).collect();
    if signs.is_empty() {
        return Finding::ok("stuck jobs", "no running job is overdue");
    }
    let of_each = StuckSign::ALL.map(|sign| {
        let count = signs.iter().filter(|found| **found == sign).count();
        let words = match sign {
            StuckSign::LeaseExpired => "with an expired lease",
            StuckSign::Timeout => "past its timeout",
            StuckSign::NoUpdate => "silent for too long",
        };
        (count > 0).then(|| format!("{count} {words}"))
    });
    let all = counted(signs.len() as u64, "running job is", "running jobs are");
    let found = format!("{all} overdue: {}", of_each.into_iter().flatten().collect::<Vec<_>>().join(", "));
    let advice =
        "is the server running, and recovery enabled? `reclaimer recover --type stuck` takes them back now";
    Finding::problem("stuck jobs", found, advice)
}

fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;

    #[test]
    fn a_missing_database_is_no_disaster() {
        let folder = tempfile::tempdir().unwrap();
        let findings = check(&folder.path().join("none.db"), &Config::default());
        assert_eq!(findings.len(), 1);
        assert_eq!(findings[0].verdict, Verdict::Warning);
    }
}
