//! Streams: a client's way into a console or a command, in both directions at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{mpsc, oneshot, watch};

use super::connection::Shared;
use super::console::Console;
use super::driver::{Ask, Msg, RootShell};
use super::outbox::{Gone, Outbox, Window};
use crate::agent::{AgentClient, AgentState, ExecError, ExecRequest, ExitStatus, Size, Stream};
use crate::proto::{NodeState, Response, ServerMessage, StreamEnd};

/// How long the agent of a machine that boots, and of one that is up, may take to answer.
const AGENT_BOOTING: Duration = Duration::from_secs(300);
const AGENT_UP: Duration = Duration::from_secs(20);

/// Signals and sizes from the client.
#[derive(Debug, Clone, Copy)]
pub(super) enum Control {
    /// A signal for the command.
    Signal(u8),
    /// Rows and columns of its terminal.
    Resize(u16, u16),
}

/// A stream's ends on the connection's side.
#[derive(Debug)]
pub(super) struct Pipes {
    /// What the client has room for.
    pub window: Window,
    /// What it sends.
    pub input: mpsc::UnboundedReceiver<Bytes>,
    /// Bytes of that which have not been taken in.
    pub pending: Arc<AtomicUsize>,
    /// Signals and sizes.
    pub control: mpsc::UnboundedReceiver<Control>,
}

/// A command to run.
#[derive(Debug)]
pub(super) struct Command {
    pub node: String,
    pub argv: Vec<String>,
    pub env: Vec<String>,
    pub pty: Option<(u16, u16)>,
}

/// What a client reads.
#[derive(Debug)]
pub(super) enum What {
    /// A node's serial console.
    Console {
        /// The node.
        node: String,
        /// How much of what was printed before.
        history: u64,
    },
    /// What a node's QEMU tells of itself.
    QmpEvents {
        /// The node.
        node: String,
    },
}

struct Port {
    outbox: Outbox,
    stream: u32,
}

impl Port {
    async fn respond(&self, id: u64, response: Response) -> Result<(), Gone> {
        self.outbox.send(&ServerMessage::Response { id, response }).await
    }

    async fn taken(&self, pending: &AtomicUsize, bytes: usize) -> Result<(), Gone> {
        pending.fetch_sub(bytes, Ordering::AcqRel);
        let bytes = u32::try_from(bytes).unwrap_or(u32::MAX);
        self.outbox.send(&ServerMessage::Taken { stream: self.stream, bytes }).await
    }

    async fn close(&self, end: StreamEnd) {
        let _ = self.outbox.send(&ServerMessage::StreamClosed { stream: self.stream, end }).await;
    }
}

/// Serves a console: history, then what comes; input the other way.
pub(super) async fn console(
    shared: Shared,
    outbox: Outbox,
    id: u64,
    stream: u32,
    what: What,
    mut pipes: Pipes,
) {
    let port = Port { outbox, stream };
    let (reply, answer) = oneshot::channel();
    let (msg, history) = match what {
        What::Console { node, history } => (Msg::Console(node, reply), history),
        What::QmpEvents { node } => (Msg::QmpEvents(node, reply), u64::MAX),
    };
    let _ = shared.events.send(msg);
    let console = match answer.await {
        Ok(Ok(console)) => console,
        Ok(Err(refused)) => {
            let _ = port.respond(id, refused).await;
            return;
        }
        Err(_) => return,
    };
    if port.respond(id, Response::Stream { stream }).await.is_err() {
        return;
    }
    let output = console_output(&port, &console, history, &pipes.window);
    let input = async {
        while let Some(bytes) = pipes.input.recv().await {
            // Typed into a machine that is off: gone, as on a real line.
            console.input(bytes.clone()).await;
            port.taken(&pipes.pending, bytes.len()).await?;
        }
        Ok::<(), Gone>(())
    };
    // Either ends only when the client has gone.
    let _ = tokio::try_join!(output, input);
}

async fn console_output(
    port: &Port,
    console: &Arc<Console>,
    history: u64,
    window: &Window,
) -> Result<(), Gone> {
    let mut grew = console.grew();
    let mut at = console.position(history);
    loop {
        grew.borrow_and_update();
        while let Some(piece) = console.read(at) {
            if piece.skipped > 0 {
                let note = format!("\r\n[{} bytes skipped]\r\n", piece.skipped);
                window.take(note.len()).await;
                port.outbox.data(port.stream, 0, note.into()).await?;
            }
            window.take(piece.bytes.len()).await;
            port.outbox.data(port.stream, 0, piece.bytes).await?;
            at = piece.next;
        }
        if grew.changed().await.is_err() {
            return Ok(());
        }
    }
}

