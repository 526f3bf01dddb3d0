//! Machines: started, asked, paused, late.

use super::*;

#[test]
fn a_start_goes_through_all_states() {
    let mut s = Session::new();
    assert_eq!(s.state.phase, Phase::Evaluating);
    s.event(Event::Preparing { what: "building".into() });
    assert_eq!(s.state.phase, Phase::Building { what: "building".into() });
    s.event(Event::Progress {
        node: "a".into(),
        state: NodeState::Building,
        progress: Some(40),
        doing: "x".into(),
    });
    assert_eq!((s.at("a"), s.state.machines["a"].progress), (NodeState::Building, Some(40)));
    assert!(matches!(s.node("a", NodeVerb::Start), Some(Response::Error { .. })), "not before it is built");
    s.event(Event::Ready);
    assert!(s.has(&Effect::Start { node: "a".into() }) && s.has(&Effect::Start { node: "c".into() }));
    s.event(Event::Started { node: "a".into(), pid: 7 });
    assert_eq!(s.at("a"), NodeState::Booting);
    s.event(Event::Prompt { node: "a".into() });
    assert_eq!((s.at("a"), s.state.machines["a"].boot_ms), (NodeState::Up, Some(10)));
    s.event(Event::Agent { node: "a".into(), up: true });
    assert_eq!(s.state.machines["a"].boot_ms, Some(10), "the first sign counts");
}

#[test]
fn progress_of_a_boot_is_measured_by_the_last_one() {
    let mut s = Session::new();
    let percent = |s: &Session, ms| {
        let started = s.state.machines["a"].started.unwrap();
        view(&s.state, started + ms, &Traffic::default()).nodes[0].progress
    };
    s.event(Event::UsualBoots([("b".to_owned(), 40_000)].into()));
    s.event(Event::Ready);
    s.event(Event::Started { node: "a".into(), pid: 7 });
    assert_eq!(percent(&s, 10_000), Some(25), "as long as another machine's, when nothing better is known");
    s.now += 9_990;
    s.event(Event::Prompt { node: "a".into() });
    assert!(s.has(&Effect::KeepBoots));
    assert_eq!((s.state.usual_boots["a"], percent(&s, 0)), (10_000, None));
    s.node("a", NodeVerb::Crash);
    s.exited("a", 137, None);
    s.node("a", NodeVerb::Start);
    s.event(Event::Started { node: "a".into(), pid: 8 });
    assert_eq!(percent(&s, 2_500), Some(25));
    assert_eq!(percent(&s, 1 << 60), Some(99), "not done before the prompt is seen");
}

#[test]
fn a_session_on_hold_starts_what_it_is_told_to() {
    let mut s = Session::new();
    s.state.hold = true;
    s.event(Event::Ready);
    assert!(!s.effects.iter().any(|e| matches!(e, Effect::Start { .. })));
    assert_eq!((s.at("a"), s.at("b")), (NodeState::Built, NodeState::Built));
    assert!(matches!(s.node("b", NodeVerb::Start), Some(Response::Ok { .. })));
    s.start("b");
    assert_eq!((s.at("a"), s.at("b")), (NodeState::Built, NodeState::Up));
    s.event(Event::Down { ticket: None, power: true, timeout: 0 });
    s.exited("b", 137, None);
    assert!(s.effects.iter().any(|e| matches!(e, Effect::Finish { .. })), "what never ran holds up no end");
}

#[test]
fn asked_for_or_not() {
    // How it ended, what had been asked for, and what the machine is then.
    for (verb, status, reason, want) in [
        (None, 137, None, NodeState::Crashed),
        (None, 1, None, NodeState::Crashed),
        (None, 0, Some("host-signal"), NodeState::Crashed),
        (None, 0, Some("guest-shutdown"), NodeState::Stopped),
        (None, 0, Some("guest-reset"), NodeState::Stopped),
        (Some(NodeVerb::Stop), 0, Some("guest-shutdown"), NodeState::Stopped),
        (Some(NodeVerb::Crash), 137, None, NodeState::Stopped),
        (Some(NodeVerb::Pause), 137, None, NodeState::Crashed),
    ] {
        let mut s = Session::up();
        if let Some(verb) = verb {
            s.node("a", verb);
        }
        s.exited("a", status, reason);
        assert_eq!(s.at("a"), want, "{verb:?} {status} {reason:?}");
        let post_mortem = view(&s.state, s.now, &Traffic::default()).nodes[0].post_mortem.clone();
        assert_eq!(post_mortem.is_some_and(|p| p.contains("last words")), want == NodeState::Crashed);
        assert!(matches!(s.node("a", NodeVerb::Start), Some(Response::Ok { .. })), "it can be started again");
    }
}

#[test]
fn a_restart_starts_again_and_a_stop_meanwhile_does_not() {
    let mut s = Session::up();
    s.node("a", NodeVerb::Restart);
    assert!(s.has(&Effect::Shutdown { node: "a".into() }));
    s.exited("a", 0, Some("guest-shutdown"));
    assert!(s.has(&Effect::Start { node: "a".into() }));
    s.event(Event::Started { node: "a".into(), pid: 9 });
    s.event(Event::Prompt { node: "a".into() });
    s.node("a", NodeVerb::Restart);
    s.node("a", NodeVerb::Crash);
    assert!(s.has(&Effect::Kill { node: "a".into() }));
    s.exited("a", 137, None);
    assert_eq!(s.at("a"), NodeState::Stopped);
    assert!(!s.has(&Effect::Start { node: "a".into() }));
}

#[test]
fn a_paused_machine_is_woken_to_shut_down() {
    let mut s = Session::up();
    s.node("a", NodeVerb::Pause);
    s.event(Event::Frozen { node: "a".into(), frozen: true });
    assert_eq!(s.at("a"), NodeState::Paused);
    s.node("a", NodeVerb::Stop);
    let thaw = s.effects.iter().position(|e| *e == Effect::Freeze { node: "a".into(), frozen: false });
    let ask = s.effects.iter().position(|e| *e == Effect::Shutdown { node: "a".into() });
    assert!(thaw.is_some() && thaw < ask);
    s.event(Event::Frozen { node: "a".into(), frozen: false });
    assert_eq!(s.at("a"), NodeState::Stopping, "waking up is no way back");
}

#[test]
fn a_late_guest_loses_its_power_and_an_old_deadline_does_nothing() {
    let mut s = Session::up();
    s.node("a", NodeVerb::Stop);
    let deadline = s.effects.iter().find_map(|e| match e {
        Effect::Deadline { power_cycle, at, .. } => Some((*power_cycle, *at)),
        _ => None,
    });
    let (power_cycle, at) = deadline.unwrap();
    assert_eq!(at, s.now + 60_000);
    s.event(Event::Deadline { node: "a".into(), power_cycle: power_cycle - 1 });
    assert!(!s.has(&Effect::Kill { node: "a".into() }));
    s.event(Event::Deadline { node: "a".into(), power_cycle });
    assert!(s.has(&Effect::Kill { node: "a".into() }));
    s.exited("a", 137, None);
    assert_eq!(s.at("a"), NodeState::Stopped);
    s.node("a", NodeVerb::Start);
    s.start("a");
    s.event(Event::Deadline { node: "a".into(), power_cycle });
    assert!(s.effects.is_empty(), "the deadline of an earlier life");
}
