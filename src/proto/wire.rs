//! The messages. Fields are only ever added, with a default; a change of meaning is a new version.

use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use super::suite::TestTold;
use super::view::View;
use crate::model::{Manifest, Proto};
use crate::shell::quote;

/// What a client sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClientMessage {
    /// Chosen by the client; the response carries it.
    pub id: u64,
    /// What is wanted.
    pub request: Request,
}

/// What a client can ask for. Everything that changes the session is an [`Action`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Request {
    /// First message of a connection.
    Hello {
        /// [`super::PROTOCOL_VERSION`].
        version: u32,
        /// Who is there, for the log: `tui`, `cli`, `test`.
        client: String,
    },
    /// The view, once.
    View,
    /// The view now and whenever it changes, as events.
    Subscribe,
    /// Something to do.
    Act {
        /// The action.
        action: Action,
    },
    /// Opens a node's serial console as a stream: history first, then live; input goes the other way.
    Console {
        /// The node.
        node: String,
        /// How much history to replay, in bytes, at most; 0 = none.
        history: u64,
    },
    /// Runs a command as root in a node's clone; answered by a stream.
    Exec {
        /// The node.
        node: String,
        /// The command and its arguments.
        argv: Vec<String>,
        /// Further environment, `KEY=VALUE`.
        #[serde(default)]
        env: Vec<String>,
        /// A pseudo-terminal of this size (rows, columns); absent: plain pipes.
        #[serde(default)]
        pty: Option<(u16, u16)>,
    },
    /// What the session runs: the manifest as it was evaluated.
    Manifest,
    /// Sends a command to a node's QEMU, as QMP has it.
    Qmp {
        /// The node.
        node: String,
        /// QMP's name of the command.
        command: String,
        /// Its arguments, an object; null for none.
        #[serde(default)]
        arguments: serde_json::Value,
    },
    /// Opens what a node's QEMU tells of itself as a stream: one JSON object a line, `event` and
    /// `data`; first what was told before, as far as it is kept.
    QmpEvents {
        /// The node.
        node: String,
    },
    /// Tells how the session's test script goes; there is no answer. When whoever told it goes away
    /// before the end, the run has broken off.
    TestTold {
        /// What happened.
        told: TestTold,
    },
    /// Runs the model's test script against the session.
    TestRun {
        /// Only subtests with these words in their names; all when empty.
        #[serde(default)]
        patterns: Vec<String>,
    },
    /// Stops the script that [`Request::TestRun`] started.
    TestStop,
    /// Changes the size of a stream's pseudo-terminal.
    Resize {
        /// The stream.
        stream: u32,
        /// Rows.
        rows: u16,
        /// Columns.
        cols: u16,
    },
    /// Sends a signal to a stream's command.
    Signal {
        /// The stream.
        stream: u32,
        /// The signal's number.
        signal: u8,
    },
    /// Grants a stream further output in bytes; a stream starts with [`STREAM_WINDOW`].
    Window {
        /// The stream.
        stream: u32,
        /// Bytes consumed since the last grant.
        bytes: u32,
    },
    /// Ends a stream.
    Close {
        /// The stream.
        stream: u32,
    },
    /// Ends the session: every machine is shut down, then the daemon.
    Down {
        /// Cut the power at once instead of asking the guests.
        power: bool,
        /// Seconds to wait for the guests before their power is cut.
        timeout: u32,
    },
}

/// Bytes of a stream that may be under way before the client grants more.
pub const STREAM_WINDOW: u32 = 1 << 20;

/// Bytes of input that a client may send before the daemon has taken them in.
pub const INPUT_WINDOW: u32 = 256 << 10;

/// Everything that changes a running session. Each has one CLI equivalent, [`Action::cli`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "do", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Action {
    /// Changes a machine's power or run state.
    Node {
        /// The node.
        node: String,
        /// What to do with it.
        verb: NodeVerb,
    },
    /// Adds a machine that the model does not name; it is off until it is started.
    Add {
        /// Its name.
        node: String,
        /// The program that starts its QEMU, in the shape of NixOS's start scripts.
        script: PathBuf,
        /// The VLANs that its script plugs into, in the order of its plugs.
        #[serde(default)]
        vlans: Vec<u16>,
    },
    /// Takes a machine away that was added and is off.
    Remove {
        /// The machine.
        node: String,
    },
    /// Drops every frame from one node to another, in that direction only.
    Cut {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
    },
    /// Lets frames pass again in that direction.
    Heal {
        /// The sender.
        from: String,
        /// The receiver.
        to: String,
    },
    /// Cuts a node off from all others, both directions.
    Isolate {
        /// The node.
        node: String,
    },
    /// Undoes every cut to or from a node.
    Rejoin {
        /// The node.
        node: String,
    },
    /// Sets an interface's carrier, which the guest sees.
    Carrier {
        /// The node.
        node: String,
        /// The interface (`eth1`); absent: all on VLANs.
        interface: Option<String>,
        /// Up or down.
        up: bool,
    },
    /// Removes every cut and raises every carrier.
    HealAll,
    /// Takes back the last change of links, whoever made it.
    Undo,
    /// Adds a forward; host port 0 takes any free one.
    ForwardAdd {
        /// The node.
        node: String,
        /// Transport.
        proto: Proto,
        /// Host port on 127.0.0.1.
        host_port: u16,
        /// Guest port.
        guest_port: u16,
    },
    /// Removes a forward.
    ForwardRemove {
        /// Transport.
        proto: Proto,
        /// Host port.
        host_port: u16,
    },
}

