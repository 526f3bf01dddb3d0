//! How sessions end.

use super::*;

#[test]
fn the_end_waits_for_all_machines() {
    let mut s = Session::up();
    s.event(Event::Down { ticket: Some(Ticket(99)), power: false, timeout: 5 });
    assert_eq!(s.state.phase, Phase::Stopping);
    assert!(s.has(&Effect::Shutdown { node: "a".into() }) && s.has(&Effect::Shutdown { node: "c".into() }));
    s.exited("a", 0, None);
    s.exited("b", 0, None);
    assert_eq!(s.finished(), None);
    assert!(matches!(s.node("a", NodeVerb::Start), Some(Response::Error { .. })), "nothing starts any more");
    s.event(Event::Down { ticket: None, power: true, timeout: 0 });
    assert!(s.has(&Effect::Kill { node: "c".into() }) && !s.has(&Effect::Kill { node: "a".into() }));
    s.exited("c", 137, None);
    assert_eq!(s.finished(), Some(crate::proto::WAS_SHUT_DOWN));
    assert!(s.effects.iter().any(|e| matches!(e, Effect::Reply { ticket: Ticket(99), .. })));
}

#[test]
fn an_end_while_building_cancels_and_is_over_when_nothing_is_built_any_more() {
    let mut s = Session::new();
    s.event(Event::Down { ticket: Some(Ticket(99)), power: true, timeout: 0 });
    assert_eq!(s.effects.iter().filter(|e| matches!(e, Effect::Cancel)).count(), 1);
    assert_eq!(s.finished(), None, "builders may still run");
    s.event(Event::PreparingEnded);
    assert!(s.finished().is_some());
    assert!(s.effects.iter().any(|e| matches!(e, Effect::Reply { ticket: Ticket(99), .. })));
    s.event(Event::Ready);
    assert!(!s.effects.iter().any(|e| matches!(e, Effect::Start { .. })), "too late to start anything");
}

#[test]
fn an_end_while_starting_ends_what_has_just_been_started() {
    let mut s = Session::new();
    s.event(Event::Ready);
    s.event(Event::Down { ticket: None, power: false, timeout: 5 });
    assert_eq!(s.finished(), None);
    for node in ["a", "b", "c"] {
        s.event(Event::Started { node: node.into(), pid: 7 });
        assert!(s.has(&Effect::Kill { node: node.into() }));
        s.exited(node, 137, None);
    }
    assert!(s.finished().is_some());
}

#[test]
fn a_failed_start_ends_the_session_with_its_whole_error() {
    let mut s = Session::new();
    s.event(Event::PrepareFailed { error: "first\nsecond".into() });
    assert_eq!(s.finished(), None);
    s.event(Event::PreparingEnded);
    assert_eq!(s.finished(), Some("first\nsecond"));
    assert_eq!(s.state.phase, Phase::Failed { error: "first\nsecond".into() });
    assert_eq!(s.at("a"), NodeState::Failed);
}

#[test]
fn one_machine_that_cannot_start_does_not_end_the_others() {
    let mut s = Session::new();
    s.event(Event::Ready);
    s.event(Event::StartFailed { node: "a".into(), error: "no disk".into() });
    s.start("b");
    assert_eq!((s.at("a"), s.at("b"), s.finished()), (NodeState::Failed, NodeState::Up, None));
    assert!(matches!(s.node("a", NodeVerb::Start), Some(Response::Ok { .. })));
    assert!(s.has(&Effect::Start { node: "a".into() }));
}
