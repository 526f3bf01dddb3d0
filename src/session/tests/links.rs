//! Links cut, healed and lowered.

use super::*;

#[test]
fn links_are_cut_healed_and_undone_in_order() {
    let mut s = Session::up();
    assert_eq!(s.link(cut("a", "b")), "a to b is cut");
    assert!(s.has(&Effect::ApplyCuts) && s.has(&Effect::Save));
    assert_eq!(s.link(cut("a", "b")), "a to b is cut already");
    assert!(!s.has(&Effect::ApplyCuts));
    assert_eq!(s.link(Action::Isolate { node: "b".into() }), "b is isolated");
    assert_eq!(s.state.faults.cuts.len(), 4, "both neighbours, both directions");
    assert_eq!(
        s.link(Action::Carrier { node: "c".into(), interface: None, up: false }),
        "c: every carrier is down"
    );
    assert!(s.has(&Effect::Carrier { node: "c".into(), interface: "eth2".into(), up: false }));
    assert_eq!(view(&s.state, s.now, &Traffic::default()).faults, 5);
    assert_eq!(s.link(Action::Undo), "undone: link down c");
    assert!(s.has(&Effect::Carrier { node: "c".into(), interface: "eth2".into(), up: true }));
    assert_eq!(s.link(Action::Undo), "undone: link isolate b");
    assert_eq!(s.state.faults.cuts.len(), 1);
    assert_eq!(s.link(Action::HealAll), "everything is healed: 1 fault");
    assert_eq!(s.link(Action::Undo), "undone: link heal --all");
    assert_eq!(s.link(Action::Undo), "undone: link cut a b");
    assert_eq!(s.link(Action::Undo), "refused: there is nothing to undo");
    assert_eq!(s.state.faults, Faults::default());
}

#[test]
fn links_that_are_not_there_are_refused() {
    let mut s = Session::up();
    for (action, want) in [
        (cut("a", "c"), "refused: a and c share no VLAN, so there is no link between them"),
        (cut("a", "a"), "refused: a has no link to itself"),
        (cut("a", "x"), "refused: there is no node \"x\""),
        (
            Action::Carrier { node: "a".into(), interface: Some("eth0".into()), up: false },
            "refused: a has no interface \"eth0\" on a VLAN",
        ),
    ] {
        assert_eq!(s.link(action), want);
        assert!(s.state.undo.is_empty());
    }
}

#[test]
fn what_links_are_wanted_to_be() {
    let mut s = Session::up();
    s.link(cut("a", "b"));
    s.link(Action::Carrier { node: "c".into(), interface: Some("eth2".into()), up: false });
    let wanted: Vec<String> = view(&s.state, s.now, &Traffic::default())
        .links
        .iter()
        .map(|l| format!("{}{} {:?} {:?}", l.from, l.to, l.vlans, l.wanted))
        .collect();
    assert_eq!(wanted, ["ab [1] Cut", "ba [1] Ok", "bc [2] Down", "cb [2] Down"]);
    assert_ne!(Wanted::Ok, Wanted::Down);
}

#[test]
fn a_lowered_carrier_is_lowered_again_for_a_new_qemu() {
    let mut s = Session::up();
    s.link(Action::Carrier { node: "a".into(), interface: None, up: false });
    s.exited("a", 137, None);
    s.node("a", NodeVerb::Start);
    s.event(Event::Started { node: "a".into(), pid: 9 });
    s.event(Event::MonitorUp { node: "a".into() });
    assert!(s.has(&Effect::Carrier { node: "a".into(), interface: "eth1".into(), up: false }));
}