/// What can be done with a machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeVerb {
    /// Powers it on.
    Start,
    /// Asks the guest to shut down; its power is cut when it does not.
    Stop,
    /// Stop, then start.
    Restart,
    /// Freezes its CPUs.
    Pause,
    /// Lets its CPUs run again.
    Resume,
    /// Cuts its power: writes that were not synced are lost.
    Crash,
    /// Presses the reset button.
    Reset,
}

impl NodeVerb {
    /// All of them with their names and what they do, in the order that help shows.
    pub const ALL: [(Self, &'static str, &'static str); 7] = [
        (Self::Start, "start", "power the machine on"),
        (Self::Stop, "stop", "ask the guest to shut down, then cut its power"),
        (Self::Restart, "restart", "stop, then start"),
        (Self::Pause, "pause", "freeze its CPUs"),
        (Self::Resume, "resume", "let its CPUs run again"),
        (Self::Crash, "crash", "cut its power: unsynced writes are lost"),
        (Self::Reset, "reset", "press the reset button"),
    ];

    /// The verb's word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Stop => "stop",
            Self::Restart => "restart",
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Crash => "crash",
            Self::Reset => "reset",
        }
    }
}

impl Action {
    /// The command line that does the same.
    pub fn cli(&self) -> String {
        match self {
            Self::Node { node, verb } => format!("diorama node {} {node}", verb.word()),
            Self::Add { node, script, vlans } => {
                let vlans: String = vlans.iter().map(|v| format!(" --vlan {v}")).collect();
                format!("diorama node add {node} --script {}{vlans}", quote(&script.to_string_lossy()))
            }
            Self::Remove { node } => format!("diorama node remove {node}"),
            Self::Cut { from, to } => format!("diorama link cut {from} {to}"),
            Self::Heal { from, to } => format!("diorama link heal {from} {to}"),
            Self::Isolate { node } => format!("diorama link isolate {node}"),
            Self::Rejoin { node } => format!("diorama link rejoin {node}"),
            Self::Carrier { node, interface, up } => {
                let verb = if *up { "up" } else { "down" };
                match interface {
                    Some(i) => format!("diorama link {verb} {node} {i}"),
                    None => format!("diorama link {verb} {node}"),
                }
            }
            Self::HealAll => "diorama link heal --all".into(),
            Self::Undo => "diorama link undo".into(),
            Self::ForwardAdd { node, proto, host_port, guest_port } => {
                format!("diorama forward add {node} {host_port}:{guest_port}{}", proto_suffix(*proto))
            }
            Self::ForwardRemove { proto, host_port } => {
                format!("diorama forward remove {host_port}{}", proto_suffix(*proto))
            }
        }
    }
}

fn proto_suffix(proto: Proto) -> &'static str {
    match proto {
        Proto::Tcp => "",
        Proto::Udp => "/udp",
    }
}

/// What the daemon sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum ServerMessage {
    /// The answer to a request.
    Response {
        /// The request's.
        id: u64,
        /// What came of it.
        response: Response,
    },
    /// The session changed (after [`Request::Subscribe`]).
    View {
        /// All of it.
        view: Box<View>,
    },
    /// A stream ended.
    StreamClosed {
        /// The stream.
        stream: u32,
        /// How.
        end: StreamEnd,
    },
    /// The daemon took in this much of a stream's input; a client sends at most
    /// [`INPUT_WINDOW`] bytes beyond it, or the stream is broken off.
    Taken {
        /// The stream.
        stream: u32,
        /// Bytes taken in since the last such message.
        bytes: u32,
    },
    /// The daemon is going away after a [`Request::Down`] or a failed start.
    Goodbye {
        /// Why, for people.
        reason: String,
    },
}

/// The reason in the [`ServerMessage::Goodbye`] of a session that was asked to end.
pub const WAS_SHUT_DOWN: &str = "the session was shut down";

/// How a stream ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "how", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum StreamEnd {
    /// The command ended with this status.
    Exited {
        /// 0 to 255.
        code: u8,
    },
    /// The command died from a signal.
    Killed {
        /// The signal's number.
        signal: u8,
    },
    /// The command could not be started: not found, not executable.
    NotStarted {
        /// Why, as the guest says.
        reason: String,
    },
    /// The stream broke off: the machine stopped, the agent failed.
    Broken {
        /// Why.
        reason: String,
    },
    /// The client closed it.
    Closed,
}

/// The answer to a request.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "result", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Response {
    /// Answer to [`Request::Hello`].
    Welcome {
        /// The daemon's protocol version.
        version: u32,
        /// The session's name.
        session: String,
    },
    /// Done.
    Ok {
        /// One line for people, possibly empty.
        #[serde(default)]
        message: String,
    },
    /// Answer to [`Request::View`] and [`Request::Subscribe`].
    View {
        /// All of it.
        view: Box<View>,
    },
    /// Answer to [`Request::Manifest`].
    Manifest {
        /// The manifest.
        manifest: Box<Manifest>,
    },
    /// Answer to [`Request::Qmp`].
    Qmp {
        /// What QEMU returned.
        value: serde_json::Value,
    },
    /// A stream was opened.
    Stream {
        /// Its id, on this connection.
        stream: u32,
    },
    /// It was refused or it failed; nothing was changed.
    Error {
        /// What was wrong, for people.
        message: String,
        /// The way out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        hint: Option<String>,
    },
}
