//! One machine while it runs: QEMU's process, its monitor, its console and its agent.
//!
//! ```text
//! life: launch or adopt ─▶ Started ─┬─ serial: bytes ─▶ ring, prompt, replies
//!                                   ├─ monitor: orders in turn, events
//!                                   ├─ agent: whether it answers
//!                                   └─ process ends ─▶ everything else ends ─▶ Exited
//! ```
//!
//! Invariant: orders are carried out one after the other in the order given; a power cut overtakes
//! them all.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::JoinSet;

use super::console::Console;
use super::driver::{Events, Msg};
use super::{Context, adopt, forward, keys, log, machinery};
use crate::agent::{AgentClient, AgentState, ExecRequest};
use crate::console::{DEFAULT_COLS, DEFAULT_ROWS, Screen};
use crate::error::{Error, Result};
use crate::model::{Boot, Manifest, ShellKind};
use crate::paths::NodePaths;
use crate::proto::{Level, Response};
use crate::qemu::process::Process;
use crate::qemu::qmp::{Qmp, QmpEvent};
use crate::qemu::{NodeConfig, nic_of, user_netdev};
use crate::session::{Detector, Event, Exit, ForwardSpec, Ticket};

/// How long the agent has to begin a shutdown before the power button is pressed as well.
const AGENT_SHUTDOWN: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_millis(10);
const LAST_RETRY: Duration = Duration::from_millis(300);
/// Pieces of input that may wait for a guest that does not read.
const INPUT_QUEUE: usize = 16;
/// Console lines kept in a post-mortem.
const LAST_LINES: usize = 12;

/// Something to do with a running machine.
#[derive(Debug)]
pub(super) enum Order {
    /// Ask the guest to shut down.
    Shutdown,
    /// Freeze or thaw the CPUs.
    Freeze(bool),
    /// Press the reset button.
    Reset,
    /// Set a carrier.
    Carrier(String, bool),
    /// Make a forward.
    Forward(Option<Ticket>, ForwardSpec, bool),
    /// End a forward.
    Unforward(Ticket, ForwardSpec),
    /// Hand a command to the monitor.
    Qmp {
        /// The command.
        command: String,
        /// Its arguments.
        arguments: serde_json::Value,
        /// Who asked.
        reply: oneshot::Sender<Response>,
    },
}

/// Where a machine's own words go.
#[derive(Debug, Clone)]
pub(super) struct Told {
    /// What its console prints.
    pub console: Arc<Console>,
    /// What its QEMU tells, one JSON object a line.
    pub qmp_events: Arc<Console>,
}

/// The driver's handle on a machine.
#[derive(Debug)]
pub(super) struct Machine {
    orders: mpsc::UnboundedSender<Order>,
    process: Arc<Mutex<Option<Arc<Process>>>>,
    /// The root shell, when the machine has one.
    pub agent: Option<AgentClient>,
    /// Whether the machine has its keys, or never will since it last booted.
    pub keyed: watch::Receiver<bool>,
}

impl Machine {
    /// Gives an order.
    pub fn order(&self, order: Order) {
        // A machine that has just ended needs no orders any more.
        let _ = self.orders.send(order);
    }

    /// Cuts the power at once.
    pub fn kill(&self) -> Result<()> {
        let process = self.process.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match process {
            Some(process) => Ok(process.kill()?),
            None => Ok(()),
        }
    }
}

/// Where a machine's QEMU comes from.
#[derive(Debug)]
pub(super) enum Origin {
    /// It is to be started; whether its state is thrown away first.
    Launch {
        /// Throw the state disk away.
        fresh: bool,
    },
    /// It runs already.
    Adopt(Process),
}

/// What a machine's tasks share.
#[derive(Debug, Clone)]
struct Life {
    name: String,
    paths: NodePaths,
    console: Arc<Console>,
    qmp_events: Arc<Console>,
    events: Events,
    manifest: Arc<Manifest>,
    user_interface: Option<String>,
    process: Arc<Mutex<Option<Arc<Process>>>>,
    agent: Option<AgentClient>,
    /// Why QEMU said that it shuts down.
    reason: Arc<Mutex<Option<String>>>,
    /// Whether the guest has closed its agent's port since it last opened it.
    agent_closed: Arc<AtomicBool>,
    /// Whether the machine has its keys.
    keyed: Arc<watch::Sender<bool>>,
    /// How often it has begun anew, as far as it was seen: what was put into it before may be gone.
    boots: Arc<AtomicU64>,
    /// Where they are.
    keys: PathBuf,
}

