//! Recovery runs: what is looked at, what set one off, and the report of what it did.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize};

use crate::decision::{Action, Decision, PolicyHash};
use crate::id::{JobId, RunId};
use crate::job::Priority;
use crate::name::{QueueName, Quoted};
use crate::time::{millis, millis_option, rfc3339};

/// What a recovery run looks at.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RecoveryType {
    /// Failed jobs that a rule of the policy calls recoverable.
    Failed,
    /// Running jobs that are stuck.
    Stuck,
    /// Both, failed first.
    Comprehensive,
}

impl RecoveryType {
    /// Every type.
    pub const ALL: [Self; 3] = [Self::Failed, Self::Stuck, Self::Comprehensive];

    /// The word in requests and reports.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Failed => "failed",
            Self::Stuck => "stuck",
            Self::Comprehensive => "comprehensive",
        }
    }

    /// What it is for, in one sentence.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Failed => "queues failed jobs again that a rule of the policy calls recoverable",
            Self::Stuck => {
                "queues running jobs again whose lease expired, that had no update for too long, or that ran past \
                 their timeout"
            }
            Self::Comprehensive => "both, failed jobs first",
        }
    }
}

/// A text that is no recovery type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown recovery type `{text}`; a type is one of {}", Quoted(&RecoveryType::ALL.map(RecoveryType::as_str)))]
pub struct UnknownRecoveryType {
    text: String,
}

impl FromStr for RecoveryType {
    type Err = UnknownRecoveryType;

    fn from_str(text: &str) -> Result<Self, UnknownRecoveryType> {
        Self::ALL
            .into_iter()
            .find(|kind| kind.as_str() == text)
            .ok_or_else(|| UnknownRecoveryType { text: text.chars().take(64).collect() })
    }
}

impl fmt::Display for RecoveryType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for RecoveryType {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for RecoveryType {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str> as Deserialize>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What set a run off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Trigger {
    /// The server came up.
    Startup,
    /// The interval passed.
    Periodic,
    /// A person asked.
    Manual,
    /// A lease expired.
    LeaseWatch,
}

impl Trigger {
    /// The word in reports, logs and metrics.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Startup => "startup",
            Self::Periodic => "periodic",
            Self::Manual => "manual",
            Self::LeaseWatch => "lease_watch",
        }
    }
}

/// The report of one run, exactly as it is answered and stored.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunReport {
    /// False only where the cycle itself could not run.
    pub success: bool,
    /// What was looked at.
    #[serde(rename = "type")]
    pub kind: RecoveryType,
    /// The numbers and the decisions.
    pub result: RunResult,
    /// One line for people.
    pub message: String,
}

/// The numbers and the decisions of one run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RunResult {
    /// Jobs queued again.
    pub recovered_jobs: u32,
    /// Jobs that should have been, and could not.
    pub failed_recoveries: u32,
    /// Jobs looked at and not changed: skipped or left.
    pub skipped_jobs: u32,
    /// One line per job that could not be recovered, beginning with its id.
    pub errors: Vec<String>,
    /// Jobs set aside for a person.
    pub quarantined_jobs: u32,
    /// The run's name.
    pub run_id: RunId,
    /// What set it off.
    pub trigger: Trigger,
    /// Whether nothing was changed, by request.
    pub dry_run: bool,
    /// How long it took.
    pub duration_ms: u64,
    /// The policy that decided; `None` in reports of versions that did not keep it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub policy_hash: Option<PolicyHash>,
    /// Whether it stopped with work left, which the next cycle takes up after the drain pause.
    pub more: bool,
    /// Every decision, in order.
    pub decisions: Vec<DecisionReport>,
}

/// One decision in a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DecisionReport {
    /// About which job.
    pub job_id: JobId,
    /// `requeue`, `quarantine`, `skip` or `leave`.
    pub action: String,
    /// By which rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// Why.
    pub reason: String,
    /// When a job that is queued again may run.
    #[serde(with = "millis_option", skip_serializing_if = "Option::is_none", default)]
    pub run_at: Option<DateTime<Utc>>,
    /// The queue that a job goes into which changes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub queue: Option<QueueName>,
    /// The priority that a job gets which changes it.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    pub priority: Option<Priority>,
    /// When a job that was not is looked at again.
    #[serde(with = "millis_option", skip_serializing_if = "Option::is_none", default)]
    pub look_again_at: Option<DateTime<Utc>>,
}

impl DecisionReport {
    /// The decision about a job, as reported.
    #[must_use]
    pub fn new(job_id: JobId, decision: &Decision) -> Self {
        let mut report = Self {
            job_id,
            action: decision.action.as_str().to_owned(),
            rule: decision.rule.as_ref().map(ToString::to_string),
            reason: decision.reason.clone(),
            run_at: None,
            queue: None,
            priority: None,
            look_again_at: None,
        };
        match &decision.action {
            Action::Requeue { run_at, priority, queue } => {
                report.run_at = Some(*run_at);
                report.priority = *priority;
                report.queue.clone_from(queue);
            }
            Action::Skip { until, .. } | Action::Leave { until } => report.look_again_at = Some(*until),
            Action::Quarantine => {}
        }
        report
    }
}

/// How many jobs were decided about alike.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct DecisionCount {
    /// `requeue`, `quarantine`, `skip` or `leave`.
    pub action: String,
    /// By which rule.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rule: Option<String>,
    /// The reason of the first of them; those of the others may differ from it in their numbers.
    pub reason: String,
    /// How many.
    pub jobs: u32,
}

