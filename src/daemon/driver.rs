//! The one task that owns the session: takes in messages, steps, carries out effects, publishes.

mod effects;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::net::UnixListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::{Notify, mpsc, oneshot, watch};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::connection::Shared;
use super::console::Console;
use super::load::Meter;
use super::machine::{Machine, Order, Origin};
use super::network::Network;
use super::{Context, adopt, log, now, prepare, runner, saving, server};
use crate::agent::AgentClient;
use crate::error::{Error, Result};
use crate::lock::Lock;
use crate::model::Manifest;
use crate::proto::{Action, NodeState, Phase, Response, ServerMessage, View};
use crate::qemu::process::Process;
use crate::session::{self, Event, State, Ticket};
use crate::switch::SwitchEvent;

/// The shortest time between two views.
const VIEW_PAUSE: Duration = Duration::from_millis(100);
/// How often the counters are looked at while somebody watches.
const TRAFFIC: Duration = Duration::from_secs(1);
/// How long clients have to hear the end.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// How long a session that failed waits for the first client to hear of it.
const FIRST_LISTENER: Duration = Duration::from_secs(3);
/// How long the processes that evaluate and build may take to end.
const CANCELLED: Duration = Duration::from_secs(10);
/// Seconds the guests have when the daemon itself is told to end.
const SIGNAL_TIMEOUT: u32 = 30;
/// What readers of a console find after a take-over.
const PRELOAD: u64 = 1 << 20;

/// The way to the driver. Its users are few and slow, or wait for their answers.
pub(super) type Events = mpsc::UnboundedSender<Msg>;

/// A message to the driver.
#[derive(Debug)]
pub(super) enum Msg {
    /// Something happened.
    Event(Event),
    /// A client wants something.
    Ask(Ask, oneshot::Sender<Response>),
    /// A client wants a console.
    Console(String, oneshot::Sender<Result<Arc<Console>, Response>>),
    /// A client wants what a machine's QEMU tells of itself.
    QmpEvents(String, oneshot::Sender<Result<Arc<Console>, Response>>),
    /// A client wants a root shell.
    Agent(String, oneshot::Sender<Result<RootShell, Response>>),
    /// A client came or went.
    Attached(bool),
    /// A client watches from now on.
    Subscribed,
}

/// A machine's root shell.
#[derive(Debug)]
pub(super) struct RootShell {
    /// The way to it.
    pub agent: AgentClient,
    /// Whether the machine has its keys, which commands may rely on.
    pub keyed: watch::Receiver<bool>,
    /// How the machine is.
    pub state: NodeState,
}

/// What a client wants.
#[derive(Debug)]
pub(super) enum Ask {
    /// The view.
    View,
    /// Something done.
    Act(Action),
    /// The end.
    Down {
        /// At once.
        power: bool,
        /// Seconds the guests have.
        timeout: u32,
    },
    /// Whether a machine runs.
    Runs(String),
    /// The manifest.
    Manifest,
    /// The test script run, as far as names have these words in them.
    TestRun(Vec<String>),
    /// The test script stopped.
    TestStop,
    /// A command for a machine's QEMU.
    Qmp {
        /// The machine.
        node: String,
        /// The command.
        command: String,
        /// Its arguments.
        arguments: serde_json::Value,
    },
}

/// The driver.
pub(super) struct Driver {
    context: Arc<Context>,
    lock: Lock,
    listener: Option<UnixListener>,
    state: State,
    manifest: Arc<Manifest>,
    network: Network,
    switch_events: mpsc::UnboundedReceiver<SwitchEvent>,
    machines: BTreeMap<String, Machine>,
    consoles: BTreeMap<String, Arc<Console>>,
    /// What every machine's QEMU told of itself, kept as consoles are.
    qmp_events: BTreeMap<String, Arc<Console>>,
    adopted: BTreeMap<String, Process>,
    fresh: std::collections::BTreeSet<String>,
    tickets: HashMap<Ticket, oneshot::Sender<Response>>,
    next_ticket: u64,
    events: Events,
    inbox: mpsc::UnboundedReceiver<Msg>,
    activity: Arc<Notify>,
    views: watch::Sender<Bytes>,
    /// The program that runs the test script, the last that was started.
    runner: Option<runner::Runner>,
    cancel: CancellationToken,
    meter: Meter,
    save: bool,
    finished: Option<String>,
    clients: u32,
    /// Whether anybody has ever watched.
    heard: bool,
}

