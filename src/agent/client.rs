//! The task that speaks with a guest's agent through QEMU's socket, and the handles of its commands.
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

use super::channel::{Channel, ChannelError, CommandId, Event, MOST_COMMANDS, STDIN_WINDOW};
use super::codec::{BadExec, Exec, ExitStatus, LARGEST_PAYLOAD, NONCE, Size, Stream};

/// The window that [`ExecRequest::new`] gives a command.
pub const DEFAULT_WINDOW: u32 = 256 * 1024;
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

/// A command to run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExecRequest {
    /// Program and arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment entries on top of the agent's own, names and values.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// A terminal of this size, or none.
    pub pty: Option<Size>,
    /// Bytes of output that may wait for a consumer.
    pub window: u32,
}

impl ExecRequest {
    /// A command without a terminal.
    pub fn new<A: Into<Vec<u8>>>(argv: impl IntoIterator<Item = A>) -> Self {
        let argv = argv.into_iter().map(Into::into).collect();
        Self { argv, env: Vec::new(), pty: None, window: DEFAULT_WINDOW }
    }
}

/// Why a command did not run to its end.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExecError {
    /// The request cannot be sent.
    #[error(transparent)]
    Request(#[from] BadExec),
    /// Too many at once.
    #[error("{MOST_COMMANDS} commands run in this machine already; wait for one to end")]
    TooMany,
    /// The guest could not start it.
    #[error("the command could not be started: {0}")]
    Start(String),
    /// The connection ended while it ran.
    #[error("the connection to the machine's agent ended while the command ran: {0}")]
    Lost(String),
    /// The client is being dropped.
    #[error("the session is closing its connection to the machine's agent")]
    Closed,
}

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

/// A piece of a command's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where it was written.
    pub stream: Stream,
    /// What was written.
    pub bytes: Vec<u8>,
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
        let (requests, inbox) = mpsc::channel(16);
        let (notes, noted) = mpsc::unbounded_channel();
        let (tell, state) = watch::channel(AgentState::Waiting);
        let task =
            Task { path: path.to_owned(), inbox, noted, notes: notes.downgrade(), tell, orphaned: false };
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

/// A command that runs.
#[derive(Debug)]
pub struct ExecHandle {
    /// Its input.
    pub stdin: StdinSink,
    /// What it writes.
    pub output: OutputStream,
    /// Signals and sizes.
    pub control: Control,
    end: oneshot::Receiver<Result<ExitStatus, ExecError>>,
}

impl ExecHandle {
    /// Waits for the end of the command. Its output must be taken meanwhile, or [`ExecHandle::output`]
    /// dropped, lest the command wait for ever to be rid of it.
    pub async fn wait(&mut self) -> Result<ExitStatus, ExecError> {
        (&mut self.end).await.unwrap_or(Err(ExecError::Closed))
    }

    /// Takes the handle apart, for streams that are served by different tasks.
    pub fn split(
        self,
    ) -> (
        StdinSink,
        OutputStream,
        Control,
        impl Future<Output = Result<ExitStatus, ExecError>> + Send + 'static,
    ) {
        let end = self.end;
        (self.stdin, self.output, self.control, async move { end.await.unwrap_or(Err(ExecError::Closed)) })
    }

    /// Ends the input, takes all output and waits: standard output, standard error, the status.
    pub async fn collect(mut self) -> Result<(Vec<u8>, Vec<u8>, ExitStatus), ExecError> {
        self.stdin.end();
        let (mut stdout, mut stderr) = (Vec::new(), Vec::new());
        while let Some(Output { stream, bytes }) = self.output.next().await {
            match stream {
                Stream::Stdout => stdout.extend(bytes),
                Stream::Stderr => stderr.extend(bytes),
            }
        }
        Ok((stdout, stderr, self.wait().await?))
    }
}

/// A command's input. Dropping it ends the input.
#[derive(Debug)]
pub struct StdinSink {
    key: Key,
    notes: mpsc::UnboundedSender<Note>,
    room: Arc<Semaphore>,
}

impl StdinSink {
    /// Sends bytes, waiting while 256 KiB have not been taken by the command.
    ///
    /// # Errors
    /// `BrokenPipe` once the command has ended.
    pub async fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        for chunk in bytes.chunks(LARGEST_PAYLOAD / 2) {
            // A chunk is at most 32 KiB.
            let room = self.room.acquire_many(chunk.len() as u32).await;
            room.map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?.forget();
            let note = Note::Input(self.key, chunk.to_vec());
            self.notes.send(note).map_err(|_| io::Error::from(io::ErrorKind::BrokenPipe))?;
        }
        Ok(())
    }

    /// Ends the input: the command reads end of file.
    pub fn end(&mut self) {
        let _ = self.notes.send(Note::EndInput(self.key));
    }
}