impl RunResult {
    /// The jobs whose status it was decided to change.
    #[must_use]
    pub fn changed(&self) -> Vec<JobId> {
        let changes = |it: &&DecisionReport| matches!(it.action.as_str(), "requeue" | "quarantine");
        self.decisions.iter().filter(changes).map(|it| it.job_id.clone()).collect()
    }

    /// How many jobs were decided about alike: by action, rule and the words of the reason, most first.
    #[must_use]
    pub fn counts(&self) -> Vec<DecisionCount> {
        let words = |text: &str| text.replace(|c: char| c.is_ascii_digit(), "");
        let mut counts: BTreeMap<_, DecisionCount> = BTreeMap::new();
        for decision in &self.decisions {
            let alike = (&decision.action, &decision.rule, words(&decision.reason));
            let count = counts.entry(alike).or_insert_with(|| DecisionCount {
                action: decision.action.clone(),
                rule: decision.rule.clone(),
                reason: decision.reason.clone(),
                jobs: 0,
            });
            count.jobs += 1;
        }
        let mut counts: Vec<DecisionCount> = counts.into_values().collect();
        counts.sort_by_key(|count| Reverse(count.jobs));
        counts
    }
}

/// One row of the `recovery_run` table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RunRecord {
    /// Its name.
    pub run_id: RunId,
    /// What it looked at.
    #[serde(rename = "type")]
    pub kind: RecoveryType,
    /// What set it off.
    pub trigger: Trigger,
    /// When it began.
    #[serde(with = "millis")]
    pub started_at: DateTime<Utc>,
    /// When it ended; `None` while it runs, or when its server died with it.
    #[serde(with = "millis_option")]
    pub finished_at: Option<DateTime<Utc>>,
    /// What it did.
    pub report: Option<RunReport>,
}

/// A cycle could not begin because another one runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a recovery cycle is running already; try again after {}", rfc3339(*.until))]
pub struct CycleRunning {
    /// When the other one's claim on the database ends at the latest.
    pub until: DateTime<Utc>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_type_names_the_three() {
        let text = "all".parse::<RecoveryType>().unwrap_err().to_string();
        assert_eq!(text, "unknown recovery type `all`; a type is one of `failed`, `stuck`, `comprehensive`");
    }

    #[test]
    fn decisions_are_counted_by_rule_and_reason() {
        let decision = |action: &str, rule: Option<&str>, reason: &str| DecisionReport {
            job_id: "01K".parse().unwrap(),
            action: action.into(),
            rule: rule.map(Into::into),
            reason: reason.into(),
            run_at: None,
            look_again_at: None,
            priority: None,
            queue: None,
        };
        let result = RunResult {
            recovered_jobs: 0,
            failed_recoveries: 0,
            skipped_jobs: 4,
            errors: vec![],
            quarantined_jobs: 0,
            run_id: "01J".parse().unwrap(),
            trigger: Trigger::Manual,
            dry_run: false,
            duration_ms: 0,
            policy_hash: None,
            more: false,
            decisions: vec![
                decision("leave", None, "no rule matches"),
                decision("skip", Some("a"), "account 42 does not exist"),
                decision("skip", Some("a"), "account 7 does not exist"),
                decision("skip", Some("b"), "account 7 does not exist"),
            ],
        };
        let counts: Vec<_> = result
            .counts()
            .into_iter()
            .map(|count| (count.action, count.rule, count.reason, count.jobs))
            .collect();
        let count = |action: &str, rule: Option<&str>, reason: &str, jobs| {
            (action.to_owned(), rule.map(ToOwned::to_owned), reason.to_owned(), jobs)
        };
        assert_eq!(
            counts,
            [
                count("skip", Some("a"), "account 42 does not exist", 2),
                count("leave", None, "no rule matches", 1),
                count("skip", Some("b"), "account 7 does not exist", 1),
            ]
        );
    }

    #[test]
    fn the_report_has_the_documented_shape() {
        let report = RunReport {
            success: true,
            kind: RecoveryType::Comprehensive,
            result: RunResult {
                recovered_jobs: 1,
                failed_recoveries: 0,
                skipped_jobs: 0,
                errors: vec![],
                quarantined_jobs: 0,
                run_id: "01J".parse().unwrap(),
                trigger: Trigger::LeaseWatch,
                dry_run: false,
                duration_ms: 12,
                policy_hash: Some("a1b2c3d4e5f6".parse().unwrap()),
                more: false,
                decisions: vec![DecisionReport {
                    job_id: "01K".parse().unwrap(),
                    action: "requeue".into(),
                    rule: Some("token-refreshed".into()),
                    reason: "…".into(),
                    run_at: DateTime::from_timestamp(0, 0),
                    queue: Some("big-memory".parse().unwrap()),
                    priority: Some(Priority::try_from(-5).unwrap()),
                    look_again_at: None,
                }],
            },
            message: "m".into(),
        };
        insta::assert_json_snapshot!(report, @r#"
        {
          "success": true,
          "type": "comprehensive",
          "result": {
            "recoveredJobs": 1,
            "failedRecoveries": 0,
            "skippedJobs": 0,
            "errors": [],
            "quarantinedJobs": 0,
            "runId": "01J",
            "trigger": "lease_watch",
            "dryRun": false,
            "durationMs": 12,
            "policyHash": "a1b2c3d4e5f6",
            "more": false,
            "decisions": [
              {
                "jobId": "01K",
                "action": "requeue",
                "rule": "token-refreshed",
                "reason": "…",
                "runAt": "1970-01-01T00:00:00.000Z",
                "queue": "big-memory",
                "priority": -5
              }
            ]
          },
          "message": "m"
        }
        "#);
    }
}