impl Driver {
    /// A new session that has still to be prepared.
    pub fn new_session(context: Context, lock: Lock) -> Result<Self> {
        let model = context.options.source.path().display().to_string();
        let mut state = State::new(&context.options.session, &model, now());
        state.hold = context.options.hold;
        let mut driver = Self::build(context, lock, state)?;
        driver.write_session_file()?;
        Ok(driver)
    }

    /// A session whose machines run already.
    pub fn taken_over(
        context: Context,
        lock: Lock,
        state: State,
        processes: BTreeMap<String, Process>,
    ) -> Result<Self> {
        let mut driver = Self::build(context, lock, state)?;
        driver.adopted = processes;
        Ok(driver)
    }

    fn build(context: Context, lock: Lock, state: State) -> Result<Self> {
        let listener = server::listen(&context.files)?;
        let (events, inbox) = mpsc::unbounded_channel();
        let (switch_sender, switch_events) = mpsc::unbounded_channel();
        Ok(Self {
            network: Network::start(switch_sender)?,
            context: Arc::new(context),
            lock,
            listener: Some(listener),
            manifest: Arc::new(state.manifest.clone().unwrap_or_else(empty_manifest)),
            state,
            switch_events,
            machines: BTreeMap::new(),
            consoles: BTreeMap::new(),
            qmp_events: BTreeMap::new(),
            adopted: BTreeMap::new(),
            fresh: std::collections::BTreeSet::new(),
            tickets: HashMap::new(),
            next_ticket: 1,
            events,
            inbox,
            activity: Arc::default(),
            views: watch::Sender::new(Bytes::new()),
            runner: None,
            cancel: CancellationToken::new(),
            meter: Meter::new(),
            save: false,
            finished: None,
            clients: 0,
            heard: false,
        })
    }

    /// Serves until the session ends, and removes everything.
    pub async fn run(mut self) -> Result<()> {
        let (alive, mut all_gone) = mpsc::channel::<()>(1);
        let (goodbye, goodbyes) = watch::channel(None);
        let shared = Shared {
            session: self.state.name.clone(),
            events: self.events.clone(),
            views: self.views.subscribe(),
            goodbye: goodbyes,
            alive,
        };
        let listener = self.listener.take().ok_or_else(|| Error::new("the daemon runs already"))?;
        let server = tokio::spawn(server::serve(listener, shared));
        self.begin();
        self.serve().await?;
        if !self.heard {
            self.wait_for_a_listener().await;
        }
        let reason = self.finished.take().unwrap_or_default();
        log::line(&format!("the session ends: {reason}"));
        self.publish();
        goodbye.send_replace(Some(reason));
        server.abort();
        let _ = server.await;
        let _ = tokio::time::timeout(LAST_WORDS, all_gone.recv()).await;
        self.network.shutdown();
        adopt::remove(&self.context.files, self.lock)
    }

    fn begin(&mut self) {
        if self.state.manifest.is_none() {
            let work = prepare::run(self.context.clone(), self.events.clone(), self.cancel.clone());
            let events = self.events.clone();
            tokio::spawn(async move {
                // A panic in it is an end too.
                let _ = tokio::spawn(work).await;
                let _ = events.send(Msg::Event(Event::PreparingEnded));
            });
            return;
        }
        log::line("taking over");
        self.step(Event::UsualBoots(saving::read_boots(&self.boots_file())));
        self.set_up_network();
        let names: Vec<String> = self.state.machines.keys().cloned().collect();
        for name in names {
            let console = self.console(&name);
            let paths = self.context.paths.node(&self.state.name, &name);
            console.preload(&adopt::log_tail(&paths.console_log(), PRELOAD));
            match self.adopted.remove(&name) {
                Some(process) => self.start_machine(&name, Origin::Adopt(process)),
                None if self.state.machines.get(&name).is_some_and(session::Machine::runs) => {
                    let exit = session::Exit {
                        status: crate::qemu::process::last_exit(&paths)
                            .and_then(crate::qemu::process::Exit::status)
                            .map(i32::from),
                        reason: None,
                        last_lines: "it ended while no daemon was there\n".into(),
                    };
                    self.step(Event::Exited { node: name, exit });
                }
                None => {}
            }
        }
        if self.state.phase == Phase::Stopping {
            self.step(Event::Down { ticket: None, power: false, timeout: SIGNAL_TIMEOUT });
        }
    }

