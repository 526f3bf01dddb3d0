//! A command in a guest as its caller holds it: the request, the streams, the end.
//!
//! Invariant: handles own no part of the connection; they leave notes for the task that does.

use std::io;
use std::sync::Arc;

use tokio::sync::{Semaphore, mpsc, oneshot};

use super::channel::{CommandId, MOST_COMMANDS};
use super::codec::{BadExec, ExitStatus, LARGEST_PAYLOAD, Size, Stream};

/// The window that [`ExecRequest::new`] gives a command.
pub const DEFAULT_WINDOW: u32 = 256 * 1024;
/// The guest is Linux, where this is its number.
const SIGHUP: u8 = 1;

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

/// A piece of a command's output.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Output {
    /// Where it was written.
    pub stream: Stream,
    /// What was written.
    pub bytes: Vec<u8>,
}

/// A command that runs. Dropping it before the end hangs up on the command, as a terminal that closes
/// does (SIGHUP): nobody could end it any more.
#[derive(Debug)]
pub struct ExecHandle {
    /// Its input.
    pub stdin: StdinSink,
    /// What it writes.
    pub output: OutputStream,
    /// Signals and sizes.
    pub control: Control,
    pub(super) end: CommandEnd,
}

impl ExecHandle {
    /// Waits for the end of the command. Its output must be taken meanwhile, or [`ExecHandle::output`]
    /// dropped, lest the command wait for ever to be rid of it.
    pub async fn wait(&mut self) -> Result<ExitStatus, ExecError> {
        self.end.wait().await
    }

    /// Takes the handle apart, for streams that are served by different tasks. The last part waits for
    /// the end; dropping it early hangs up, as dropping the whole handle does.
    pub fn split(
        self,
    ) -> (
        StdinSink,
        OutputStream,
        Control,
        impl Future<Output = Result<ExitStatus, ExecError>> + Send + 'static,
    ) {
        let mut end = self.end;
        (self.stdin, self.output, self.control, async move { end.wait().await })
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

/// Where the end of a command is told.
#[derive(Debug)]
pub(super) struct CommandEnd {
    pub(super) key: Key,
    pub(super) notes: mpsc::UnboundedSender<Note>,
    pub(super) told: oneshot::Receiver<Result<ExitStatus, ExecError>>,
    pub(super) known: bool,
}

impl CommandEnd {
    async fn wait(&mut self) -> Result<ExitStatus, ExecError> {
        if self.known {
            return Err(ExecError::Closed);
        }
        let end = (&mut self.told).await;
        self.known = true;
        end.unwrap_or(Err(ExecError::Closed))
    }
}

impl Drop for CommandEnd {
    fn drop(&mut self) {
        if !self.known {
            let _ = self.notes.send(Note::Signal(self.key, SIGHUP));
        }
    }
}

/// A command's input. Dropping it ends the input.
#[derive(Debug)]
pub struct StdinSink {
    pub(super) key: Key,
    pub(super) notes: mpsc::UnboundedSender<Note>,
    pub(super) room: Arc<Semaphore>,
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
    pub(super) key: Key,
    pub(super) notes: mpsc::UnboundedSender<Note>,
    pub(super) queue: mpsc::UnboundedReceiver<Output>,
    pub(super) taken: u32,
    pub(super) grant_at: u32,
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
    pub(super) key: Key,
    pub(super) notes: mpsc::UnboundedSender<Note>,
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
pub(super) struct Key {
    pub(super) conversation: u64,
    pub(super) id: CommandId,
}

/// What the handles tell the task. Input is bounded by its semaphore, the rest by its makers.
#[derive(Debug)]
pub(super) enum Note {
    Input(Key, Vec<u8>),
    EndInput(Key),
    Taken(Key, u32),
    Signal(Key, u8),
    Resize(Key, Size),
    Resync,
    /// The last client was dropped.
    Orphaned,
}
