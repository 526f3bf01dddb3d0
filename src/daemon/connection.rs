//! One client: its requests, its streams.
//!
//! Invariant: reading from the client waits for nothing but the driver's quick answers; everything
//! that may take long is a task that ends with the connection.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use futures::StreamExt;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, oneshot, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio_util::codec::FramedRead;

use super::driver::{Ask, Events, Msg};
use super::exec::{self, Control};
use super::log;
use super::outbox::{Outbox, Window};
use crate::proto::{
    ClientMessage, Codec, Frame, INPUT_WINDOW, PROTOCOL_VERSION, Request, Response, ServerMessage, StreamEnd,
    TestTold,
};
use crate::session::Event;

/// How long a client may take to say hello.
const HELLO: Duration = Duration::from_secs(10);
/// How long answers that are due may still take when the session ends.
const LAST_ANSWERS: Duration = Duration::from_millis(500);
/// Streams of one client.
const MOST_STREAMS: usize = 128;
/// Requests of one client that may wait for their answers.
const MOST_ASKS: usize = 256;

/// What all connections share.
#[derive(Debug, Clone)]
pub(super) struct Shared {
    /// The session's name.
    pub session: String,
    /// The driver.
    pub events: Events,
    /// The latest view as a frame's body.
    pub views: watch::Receiver<Bytes>,
    /// Why the session ended.
    pub goodbye: watch::Receiver<Option<String>>,
    /// Dropped when the connection has ended; nothing is ever sent.
    pub alive: mpsc::Sender<()>,
}

struct StreamHandle {
    task: AbortHandle,
    window: Window,
    input: mpsc::UnboundedSender<Bytes>,
    /// Bytes of input not taken in yet.
    pending: Arc<AtomicUsize>,
    control: mpsc::UnboundedSender<Control>,
}

struct Connection {
    shared: Shared,
    outbox: Outbox,
    subscription: watch::Sender<Option<watch::Receiver<Bytes>>>,
    streams: HashMap<u32, StreamHandle>,
    next_stream: u32,
    asks: JoinSet<()>,
    tasks: JoinSet<u32>,
    /// Whether the client tells of a test script.
    tells: bool,
}

/// Serves a client until it or the session goes away.
pub(super) async fn serve(stream: UnixStream, shared: Shared) {
    let (read, write) = stream.into_split();
    let (subscription, subscribed) = watch::channel(None);
    let (outbox, writer) = Outbox::start(write, subscribed);
    let mut frames = FramedRead::new(read, Codec);
    let hello = tokio::time::timeout(HELLO, frames.next()).await;
    let Ok(Some(Ok(Frame::Json(text)))) = hello else { return };
    let Ok(ClientMessage { id, request: Request::Hello { version, client } }) = serde_json::from_slice(&text)
    else {
        return;
    };
    let response = welcome(version, &shared.session);
    let accepted = matches!(response, Response::Welcome { .. });
    if outbox.send(&ServerMessage::Response { id, response }).await.is_err() || !accepted {
        return;
    }
    log::line(&format!("{client} attached"));
    let _ = shared.events.send(Msg::Attached(true));
    let events = shared.events.clone();
    // The daemon ends after its last words have left, which is after the connection's own end.
    let alive = shared.alive.clone();
    let mut connection = Connection {
        shared,
        outbox,
        subscription,
        streams: HashMap::new(),
        next_stream: 1,
        asks: JoinSet::new(),
        tasks: JoinSet::new(),
        tells: false,
    };
    connection.run(&mut frames).await;
    if connection.tells {
        let _ = events.send(Msg::Event(Event::TestTellerGone));
    }
    drop(connection);
    let _ = events.send(Msg::Attached(false));
    // A client that does not read any more is given up with the connection.
    let _ = tokio::time::timeout(LAST_ANSWERS, writer).await;
    drop(alive);
}

fn welcome(version: u32, session: &str) -> Response {
    if version == PROTOCOL_VERSION {
        return Response::Welcome { version, session: session.to_owned() };
    }
    Response::Error {
        message: format!(
            "this session's daemon speaks version {PROTOCOL_VERSION} of the protocol, the client {version}"
        ),
        hint: Some("use the version of diorama that started the session".into()),
    }
}

/// Waits for the session's end; the reason.
async fn ended(goodbye: &mut watch::Receiver<Option<String>>) -> Option<String> {
    goodbye.wait_for(Option::is_some).await.ok()?.clone()
}

impl Connection {
    async fn run(&mut self, frames: &mut FramedRead<tokio::net::unix::OwnedReadHalf, Codec>) {
        let mut goodbye = self.shared.goodbye.clone();
        loop {
            tokio::select! {
                frame = frames.next() => match frame {
                    Some(Ok(Frame::Json(text))) => {
                        let Ok(message) = serde_json::from_slice::<ClientMessage>(&text) else { return };
                        self.request(message).await;
                    }
                    Some(Ok(Frame::Data { stream, bytes, .. })) => self.input(stream, bytes).await,
                    Some(Err(_)) | None => return,
                },
                Some(ended) = self.tasks.join_next() => {
                    if let Ok(stream) = ended {
                        self.streams.remove(&stream);
                    }
                }
                Some(_) = self.asks.join_next() => {}
                Some(reason) = ended(&mut goodbye) => {
                    let answers = async { while self.asks.join_next().await.is_some() {} };
                    let _ = tokio::time::timeout(LAST_ANSWERS, answers).await;
                    // The last view tells how it ended.
                    let view = self.shared.views.borrow().clone();
                    if self.subscription.borrow().is_some() && !view.is_empty() {
                        let last = self.outbox.raw(Frame::Json(view));
                        let _ = tokio::time::timeout(LAST_ANSWERS, last).await;
                    }
                    let bye = ServerMessage::Goodbye { reason };
                    let bye = self.outbox.send(&bye);
                    let _ = tokio::time::timeout(LAST_ANSWERS, bye).await;
                    return;
                }
            }
        }
    }

