//! One connection to a daemon: requests with their answers, the view, and streams.
//!
//! One task reads the socket, one writes it. What a daemon sends is bounded by windows, so a stream
//! nobody reads holds up to [`crate::proto::STREAM_WINDOW`] bytes and stalls nothing else.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use futures::{SinkExt, StreamExt};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::{Semaphore, mpsc, oneshot, watch};
use tokio_util::codec::{FramedRead, FramedWrite};

use super::stream::{Stream, StreamItem};
use crate::error::{Error, Kind, Result};
use crate::model::Manifest;
use crate::proto::{
    Action, ClientMessage, Codec, Frame, INPUT_WINDOW, PROTOCOL_VERSION, Request, Response, ServerMessage,
    StreamEnd, View,
};

/// Frames that may wait to be written.
const OUT_QUEUE: usize = 64;

/// A connection to a session; clones share it.
#[derive(Debug, Clone)]
pub struct Client {
    pub(super) shared: Arc<Shared>,
}

/// What the handle and the tasks both see.
#[derive(Debug)]
pub(super) struct Shared {
    socket: PathBuf,
    session: Mutex<String>,
    out: mpsc::Sender<Frame>,
    next_id: AtomicU64,
    inner: Mutex<Inner>,
    view: Mutex<Option<watch::Sender<Arc<View>>>>,
    ended: watch::Sender<Option<String>>,
}

#[derive(Debug, Default)]
struct Inner {
    closed: bool,
    waiting: HashMap<u64, Waiting>,
    streams: HashMap<u32, StreamState>,
}

#[derive(Debug)]
enum Waiting {
    Plain(oneshot::Sender<Response>),
    Opens(oneshot::Sender<std::result::Result<Opened, Response>>),
}

#[derive(Debug)]
struct StreamState {
    items: mpsc::UnboundedSender<StreamItem>,
    room: Arc<Semaphore>,
}

/// A stream's ends as the reader made them.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) id: u32,
    pub(super) items: mpsc::UnboundedReceiver<StreamItem>,
    pub(super) room: Arc<Semaphore>,
}

impl Client {
    /// Connects to a daemon's socket and says hello.
    ///
    /// # Errors
    /// When nobody answers there, or a daemon of another protocol version.
    pub async fn open(socket: &Path, who: &str) -> Result<Self> {
        let stream = UnixStream::connect(socket)
            .await
            .map_err(|e| Error::new(format!("{}: {e}", socket.display())))?;
        let (read, write) = stream.into_split();
        let (out, queue) = mpsc::channel(OUT_QUEUE);
        let shared = Arc::new(Shared {
            socket: socket.to_owned(),
            session: Mutex::default(),
            out,
            next_id: AtomicU64::new(1),
            inner: Mutex::default(),
            view: Mutex::new(Some(watch::Sender::new(Arc::default()))),
            ended: watch::Sender::new(None),
        });
        tokio::spawn(write_all(write, queue));
        tokio::spawn(read_all(read, Arc::downgrade(&shared)));
        let client = Self { shared };
        let hello = Request::Hello { version: PROTOCOL_VERSION, client: who.into() };
        match client.request(hello).await? {
            Response::Welcome { version, session } if version == PROTOCOL_VERSION => {
                *lock(&client.shared.session) = session;
                Ok(client)
            }
            Response::Welcome { version, .. } => Err(Error::new(format!(
                "the session's daemon speaks version {version} of the protocol, this program {PROTOCOL_VERSION}"
            ))
            .kind(Kind::Usage)
            .hint("use the version of diorama that started the session")),
            other => Err(unexpected(&other)),
        }
    }

    /// The daemon's socket.
    pub fn socket(&self) -> &Path {
        &self.shared.socket
    }

    /// The session's name.
    pub fn session(&self) -> String {
        lock(&self.shared.session).clone()
    }

    /// Sends a request and waits for its answer; a refusal is an error with its hint.
    ///
    /// # Errors
    /// When the daemon refuses or is gone.
    pub async fn request(&self, request: Request) -> Result<Response> {
        let (sender, answer) = oneshot::channel();
        self.ask(request, Waiting::Plain(sender)).await?;
        refused(answer.await.map_err(|_| self.gone())?)
    }

