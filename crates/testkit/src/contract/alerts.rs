//! W1–W3: what alerting must not forget.

use reclaimer_domain::alert::{AlertEvent, AlertMessage, AlertState, Incident, MessageFate};

use super::ask::at;
use super::rig::Rig;

fn incident(subject: &str) -> Incident {
    Incident {
        id: format!("id-{subject}"),
        rule: "breaker_open".to_owned(),
        subject: subject.to_owned(),
        what: "nobody answers".to_owned(),
        since: at(1),
        opened_at: at(2),
        told_at: at(3),
        resolved_at: (subject == "b").then(|| at(4)),
    }
}

fn message(id: &str) -> AlertMessage {
    AlertMessage {
        id: id.to_owned(),
        event: AlertEvent::Opened,
        incident: incident("a"),
        at: at(2),
        attempts: 3,
        next_attempt_at: at(9),
        last_error: Some("HTTP 503".to_owned()),
        fate: MessageFate::Waiting,
    }
}

/// W1, W2: what is kept replaces what was, whole and in order, and outlives the store.
pub async fn the_state_of_alerting_is_replaced_whole(rig: &dyn Rig) {
    let store = rig.store();
    assert_eq!(store.alerts("s").await.unwrap(), AlertState::default());
    let first = AlertState {
        incidents: vec![incident("b"), incident("a")],
        messages: vec![message("2"), message("1")],
    };
    store.keep_alerts("s", first.clone()).await.unwrap();
    assert_eq!(rig.another().await.alerts("s").await.unwrap(), first);
    let second = AlertState { incidents: vec![incident("c")], messages: Vec::new() };
    store.keep_alerts("s", second.clone()).await.unwrap();
    assert_eq!(store.alerts("s").await.unwrap(), second);
}

/// W3: servers that share a database keep theirs apart.
pub async fn owners_keep_their_own_alerts(rig: &dyn Rig) {
    let store = rig.store();
    let state = |subject| AlertState { incidents: vec![incident(subject)], messages: Vec::new() };
    store.keep_alerts("s", state("a")).await.unwrap();
    store.keep_alerts("t", state("b")).await.unwrap();
    assert_eq!(store.alerts("s").await.unwrap(), state("a"));
    store.keep_alerts("s", AlertState::default()).await.unwrap();
    assert_eq!(store.alerts("t").await.unwrap(), state("b"));
}