/// Starts a machine's life. Must be called within the runtime.
pub(super) fn start(
    context: Arc<Context>,
    manifest: Arc<Manifest>,
    name: &str,
    origin: Origin,
    told: Told,
    events: Events,
) -> Machine {
    let (orders, inbox) = mpsc::unbounded_channel();
    let paths = context.paths.node(&context.options.session, name);
    let node = manifest.nodes.get(name);
    let shell = node.map_or(ShellKind::None, |n| n.shell);
    let life = Life {
        name: name.into(),
        agent: match shell {
            ShellKind::Agent => Some(AgentClient::connect(&paths.agent())),
            ShellKind::Backdoor => Some(AgentClient::connect_backdoor(&paths.agent())),
            ShellKind::None => None,
        },
        manifest: manifest.clone(),
        user_interface: NodeConfig::of(&manifest, name).and_then(|config| user_netdev(&config)),
        paths,
        console: told.console,
        qmp_events: told.qmp_events,
        events,
        process: Arc::default(),
        reason: Arc::default(),
        agent_closed: Arc::default(),
        keyed: Arc::new(watch::Sender::new(false)),
        boots: Arc::default(),
        keys: keys::directory(&context.files),
    };
    let machine = Machine {
        orders,
        process: life.process.clone(),
        agent: life.agent.clone(),
        keyed: life.keyed.subscribe(),
    };
    tokio::spawn(life.run(context, manifest, origin, inbox));
    machine
}