/// Runs a command and serves its streams.
pub(super) async fn command(
    shared: Shared,
    outbox: Outbox,
    id: u64,
    stream: u32,
    command: Command,
    pipes: Pipes,
) {
    let port = Port { outbox, stream };
    let handle = match start(&shared, &command).await {
        Ok(handle) => handle,
        Err(refused) => {
            let _ = port.respond(id, refused).await;
            return;
        }
    };
    if port.respond(id, Response::Stream { stream }).await.is_err() {
        return;
    }
    let has_pty = command.pty.is_some();
    let (mut stdin, mut output, control, end) = handle.split();
    let Pipes { window, mut input, pending, control: mut controls } = pipes;
    // What the client sends ends when the command does, and not the other way round.
    let steer = async {
        while let Some(c) = controls.recv().await {
            match c {
                Control::Signal(signal) => control.signal(signal),
                Control::Resize(rows, cols) => control.resize(Size { rows, cols }),
            }
        }
    };
    let feed = async {
        while let Some(bytes) = input.recv().await {
            if bytes.is_empty() {
                break;
            }
            let taken_in = stdin.write(&bytes).await;
            if port.taken(&pending, bytes.len()).await.is_err() || taken_in.is_err() {
                break;
            }
        }
        stdin.end();
    };
    // Apart, so that ctrl-c reaches a command that does not read its input.
    let to_guest = async { tokio::join!(steer, feed) };
    let from_guest = async {
        while let Some(piece) = output.next().await {
            let channel = match piece.stream {
                Stream::Stdout if has_pty => 0,
                Stream::Stdout => 1,
                Stream::Stderr => 2,
            };
            for part in piece.bytes.chunks(64 << 10) {
                window.take(part.len()).await;
                if port.outbox.data(stream, channel, Bytes::copy_from_slice(part)).await.is_err() {
                    return None;
                }
            }
        }
        Some(end.await)
    };
    let ended = tokio::select! {
        ended = from_guest => ended,
        () = async { to_guest.await; std::future::pending::<()>().await } => None,
    };
    if let Some(ended) = ended {
        port.close(match ended {
            Ok(ExitStatus::Exited(code)) => StreamEnd::Exited { code },
            Ok(ExitStatus::Killed(signal)) => StreamEnd::Killed { signal },
            Err(ExecError::Start(reason)) => StreamEnd::NotStarted { reason },
            Err(e) => StreamEnd::Broken { reason: e.to_string() },
        })
        .await;
    }
}

async fn start(shared: &Shared, command: &Command) -> Result<crate::agent::ExecHandle, Response> {
    let refuse = |message: String, hint: Option<String>| Response::Error { message, hint };
    let env = |e: &String| {
        let (key, value) = e.split_once('=').unwrap_or((e, ""));
        (key.as_bytes().to_vec(), value.as_bytes().to_vec())
    };
    let (reply, answer) = oneshot::channel();
    let _ = shared.events.send(Msg::Agent(command.node.clone(), reply));
    let ending = |_| refuse("the session is ending".into(), None);
    let RootShell { agent, keyed, state } = answer.await.map_err(ending)??;
    wait_for_agent(shared, &agent, keyed, &command.node, state).await?;
    let request = ExecRequest {
        env: command.env.iter().map(env).collect(),
        pty: command.pty.map(|(rows, cols)| Size { rows, cols }),
        ..ExecRequest::new(command.argv.iter().map(String::as_bytes))
    };
    agent.exec(request).await.map_err(|e| refuse(e.to_string(), None))
}

/// Waits until the agent answers and the machine has its keys, for as long as the machine lives and patience lasts.
async fn wait_for_agent(
    shared: &Shared,
    agent: &AgentClient,
    mut keyed: watch::Receiver<bool>,
    node: &str,
    state: NodeState,
) -> Result<(), Response> {
    let mut answers = agent.state();
    let ready = async {
        let ready = answers.wait_for(|s| *s == AgentState::Ready).await.is_ok();
        ready && keyed.wait_for(|keyed| *keyed).await.is_ok()
    };
    let limit = if state == NodeState::Up { AGENT_UP } else { AGENT_BOOTING };
    let refuse = |message: String| Response::Error {
        message,
        hint: Some(format!("diorama console {node} shows what the machine is doing")),
    };
    let gone = async {
        // Asks only as often as a person would look again.
        loop {
            tokio::time::sleep(Duration::from_millis(500)).await;
            let (reply, answer) = oneshot::channel();
            let _ = shared.events.send(Msg::Ask(Ask::Runs(node.to_owned()), reply));
            if let Ok(Response::Error { message, .. }) = answer.await {
                return message;
            }
        }
    };
    tokio::select! {
        biased;
        ready = ready => match ready {
            true => Ok(()),
            false => Err(refuse(format!("{node} has stopped"))),
        },
        why = gone => Err(refuse(why)),
        () = tokio::time::sleep(limit) => Err(refuse(format!(
            "{node}: its agent gave no answer within {} s", limit.as_secs()
        ))),
    }
}
