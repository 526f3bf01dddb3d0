//! A stream of bytes to and from a session: a console, or a command that runs in a node.
//!
//! Invariant: flow is bounded both ways; what is read is granted again, what is sent waits for room.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::{Semaphore, mpsc};

use super::connection::{Client, Opened};
use crate::error::{Error, Result};
use crate::proto::{Frame, INPUT_WINDOW, Request, STREAM_WINDOW, StreamEnd};

/// The largest piece of input sent at once.
const PIECE: usize = 16 << 10;

/// What comes out of a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StreamItem {
    /// Bytes: channel 0 of a console or a pseudo-terminal, 1 standard output, 2 standard error.
    Data {
        /// The channel.
        channel: u8,
        /// The bytes.
        bytes: Bytes,
    },
    /// The last item.
    End(StreamEnd),
}

/// The receiving end; dropping it closes the stream.
#[derive(Debug)]
pub struct Stream {
    control: StreamControl,
    items: mpsc::UnboundedReceiver<StreamItem>,
    room: Arc<Semaphore>,
    consumed: u32,
    ended: bool,
}

impl Stream {
    pub(super) fn new(client: Client, opened: Opened) -> Self {
        let control = StreamControl { client, id: opened.id };
        Self { control, items: opened.items, room: opened.room, consumed: 0, ended: false }
    }

    /// The next item; nothing after the end. Reading grants the daemon to send more.
    pub async fn next(&mut self) -> Option<StreamItem> {
        if self.ended {
            return None;
        }
        let item = self.items.recv().await;
        match &item {
            Some(StreamItem::Data { bytes, .. }) => {
                self.consumed += u32::try_from(bytes.len()).unwrap_or(STREAM_WINDOW);
                if self.consumed >= STREAM_WINDOW / 8 {
                    let bytes = std::mem::take(&mut self.consumed);
                    self.control.client.tell(Request::Window { stream: self.control.id, bytes });
                }
            }
            Some(StreamItem::End(_)) | None => self.ended = true,
        }
        item
    }

    /// The sending end.
    pub fn input(&self) -> StreamInput {
        StreamInput { control: self.control.clone(), room: self.room.clone() }
    }

    /// Signals and sizes.
    pub fn control(&self) -> StreamControl {
        self.control.clone()
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.ended {
            self.control.client.tell(Request::Close { stream: self.control.id });
        }
    }
}

/// The sending end.
#[derive(Debug, Clone)]
pub struct StreamInput {
    control: StreamControl,
    room: Arc<Semaphore>,
}

impl StreamInput {
    /// Sends bytes, waiting for room.
    ///
    /// # Errors
    /// When the stream has ended.
    pub async fn send(&self, bytes: &[u8]) -> Result<()> {
        for piece in bytes.chunks(PIECE.min(INPUT_WINDOW as usize)) {
            let n = u32::try_from(piece.len()).unwrap_or(INPUT_WINDOW);
            let permit = self.room.acquire_many(n).await.map_err(|_| ended())?;
            permit.forget();
            self.frame(Bytes::copy_from_slice(piece)).await?;
        }
        Ok(())
    }

    /// Sends bytes if there is room for them now; false when they were dropped.
    pub fn try_send(&self, bytes: &[u8]) -> bool {
        let Ok(n) = u32::try_from(bytes.len()) else { return false };
        let Ok(permit) = self.room.try_acquire_many(n) else { return false };
        let bytes = Bytes::copy_from_slice(bytes);
        let frame = Frame::Data { stream: self.control.id, channel: 0, bytes };
        if self.control.client.shared_out().try_send(frame).is_err() {
            return false;
        }
        permit.forget();
        true
    }

    /// Says that no more input comes.
    ///
    /// # Errors
    /// When the stream has ended.
    pub async fn end(&self) -> Result<()> {
        self.frame(Bytes::new()).await
    }

    async fn frame(&self, bytes: Bytes) -> Result<()> {
        let frame = Frame::Data { stream: self.control.id, channel: 0, bytes };
        self.control.client.send(frame).await
    }
}

/// Signals and sizes for a stream.
#[derive(Debug, Clone)]
pub struct StreamControl {
    client: Client,
    id: u32,
}

impl StreamControl {
    /// Sends a signal to the command.
    pub fn signal(&self, signal: u8) {
        self.client.tell(Request::Signal { stream: self.id, signal });
    }

    /// Changes the size of the command's terminal.
    pub fn resize(&self, rows: u16, cols: u16) {
        self.client.tell(Request::Resize { stream: self.id, rows, cols });
    }
}

fn ended() -> Error {
    Error::new("the stream has ended")
}