    async fn request(&mut self, message: ClientMessage) {
        let id = message.id;
        let response = match message.request {
            Request::Hello { .. } => {
                Some(Response::Error { message: "hello has been said".into(), hint: None })
            }
            Request::View => {
                self.ask(id, Ask::View);
                None
            }
            Request::Subscribe => {
                // The subscription first: a change between the two would be lost otherwise.
                self.subscription.send_replace(Some(self.shared.views.clone()));
                let _ = self.shared.events.send(Msg::Subscribed);
                self.ask(id, Ask::View);
                None
            }
            Request::Act { action } => {
                self.ask(id, Ask::Act(action));
                None
            }
            Request::Down { power, timeout } => {
                self.ask(id, Ask::Down { power, timeout });
                None
            }
            Request::Manifest => {
                self.ask(id, Ask::Manifest);
                None
            }
            Request::Qmp { node, command, arguments } => {
                self.ask(id, Ask::Qmp { node, command, arguments });
                None
            }
            Request::TestTold { told } => {
                self.tells = !matches!(told, TestTold::End { .. });
                let _ = self.shared.events.send(Msg::Event(Event::TestTold(told)));
                None
            }
            Request::TestRun { patterns } => {
                self.ask(id, Ask::TestRun(patterns));
                None
            }
            Request::TestStop => {
                self.ask(id, Ask::TestStop);
                None
            }
            Request::Console { node, history } => {
                let what = exec::What::Console { node, history };
                self.open(|shared, outbox, stream, pipes| {
                    exec::console(shared, outbox, id, stream, what, pipes)
                })
                .err()
            }
            Request::QmpEvents { node } => {
                let what = exec::What::QmpEvents { node };
                self.open(|shared, outbox, stream, pipes| {
                    exec::console(shared, outbox, id, stream, what, pipes)
                })
                .err()
            }
            Request::Exec { node, argv, env, pty } => {
                let command = exec::Command { node, argv, env, pty };
                self.open(|shared, outbox, stream, pipes| {
                    exec::command(shared, outbox, id, stream, command, pipes)
                })
                .err()
            }
            Request::Resize { stream, rows, cols } => self.control(stream, Control::Resize(rows, cols)),
            Request::Signal { stream, signal } => self.control(stream, Control::Signal(signal)),
            Request::Window { stream, bytes } => {
                if let Some(s) = self.streams.get(&stream) {
                    s.window.grant(bytes);
                }
                None
            }
            Request::Close { stream } => {
                self.close(stream, StreamEnd::Closed).await;
                None
            }
        };
        if let Some(response) = response {
            let _ = self.outbox.send(&ServerMessage::Response { id, response }).await;
        }
    }

    /// Hands a question to the driver; the answer comes when it comes.
    fn ask(&mut self, id: u64, ask: Ask) {
        let (outbox, events) = (self.outbox.clone(), self.shared.events.clone());
        let crowded = self.asks.len() >= MOST_ASKS;
        self.asks.spawn(async move {
            let (reply, answer) = oneshot::channel();
            let response = if crowded {
                Response::Error { message: "too many requests at once".into(), hint: None }
            } else {
                let _ = events.send(Msg::Ask(ask, reply));
                answer.await.unwrap_or_else(|_| Response::Error {
                    message: "the session is ending".into(),
                    hint: None,
                })
            };
            let _ = outbox.send(&ServerMessage::Response { id, response }).await;
        });
    }

    fn open<F>(&mut self, task: impl FnOnce(Shared, Outbox, u32, exec::Pipes) -> F) -> Result<(), Response>
    where
        F: Future<Output = ()> + Send + 'static,
    {
        if self.streams.len() >= MOST_STREAMS {
            let message = format!("{MOST_STREAMS} streams are open already");
            return Err(Response::Error { message, hint: None });
        }
        let stream = self.next_stream;
        self.next_stream = self.next_stream.wrapping_add(1).max(1);
        let (input, input_queue) = mpsc::unbounded_channel();
        let (control, control_queue) = mpsc::unbounded_channel();
        let window = Window::new();
        let pending = Arc::new(AtomicUsize::new(0));
        let pipes = exec::Pipes {
            window: window.clone(),
            input: input_queue,
            pending: pending.clone(),
            control: control_queue,
        };
        let work = task(self.shared.clone(), self.outbox.clone(), stream, pipes);
        let task = self.tasks.spawn(async move {
            work.await;
            stream
        });
        self.streams.insert(stream, StreamHandle { task, window, input, pending, control });
        Ok(())
    }

    fn control(&self, stream: u32, control: Control) -> Option<Response> {
        if let Some(s) = self.streams.get(&stream) {
            let _ = s.control.send(control);
        }
        None
    }

    async fn input(&mut self, stream: u32, bytes: Bytes) {
        let Some(s) = self.streams.get(&stream) else { return };
        let before = s.pending.fetch_add(bytes.len(), Ordering::AcqRel);
        if before + bytes.len() > INPUT_WINDOW as usize {
            let reason = "more input than there was room for".into();
            return self.close(stream, StreamEnd::Broken { reason }).await;
        }
        let _ = s.input.send(bytes);
    }

    async fn close(&mut self, stream: u32, end: StreamEnd) {
        if let Some(s) = self.streams.remove(&stream) {
            s.task.abort();
            let _ = self.outbox.send(&ServerMessage::StreamClosed { stream, end }).await;
        }
    }
}
