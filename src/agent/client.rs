//! The task that speaks with a guest's agent through QEMU's socket.
//!
//! ```text
//! connecting ─▶ SYNC, waiting for HELLO ─▶ ready ─▶ connection or conversation ends ─▶ connecting …
//!                                                   └ every command that runs ends with an error
//! ```
//!
//! Invariant: the task waits for no consumer. A command's output waits in its own queue, which the
//! window bounds; the window grows as the consumer takes, so a slow one slows only its own command.

use std::collections::HashMap;
use std::hash::{BuildHasher, Hasher};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio::time::{Instant, sleep, sleep_until};

use super::backdoor::{Backdoor, LARGEST_WINDOW};
use super::channel::{Channel, ChannelError, CommandId, Event, MOST_COMMANDS, STDIN_WINDOW};
use super::codec::{BadExec, Exec, ExitStatus, NONCE, Size};
use super::command::{
    CommandEnd, Control, ExecError, ExecHandle, ExecRequest, Key, Note, Output, OutputStream, StdinSink,
};

const FIRST_WAIT: Duration = Duration::from_millis(20);
const LONGEST_WAIT: Duration = Duration::from_millis(500);
/// A conversation that lasted this long was a real one: attempts begin anew with the first wait.
const LASTING: Duration = Duration::from_secs(2);
/// The question is repeated after this long, and then ever more rarely: a guest that boots may have
/// lost it.
const FIRST_ASK: Duration = Duration::from_secs(1);
const LONGEST_ASK: Duration = Duration::from_secs(15);
/// Requests are taken only while less than this waits to be written.
const WRITE_AHEAD: usize = 512 * 1024;

/// Whether commands can be started.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AgentState {
    /// Nobody answers at the socket, or the guest's agent has not answered yet.
    Waiting,
    /// The agent answers.
    Ready,
    /// The last conversation ended in an error, and a new one is tried.
    Failed(String),
}

/// The connection to one machine's agent. Clones share it; when the last of them is dropped, it ends
/// with the last command that runs.
#[derive(Debug, Clone)]
pub struct AgentClient {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    requests: mpsc::Sender<Request>,
    notes: mpsc::UnboundedSender<Note>,
    state: watch::Receiver<AgentState>,
}

impl Drop for Inner {
    fn drop(&mut self) {
        let _ = self.notes.send(Note::Orphaned);
    }
}

impl AgentClient {
    /// Connects to QEMU's socket at `path` as soon as there is one, and again whenever it ends. Must
    /// be called within a tokio runtime.
    pub fn connect(path: &Path) -> Self {
        Self::with(path, Door::Agent)
    }

    /// As [`AgentClient::connect`], to the back door of a machine of NixOS's tests.
    pub fn connect_backdoor(path: &Path) -> Self {
        Self::with(path, Door::Shell)
    }

    fn with(path: &Path, door: Door) -> Self {
        let (requests, inbox) = mpsc::channel(16);
        let (notes, noted) = mpsc::unbounded_channel();
        let (tell, state) = watch::channel(AgentState::Waiting);
        let path = path.to_owned();
        let task = Task { path, door, inbox, noted, notes: notes.downgrade(), tell, orphaned: false };
        tokio::spawn(task.run());
        Self { inner: Arc::new(Inner { requests, notes, state }) }
    }

    /// The state now and whenever it changes.
    pub fn state(&self) -> watch::Receiver<AgentState> {
        self.inner.state.clone()
    }

    /// Begins a new conversation: the guest's agent was started anew. Commands that run end with an
    /// error.
    pub fn resync(&self) {
        let _ = self.inner.notes.send(Note::Resync);
    }

    /// Starts a command as soon as the agent is ready; the caller bounds the wait. That the command
    /// could not be started is told by [`ExecHandle::wait`].
    pub async fn exec(&self, request: ExecRequest) -> Result<ExecHandle, ExecError> {
        let ExecRequest { argv, env, pty, window } = request;
        let exec = Exec { argv, env, pty, window: window.max(1) };
        exec.payload()?;
        let (reply, answer) = oneshot::channel();
        self.inner.requests.send(Request { exec, reply }).await.map_err(|_| ExecError::Closed)?;
        answer.await.map_err(|_| ExecError::Closed)?
    }
}

