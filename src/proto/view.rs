//! What clients see of a session: all of it, every time. Fields are only ever added, with a default.

use serde::{Deserialize, Serialize};

use super::suite::TestsView;
use crate::model::{GuestSystem, Proto};

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
    /// The test script and how its run goes.
    #[serde(default)]
    pub tests: TestsView,
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
    /// What its QEMU takes of this machine; absent while nobody has looked.
    #[serde(default)]
    pub load: Option<Load>,
    /// How it crashed: exit status and last lines, for [`NodeState::Crashed`].
    #[serde(default)]
    pub post_mortem: Option<String>,
}

/// What a machine's QEMU takes of the machine it runs on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Load {
    /// Thousandths of all CPUs together.
    pub cpu_permille: u16,
    /// Resident memory in bytes.
    pub memory: u64,
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
