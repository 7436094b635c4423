//! What the description of the API says of every operation, so that no handler has to: how it may be refused, and what it is
//! called.

use utoipa::openapi::path::Operation;
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, Response, ResponseBuilder};

/// A refusal that many operations share.
struct Shared {
    status: &'static str,
    name: &'static str,
    description: &'static str,
    applies: fn(&Kind) -> bool,
}

/// What decides how an operation may be refused.
struct Kind {
    tag: String,
    has_body: bool,
    /// `jobs/open`, which never answers 5xx.
    is_open: bool,
    /// It answers whatever the store does.
    needs_no_store: bool,
}

const SHARED: [Shared; 9] = [
    Shared {
        status: "400",
        name: "BadRequest",
        description: "The request is wrong; `detail` names the field or parameter, and what is allowed",
        applies: |_| true,
    },
    Shared {
        status: "401",
        name: "Unauthorized",
        description: "No valid token, or a socket peer who may not call",
        applies: |kind| kind.tag != "health",
    },
    Shared {
        status: "403",
        name: "Forbidden",
        description: "A worker's token where an admin's is needed",
        applies: |kind| kind.tag == "admin",
    },
    Shared {
        status: "408",
        name: "SlowBody",
        description: "The body did not arrive in time",
        applies: |kind| kind.has_body,
    },
    Shared {
        status: "413",
        name: "TooLarge",
        description: "The body is larger than 1 MiB; split it",
        applies: |kind| kind.has_body,
    },
    Shared {
        status: "415",
        name: "NotJson",
        description: "The body is not sent as `application/json`",
        applies: |kind| kind.has_body,
    },
    Shared {
        status: "421",
        name: "UnknownHost",
        description: "The server is not called that; see `server.allowed_hosts`",
        applies: |_| true,
    },
    Shared {
        status: "500",
        name: "Internal",
        description: "A defect of the server's own; the log has the details under the request's id",
        applies: |kind| !kind.is_open,
    },
    Shared {
        status: "503",
        name: "Unavailable",
        description: "The store cannot, or the server ends; `Retry-After` says when to ask again",
        applies: |kind| !kind.is_open && !kind.needs_no_store,
    },
];

const PROBLEM: &str = "#/components/schemas/ProblemDocument";

/// Completes the description.
pub(super) fn complete(description: &mut OpenApi) {
    let components = description.components.get_or_insert_default();
    for shared in &SHARED {
        components.responses.insert(shared.name.to_owned(), problem(shared.description).into());
    }
    for (path, item) in &mut description.paths.paths {
        let methods = [
            ("get", &mut item.get),
            ("put", &mut item.put),
            ("post", &mut item.post),
            ("delete", &mut item.delete),
        ];
        for (method, operation) in methods {
            if let Some(operation) = operation {
                operation.operation_id = Some(name(method, path));
                refuse(path, operation);
            }
        }
    }
}

/// A name of an operation's own: `post_api_jobs`.
fn name(method: &str, path: &str) -> String {
    let words = path.split(['/', '-', '{', '}']).filter(|word| !word.is_empty());
    [method].into_iter().chain(words).collect::<Vec<_>>().join("_")
}

/// Adds the refusals that the handler does not describe itself.
fn refuse(path: &str, operation: &mut Operation) {
    let kind = Kind {
        tag: operation.tags.iter().flatten().next().cloned().unwrap_or_default(),
        has_body: operation.request_body.is_some(),
        is_open: path == "/api/internal/jobs/open",
        needs_no_store: path == "/healthz",
    };
    let answers = &mut operation.responses.responses;
    for answer in answers.values_mut() {
        if let RefOr::T(answer) = answer {
            as_problem(answer);
        }
    }
    for shared in SHARED.iter().filter(|shared| (shared.applies)(&kind)) {
        let reference = || RefOr::Ref(Ref::from_response_name(shared.name));
        answers.entry(shared.status.to_owned()).or_insert_with(reference);
    }
}

/// Problem documents have a type of content of their own.
fn as_problem(answer: &mut Response) {
    let is_problem = |content: &utoipa::openapi::Content| matches!(&content.schema, Some(RefOr::Ref(schema)) if schema.ref_location == PROBLEM);
    let of_json = answer.content.get("application/json").cloned();
    if let Some(RefOr::T(content)) = of_json
        && is_problem(&content)
    {
        answer.content.clear();
        answer.content.insert("application/problem+json".to_owned(), content.into());
    }
}

