//! The session as a whole: taken over, and whatever happens in whatever order.

use super::*;
use proptest::prelude::*;

#[test]
fn a_session_is_taken_over_as_it_was() {
    let mut s = Session::up();
    s.link(cut("a", "b"));
    s.event(Event::ForwardDone {
        ticket: None,
        spec: spec("a", 8080),
        outcome: ForwardOutcome::Listens(8080),
    });
    let before = view(&s.state, s.now, &Traffic::default());
    let text = serde_json::to_string(&s.state.save()).unwrap();
    let alive = ["a", "b", "c"].map(|n| (n.to_owned(), Alive::Yes { pid: 7 })).into();
    let state = State::restore(serde_json::from_str(&text).unwrap(), &alive);
    let after = view(&state, s.now, &Traffic::default());
    assert_eq!((after.links, after.forwards, after.phase), (before.links, before.forwards, before.phase));
    assert!(after.nodes.iter().all(|n| n.state == NodeState::Up));
    // One of them did not survive: the driver tells, and it counts as a crash.
    s.state = state;
    s.exited("b", 137, None);
    assert_eq!(s.at("b"), NodeState::Crashed);
    assert_eq!(s.link(Action::Undo), "undone: link cut a b", "the past is kept");
}

#[test]
fn the_log_is_bounded_and_carries_command_lines() {
    let mut s = Session::up();
    for _ in 0..300 {
        s.link(cut("a", "b"));
        s.link(Action::HealAll);
    }
    let view = view(&s.state, s.now, &Traffic::default());
    assert_eq!(view.log.len(), 200);
    assert_eq!(view.log[199].cli.as_deref(), Some("diorama link heal --all"));
    assert_eq!(s.state.undo.len(), 100);
}

fn any_event() -> impl Strategy<Value = Event> {
    let node = || prop_oneof![Just("a".to_owned()), Just("b".to_owned()), Just("x".to_owned())];
    let verb = (0..NodeVerb::ALL.len()).prop_map(|i| NodeVerb::ALL[i].0);
    let ticket = any::<u64>().prop_map(Ticket);
    prop_oneof![
        (ticket, node(), verb)
            .prop_map(|(ticket, node, verb)| Event::Act { ticket, action: Action::Node { node, verb } }),
        (node(), node())
            .prop_map(|(from, to)| Event::Act { ticket: Ticket(0), action: Action::Cut { from, to } }),
        Just(Event::Act { ticket: Ticket(0), action: Action::Undo }),
        Just(Event::Act { ticket: Ticket(0), action: Action::HealAll }),
        node().prop_map(|node| Event::Started { node, pid: 1 }),
        node().prop_map(|node| Event::StartFailed { node, error: "e".into() }),
        node().prop_map(|node| Event::Prompt { node }),
        (node(), any::<bool>()).prop_map(|(node, frozen)| Event::Frozen { node, frozen }),
        node().prop_map(|node| Event::WasReset { node }),
        (node(), 0..140_i32).prop_map(|(node, status)| Event::Exited {
            node,
            exit: Exit { status: Some(status), ..Exit::default() }
        }),
        (node(), 0..5_u64).prop_map(|(node, power_cycle)| Event::Deadline { node, power_cycle }),
        (node(), any::<u32>()).prop_map(|(node, bytes)| Event::Printed { node, bytes: bytes.into() }),
        (any::<bool>(), 0..90_u32).prop_map(|(power, timeout)| Event::Down { ticket: None, power, timeout }),
        Just(Event::Ready),
        Just(Event::PreparingEnded),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(500))]

    #[test]
    fn whatever_happens(events in proptest::collection::vec(any_event(), 1..60)) {
        let mut s = Session::new();
        for event in events {
            let answered = match &event {
                Event::Act { ticket, .. } => Some(*ticket),
                _ => None,
            };
            let revision = s.state.revision;
            let asked_off = s.state.machines["a"].want != Want::Running;
            let ran = s.state.machines["a"].runs();
            s.event(event);
            prop_assert!(s.state.revision > revision);
            // Every act is answered exactly once, and at once unless it is a forward.
            if let Some(ticket) = answered {
                let replies = s.effects.iter().filter(|e| matches!(e, Effect::Reply { ticket: t, .. } if *t == ticket)).count();
                prop_assert_eq!(replies, 1);
            }
            // A machine that was meant to be off never counts as crashed.
            prop_assert!(!(ran && asked_off && s.at("a") == NodeState::Crashed));
            // The end comes only when nothing runs.
            if s.finished().is_some() {
                prop_assert!(!s.state.preparing && s.state.machines.values().all(|m| !m.runs()));
            }
            // Nothing is started once the session ends.
            if s.state.phase == Phase::Stopping {
                let starts = s.effects.iter().any(|e| matches!(e, Effect::Start { .. }));
                prop_assert!(!starts);
            }
            for m in s.state.machines.values() {
                prop_assert!(m.progress.is_none_or(|p| p <= 100));
            }
            // What is saved can be read and gives the same view of faults.
            let text = serde_json::to_string(&s.state.save()).unwrap();
            let back = State::restore(serde_json::from_str(&text).unwrap(), &std::collections::BTreeMap::new());
            prop_assert_eq!(&back.faults, &s.state.faults);
        }
    }
}
