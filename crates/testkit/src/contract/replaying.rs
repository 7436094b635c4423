//! R7: reading back what happened to all jobs, with what decisions were based on.

use reclaimer_domain::account::Standing;
use reclaimer_domain::decision::{Action, Decision, Requirement, Unmet};
use reclaimer_domain::history::EventKind;
use reclaimer_domain::job::report::{Failure, Outcome, Report, Retryable};
use reclaimer_domain::job::{NewJob, Status};
use reclaimer_domain::saw::Saw;
use serde_json::json;

use super::ask::{at, order, report};
use super::rig::Rig;
use crate::account::text;
use crate::noon;

/// R7: the events of all jobs are read part by part in the order in which they happened, from a moment on.
pub async fn what_happened_is_read_part_by_part(rig: &dyn Rig) {
    let store = rig.store();
    assert_eq!(store.last_event().await.unwrap(), 0);
    for (name, seconds) in [("a", 0), ("b", 10), ("c", 20), ("d", 30)] {
        let new = NewJob { queue: text(&format!("queue-{name}")), max_attempts: 7, ..order("X") };
        store.add_at(name, new, at(seconds)).await;
    }
    let mut seen = Vec::new();
    let (mut cursor, mut read, mut last) = (None, 0.0, 0);
    loop {
        let page = store.replay(at(10), cursor, 2).await.unwrap();
        assert!(page.items.len() <= 2 && page.read > read, "{page:?}");
        read = page.read;
        for item in page.items {
            assert_eq!((item.command.as_str(), item.account_id, item.max_attempts), ("X", None, 7));
            assert_eq!(item.event.entry.kind, EventKind::Created);
            last = item.event.id;
            seen.push((item.event.job_id.to_string(), item.queue.to_string()));
        }
        cursor = page.next;
        if cursor.is_none() {
            break;
        }
    }
    let expected = ["b", "c", "d"].map(|name| (name.to_owned(), format!("queue-{name}")));
    assert_eq!(seen, expected);
    assert_eq!(store.last_event().await.unwrap(), last);
    assert!((read - 1.0).abs() < f64::EPSILON, "{read}");
    let nothing = store.replay(at(100), None, 2).await.unwrap();
    assert_eq!((nothing.items, nothing.next), (vec![], None));
}

/// R7: a decision's event keeps what the decision saw.
pub async fn a_decision_keeps_what_it_saw(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "first").await;
    let failure = Failure {
        error: "it broke".to_owned(),
        error_type: Some("http_5xx".to_owned()),
        retryable: Retryable::Yes,
    };
    store.tell(report(&job, "first", Outcome::Failed(failure)), at(5)).await;
    let unmet = Unmet::Requirement(Requirement::AccountValid);
    let decision = Decision {
        action: Action::Skip { unmet, until: at(900) },
        rule: Some(text("rule")),
        reason: "no token".to_owned(),
        sign: None,
        account: Standing::Invalid,
        policy: text("a1b2c3d4e5f6"),
    };
    let planned = vec![store.plan(&job, decision).await];
    store.apply(text("run"), planned, at(100)).await.unwrap();
    let detail = store.history(&job).await.pop().unwrap().entry.detail.unwrap();
    let saw: Saw = serde_json::from_value(detail["saw"].clone()).unwrap();
    let expected = Saw {
        status: Status::Failed,
        queue: text("default"),
        priority: order("X").priority,
        attempt: 1,
        recoveries: 0,
        lease_losses: 0,
        since: at(5),
        error_type: Some("http_5xx".to_owned()),
        retryable: Retryable::Yes,
        account: Standing::Invalid,
        sign: None,
        excused: false,
        unmet: Some("account_valid".to_owned()),
    };
    assert_eq!(saw, expected);
}

/// R7: the end of an attempt says how long it ran, and for how long it was never heard of at most. Signs of life of the
/// worker alone are no news of the job; another attempt counts anew.
pub async fn an_end_says_how_long_the_job_was_silent(rig: &dyn Rig) {
    let store = rig.store();
    let job = store.add_running("job", order("X"), "w", "1").await;
    store.tell(report(&job, "1", Outcome::Progress), at(40)).await;
    store.beat(&["1"], at(50)).await;
    store.tell(Report { stamp: Some(noon()), ..report(&job, "1", Outcome::Paused) }, at(53)).await;
    let said = async || store.history(&job).await.pop().unwrap().entry.detail.unwrap();
    let first = said().await;
    assert_eq!((&first["ranMs"], &first["longestSilenceMs"]), (&json!(53_000), &json!(40_000)));
    store.administered(&job, reclaimer_domain::ports::AdminAction::Resume, at(60)).await;
    store.take("w", "2", at(60)).await;
    store.tell(report(&job, "2", Outcome::Completed), at(62)).await;
    let second = said().await;
    assert_eq!((&second["ranMs"], &second["longestSilenceMs"]), (&json!(2_000), &json!(2_000)));
}
