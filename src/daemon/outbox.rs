//! What goes out to one client: a bounded queue of frames, and the latest view.
//!
//! Invariant: a client that does not read holds at most the queue's frames and one view; whoever
//! fills its queue waits in a task of its own.

use std::sync::Arc;

use bytes::Bytes;
use futures::SinkExt;
use tokio::net::unix::OwnedWriteHalf;
use tokio::sync::{Semaphore, mpsc, watch};
use tokio_util::codec::FramedWrite;

use crate::proto::{Codec, Frame, STREAM_WINDOW, ServerMessage};

/// Frames that may wait for the client.
const QUEUE: usize = 32;

/// The queue's sending end.
#[derive(Debug, Clone)]
pub(super) struct Outbox {
    queue: mpsc::Sender<Frame>,
}

/// The client has gone away.
#[derive(Debug, Clone, Copy)]
pub(super) struct Gone;

impl Outbox {
    /// Starts the task that writes to the socket; it ends when every outbox is dropped.
    pub fn start(
        write: OwnedWriteHalf,
        views: watch::Receiver<Option<watch::Receiver<Bytes>>>,
    ) -> (Self, tokio::task::JoinHandle<()>) {
        let (queue, inbox) = mpsc::channel(QUEUE);
        let task = tokio::spawn(write_all(write, inbox, views));
        (Self { queue }, task)
    }

    /// Sends a message, waiting for room.
    pub async fn send(&self, message: &ServerMessage) -> Result<(), Gone> {
        let frame = Frame::json(message).map_err(|_| Gone)?;
        self.queue.send(frame).await.map_err(|_| Gone)
    }

    /// Sends a stream's bytes, waiting for room.
    pub async fn data(&self, stream: u32, channel: u8, bytes: Bytes) -> Result<(), Gone> {
        self.raw(Frame::Data { stream, channel, bytes }).await
    }

    /// Sends a frame, waiting for room.
    pub async fn raw(&self, frame: Frame) -> Result<(), Gone> {
        self.queue.send(frame).await.map_err(|_| Gone)
    }
}

async fn write_all(
    write: OwnedWriteHalf,
    mut inbox: mpsc::Receiver<Frame>,
    mut subscription: watch::Receiver<Option<watch::Receiver<Bytes>>>,
) {
    let mut sink = FramedWrite::new(write, Codec);
    let mut views: Option<watch::Receiver<Bytes>> = None;
    loop {
        let latest = async {
            match &mut views {
                Some(views) => views.changed().await.is_ok(),
                None => false,
            }
        };
        let frame = tokio::select! {
            biased;
            frame = inbox.recv() => match frame {
                Some(frame) => frame,
                None => break,
            },
            Ok(()) = subscription.changed() => {
                views = subscription.borrow_and_update().clone();
                continue;
            }
            true = latest => match &mut views {
                Some(views) => Frame::Json(views.borrow_and_update().clone()),
                None => continue,
            },
            else => match inbox.recv().await {
                Some(frame) => frame,
                None => break,
            },
        };
        if sink.feed(frame).await.is_err() {
            return;
        }
        if inbox.is_empty() && sink.flush().await.is_err() {
            return;
        }
    }
    // Nothing more comes; what is buffered still goes out.
    let _ = sink.close().await;
}

/// A stream's output window: bytes the client has room for.
#[derive(Debug, Clone)]
pub(super) struct Window(Arc<Semaphore>);

impl Window {
    /// A full window.
    pub fn new() -> Self {
        Self(Arc::new(Semaphore::new(STREAM_WINDOW as usize)))
    }

    /// Waits for room.
    pub async fn take(&self, bytes: usize) {
        // Pieces are far smaller than the window, so this cannot wait for more than there ever is.
        let n = u32::try_from(bytes).unwrap_or(STREAM_WINDOW).min(STREAM_WINDOW);
        if let Ok(permit) = self.0.acquire_many(n).await {
            permit.forget();
        }
    }

    /// Makes room; a client cannot grant more than a whole window.
    pub fn grant(&self, bytes: u32) {
        let most = (STREAM_WINDOW as usize).saturating_sub(self.0.available_permits());
        self.0.add_permits(most.min(bytes as usize));
    }
}
