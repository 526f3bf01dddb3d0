//! Scenarios of the session's mind, and properties that hold whatever happens.

mod added;
mod ends;
mod forwards;
mod links;
mod machines;
mod whole;

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