fn problem(description: &str) -> Response {
    let content = ContentBuilder::new().schema(Some(Ref::new(PROBLEM))).build();
    ResponseBuilder::new().description(description).content("application/problem+json", content).build()
}

#[cfg(test)]
mod tests {
    use super::super::openapi;
    use chrono::DateTime;
    use reclaimer_domain::recovery::{RecoveryType, RunRecord, RunReport, Trigger};
    use reclaimer_domain::time::after;
    use reclaimer_domain::wire::{Credentials, JobOnTheWire};
    use reclaimer_policy::Explanation;
    use reclaimer_testkit::{a_job, noon};
    use serde_json::{Value, json};
    use std::collections::BTreeSet;
    use std::time::Duration;

    fn described() -> Value {
        serde_json::to_value(openapi()).unwrap()
    }

    fn operations(described: &Value) -> Vec<(String, String, &Value)> {
        let mut found = Vec::new();
        for (path, methods) in described["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                found.push((path.clone(), method.clone(), operation));
            }
        }
        found
    }

    #[test]
    fn every_operation_has_a_name_of_its_own_and_its_refusals() {
        let described = described();
        let mut names = BTreeSet::new();
        for (path, method, operation) in operations(&described) {
            let what = format!("{method} {path}");
            assert!(names.insert(operation["operationId"].as_str().unwrap().to_owned()), "{what}");
            let answers = operation["responses"].as_object().unwrap();
            let must = |statuses: &[&str]| {
                for status in statuses {
                    assert!(answers.contains_key(*status), "{what} lacks {status}");
                }
            };
            must(&["400", "421"]);
            match operation["tags"][0].as_str().unwrap() {
                "health" => {}
                "admin" => must(&["401", "403"]),
                _ => must(&["401"]),
            }
            if operation.get("requestBody").is_some() {
                must(&["408", "413", "415"]);
            }
            if path == "/api/internal/jobs/open" {
                assert!(answers.keys().all(|status| !status.starts_with('5')), "{what}");
            } else if path != "/healthz" {
                must(&["500", "503"]);
            }
        }
        assert!(names.contains("get_api_internal_jobs_open"), "{names:?}");
    }

    #[test]
    fn every_reference_leads_somewhere_and_every_problem_is_one() {
        let described = described();
        let text = described.to_string();
        for reference in text.split("\"$ref\":\"#").skip(1).filter_map(|rest| rest.split('"').next()) {
            assert!(described.pointer(reference).is_some(), "{reference}");
        }
        for (path, method, operation) in operations(&described) {
            let json = operation["responses"]
                .as_object()
                .unwrap()
                .values()
                .map(|it| &it["content"]["application/json"]);
            for content in json {
                assert!(!content.to_string().contains("ProblemDocument"), "{method} {path}");
            }
        }
    }

    /// The described shape has the fields of what is really written.
    #[track_caller]
    fn assert_described(described: &Value, name: &str, written: &Value) {
        let schema = &described["components"]["schemas"][name]["properties"];
        let keys = |value: &Value| {
            let fields = value.as_object().unwrap_or_else(|| panic!("{name}: {value}"));
            fields.keys().cloned().collect::<BTreeSet<_>>()
        };
        assert_eq!(keys(schema), keys(written), "{name}");
    }

    #[test]
    fn a_job_on_the_wire_is_described_as_it_is_written() {
        let described = described();
        let mut job = a_job().held_by("w").leased_until(noon()).build();
        job.payload = json!({ "gitlabGraphQLUrl": "https://g" });
        let credentials = Credentials {
            access_token: "t".to_owned(),
            token_type: "Bearer",
            expires_at: None,
            provider_id: "g".parse().unwrap(),
        };
        let traceparent = Some("00-0-0-01".to_owned());
        let written = JobOnTheWire { traceparent, ..JobOnTheWire::new(job, Some(credentials)) };
        let written = serde_json::to_value(written).unwrap();
        assert_described(&described, "JobOnTheWire", &written);
        assert_described(&described, "Lease", &written["lease"]);
        assert_described(&described, "Credentials", &written["credentials"]);
    }

    #[test]
    fn an_explanation_is_described_as_it_is_written() {
        let described = described();
        let at = "2026-01-05T14:20:00.000Z";
        let explanation: Explanation = serde_json::from_value(json!({
            "jobId": "J", "status": "failed", "at": at, "policyHash": "a1b2c3d4e5f6", "summary": "s",
            "decision": { "jobId": "J", "action": "skip", "reason": "w", "lookAgainAt": at },
            "rules": [{ "name": "r", "matched": true, "conditions": [
                { "key": "status", "expected": "failed", "actual": "failed", "holds": true },
            ] }],
            "notTried": ["s"],
            "budgets": [{ "kind": "attempts", "used": 1, "most": 5 }],
            "requirements": [{ "key": "account_valid", "actual": "it is not", "holds": false }],
            "nextLook": { "at": at, "why": "w" },
            "onRecord": { "at": at, "kind": "not_recovered", "runId": "R", "rule": "r", "reason": "w",
                "policyHash": "a1b2c3d4e5f6" },
        }))
        .unwrap();
        let written = serde_json::to_value(&explanation).unwrap();
        assert_described(&described, "JobExplanation", &written);
        assert_described(&described, "TriedRule", &written["rules"][0]);
        assert_described(&described, "TestedCondition", &written["rules"][0]["conditions"][0]);
        assert_described(&described, "JobBudget", &written["budgets"][0]);
        assert_described(&described, "TestedRequirement", &written["requirements"][0]);
        assert_described(&described, "NextLook", &written["nextLook"]);
        assert_described(&described, "OnRecord", &written["onRecord"]);
    }

    #[test]
    fn a_finding_in_a_policy_file_is_described_as_it_is_written() {
        let refused = reclaimer_policy::file::read("[[rule]]\nname = \"r\"\nx = 1\n", Default::default());
        let written = serde_json::to_value(&refused.unwrap_err().findings).unwrap();
        let finding = written.as_array().unwrap().iter().find(|finding| finding["key"] == "x").unwrap();
        assert_described(&described(), "PolicyFinding", finding);
    }

    #[test]
    fn a_recovery_report_is_described_as_it_is_written() {
        let described = described();
        let at = "2026-01-05T14:20:00.000Z";
        let report: RunReport = serde_json::from_value(json!({
            "success": true, "type": "comprehensive", "message": "m",
            "result": {
                "recoveredJobs": 1, "failedRecoveries": 0, "skippedJobs": 0, "errors": [], "quarantinedJobs": 0,
                "runId": "R", "trigger": "manual", "dryRun": false, "durationMs": 1, "more": false,
                "policyHash": "a1b2c3d4e5f6",
                "decisions": [{ "jobId": "J", "action": "requeue", "rule": "r", "reason": "w", "runAt": at,
                    "queue": "q", "priority": 1, "lookAgainAt": at }],
            },
        }))
        .unwrap();
        let record = RunRecord::ended(
            RecoveryType::Failed,
            Trigger::Manual,
            noon(),
            after(noon(), Duration::ZERO),
            report,
        );
        let written = serde_json::to_value(&record).unwrap();
        assert_described(&described, "RecoveryRun", &written);
        assert_described(&described, "RecoveryReport", &written["report"]);
        assert_described(&described, "RecoveryResult", &written["report"]["result"]);
        assert_described(&described, "RecoveryDecision", &written["report"]["result"]["decisions"][0]);
        let failure = reclaimer_recovery::Failure { at: noon(), code: "c", error: "e".to_owned() };
        let schedule = reclaimer_recovery::Schedule {
            enabled: true,
            startup_delay_ms: 0,
            interval_ms: 0,
            lease_check_ms: 0,
            drain_pause_ms: 0,
            batch_size: 1,
            next_run_at: DateTime::from_timestamp(0, 0),
            running: false,
            last_ended_at: None,
            failures: 0,
            last_failure: Some(failure),
        };
        let written = serde_json::to_value(&schedule).unwrap();
        assert_described(&described, "RecoverySchedule", &written);
        assert_described(&described, "RecoveryFailure", &written["lastFailure"]);
    }
}
