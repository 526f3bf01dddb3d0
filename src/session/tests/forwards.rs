//! Port forwards.

use super::*;

#[test]
fn a_taken_port_of_the_model_says_who_asked_and_what_is_free() {
    let mut s = Session::new();
    s.event(Event::Ready);
    s.event(Event::Started { node: "a".into(), pid: 7 });
    s.event(Event::MonitorUp { node: "a".into() });
    assert!(s.has(&Effect::ForwardAdd { ticket: None, spec: spec("a", 8080), may_move: false }));
    let outcome = ForwardOutcome::Taken { by: Some("python3 (process 5)".into()), free: Some(8081) };
    s.event(Event::ForwardDone { ticket: None, spec: spec("a", 8080), outcome });
    let f = &view(&s.state, s.now, &Traffic::default()).forwards[0];
    assert!(!f.active);
    assert_eq!(
        f.note,
        "port 8080 is taken by python3 (process 5) (the model asks for it, for a:80); \
         8081 is free: diorama forward add a 8081:80"
    );
}

#[test]
fn forwards_are_added_removed_and_come_back_with_their_machine() {
    let mut s = Session::up();
    assert_eq!(
        s.act(Action::ForwardAdd { node: "b".into(), proto: Proto::Tcp, host_port: 0, guest_port: 80 }),
        None
    );
    let Some(Effect::ForwardAdd { ticket, spec: asked, .. }) = s.effects.first().cloned() else { panic!() };
    s.event(Event::ForwardDone { ticket, spec: asked, outcome: ForwardOutcome::Listens(40_000) });
    assert!(s.effects.iter().any(|e| matches!(e, Effect::Reply { response: Response::Ok { .. }, .. })));
    let again =
        s.act(Action::ForwardAdd { node: "c".into(), proto: Proto::Tcp, host_port: 40_000, guest_port: 80 });
    assert!(matches!(again, Some(Response::Error { .. })), "one port leads to one place");
    s.exited("b", 137, None);
    assert!(
        view(&s.state, s.now, &Traffic::default())
            .forwards
            .iter()
            .any(|f| f.host_port == 40_000 && !f.active)
    );
    s.node("b", NodeVerb::Start);
    s.event(Event::Started { node: "b".into(), pid: 9 });
    s.event(Event::MonitorUp { node: "b".into() });
    assert!(s.has(&Effect::ForwardAdd { ticket: None, spec: spec("b", 40_000), may_move: false }));
    s.event(Event::ForwardDone {
        ticket: None,
        spec: spec("b", 40_000),
        outcome: ForwardOutcome::Listens(40_000),
    });
    assert_eq!(s.act(Action::ForwardRemove { proto: Proto::Tcp, host_port: 40_000 }), None);
    let Some(Effect::ForwardRemove { ticket, spec: gone }) = s.effects.first().cloned() else { panic!() };
    assert_eq!(s.state.forwards.len(), 2, "it is there until it is gone");
    s.event(Event::ForwardGone { ticket, spec: gone, result: Ok(()) });
    assert!(s.effects.iter().any(|e| matches!(e, Effect::Reply { response: Response::Ok { .. }, .. })));
    assert_eq!(s.state.forwards.len(), 1);
}

#[test]
fn a_default_moves_without_a_complaint() {
    let mut m = manifest();
    m.nodes.get_mut("a").unwrap().forward_ports[0].explicit = false;
    let mut s = Session::new();
    s.event(Event::Evaluated { manifest: Box::new(m), system_why: String::new() });
    s.event(Event::Ready);
    s.event(Event::Started { node: "a".into(), pid: 7 });
    s.event(Event::MonitorUp { node: "a".into() });
    assert!(s.has(&Effect::ForwardAdd { ticket: None, spec: spec("a", 8080), may_move: true }));
    s.event(Event::ForwardDone {
        ticket: None,
        spec: spec("a", 8080),
        outcome: ForwardOutcome::Listens(8081),
    });
    let f = &view(&s.state, s.now, &Traffic::default()).forwards[0];
    assert_eq!((f.active, f.host_port, f.note.as_str()), (true, 8081, "8080 is taken; 8081 took its place"));
}
