//! What happens to a session, and what it wants done.

use std::collections::BTreeMap;

use crate::model::{Manifest, Proto};
use crate::proto::{Action, Level, NodeState, Response, TestTold};

/// A request that waits for its answer; the driver knows whose it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Ticket(pub u64);

/// How a QEMU process ended.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Exit {
    /// Its exit status as a shell would say it (128 + n for signal n); absent when nobody saw it.
    pub status: Option<i32>,
    /// Why QEMU said that it shuts down (`guest-shutdown`, `host-signal` …), when it said so.
    pub reason: Option<String>,
    /// The last lines of the console and of QEMU's own output.
    pub last_lines: String,
}

/// What the driver found out when it tried to make a forward.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ForwardOutcome {
    /// It listens, on this host port.
    Listens(u16),
    /// Somebody else has the port.
    Taken {
        /// Who, as far as that is known.
        by: Option<String>,
        /// A port that is free now.
        free: Option<u16>,
    },
    /// Anything else.
    Failed(String),
}

/// A forward to make or to end.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForwardSpec {
    /// The node it leads to.
    pub node: String,
    /// Transport.
    pub proto: Proto,
    /// Port on 127.0.0.1; 0 takes any free one.
    pub host_port: u16,
    /// Address in the guest's network; empty for the guest's own.
    pub guest_address: String,
    /// Port in the guest.
    pub guest_port: u16,
}

/// Something that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The model was evaluated.
    Evaluated {
        /// What it says.
        manifest: Box<Manifest>,
        /// Why its guest system was chosen.
        system_why: String,
    },
    /// The start's present step.
    Preparing {
        /// What is being done, in a few words; empty while the model is evaluated.
        what: String,
    },
    /// The accelerator was chosen: which, and why.
    Accelerator(String),
    /// A node's evaluation or build went on.
    Progress {
        /// The node.
        node: String,
        /// [`NodeState::Evaluating`], [`NodeState::Building`] or [`NodeState::Built`].
        state: NodeState,
        /// Per cent, when known.
        progress: Option<u8>,
        /// What is being done, one line.
        doing: String,
    },
    /// Everything is built: the machines can be started.
    Ready,
    /// The start failed as a whole.
    PrepareFailed {
        /// The whole error.
        error: String,
    },
    /// How long boots took in earlier sessions: milliseconds by node.
    UsualBoots(BTreeMap<String, u64>),
    /// Nothing evaluates or builds any more, however it ended.
    PreparingEnded,
    /// A client wants something done.
    Act {
        /// The client's.
        ticket: Ticket,
        /// What.
        action: Action,
    },
    /// A client wants the session to end.
    Down {
        /// The client's; absent for a signal to the daemon.
        ticket: Option<Ticket>,
        /// Cut the power at once.
        power: bool,
        /// Seconds the guests have.
        timeout: u32,
    },
    /// QEMU runs.
    Started {
        /// The node.
        node: String,
        /// QEMU's process.
        pid: u32,
    },
    /// QEMU could not be started.
    StartFailed {
        /// The node.
        node: String,
        /// Why.
        error: String,
    },
    /// The monitor answers: carriers and forwards can be set.
    MonitorUp {
        /// The node.
        node: String,
    },
    /// The console printed something.
    Printed {
        /// The node.
        node: String,
        /// Bytes.
        bytes: u64,
    },
    /// A login prompt was seen.
    Prompt {
        /// The node.
        node: String,
    },
    /// The agent answers, or no longer.
    Agent {
        /// The node.
        node: String,
        /// Whether it answers.
        up: bool,
    },
    /// The CPUs were frozen or let run, by whomever.
    Frozen {
        /// The node.
        node: String,
        /// Whether they are frozen.
        frozen: bool,
    },
    /// The guest starts anew without QEMU ending (a reboot or the reset button).
    WasReset {
        /// The node.
        node: String,
    },
    /// QEMU ended.
    Exited {
        /// The node.
        node: String,
        /// How.
        exit: Exit,
    },
    /// A moment asked for with [`Effect::Deadline`] has come.
    Deadline {
        /// The node.
        node: String,
        /// The effect's.
        power_cycle: u64,
    },
    /// An effect on a running machine failed.
    EffectFailed {
        /// The node.
        node: String,
        /// What failed and why.
        error: String,
    },
    /// A forward was tried.
    ForwardDone {
        /// Who waits for it.
        ticket: Option<Ticket>,
        /// The forward.
        spec: ForwardSpec,
        /// What came of it.
        outcome: ForwardOutcome,
    },
    /// A forward was ended.
    ForwardGone {
        /// Who waits for it.
        ticket: Ticket,
        /// The forward.
        spec: ForwardSpec,
        /// Or why it could not be.
        result: Result<(), String>,
    },
    /// A test script's runner tells how it goes.
    TestTold(TestTold),
    /// A client that told of a test script is gone.
    TestTellerGone,
    /// A client wants the test script run.
    TestRun {
        /// The client's.
        ticket: Ticket,
        /// Words in the names of the subtests to run; all when empty.
        patterns: Vec<String>,
    },
    /// A client wants the test script stopped.
    TestStop {
        /// The client's.
        ticket: Ticket,
    },
    /// The runner that [`Effect::RunScript`] started has ended.
    TestRunnerEnded {
        /// Why it failed, if it did, in its own words.
        why: Option<String>,
    },
    /// The number of attached clients changed.
    Clients(u32),
    /// Something for the log.
    Note {
        /// How bad.
        level: Level,
        /// One line.
        text: String,
    },
}