#[derive(Debug)]
struct Request {
    exec: Exec,
    reply: oneshot::Sender<Result<ExecHandle, ExecError>>,
}

/// The task's end of a command.
#[derive(Debug)]
struct Running {
    /// Gone when nobody takes the output any more.
    output: mpsc::UnboundedSender<Output>,
    end: oneshot::Sender<Result<ExitStatus, ExecError>>,
    room: Arc<Semaphore>,
}

/// Who listens at the machine's end.
#[derive(Debug, Clone, Copy)]
enum Door {
    /// The bundled agent.
    Agent,
    /// A root shell on a console.
    Shell,
}

struct Task {
    path: PathBuf,
    door: Door,
    inbox: mpsc::Receiver<Request>,
    noted: mpsc::UnboundedReceiver<Note>,
    notes: mpsc::WeakUnboundedSender<Note>,
    tell: watch::Sender<AgentState>,
    /// Whether no client is left that could start a command.
    orphaned: bool,
}

/// Why a conversation ended.
enum End {
    /// Every client was dropped, and no command runs.
    Dropped,
    /// A new one was asked for.
    Again,
    /// The connection or the guest failed.
    Error(String),
}

impl Task {
    async fn run(mut self) {
        let mut wait = FIRST_WAIT;
        for conversation in 0.. {
            if let Ok(socket) = UnixStream::connect(&self.path).await {
                let begin = Instant::now();
                match Conversation::new(conversation, self.talk()).hold(socket, &mut self).await {
                    End::Dropped => return,
                    End::Again => {
                        wait = FIRST_WAIT;
                        self.tell(AgentState::Waiting);
                    }
                    End::Error(why) => self.tell(AgentState::Failed(why)),
                }
                if begin.elapsed() >= LASTING {
                    wait = FIRST_WAIT;
                }
            }
            tokio::select! {
                () = sleep(wait) => {}
                () = self.orphaned() => return,
            }
            wait = (wait * 2).min(LONGEST_WAIT);
        }
    }

    fn talk(&self) -> Talk {
        match self.door {
            Door::Agent => Talk::Agent(Channel::new(nonce())),
            Door::Shell => Talk::Backdoor(Box::new(Backdoor::new(token(&self.path), nonce()))),
        }
    }

    /// Waits until no client is left. Notes of commands that ended are passed over.
    async fn orphaned(&mut self) {
        while !self.orphaned {
            self.orphaned = matches!(self.noted.recv().await, None | Some(Note::Orphaned));
        }
    }

    fn tell(&self, state: AgentState) {
        self.tell.send_if_modified(|old| {
            let changed = *old != state;
            *old = state;
            changed
        });
    }
}

/// One conversation over one connection.
struct Conversation {
    number: u64,
    channel: Talk,
    running: HashMap<CommandId, Running>,
    events: Vec<Event>,
    /// Bytes to write.
    out: Vec<u8>,
}

impl Conversation {
    fn new(number: u64, channel: Talk) -> Self {
        Self { number, channel, running: HashMap::new(), events: Vec::new(), out: Vec::new() }
    }

    /// Speaks until the end, and ends every command with it.
    async fn hold(mut self, socket: UnixStream, task: &mut Task) -> End {
        let end = match self.speak(socket, task).await {
            Ok(end) => end,
            Err(error) => End::Error(error.to_string()),
        };
        let why = match &end {
            End::Dropped => "it was closed",
            End::Again => "the agent in the machine was started anew",
            End::Error(why) => why,
        };
        for (_, running) in self.running.drain() {
            running.room.close();
            // Who waited may have gone.
            let _ = running.end.send(Err(ExecError::Lost(why.to_owned())));
        }
        end
    }