    async fn serve(&mut self) -> Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        let mut hangup = signal(SignalKind::hangup())?;
        let mut traffic = tokio::time::interval(TRAFFIC);
        let mut dirty = true;
        let mut last_view = Instant::now();
        while self.finished.is_none() {
            let watched = self.views.receiver_count() > 1;
            tokio::select! {
                Some(msg) = self.inbox.recv() => {
                    self.take(msg);
                    dirty = true;
                }
                Some(event) = self.switch_events.recv() => {
                    if let Some(event) = self.network.event(event) {
                        self.step(event);
                    }
                    dirty = true;
                }
                () = self.activity.notified(), if !dirty => dirty = true,
                () = tokio::time::sleep_until(last_view + VIEW_PAUSE), if dirty => {
                    dirty = false;
                    last_view = Instant::now();
                    self.publish();
                }
                _ = traffic.tick(), if watched => dirty = true,
                _ = terminate.recv() => self.told_to_end(),
                _ = interrupt.recv() => self.told_to_end(),
                _ = hangup.recv() => {}
            }
            if std::mem::take(&mut self.save)
                && self.finished.is_none()
                && let Err(e) = self.write_session_file()
            {
                log::line(&format!("the session file: {e}"));
            }
        }
        Ok(())
    }

    /// A start may fail before whoever ordered it has connected; it is to hear why.
    async fn wait_for_a_listener(&mut self) {
        let deadline = Instant::now() + FIRST_LISTENER;
        while !self.heard {
            match tokio::time::timeout_at(deadline, self.inbox.recv()).await {
                Ok(Some(msg)) => self.take(msg),
                Ok(None) | Err(_) => return,
            }
        }
        while let Ok(Some(msg)) = tokio::time::timeout(VIEW_PAUSE, self.inbox.recv()).await {
            self.take(msg);
        }
    }

    fn told_to_end(&mut self) {
        let again = self.state.phase == Phase::Stopping;
        self.step(Event::Down { ticket: None, power: again, timeout: SIGNAL_TIMEOUT });
    }

    fn take(&mut self, msg: Msg) {
        match msg {
            Msg::Event(event) => {
                let built = matches!(event, Event::Evaluated { .. });
                self.step(event);
                if built {
                    let usual = saving::read_boots(&self.boots_file());
                    self.step(Event::UsualBoots(usual));
                    self.manifest = Arc::new(self.state.manifest.clone().unwrap_or_else(empty_manifest));
                }
            }
            Msg::Ask(ask, reply) => self.ask(ask, reply),
            Msg::Console(node, reply) => {
                let found = match self.state.machines.contains_key(&node) {
                    true => Ok(self.console(&node)),
                    false => Err(self.unknown(&node)),
                };
                let _ = reply.send(found);
            }
            Msg::QmpEvents(node, reply) => {
                let found = match self.state.machines.contains_key(&node) {
                    true => Ok(self.qmp_events(&node)),
                    false => Err(self.unknown(&node)),
                };
                let _ = reply.send(found);
            }
            Msg::Agent(node, reply) => {
                let _ = reply.send(self.agent(&node));
            }
            Msg::Attached(came) => {
                self.clients = if came { self.clients + 1 } else { self.clients.saturating_sub(1) };
                self.step(Event::Clients(self.clients));
            }
            Msg::Subscribed => self.heard = true,
        }
    }

    fn ask(&mut self, ask: Ask, reply: oneshot::Sender<Response>) {
        let ticket = Ticket(self.next_ticket);
        let event = match ask {
            Ask::View => {
                let view = Box::new(self.view());
                let _ = reply.send(Response::View { view });
                return;
            }
            Ask::Runs(node) => {
                let _ = reply.send(match self.agent(&node) {
                    Ok(_) => Response::Ok { message: String::new() },
                    Err(refused) => refused,
                });
                return;
            }
            Ask::Manifest => {
                let _ = reply.send(match &self.state.manifest {
                    Some(manifest) => Response::Manifest { manifest: Box::new(manifest.clone()) },
                    None => Response::Error {
                        message: "the model has not been evaluated yet".into(),
                        hint: Some("diorama ls shows how far it is".into()),
                    },
                });
                return;
            }
            Ask::Qmp { node, command, arguments } => {
                match self.state.machines.get(&node) {
                    Some(m) if m.runs() => self.order(&node, Order::Qmp { command, arguments, reply }),
                    Some(_) => {
                        let message = format!("{node} is not running");
                        let hint = Some(format!("diorama node start {node}"));
                        let _ = reply.send(Response::Error { message, hint });
                    }
                    None => drop(reply.send(self.unknown(&node))),
                }
                return;
            }
            Ask::Act(action) => Event::Act { ticket, action },
            Ask::TestRun(patterns) => Event::TestRun { ticket, patterns },
            Ask::TestStop => Event::TestStop { ticket },
            Ask::Down { power, timeout } => Event::Down { ticket: Some(ticket), power, timeout },
        };
        self.next_ticket += 1;
        self.tickets.insert(ticket, reply);
        self.step(event);
    }

    fn agent(&self, node: &str) -> Result<RootShell, Response> {
        let refuse = |message: String, hint: String| Response::Error { message, hint: Some(hint) };
        let Some(m) = self.state.machines.get(node) else { return Err(self.unknown(node)) };
        match m.state {
            NodeState::Booting | NodeState::Up | NodeState::Stopping => {}
            NodeState::Paused => {
                return Err(refuse(format!("{node} is paused"), format!("diorama node resume {node}")));
            }
            _ if m.launching => {}
            _ => {
                return Err(refuse(format!("{node} is not running"), format!("diorama node start {node}")));
            }
        }
        match self.machines.get(node).and_then(|m| Some((m.agent.clone()?, m.keyed.clone()))) {
            Some((agent, keyed)) => Ok(RootShell { agent, keyed, state: m.state }),
            None => Err(refuse(
                format!("{node} has no agent to run commands"),
                format!("diorama console {node} is its serial console"),
            )),
        }
    }

    fn unknown(&self, node: &str) -> Response {
        self.state.unknown_node(node)
    }

    /// Takes an event in and carries out what follows.
    fn step(&mut self, event: Event) {
        for effect in session::step(&mut self.state, now(), event) {
            self.carry_out(effect);
        }
    }

    fn console(&mut self, node: &str) -> Arc<Console> {
        let activity = self.activity.clone();
        self.consoles.entry(node.to_owned()).or_insert_with(|| Arc::new(Console::new(activity))).clone()
    }

    fn qmp_events(&mut self, node: &str) -> Arc<Console> {
        // They are no activity that a screen would show.
        self.qmp_events
            .entry(node.to_owned())
            .or_insert_with(|| Arc::new(Console::new(Arc::default())))
            .clone()
    }

    fn view(&mut self) -> View {
        let counted: Vec<(String, u64)> =
            self.consoles.iter().map(|(n, c)| (n.clone(), c.count())).filter(|(_, n)| *n > 0).collect();
        for (node, bytes) in counted {
            self.step(Event::Printed { node, bytes });
        }
        let running: Vec<(String, u32)> =
            self.state.machines.iter().filter_map(|(n, m)| Some((n.clone(), m.pid?))).collect();
        let mut traffic = self.network.traffic();
        traffic.loads.clone_from(self.meter.read(&running));
        session::view(&self.state, now(), &traffic)
    }

    fn publish(&mut self) {
        let view = Box::new(self.view());
        match serde_json::to_vec(&ServerMessage::View { view }) {
            Ok(body) => drop(self.views.send_replace(body.into())),
            Err(e) => log::line(&format!("the view: {e}")),
        }
    }

    fn write_session_file(&mut self) -> Result<()> {
        let file = saving::SessionFile { options: self.context.options.clone(), saved: self.state.save() };
        saving::write(&self.context.files.saved(), &file)
    }
}

fn empty_manifest() -> Manifest {
    Manifest {
        version: crate::model::MANIFEST_VERSION,
        network: crate::model::Network {
            name: String::new(),
            description: None,
            system: crate::model::GuestSystem::default(),
        },
        vlans: BTreeMap::new(),
        nodes: BTreeMap::new(),
        test_script: None,
    }
}
