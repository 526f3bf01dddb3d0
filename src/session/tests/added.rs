//! Machines that join a session and leave it.

use std::collections::BTreeMap;

use super::*;

#[test]
fn machines_join_and_leave() {
    let mut s = Session::up();
    let add = |name: &str, vlans: &[u16]| Action::Add {
        node: name.into(),
        script: "/run-x-vm".into(),
        vlans: vlans.to_vec(),
    };
    let remove = |name: &str| Action::Remove { node: name.into() };
    assert_eq!(s.link(add("a", &[])), "refused: there is a node a already");
    assert!(s.link(add("a b", &[])).contains("is not a node name"));
    assert!(s.link(add("x", &[0])).contains("VLAN 0 is not within"));
    assert_eq!(s.link(add("x", &[1, 2, 1])), "x joins");
    assert!(s.has(&Effect::Added { node: "x".into() }));
    assert_eq!(
        (s.at("x"), s.state.pairs().contains_key(&("x".into(), "c".into()))),
        (NodeState::Built, true)
    );
    assert_eq!(s.link(remove("a")), "refused: a is a machine of the model and stays");
    s.node("x", NodeVerb::Start);
    s.start("x");
    assert_eq!(s.at("x"), NodeState::Up);
    assert_eq!(s.link(remove("x")), "refused: x is running");
    s.link(cut("x", "a"));
    s.link(Action::Carrier { node: "x".into(), interface: None, up: false });

    // Another daemon knows that it was added.
    let text = serde_json::to_string(&s.state.save()).unwrap();
    let alive = BTreeMap::from([("x".to_owned(), Alive::Yes { pid: 7 })]);
    s.state = State::restore(serde_json::from_str(&text).unwrap(), &alive);
    s.node("x", NodeVerb::Crash);
    s.exited("x", 137, None);
    assert_eq!(s.link(remove("x")), "x has left");
    assert!(s.has(&Effect::Removed { node: "x".into() }) && s.has(&Effect::ApplyCuts));
    assert_eq!(s.state.faults, Faults::default());
    assert!(!s.state.manifest.as_ref().unwrap().nodes.contains_key("x"));
    while s.link(Action::Undo).starts_with("undone") {
        assert!(s.state.faults.cuts.is_empty() && s.state.faults.lowered.is_empty());
    }
    assert_eq!(s.link(add("x", &[1])), "x joins");
}