impl Drop for StdinSink {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a command writes, in the order the guest sent it. Dropping it discards the rest.
#[derive(Debug)]
pub struct OutputStream {
    key: Key,
    notes: mpsc::UnboundedSender<Note>,
    queue: mpsc::UnboundedReceiver<Output>,
    taken: u32,
    grant_at: u32,
}

impl OutputStream {
    /// The next piece, or `None` after the last. Safe to cancel.
    pub async fn next(&mut self) -> Option<Output> {
        let output = self.queue.recv().await?;
        self.taken = self.taken.saturating_add(u32::try_from(output.bytes.len()).unwrap_or(u32::MAX));
        if self.taken >= self.grant_at {
            let _ = self.notes.send(Note::Taken(self.key, std::mem::take(&mut self.taken)));
        }
        Some(output)
    }
}

impl Drop for OutputStream {
    fn drop(&mut self) {
        // The command shall not wait for room that nobody makes any more.
        self.queue.close();
        let mut left = self.taken;
        while let Ok(output) = self.queue.try_recv() {
            left = left.saturating_add(u32::try_from(output.bytes.len()).unwrap_or(u32::MAX));
        }
        if left > 0 {
            let _ = self.notes.send(Note::Taken(self.key, left));
        }
    }
}

/// Signals and sizes for a command.
#[derive(Debug, Clone)]
pub struct Control {
    key: Key,
    notes: mpsc::UnboundedSender<Note>,
}

impl Control {
    /// Sends a signal to the command's process group; to one that has ended, nothing happens.
    pub fn signal(&self, signal: u8) {
        let _ = self.notes.send(Note::Signal(self.key, signal));
    }

    /// Tells the command its terminal's new size.
    pub fn resize(&self, size: Size) {
        let _ = self.notes.send(Note::Resize(self.key, size));
    }
}

/// A command's number in a conversation's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Key {
    conversation: u64,
    id: CommandId,
}

#[derive(Debug)]
struct Request {
    exec: Exec,
    reply: oneshot::Sender<Result<ExecHandle, ExecError>>,
}

/// What the handles tell the task. Input is bounded by its semaphore, the rest by its makers.
#[derive(Debug)]
enum Note {
    Input(Key, Vec<u8>),
    EndInput(Key),
    Taken(Key, u32),
    Signal(Key, u8),
    Resize(Key, Size),
    Resync,
    /// The last client was dropped.
    Orphaned,
}

/// The task's end of a command.
#[derive(Debug)]
struct Running {
    /// Gone when nobody takes the output any more.
    output: mpsc::UnboundedSender<Output>,
    end: oneshot::Sender<Result<ExitStatus, ExecError>>,
    room: Arc<Semaphore>,
}

struct Task {
    path: PathBuf,
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
                match Conversation::new(conversation).hold(socket, &mut self).await {
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
    channel: Channel,
    running: HashMap<CommandId, Running>,
    events: Vec<Event>,
    /// Bytes to write.
    out: Vec<u8>,
}

impl Conversation {
    fn new(number: u64) -> Self {
        let channel = Channel::new(nonce());
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
                    Some(note) => self.note(note),
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
        let outcome = self.channel.receive(bytes, &mut self.events);
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
        outcome
    }

    fn start(&mut self, Request { exec, reply }: Request, task: &Task) {
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
        if let Err(Ok(handle)) = reply.send(handle) {
            // Who asked has gone meanwhile: the command ends as a terminal's would.
            handle.control.signal(1);
        }
    }

    fn handle(&mut self, id: CommandId, window: u32, notes: mpsc::UnboundedSender<Note>) -> ExecHandle {
        let key = Key { conversation: self.number, id };
        let room = Arc::new(Semaphore::new(STDIN_WINDOW as usize));
        let (output, queue) = mpsc::unbounded_channel();
        let (tell, end) = oneshot::channel();
        self.running.insert(id, Running { output, end: tell, room: Arc::clone(&room) });
        let grant_at = (window / 4).max(1);
        ExecHandle {
            stdin: StdinSink { key, notes: notes.clone(), room },
            output: OutputStream { key, notes: notes.clone(), queue, taken: 0, grant_at },
            control: Control { key, notes },
            end,
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
            Note::Signal(key, signal) if mine(key) => self.channel.signal(key.id, signal, out),
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
