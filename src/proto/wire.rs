//! The messages. Fields are only ever added, with a default; a change of meaning is a new version.

use serde::{Deserialize, Serialize};

use crate::model::{GuestSystem, Manifest, Proto};

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

/// A whole session as its clients see it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct View {
    /// Rises with every change.
    pub revision: u64,
    /// The session's name.
    pub session: String,
    /// The network's name.
    pub network: String,
    /// The model file or manifest it came from.
    pub model: String,
    /// The guest system.
    pub system: GuestSystem,
    /// Why that guest system was chosen, one line.
    #[serde(default)]
    pub system_why: String,
    /// How far the session is.
    pub phase: Phase,
    /// The accelerator in use and why, one line (`tcg: /dev/kvm hangs a guest`).
    #[serde(default)]
    pub accelerator: String,
    /// The nodes, by name.
    pub nodes: Vec<NodeView>,
    /// Every ordered pair of nodes that share a VLAN.
    pub links: Vec<LinkView>,
    /// Port forwards.
    pub forwards: Vec<ForwardView>,
    /// How many faults are active: cuts and lowered carriers.
    pub faults: u32,
    /// The last acts and events, oldest first, at most 200.
    pub log: Vec<LogEntry>,
    /// Unix time in milliseconds when the session started.
    pub started: u64,
    /// How many clients are attached.
    #[serde(default)]
    pub clients: u32,
}

/// How far a session is.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(tag = "name", rename_all = "camelCase", rename_all_fields = "camelCase")]
pub enum Phase {
    /// The model is being evaluated.
    #[default]
    Evaluating,
    /// Packages are being resolved or systems built.
    Building {
        /// What is being done now.
        what: String,
    },
    /// The machines are there.
    Running,
    /// The machines are being shut down.
    Stopping,
    /// The start failed; the daemon goes away.
    Failed {
        /// The whole error.
        error: String,
    },
}

/// A node as clients see it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeView {
    /// Its name.
    pub name: String,
    /// Its state.
    pub state: NodeState,
    /// How far its present step is, 0 to 100; absent when that is not known.
    #[serde(default)]
    pub progress: Option<u8>,
    /// What its present step is doing, one line.
    #[serde(default)]
    pub doing: String,
    /// QEMU's process id while it runs.
    #[serde(default)]
    pub pid: Option<u32>,
    /// Milliseconds from power-on to the first login prompt, once seen.
    #[serde(default)]
    pub boot_ms: Option<u64>,
    /// Unix time in milliseconds of the last power-on.
    #[serde(default)]
    pub started: Option<u64>,
    /// Bytes its console has printed since the session began; a rise is activity.
    #[serde(default)]
    pub console_bytes: u64,
    /// Whether the root shell's agent answers.
    #[serde(default)]
    pub agent: bool,
    /// Its interfaces on VLANs.
    #[serde(default)]
    pub interfaces: Vec<InterfaceView>,
    /// Memory in MiB.
    #[serde(default)]
    pub memory: u32,
    /// Virtual CPUs.
    #[serde(default)]
    pub cores: u32,
    /// How it crashed: exit status and last lines, for [`NodeState::Crashed`].
    #[serde(default)]
    pub post_mortem: Option<String>,
}

/// A machine's state.
///
/// ```text
/// Waiting ─▶ Evaluating ─▶ Building ─▶ Built ─▶ Booting ─▶ Up ⇄ Paused
///                              │                   │  ▲     │
///                              ▼                   ▼  │     ▼
///                            Failed      Crashed ◀─┴──┼─ Stopping ─▶ Stopped
///                                           └─────────┴───────────────┘ (start)
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeState {
    /// Nothing has been done yet.
    #[default]
    Waiting,
    /// Its configuration is being evaluated.
    Evaluating,
    /// Its system is being built.
    Building,
    /// Its system is there; it has not been started.
    Built,
    /// QEMU runs; no login prompt yet.
    Booting,
    /// The login prompt or the agent was seen.
    Up,
    /// Its CPUs are frozen.
    Paused,
    /// Asked to shut down.
    Stopping,
    /// Powered off.
    Stopped,
    /// QEMU ended when nobody asked it to.
    Crashed,
    /// It could not be built or started.
    Failed,
}

/// An interface on a VLAN.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct InterfaceView {
    /// The guest's name for it.
    pub name: String,
    /// Its VLAN.
    pub vlan: u16,
    /// Its MAC address.
    pub mac: String,
    /// Its addresses.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// Whether the carrier is up.
    pub carrier: bool,
    /// Whether its plug is connected to the switch.
    pub connected: bool,
    /// Frames and bytes received from the guest.
    #[serde(default)]
    pub rx: Count,
    /// Frames and bytes sent to the guest.
    #[serde(default)]
    pub tx: Count,
    /// Frames dropped on the way to the guest because its queue was full.
    #[serde(default)]
    pub drops: u64,
}

/// A number of frames and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Count {
    /// Frames.
    pub frames: u64,
    /// Bytes.
    pub bytes: u64,
}

/// An ordered pair of nodes that share at least one VLAN.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LinkView {
    /// The sender.
    pub from: String,
    /// The receiver.
    pub to: String,
    /// The VLANs they share.
    pub vlans: Vec<u16>,
    /// What is wanted.
    pub wanted: Wanted,
    /// What is measured.
    pub seen: Seen,
    /// What was delivered in this direction.
    #[serde(default)]
    pub delivered: Count,
    /// Frames dropped by the cut.
    #[serde(default)]
    pub cut_drops: u64,
}

/// The state of a link as asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Wanted {
    /// Frames pass.
    #[default]
    Ok,
    /// Frames are dropped.
    Cut,
    /// One of the carriers on the way is down.
    Down,
}

/// The state of a link as the switch sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Seen {
    /// Nothing was sent lately.
    #[default]
    Unknown,
    /// A frame was delivered lately.
    Passing,
    /// Frames were sent lately and none was delivered.
    Blocked,
}

/// A port forward.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ForwardView {
    /// The node it leads to.
    pub node: String,
    /// Transport.
    pub proto: Proto,
    /// Host port on 127.0.0.1.
    pub host_port: u16,
    /// Guest port.
    pub guest_port: u16,
    /// Whether the model asked for it; otherwise it was added while running.
    pub from_model: bool,
    /// Whether it listens now.
    pub active: bool,
    /// Why it does not, or that it moved (`8082 is taken; 8083 took its place`).
    #[serde(default)]
    pub note: String,
}

/// A line of the command log.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LogEntry {
    /// Unix time in milliseconds.
    pub time: u64,
    /// How bad it is.
    pub level: Level,
    /// What happened, one line.
    pub text: String,
    /// The command line that does the same, for an act.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cli: Option<String>,
}

/// How bad a log line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// For the record.
    Info,
    /// Worth a look.
    Warning,
    /// Something failed.
    Error,
}
