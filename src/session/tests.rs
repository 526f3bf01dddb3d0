//! Scenarios of the session's mind, and properties that hold whatever happens.

use proptest::prelude::*;

use super::*;
use crate::model::{Manifest, Proto};
use crate::proto::{Action, NodeState, NodeVerb, Phase, Response, Wanted};

/// Three nodes: a and b on VLAN 1, b and c on VLAN 2; a's port 80 is forwarded from 8080.
fn manifest() -> Manifest {
    let node = |name: &str, vlans: &[u16], forward: &str| {
        let interfaces: Vec<String> = vlans
            .iter()
            .map(|v| {
                let last = name.bytes().next().unwrap_or(0) - b'a' + 1;
                format!(
                    r#"{{"kind":"vlan","name":"eth{v}","vlan":{v},"mac":"52:54:00:12:{v:02x}:{last:02x}"}}"#
                )
            })
            .collect();
        format!(
            r#""{name}":{{"hostName":"{name}","boot":{{"kind":"direct","kernel":"/k","initrd":"/i"}},
            "interfaces":[{{"kind":"user","name":"eth0"}},{}],"forwardPorts":[{forward}]}}"#,
            interfaces.join(",")
        )
    };
    let forward = r#"{"host":{"port":8080},"guest":{"port":80}}"#;
    let text = format!(
        r#"{{"version":1,"network":{{"name":"n"}},"nodes":{{{},{},{}}}}}"#,
        node("a", &[1], forward),
        node("b", &[1, 2], ""),
        node("c", &[2], "")
    );
    crate::model::parse(&text).unwrap()
}

/// A session and its clock.
struct Session {
    state: State,
    now: u64,
    effects: Vec<Effect>,
    next: u64,
}

impl Session {
    fn new() -> Self {
        let mut s = Self { state: State::new("n", "/n.nix", 1), now: 1000, effects: Vec::new(), next: 1 };
        s.event(Event::Evaluated { manifest: Box::new(manifest()), system_why: "because".into() });
        s
    }

    /// All machines up.
    fn up() -> Self {
        let mut s = Self::new();
        s.event(Event::Ready);
        for node in ["a", "b", "c"] {
            s.start(node);
        }
        s.effects.clear();
        s
    }

    fn start(&mut self, node: &str) {
        self.event(Event::Started { node: node.into(), pid: 7 });
        self.event(Event::MonitorUp { node: node.into() });
        self.event(Event::Prompt { node: node.into() });
    }

    fn event(&mut self, event: Event) {
        self.now += 10;
        self.effects = step(&mut self.state, self.now, event);
    }

    fn exited(&mut self, node: &str, status: i32, reason: Option<&str>) {
        let exit =
            Exit { status: Some(status), reason: reason.map(Into::into), last_lines: "last words".into() };
        self.event(Event::Exited { node: node.into(), exit });
    }

    /// Has something done and gives the answer, when it comes at once.
    fn act(&mut self, action: Action) -> Option<Response> {
        let ticket = Ticket(self.next);
        self.next += 1;
        self.event(Event::Act { ticket, action });
        self.effects.iter().find_map(|e| match e {
            Effect::Reply { ticket: t, response } if *t == ticket => Some(response.clone()),
            _ => None,
        })
    }

    fn node(&mut self, node: &str, verb: NodeVerb) -> Option<Response> {
        self.act(Action::Node { node: node.into(), verb })
    }

    fn link(&mut self, action: Action) -> String {
        match self.act(action) {
            Some(Response::Ok { message }) => message,
            Some(Response::Error { message, .. }) => format!("refused: {message}"),
            other => format!("{other:?}"),
        }
    }

    fn at(&self, node: &str) -> NodeState {
        self.state.machines[node].state
    }

    fn has(&self, wanted: &Effect) -> bool {
        self.effects.contains(wanted)
    }

    fn finished(&self) -> Option<&str> {
        self.effects.iter().find_map(|e| match e {
            Effect::Finish { reason } => Some(reason.as_str()),
            _ => None,
        })
    }
}

fn cut(from: &str, to: &str) -> Action {
    Action::Cut { from: from.into(), to: to.into() }
}

#[test]
fn every_verb_in_every_state() {
    use NodeState as S;
    use NodeVerb as V;
    let all = [
        S::Waiting,
        S::Evaluating,
        S::Building,
        S::Built,
        S::Booting,
        S::Up,
        S::Paused,
        S::Stopping,
        S::Stopped,
        S::Crashed,
        S::Failed,
    ];
    let accepts = |verb| -> &'static [NodeState] {
        match verb {
            V::Start => &[S::Built, S::Stopped, S::Crashed, S::Failed],
            V::Stop => &[S::Booting, S::Up, S::Paused],
            V::Restart => {
                &[S::Built, S::Stopped, S::Crashed, S::Failed, S::Booting, S::Up, S::Paused, S::Stopping]
            }
            V::Pause => &[S::Booting, S::Up],
            V::Resume => &[S::Paused],
            V::Crash => &[S::Booting, S::Up, S::Paused, S::Stopping],
            V::Reset => &[S::Booting, S::Up, S::Paused],
        }
    };
    for state in all {
        for (verb, _, _) in NodeVerb::ALL {
            let mut s = Session::up();
            s.state.machines.get_mut("a").unwrap().state = state;
            let ok = matches!(s.node("a", verb), Some(Response::Ok { .. }));
            assert_eq!(ok, accepts(verb).contains(&state), "{verb:?} while {state:?}");
            if !ok {
                assert_eq!(s.at("a"), state, "a refusal changes nothing");
            }
        }
    }
}

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

fn spec(node: &str, host_port: u16) -> ForwardSpec {
    ForwardSpec {
        node: node.into(),
        proto: Proto::Tcp,
        host_port,
        guest_address: String::new(),
        guest_port: 80,
    }
}

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