    async fn speak(&mut self, socket: UnixStream, task: &mut Task) -> io::Result<End> {
        let (mut reader, mut writer) = socket.into_split();
        let mut buffer = vec![0; 64 * 1024];
        let mut written = 0;
        let mut ask = FIRST_ASK;
        self.channel.sync(&mut self.out);
        let mut ask_at = Instant::now() + ask;
        while !(task.orphaned && self.running.is_empty()) {
            let waiting = self.out.len() - written;
            tokio::select! {
                // What handles ask comes first: a new conversation is begun before another command.
                biased;
                note = task.noted.recv() => match note {
                    // Not even a command's handle is left.
                    None => return Ok(End::Dropped),
                    Some(Note::Orphaned) => task.orphaned = true,
                    Some(Note::Resync) => return Ok(End::Again),
                    Some(note) => {
                        self.note(note);
                        self.act(task);
                    }
                },
                count = writer.write(&self.out[written..]), if waiting > 0 => {
                    written += count?;
                    if written == self.out.len() || written > WRITE_AHEAD {
                        self.out.drain(..written);
                        written = 0;
                    }
                }
                count = reader.read(&mut buffer) => {
                    let count = count?;
                    if count == 0 {
                        return Ok(End::Error("QEMU closed the connection: the machine has stopped".to_owned()));
                    }
                    self.hear(&buffer[..count], task).map_err(io::Error::other)?;
                }
                Some(request) = task.inbox.recv(), if self.channel.is_ready() && waiting < WRITE_AHEAD => {
                    self.start(request, task);
                }
                () = sleep_until(ask_at), if !self.channel.is_ready() => {
                    if waiting == 0 {
                        self.channel.sync(&mut self.out);
                    }
                    ask = (ask * 2).min(LONGEST_ASK);
                    ask_at = Instant::now() + ask;
                }
            }
        }
        Ok(End::Dropped)
    }

    fn hear(&mut self, bytes: &[u8], task: &Task) -> Result<(), ChannelError> {
        let outcome = self.channel.receive(bytes, &mut self.events, &mut self.out);
        self.act(task);
        outcome
    }

    /// Acts on what the guest's words amount to.
    fn act(&mut self, task: &Task) {
        for event in self.events.drain(..) {
            match event {
                Event::Ready => task.tell(AgentState::Ready),
                Event::Output(id, stream, bytes) => {
                    let Some(running) = self.running.get(&id) else { continue };
                    let count = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                    if running.output.send(Output { stream, bytes }).is_err() {
                        // Nobody wants it; the command shall not wait for somebody.
                        self.channel.grant(id, count, &mut self.out);
                    }
                }
                Event::Taken(id, count) => {
                    if let Some(running) = self.running.get(&id) {
                        running.room.add_permits(count as usize);
                    }
                }
                Event::Exited(id, status) => finish(self.running.remove(&id), Ok(status)),
                Event::Failed(id, why) => finish(self.running.remove(&id), Err(ExecError::Start(why))),
            }
        }
    }

    fn start(&mut self, Request { mut exec, reply }: Request, task: &Task) {
        if matches!(self.channel, Talk::Backdoor(_)) {
            exec.window = exec.window.min(LARGEST_WINDOW);
        }
        let started = if self.channel.running() >= MOST_COMMANDS {
            Err(ExecError::TooMany)
        } else {
            self.channel.exec(&exec, &mut self.out).map_err(ExecError::from)
        };
        let handle = started.and_then(|id| {
            // The clients hold the channel that this is a reference to.
            let notes = task.notes.upgrade().ok_or(ExecError::Closed)?;
            Ok(self.handle(id, exec.window, notes))
        });
        // If who asked has gone meanwhile, the handle is dropped here and hangs up on the command.
        let _ = reply.send(handle);
    }

    fn handle(&mut self, id: CommandId, window: u32, notes: mpsc::UnboundedSender<Note>) -> ExecHandle {
        let key = Key { conversation: self.number, id };
        let room = Arc::new(Semaphore::new(STDIN_WINDOW as usize));
        let (output, queue) = mpsc::unbounded_channel();
        let (tell, told) = oneshot::channel();
        self.running.insert(id, Running { output, end: tell, room: Arc::clone(&room) });
        let grant_at = (window / 4).max(1);
        ExecHandle {
            stdin: StdinSink { key, notes: notes.clone(), room },
            output: OutputStream { key, notes: notes.clone(), queue, taken: 0, grant_at },
            control: Control { key, notes: notes.clone() },
            end: CommandEnd { key, notes, told, known: false },
        }
    }