impl Life {
    async fn run(
        self,
        context: Arc<Context>,
        manifest: Arc<Manifest>,
        origin: Origin,
        inbox: mpsc::UnboundedReceiver<Order>,
    ) {
        let node = self.name.clone();
        let adopted = matches!(origin, Origin::Adopt(_));
        let process = match origin {
            Origin::Adopt(process) => Ok(process),
            Origin::Launch { fresh } => {
                let (name, paths) = (self.name.clone(), self.paths.clone());
                match machinery::find(context.clone()).await {
                    Ok(found) => {
                        let launch = move || adopt::launch(&manifest, &name, &paths, &found, fresh);
                        let launched = tokio::task::spawn_blocking(launch).await;
                        launched.unwrap_or_else(|e| Err(Error::new(e.to_string())))
                    }
                    Err(e) => Err(e),
                }
            }
        };
        let process = match process {
            Ok(process) => Arc::new(process),
            Err(e) => {
                let mut error = e.message;
                for hint in e.hints {
                    error.push_str("\nhint: ");
                    error.push_str(&hint);
                }
                return self.tell(Event::StartFailed { node, error });
            }
        };
        *self.process.lock().unwrap_or_else(PoisonError::into_inner) = Some(process.clone());
        if !adopted {
            self.tell(Event::Started { node: node.clone(), pid: process.pid });
        }
        let mut tasks = JoinSet::new();
        tasks.spawn(self.clone().serial());
        tasks.spawn(self.clone().monitor(inbox, adopted));
        tasks.spawn(self.clone().watch_agent());
        let exit = process.wait().await;
        // What QEMU said last may still be under way.
        let drained = async { while tasks.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(Duration::from_millis(200), drained).await;
        tasks.shutdown().await;
        self.console.set_input(None);
        let status = match exit {
            Ok(exit) => exit.status().map(i32::from),
            Err(e) => {
                log::line(&format!("{node}: {e:#}"));
                None
            }
        };
        let last_lines = last_lines(&self.console, &process);
        let reason = self.reason.lock().unwrap_or_else(PoisonError::into_inner).take();
        self.tell(Event::Exited { node, exit: Exit { status, reason, last_lines } });
    }

    fn tell(&self, event: Event) {
        // The driver goes away only when the daemon ends.
        let _ = self.events.send(Msg::Event(event));
    }

    /// Reads the console, and answers the guest's terminal queries: the only place that does.
    async fn serial(self) {
        let stream = connect(&self.paths.serial()).await;
        let (mut read, mut write) = stream.into_split();
        let (input, mut queue) = mpsc::channel::<Bytes>(INPUT_QUEUE);
        self.console.set_input(Some(input.clone()));
        // A guest that does not read holds up its own input, nothing else.
        let writer = async move {
            while let Some(bytes) = queue.recv().await {
                if write.write_all(&bytes).await.is_err() {
                    return;
                }
            }
        };
        let reader = async move {
            let mut detector = Detector::default();
            let mut screen = Screen::new(DEFAULT_ROWS, DEFAULT_COLS, 0);
            let mut buffer = vec![0; 32 << 10];
            let mut until_check = 0_usize;
            while let Ok(n @ 1..) = read.read(&mut buffer).await {
                let bytes = &buffer[..n];
                self.console.push(bytes);
                if detector.feed(bytes) {
                    self.tell(Event::Prompt { node: self.name.clone() });
                }
                screen.feed(bytes);
                let reply = screen.take_replies();
                if !reply.is_empty() {
                    // A guest that asks without reading the answers loses them.
                    let _ = input.try_send(reply.into());
                }
                until_check += n;
                if until_check > adopt::LOG_CHECK {
                    until_check = 0;
                    let path = self.paths.console_log();
                    let _ = tokio::task::spawn_blocking(move || adopt::bound_log(&path)).await;
                }
            }
        };
        tokio::select! {
            () = reader => {}
            () = async { writer.await; std::future::pending().await } => {}
        }
    }

    async fn watch_agent(self) {
        let Some(agent) = &self.agent else { return };
        let mut state = agent.state();
        let mut was_up = false;
        loop {
            let up = *state.borrow_and_update() == AgentState::Ready;
            if up {
                // Also when it answered before: it may have booted since. What is there already is left alone.
                let boot = self.boots.load(Ordering::Acquire);
                let notes = keys::put(agent, &self.manifest, &self.name, &self.keys).await;
                let same = || self.boots.load(Ordering::Acquire) == boot;
                // A machine that went down meanwhile gets them when it is back.
                if same() && *agent.state().borrow() == AgentState::Ready {
                    for (level, text) in notes {
                        self.tell(Event::Note { level, text });
                    }
                    self.keyed.send_replace(true);
                    if !same() {
                        self.keyed.send_replace(false);
                    }
                }
            } else {
                self.keyed.send_replace(false);
            }
            if up != was_up {
                was_up = up;
                self.tell(Event::Agent { node: self.name.clone(), up });
            }
            if state.changed().await.is_err() {
                return;
            }
        }
    }

    async fn monitor(self, mut inbox: mpsc::UnboundedReceiver<Order>, adopted: bool) {
        let mut wait = FIRST_RETRY;
        let (qmp, mut events) = loop {
            match Qmp::connect(&self.paths.qmp()).await {
                Ok(connected) => break connected,
                Err(_) => tokio::time::sleep(wait).await,
            }
            wait = (wait * 2).min(LAST_RETRY);
        };
        let node = self.name.clone();
        if adopted {
            let frozen = qmp.query_status().await.is_ok_and(|s| s != "running");
            self.tell(Event::Frozen { node: node.clone(), frozen });
        }
        self.tell(Event::MonitorUp { node });
        let orders = async {
            while let Some(order) = inbox.recv().await {
                self.carry_out(&qmp, order).await;
            }
        };
        let told = async {
            while let Some(event) = events.recv().await {
                self.take(&event);
            }
        };
        tokio::join!(orders, told);
    }

    fn take(&self, event: &QmpEvent) {
        let told = serde_json::json!({ "event": event.name, "data": event.data });
        self.qmp_events.push(format!("{told}\n").as_bytes());
        let node = self.name.clone();
        match event.name.as_str() {
            "SHUTDOWN" => {
                let reason = event.data.get("reason").and_then(|r| r.as_str()).map(str::to_owned);
                *self.reason.lock().unwrap_or_else(PoisonError::into_inner) = reason;
            }
            "STOP" => self.tell(Event::Frozen { node, frozen: true }),
            "RESUME" => self.tell(Event::Frozen { node, frozen: false }),
            "RESET" => {
                self.tell(Event::WasReset { node });
                // A console, unlike the agent's port, does not tell that its guest has gone.
                let shell = self.manifest.nodes.get(&self.name).map(|n| n.shell);
                if let (Some(ShellKind::Backdoor), Some(agent)) = (shell, &self.agent) {
                    self.begins_anew();
                    agent.resync();
                }
            }
            "BLOCK_IO_ERROR" => {
                let full = event.data.get("nospace").and_then(serde_json::Value::as_bool) == Some(true);
                let text = if full {
                    format!(
                        "{node}: the host's disk is full, the machine is paused; make space, then diorama node resume {node}"
                    )
                } else {
                    format!("{node}: a disk image cannot be read or written")
                };
                self.tell(Event::Note { level: Level::Error, text });
            }
            "VSERPORT_CHANGE" => {
                // Closed and opened again: what ran in the guest's agent went with it.
                let open = event.data.get("open").and_then(serde_json::Value::as_bool) == Some(true);
                let was_closed = self.agent_closed.swap(!open, Ordering::AcqRel);
                if !open {
                    // Commands wait until the guest's agent is back, and has the keys again.
                    self.begins_anew();
                }
                if let Some(agent) = &self.agent
                    && open
                    && was_closed
                {
                    agent.resync();
                }
            }
            "GUEST_PANICKED" => {
                let text = format!("{node}: the guest's kernel panicked");
                self.tell(Event::Note { level: Level::Error, text });
            }
            _ => {}
        }
    }

    /// What was put into the machine may be gone.
    fn begins_anew(&self) {
        self.boots.fetch_add(1, Ordering::AcqRel);
        self.keyed.send_replace(false);
    }

    async fn carry_out(&self, qmp: &Qmp, order: Order) {
        let result = match order {
            Order::Shutdown => self.shut_down(qmp).await,
            Order::Freeze(true) => qmp.stop().await.map_err(|e| e.to_string()),
            Order::Freeze(false) => qmp.cont().await.map_err(|e| e.to_string()),
            Order::Reset => qmp.system_reset().await.map_err(|e| e.to_string()),
            Order::Carrier(interface, up) => self.carrier(qmp, &interface, up).await,
            Order::Forward(ticket, spec, may_move) => {
                let outcome = match &self.user_interface {
                    Some(interface) => forward::add(qmp, interface, &spec, may_move).await,
                    None => crate::session::ForwardOutcome::Failed(format!(
                        "{} has no user-mode interface",
                        self.name
                    )),
                };
                self.tell(Event::ForwardDone { ticket, spec, outcome });
                Ok(())
            }
            Order::Unforward(ticket, spec) => {
                let result = match &self.user_interface {
                    Some(interface) => forward::remove(qmp, interface, &spec).await,
                    None => Ok(()),
                };
                self.tell(Event::ForwardGone { ticket, spec, result });
                Ok(())
            }
            Order::Qmp { command, arguments, reply } => {
                let response = match qmp.command(&command, arguments).await {
                    Ok(value) => Response::Qmp { value },
                    Err(e) => Response::Error { message: format!("{}: {e}", self.name), hint: None },
                };
                // The client may have gone meanwhile.
                let _ = reply.send(response);
                Ok(())
            }
        };
        if let Err(error) = result {
            self.tell(Event::EffectFailed { node: self.name.clone(), error });
        }
    }

    async fn carrier(&self, qmp: &Qmp, interface: &str, up: bool) -> Result<(), String> {
        let config = NodeConfig::of(&self.manifest, &self.name).ok_or("the manifest has no such node")?;
        let cards = match config.node.boot {
            Boot::Direct { .. } | Boot::Disk { .. } => None,
            Boot::Script { .. } => Some(qmp.human("info network").await.map_err(|e| e.to_string())?),
        };
        let nic = nic_of(&config, interface, cards.as_deref())
            .ok_or_else(|| format!("the start script gave the machine no card for {interface}"))?;
        qmp.set_link(&nic, up).await.map_err(|e| e.to_string())
    }

    async fn shut_down(&self, qmp: &Qmp) -> Result<(), String> {
        if let Some(agent) = self.agent.as_ref().filter(|a| *a.state().borrow() == AgentState::Ready) {
            let command = ExecRequest::new(["/bin/sh", "-c", "systemctl poweroff || poweroff"]);
            let asked = async {
                let (_, _, status) = agent.exec(command).await.ok()?.collect().await.ok()?;
                (status.code() == 0).then_some(())
            };
            if let Ok(Some(())) = tokio::time::timeout(AGENT_SHUTDOWN, asked).await {
                return Ok(());
            }
        }
        qmp.system_powerdown().await.map_err(|e| e.to_string())
    }
}

/// Connects to a socket that QEMU is about to make; whoever calls ends it when QEMU does.
async fn connect(path: &std::path::Path) -> UnixStream {
    let mut wait = FIRST_RETRY;
    loop {
        if let Ok(stream) = UnixStream::connect(path).await {
            return stream;
        }
        tokio::time::sleep(wait).await;
        wait = (wait * 2).min(LAST_RETRY);
    }
}

/// What a person wants to read about a machine that ended.
pub(super) fn last_lines(console: &Console, process: &Process) -> String {
    let mut screen = Screen::new(DEFAULT_ROWS, DEFAULT_COLS, 200);
    screen.feed(&console.tail(8 << 10));
    let mut out = String::new();
    for (what, lines) in
        [("QEMU said", process.last_words(LAST_LINES)), ("the console said", screen.last_lines(LAST_LINES))]
    {
        if !lines.is_empty() {
            out.push_str(what);
            out.push_str(":\n");
            for line in lines {
                out.push_str("  ");
                out.push_str(&line);
                out.push('\n');
            }
        }
    }
    out
}