/// Something to do.
#[derive(Debug, Clone, PartialEq)]
pub enum Effect {
    /// Start QEMU.
    Start {
        /// The node.
        node: String,
    },
    /// Take in a machine that was added: its ports, and what the manifest now says.
    Added {
        /// The node.
        node: String,
    },
    /// Forget a machine that was taken away, and remove what it has left.
    Removed {
        /// The node.
        node: String,
    },
    /// Ask the guest to shut down, through the agent or the power button.
    Shutdown {
        /// The node.
        node: String,
    },
    /// End QEMU at once.
    Kill {
        /// The node.
        node: String,
    },
    /// Freeze or thaw the CPUs.
    Freeze {
        /// The node.
        node: String,
        /// Freeze.
        frozen: bool,
    },
    /// Press the reset button.
    Reset {
        /// The node.
        node: String,
    },
    /// Make the switch's policies those of [`super::State::faults`].
    ApplyCuts,
    /// Set an interface's carrier.
    Carrier {
        /// The node.
        node: String,
        /// The interface.
        interface: String,
        /// Up or down.
        up: bool,
    },
    /// Try to make a forward, and tell what came of it.
    ForwardAdd {
        /// Who waits for it.
        ticket: Option<Ticket>,
        /// The forward.
        spec: ForwardSpec,
        /// Take a free port instead when this one is taken.
        may_move: bool,
    },
    /// End a forward, and tell when that is done.
    ForwardRemove {
        /// Who waits for it.
        ticket: Ticket,
        /// The forward.
        spec: ForwardSpec,
    },
    /// Send [`Event::Deadline`] at this time.
    Deadline {
        /// The node.
        node: String,
        /// Which power cycle it belongs to.
        power_cycle: u64,
        /// When, in Unix milliseconds.
        at: u64,
    },
    /// Run the test script against this session, and tell when its runner has ended.
    RunScript {
        /// Words in the names of the subtests to run; all when empty.
        patterns: Vec<String>,
    },
    /// Have the runner stop.
    StopScript,
    /// Stop evaluating and building.
    Cancel,
    /// Write the session file.
    Save,
    /// Keep [`super::State::usual_boots`] for the next session.
    KeepBoots,
    /// Answer a client.
    Reply {
        /// Whom.
        ticket: Ticket,
        /// The answer.
        response: Response,
    },
    /// Say goodbye to all clients, remove everything and end the daemon.
    Finish {
        /// Why, for people.
        reason: String,
    },
}