    /// Does what a handle asks; handles of earlier conversations ask in vain.
    fn note(&mut self, note: Note) {
        let mine = |key: Key| key.conversation == self.number;
        let out = &mut self.out;
        match note {
            Note::Input(key, bytes) if mine(key) => {
                let sent = self.channel.input(key.id, &bytes, out);
                debug_assert_eq!(sent, bytes.len(), "the semaphore holds as much as the channel takes");
            }
            Note::EndInput(key) if mine(key) => self.channel.end_input(key.id, out),
            Note::Taken(key, count) if mine(key) => self.channel.grant(key.id, count, out),
            Note::Signal(key, signal) if mine(key) => {
                self.channel.signal(key.id, signal, &mut self.events, out);
            }
            Note::Resize(key, size) if mine(key) => self.channel.resize(key.id, size, out),
            _ => {}
        }
    }
}

fn finish(running: Option<Running>, end: Result<ExitStatus, ExecError>) {
    if let Some(running) = running {
        running.room.close();
        // Who waited may have gone.
        let _ = running.end.send(end);
    }
}

/// The conversation's rules, which depend on who listens.
#[derive(Debug)]
enum Talk {
    Agent(Channel),
    Backdoor(Box<Backdoor>),
}

impl Talk {
    fn sync(&self, out: &mut Vec<u8>) {
        match self {
            Self::Agent(channel) => channel.sync(out),
            Self::Backdoor(door) => door.sync(out),
        }
    }

    fn is_ready(&self) -> bool {
        match self {
            Self::Agent(channel) => channel.is_ready(),
            Self::Backdoor(door) => door.is_ready(),
        }
    }

    fn running(&self) -> usize {
        match self {
            Self::Agent(channel) => channel.running(),
            Self::Backdoor(door) => door.running(),
        }
    }

    fn receive(
        &mut self,
        bytes: &[u8],
        events: &mut Vec<Event>,
        out: &mut Vec<u8>,
    ) -> Result<(), ChannelError> {
        match self {
            Self::Agent(channel) => channel.receive(bytes, events),
            Self::Backdoor(door) => door.receive(bytes, events, out),
        }
    }

    fn exec(&mut self, exec: &Exec, out: &mut Vec<u8>) -> Result<CommandId, BadExec> {
        match self {
            Self::Agent(channel) => channel.exec(exec, out),
            Self::Backdoor(door) => door.exec(exec, out),
        }
    }

    fn input(&mut self, id: CommandId, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        match self {
            Self::Agent(channel) => channel.input(id, bytes, out),
            Self::Backdoor(door) => door.input(id, bytes, out),
        }
    }

    fn end_input(&mut self, id: CommandId, out: &mut Vec<u8>) {
        match self {
            Self::Agent(channel) => channel.end_input(id, out),
            Self::Backdoor(door) => door.end_input(id, out),
        }
    }

    fn grant(&mut self, id: CommandId, more: u32, out: &mut Vec<u8>) {
        match self {
            Self::Agent(channel) => channel.grant(id, more, out),
            Self::Backdoor(door) => door.grant(id, more, out),
        }
    }

    fn signal(&mut self, id: CommandId, signal: u8, events: &mut Vec<Event>, out: &mut Vec<u8>) {
        match self {
            Self::Agent(channel) => channel.signal(id, signal, out),
            Self::Backdoor(door) => door.signal(id, signal, events, out),
        }
    }

    fn resize(&self, id: CommandId, size: Size, out: &mut Vec<u8>) {
        match self {
            Self::Agent(channel) => channel.resize(id, size, out),
            Self::Backdoor(door) => door.resize(id, size, out),
        }
    }
}

/// What an agent behind a console knows its hosts by: the same for everybody who connects to this
/// socket, and another as soon as the machine is started anew.
fn token(path: &Path) -> String {
    use std::fmt::Write as _;
    use std::os::unix::fs::MetadataExt;

    let mut token = "diorama".to_owned();
    // A socket that has gone meanwhile ends the conversation by itself.
    if let Ok(m) = path.metadata() {
        let _ = write!(token, "{:x}x{:x}x{:x}x{:x}", m.dev(), m.ino(), m.ctime(), m.ctime_nsec());
    }
    token
}

/// A fresh nonce; it only has to differ from what the guest's buffers may hold.
fn nonce() -> [u8; NONCE] {
    let mut nonce = [0; NONCE];
    for half in nonce.chunks_mut(8) {
        let random = std::collections::hash_map::RandomState::new().build_hasher().finish();
        half.copy_from_slice(&random.to_be_bytes());
    }
    nonce
}

#[cfg(test)]
#[path = "client_tests.rs"]
mod tests;
