//! What is said of a job to whoever asks why it is where it is.

#![expect(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use std::time::Duration;

use chrono::{DateTime, Utc};
use reclaimer_domain::account::AccountState;
use reclaimer_domain::history::{Actor, EventKind, HistoryEntry, JobEvent};
use reclaimer_domain::job::{Job, Status};
use reclaimer_domain::time::{after, before};
use reclaimer_policy::{Explanation, Policy, Question, Rhythm, StuckLimits, explain};
use reclaimer_testkit::{JobBuilder, a_job, noon, seeded};
use serde_json::json;

const MINUTE: Duration = Duration::from_secs(60);

fn at(minutes: u32) -> DateTime<Utc> {
    after(noon(), MINUTE * minutes)
}

/// Runs every half hour from ten past on, and looks for expired leases every five seconds.
fn rhythm() -> Rhythm {
    Rhythm { next_run: at(10), interval: MINUTE * 30, lease_check: MINUTE / 12 }
}

fn asked(job: &Job, history: &[JobEvent], rhythm: Option<Rhythm>) -> Explanation {
    let account = match &job.account_id {
        None => AccountState::NotNeeded,
        Some(id) => AccountState::Invalid(id.clone()),
    };
    let stuck = StuckLimits::default();
    let question = Question { job, account: &account, history, stuck: &stuck, rhythm, now: noon() };
    explain(&Policy::builtin(), &question, &mut seeded(7))
}

fn event(id: i64, kind: EventKind, to: Status, actor: Actor, reason: &str) -> JobEvent {
    let entry = HistoryEntry {
        at: before(noon(), MINUTE),
        kind,
        from: None,
        to: Some(to),
        actor,
        rule: None,
        reason: Some(reason.to_owned()),
        detail: Some(json!({ "policy": "a1b2c3d4e5f6" })),
    };
    JobEvent { id, job_id: "job".parse().unwrap(), entry }
}

#[test]
fn a_failed_job_is_told_with_every_rule_tried_and_what_was_found() {
    let job = a_job().id("job").failed_with("Missing access token").account("a").build();
    let explanation = asked(&job, &[], Some(rhythm()));
    let written = serde_json::to_value(&explanation).unwrap();
    let unmet = "account a has no access or refresh token that is still valid";
    assert_eq!(written["summary"], format!("rule `missing-access-token` matches, but {unmet}"));
    assert_eq!(
        written["rules"][0],
        json!({ "name": "retryable", "matched": false, "conditions": [
            { "key": "status", "expected": "failed", "actual": "failed", "holds": true },
            { "key": "retryable", "expected": "true", "actual": "not_said", "holds": false },
        ] })
    );
    let rules: Vec<(&str, bool)> =
        explanation.rules.iter().map(|rule| (rule.name.as_str(), rule.matched)).collect();
    let tried = ["retryable", "unknown-data-type", "missing-account-data"].map(|name| (name, false));
    assert_eq!(rules[..3], tried);
    assert_eq!(rules[3..], [("missing-access-token", true)]);
    assert_eq!(written["notTried"], json!(["stuck"]));
    assert_eq!(
        written["budgets"],
        json!([{ "kind": "attempts", "used": 1, "most": 5 }, { "kind": "recoveries", "used": 0, "most": 5 }])
    );
    assert_eq!(
        written["requirements"],
        json!([
            { "key": "account_present", "actual": "it holds", "holds": true },
            { "key": "account_valid", "actual": unmet, "holds": false },
        ])
    );
    assert_eq!(
        written["decision"],
        json!({ "jobId": "job", "action": "skip", "rule": "missing-access-token", "reason": unmet,
            "lookAgainAt": "2026-01-05T12:05:00.000Z" })
    );
    assert_eq!(written["policyHash"], Policy::builtin().hash().to_string());
    assert_eq!(written.get("onRecord"), None, "recovery never looked at it");
}

