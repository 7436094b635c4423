use super::*;

fn sight(breaker: &'static str, workers: &[(WorkerKey, &'static str)]) -> Sight {
    let breaker = Breaker { state: breaker, consecutive_failures: 5, next_probe_at: None };
    Sight { breakers: [("main".to_owned(), breaker)].into(), workers: workers.iter().cloned().collect() }
}

fn process(name: &str) -> WorkerKey {
    WorkerKey::Process(name.to_owned())
}

#[test]
fn what_is_as_before_is_not_told() {
    let before = sight("closed", &[(process("a"), "running")]);
    assert_eq!(changes(&before, &before.clone(), reclaimer_testkit::noon()), []);
}

#[test]
fn what_changed_comes_and_goes_is_told_once_each() {
    let connection = WorkerKey::Connection { link: "main".to_owned(), worker: "w".to_owned() };
    let before = sight("closed", &[(process("a"), "running"), (process("b"), "running")]);
    let now = sight("open", &[(process("a"), "restarting"), (connection, "connected")]);
    let told = changes(&before, &now, reclaimer_testkit::noon());
    let told: Vec<serde_json::Value> =
        told.iter().map(|event| serde_json::to_value(event).unwrap()).collect();
    let at = "2026-01-05T12:00:00.000Z";
    assert_eq!(
        told,
        [
            serde_json::json!({"link": "main", "at": at, "from": "closed", "to": "open", "consecutiveFailures": 5,
                "nextProbeAt": null}),
            serde_json::json!({"name": "w", "of": "connection", "at": at, "link": "main", "from": null,
                "to": "connected"}),
            serde_json::json!({"name": "a", "of": "process", "at": at, "link": null, "from": "running",
                "to": "restarting"}),
            serde_json::json!({"name": "b", "of": "process", "at": at, "link": null, "from": "running", "to": null}),
        ]
    );
}