    /// Has something done; the answer is one line for people.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn act(&self, action: Action) -> Result<String> {
        match self.request(Request::Act { action }).await? {
            Response::Ok { message } => Ok(message),
            other => Err(unexpected(&other)),
        }
    }

    /// The view of this moment.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn view(&self) -> Result<View> {
        match self.request(Request::View).await? {
            Response::View { view } => Ok(*view),
            other => Err(unexpected(&other)),
        }
    }

    /// The view now and whenever it changes. The channel closes when the connection ends; then
    /// [`Client::ended`] says why.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn subscribe(&self) -> Result<watch::Receiver<Arc<View>>> {
        let views = match lock(&self.shared.view).as_ref() {
            Some(view) => view.subscribe(),
            None => return Err(self.gone()),
        };
        match self.request(Request::Subscribe).await? {
            Response::View { view } => {
                self.shared.show(view);
                Ok(views)
            }
            other => Err(unexpected(&other)),
        }
    }

    /// What the session runs.
    ///
    /// # Errors
    /// As [`Client::request`]; also when the model has not been evaluated yet.
    pub async fn manifest(&self) -> Result<Manifest> {
        match self.request(Request::Manifest).await? {
            Response::Manifest { manifest } => Ok(*manifest),
            other => Err(unexpected(&other)),
        }
    }

    /// Opens a node's console with up to `history` bytes of what it printed before.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn console(&self, node: &str, history: u64) -> Result<Stream> {
        self.stream(Request::Console { node: node.into(), history }).await
    }

    /// Runs a command in a node.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn exec(
        &self,
        node: &str,
        argv: Vec<String>,
        env: Vec<String>,
        pty: Option<(u16, u16)>,
    ) -> Result<Stream> {
        self.stream(Request::Exec { node: node.into(), argv, env, pty }).await
    }

    /// Ends the session.
    ///
    /// # Errors
    /// As [`Client::request`].
    pub async fn down(&self, power: bool, timeout: u32) -> Result<String> {
        match self.request(Request::Down { power, timeout }).await? {
            Response::Ok { message } => Ok(message),
            other => Err(unexpected(&other)),
        }
    }

    /// Waits until the connection has ended and says why, for people.
    pub async fn ended(&self) -> String {
        let mut ended = self.shared.ended.subscribe();
        match ended.wait_for(Option::is_some).await {
            Ok(reason) => reason.clone().unwrap_or_default(),
            Err(_) => "the connection was closed".into(),
        }
    }

    async fn stream(&self, request: Request) -> Result<Stream> {
        let (sender, answer) = oneshot::channel();
        self.ask(request, Waiting::Opens(sender)).await?;
        match answer.await.map_err(|_| self.gone())? {
            Ok(opened) => Ok(Stream::new(self.clone(), opened)),
            Err(response) => Err(unexpected(&refused(response)?)),
        }
    }

    async fn ask(&self, request: Request, waiting: Waiting) -> Result<()> {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        {
            let mut inner = self.shared.inner();
            if inner.closed {
                return Err(self.gone());
            }
            inner.waiting.insert(id, waiting);
        }
        let frame = Frame::json(&ClientMessage { id, request })?;
        self.send(frame).await
    }

    pub(super) async fn send(&self, frame: Frame) -> Result<()> {
        self.shared.out.send(frame).await.map_err(|_| self.gone())
    }

    /// Sends a request whose answer nobody waits for, if there is room.
    pub(super) fn tell(&self, request: Request) {
        let id = self.shared.next_id.fetch_add(1, Ordering::Relaxed);
        if let Ok(frame) = Frame::json(&ClientMessage { id, request }) {
            let out = self.shared.out.clone();
            if let Err(mpsc::error::TrySendError::Full(frame)) = out.try_send(frame) {
                tokio::spawn(async move { out.send(frame).await });
            }
        }
    }

    pub(super) fn shared_out(&self) -> &mpsc::Sender<Frame> {
        &self.shared.out
    }

    fn gone(&self) -> Error {
        match self.shared.ended.borrow().as_deref() {
            Some(reason) => Error::new(format!("the session has ended: {reason}")),
            None => Error::new("the session's daemon is gone").hint("diorama ls shows what is there"),
        }
    }
}