#[test]
fn the_next_look_is_the_next_run_that_may_look() {
    let look = |job: JobBuilder, rests: Option<u32>, rhythm| {
        let mut job = job.build();
        job.recover_after = rests.map(at);
        let look = asked(&job, &[], rhythm).next_look;
        (look.at, look.why)
    };
    let failed = || a_job().failed_with("boom");
    let run = "the next run looks at every failed job".to_owned();
    assert_eq!(look(failed(), None, Some(rhythm())), (Some(at(10)), run));
    let rests = |until: u32| {
        let (moment, why) = look(failed(), Some(until), Some(rhythm()));
        assert!(why.starts_with("it rests until 2026-01-05T"), "{why}");
        moment
    };
    assert_eq!([5, 10, 11, 40, 41].map(rests), [10, 10, 40, 40, 70].map(|minute| Some(at(minute))));
    let (moment, why) = look(failed(), None, None);
    assert_eq!((moment, why.contains("ask for a run")), (None, true), "{why}");

    let lost = || a_job().held_by("w").leased_until(noon());
    let every = "expired leases are looked for every 5 s".to_owned();
    assert_eq!(look(lost(), None, Some(rhythm())), (Some(after(noon(), MINUTE / 12)), every.clone()));
    assert_eq!(look(lost(), Some(1), Some(rhythm())), (Some(after(at(1), MINUTE / 12)), every));
    let silent = a_job().held_by("w").updated_at(before(noon(), MINUTE * 121));
    assert_eq!(look(silent, None, Some(rhythm())).0, Some(at(10)));
    let (moment, why) = look(a_job().held_by("w"), None, Some(rhythm()));
    assert_eq!((moment, why.contains("counts as stuck")), (Some(at(1)), true), "its lease ends first: {why}");
    for status in [Status::Queued, Status::Finished, Status::Cancelled, Status::Paused, Status::Quarantined] {
        let mut job = a_job().build();
        job.status = status;
        let look = asked(&job, &[], Some(rhythm())).next_look;
        assert_eq!((look.at, look.why.starts_with("not looked at: it ")), (None, true), "{status}: {look:?}");
    }
}

#[test]
fn a_job_that_recovery_has_nothing_to_decide_about_says_how_it_came_where_it_is() {
    let mut job = a_job().id("job").build();
    job.status = Status::Quarantined;
    let run = Actor::Recovery("R".parse().unwrap());
    let poison = event(2, EventKind::Quarantined, Status::Quarantined, run, "poison: lost 3 times");
    let late = event(3, EventKind::StaleReport, Status::Quarantined, Actor::System, "late");
    let explanation = asked(&job, &[poison, late], Some(rhythm()));
    assert_eq!(
        explanation.summary,
        "it was quarantined by recovery run R at 2026-01-05T11:59:00.000Z: poison: lost 3 times"
    );
    assert_eq!((explanation.decision, explanation.rules), (None, vec![]));
    let on_record = explanation.on_record.unwrap();
    assert_eq!((on_record.kind.as_str(), on_record.run_id.as_str()), ("quarantined", "R"));
    assert_eq!(on_record.reason.as_deref(), Some("poison: lost 3 times"));
    assert_eq!(on_record.policy_hash.unwrap().to_string(), "a1b2c3d4e5f6");

    assert_eq!(asked(&job, &[], None).summary, "it is quarantined; the history no longer says why");
    job.status = Status::Queued;
    let created = event(1, EventKind::Created, Status::Queued, Actor::Producer, "new");
    let said = asked(&job, &[created], None).summary;
    assert_eq!(said, "it is queued since it was created by a producer at 2026-01-05T11:59:00.000Z: new");
}

#[test]
fn what_recovery_last_said_is_shown_beside_what_it_would_say_now() {
    let job = a_job().id("job").failed_with("boom").retryable().build();
    let run = |name: &str| Actor::Recovery(name.parse().unwrap());
    let said = event(4, EventKind::NotRecovered, Status::Failed, run("R2"), "no rule recovers it");
    let earlier = event(2, EventKind::Recovered, Status::Queued, run("R1"), "once more");
    let explanation = asked(&job, &[said, earlier], None);
    assert!(explanation.summary.starts_with("rule `retryable` would queue it again: "), "{explanation:?}");
    let on_record = explanation.on_record.unwrap();
    assert_eq!((on_record.kind.as_str(), on_record.run_id.as_str()), ("not_recovered", "R2"));
}

#[test]
fn an_explanation_is_read_as_it_was_written() {
    let job = a_job().id("job").failed_with("Missing access token").account("a").build();
    let explanation = asked(&job, &[], Some(rhythm()));
    let text = serde_json::to_string(&explanation).unwrap();
    assert_eq!(serde_json::from_str::<Explanation>(&text).unwrap(), explanation);
}
