use super::*;

#[test]
fn it_registers_first_and_asks_what_the_process_holds_from_before() {
    let (_, effects) = Core::open(settings(), peer(), false, Instant::now());
    assert!(
        matches!(&effects[..], [Effect::Send(Outbound::Register), Effect::Adopt(worker)] if worker.as_str() == "link:7")
    );
    let flat = Settings { speaks_first: false, ..settings() };
    let (core, effects) = Core::open(flat, peer(), false, Instant::now());
    assert!(matches!(&effects[..], [Effect::Adopt(_)]));
    assert_eq!(core.next_tick(), Some(core.watchdog.opened_at + SECOND * 15), "it does not beat");
}

#[test]
fn it_beats_and_listens() {
    let mut rig = Rig::new();
    assert!(matches!(sent(&rig.pass(SECOND * 10)), Outbound::Heartbeat));
    rig.hear(Inbound::Heartbeat);
    assert!(matches!(sent(&rig.pass(SECOND * 10)), Outbound::Heartbeat));
    assert!(matches!(sent(&rig.pass(SECOND * 10)), Outbound::Heartbeat));
    assert!(
        matches!(&rig.pass(SECOND * 10)[..], [Effect::Close(Closed::Silent)]),
        "30 s after the last sign"
    );
}

#[test]
fn any_traffic_is_a_sign_of_life() {
    let mut rig = Rig::new();
    rig.hear(Inbound::Heartbeat);
    rig.pass(SECOND * 25);
    rig.core.traffic(rig.now);
    assert!(!matches!(&rig.pass(SECOND * 25)[..], [Effect::Close(_)]));
}

#[test]
fn a_peer_that_never_says_anything_is_let_go_soon() {
    let mut rig = Rig::new();
    rig.pass(SECOND * 10);
    rig.core.traffic(rig.now);
    assert!(matches!(&rig.pass(SECOND * 5)[..], [Effect::Close(Closed::Mute)]), "bytes alone prove nothing");
}

#[test]
fn our_own_lateness_is_not_held_against_the_peer() {
    let mut rig = Rig::new();
    rig.hear(Inbound::Heartbeat);
    assert!(matches!(sent(&rig.pass(SECOND * 300)), Outbound::Heartbeat));
    assert!(!matches!(&rig.pass(SECOND * 10)[..], [Effect::Close(_)]));
}

#[test]
fn rubbish_is_suffered_up_to_a_point() {
    let mut rig = Rig::new();
    for _ in 0..super::super::watchdog::MOST_BURSTS {
        assert!(rig.core.rubbish(Fault::Broken, rig.now).is_empty());
    }
    rig.now += SECOND * 61;
    assert!(rig.core.rubbish(Fault::Broken, rig.now).is_empty(), "a minute later they count anew");
    for _ in 0..super::super::watchdog::MOST_BURSTS - 1 {
        rig.core.rubbish(Fault::Broken, rig.now);
    }
    assert!(matches!(&rig.core.rubbish(Fault::Broken, rig.now)[..], [Effect::Close(Closed::Rubbish(_))]));
    assert!(matches!(&rig.core.rubbish(Fault::Endless, rig.now)[..], [Effect::Close(Closed::Rubbish(_))]));
}

#[test]
fn what_is_not_for_us_is_counted_and_has_no_effect() {
    let mut rig = Rig::new();
    assert!(rig.core.heard(Ok(Heard::Foreign { destination: "x".into() }), rig.now).is_empty());
    assert!(rig.core.heard(Ok(Heard::Unknown { kind: "x".into() }), rig.now).is_empty());
    assert!(rig.core.heard(Err(unreadable()), rig.now).is_empty());
    assert_eq!(
        rig.core.counters(),
        Counters { foreign: 1, unknown: 1, unreadable: 1, ..Counters::default() }
    );
    assert!(!rig.core.is_proven());
}

#[test]
fn the_end_of_the_server_is_said_to_those_who_understand() {
    assert!(matches!(&Rig::new().core.server_ends("x")[..], [Effect::Close(Closed::ServerEnds)]));
    let effects = Rig::registered().core.server_ends("x");
    assert!(matches!(&effects[..], [Effect::Send(Outbound::Shutdown { .. }), Effect::Close(_)]));
}

#[test]
fn silence_is_our_own_while_we_do_not_read() {
    let mut rig = Rig::new();
    rig.hear(Inbound::Heartbeat);
    rig.core.listens(false, rig.now);
    for _ in 0..6 {
        assert!(matches!(sent(&rig.pass(SECOND * 10)), Outbound::Heartbeat));
    }
    rig.core.listens(true, rig.now);
    for _ in 0..2 {
        assert!(matches!(sent(&rig.pass(SECOND * 10)), Outbound::Heartbeat));
    }
    assert!(matches!(&rig.pass(SECOND * 10)[..], [Effect::Close(Closed::Silent)]));
}

#[test]
fn frames_that_are_no_messages_are_rubbish_too() {
    let mut rig = Rig::new();
    for _ in 0..super::super::watchdog::MOST_BURSTS {
        assert!(rig.core.heard(Err(unreadable()), rig.now).is_empty());
    }
    assert!(matches!(&rig.core.heard(Err(unreadable()), rig.now)[..], [Effect::Close(Closed::Rubbish(_))]));
}