impl Shared {
    fn inner(&self) -> MutexGuard<'_, Inner> {
        lock(&self.inner)
    }

    /// Takes in a message; false ends the connection.
    fn take(&self, message: ServerMessage) -> bool {
        match message {
            ServerMessage::Response { id, response } => self.answer(id, response),
            ServerMessage::View { view } => self.show(view),
            ServerMessage::StreamClosed { stream, end } => {
                if let Some(state) = self.inner().streams.remove(&stream) {
                    let _ = state.items.send(StreamItem::End(end));
                    state.room.close();
                }
            }
            ServerMessage::Taken { stream, bytes } => {
                if let Some(state) = self.inner().streams.get(&stream) {
                    // More than was ever sent cannot have been taken in.
                    let room = (INPUT_WINDOW as usize).saturating_sub(state.room.available_permits());
                    state.room.add_permits(room.min(bytes as usize));
                }
            }
            ServerMessage::Goodbye { reason } => {
                self.ended.send_replace(Some(reason));
                return false;
            }
        }
        true
    }

    fn show(&self, view: Box<View>) {
        if let Some(views) = lock(&self.view).as_ref() {
            // The answer to a subscription may be overtaken by an event.
            views.send_if_modified(|v| {
                let newer = view.revision >= v.revision;
                if newer {
                    *v = Arc::from(view);
                }
                newer
            });
        }
    }

    fn answer(&self, id: u64, response: Response) {
        let mut inner = self.inner();
        match (inner.waiting.remove(&id), response) {
            (Some(Waiting::Opens(asker)), Response::Stream { stream: id }) => {
                // The stream's first bytes may follow at once, so its place is made here.
                let (items, receiver) = mpsc::unbounded_channel();
                let room = Arc::new(Semaphore::new(INPUT_WINDOW as usize));
                inner.streams.insert(id, StreamState { items, room: room.clone() });
                let _ = asker.send(Ok(Opened { id, items: receiver, room }));
            }
            (Some(Waiting::Opens(asker)), other) => {
                let _ = asker.send(Err(other));
            }
            (Some(Waiting::Plain(asker)), response) => {
                let _ = asker.send(response);
            }
            (None, _) => {}
        }
    }

    fn data(&self, stream: u32, channel: u8, bytes: Bytes) {
        if let Some(state) = self.inner().streams.get(&stream) {
            let _ = state.items.send(StreamItem::Data { channel, bytes });
        }
    }

    fn close(&self) {
        self.ended.send_if_modified(|e| {
            let first = e.is_none();
            e.get_or_insert_with(|| "the daemon closed the connection".into());
            first
        });
        lock(&self.view).take();
        let mut inner = self.inner();
        inner.closed = true;
        inner.waiting.clear();
        for (_, state) in inner.streams.drain() {
            let reason = "the session has ended".into();
            let _ = state.items.send(StreamItem::End(StreamEnd::Broken { reason }));
            state.room.close();
        }
    }
}

async fn read_all(read: OwnedReadHalf, shared: std::sync::Weak<Shared>) {
    let mut frames = FramedRead::new(read, Codec);
    loop {
        // The handle's owner may go away meanwhile; then nobody is left to be told.
        let frame = frames.next().await;
        let Some(shared) = shared.upgrade() else { return };
        let goes_on = match frame {
            Some(Ok(Frame::Json(text))) => {
                // A message of a newer daemon that is not known here is passed over.
                serde_json::from_slice(&text).map_or(true, |m| shared.take(m))
            }
            Some(Ok(Frame::Data { stream, channel, bytes })) => {
                shared.data(stream, channel, bytes);
                true
            }
            Some(Err(_)) | None => false,
        };
        if !goes_on {
            return shared.close();
        }
    }
}

async fn write_all(write: OwnedWriteHalf, mut queue: mpsc::Receiver<Frame>) {
    let mut sink = FramedWrite::new(write, Codec);
    while let Some(frame) = queue.recv().await {
        if sink.send(frame).await.is_err() {
            return;
        }
    }
}

fn refused(response: Response) -> Result<Response> {
    match response {
        Response::Error { message, hint } => {
            let mut e = Error::new(message);
            if e.message.starts_with("there is no node") {
                e = e.kind(Kind::NotFound);
            }
            e.hints.extend(hint);
            Err(e)
        }
        other => Ok(other),
    }
}

fn unexpected(response: &Response) -> Error {
    Error::new(format!("the daemon gave an answer that does not fit: {response:?}"))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
