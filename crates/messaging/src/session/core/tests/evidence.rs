use super::*;

/// Sends what was logged about a job, and answers what follows.
fn logged(rig: &mut Rig, job: &str, detail: Value) -> Vec<Effect> {
    match rig.hear(Inbound::FailureLogs { job: job.parse().unwrap(), detail }).pop() {
        Some(Effect::InTurn(done)) => rig.core.done(*done),
        other => panic!("{other:?}"),
    }
}

#[test]
fn evidence_is_kept_about_what_is_held_and_was_held_last() {
    let mut rig = Rig::new();
    let log = || json!({ "error": "e" });
    assert!(matches!(&logged(&mut rig, "J", log())[..], [Effect::Decline { .. }]));
    rig.holds("J", "1");
    assert!(matches!(&logged(&mut rig, "J", log())[..], [Effect::Testify { .. }]));
    assert!(matches!(&logged(&mut rig, "K", log())[..], [Effect::Decline { .. }]), "a stranger's");
    // Its last report may come before what it logged; all in all it is not much that is kept.
    rig.core.forget(&[lease("1")]);
    for _ in 0..4 {
        assert!(matches!(&logged(&mut rig, "J", log())[..], [Effect::Testify { .. }]));
    }
    assert!(matches!(&logged(&mut rig, "J", log())[..], [Effect::Decline { .. }]));
    rig.holds("J", "2");
    assert!(matches!(&logged(&mut rig, "J", log())[..], [Effect::Testify { .. }]), "another attempt");
}

#[test]
fn of_evidence_the_beginning_is_kept_and_of_a_status_what_is_not_too_large() {
    let mut rig = Rig::new();
    rig.holds("J", "1");
    let mut log =
        json!({ "error": "ü".repeat(100_000), "context": { "all": "x".repeat(100_000) }, "page": 3 });
    for number in 0..100 {
        log[format!("z{number}")] = json!(number);
    }
    let effects = logged(&mut rig, "J", log);
    let [Effect::Testify { detail, .. }] = &effects[..] else { panic!("{effects:?}") };
    assert!(detail.to_string().len() < 8_192, "{}", detail.to_string().len());
    assert!(detail["error"].as_str().is_some_and(|error| error.starts_with('ü')));
    assert!(detail["context"]["dropped"].is_string() && detail["dropped"] == "87 more fields", "{detail}");

    rig.hear(Inbound::Status(json!({ "running": 1 })));
    assert_eq!(rig.core.status(), Some(&json!({ "running": 1 })));
    rig.hear(Inbound::Status(json!({ "blob": "x".repeat(1_000_000) })));
    assert!(rig.core.status().unwrap().to_string().len() < 200);
}
