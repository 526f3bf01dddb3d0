//! The session protocol: what travels over the daemon's Unix socket.
//!
//! ```text
//! client                               daemon
//!   │ Hello{version}  ───────────────────▶ │
//!   │ ◀─────────────── Welcome{version, …} │   (or Response::Error and close)
//!   │ Request{id, …}  ───────────────────▶ │
//!   │ ◀─────────────── Response{id, …}     │
//!   │ ◀── Event::View (after Subscribe), Event::StreamClosed …
//!   │ ◀─▶ data frames, by stream id        │
//! ```
//!
//! A frame is a big-endian `u32` length of what follows (at most [`MAX_FRAME`]), a tag byte and a
//! body: `J` a JSON message, `D` a stream's bytes (`u32` stream id, `u8` channel, bytes).
//! The whole view of a session is small, so it travels whole, coalesced to a few a second: a client
//! that joins late or falls behind can never show a state that did not exist.
//!
//! Invariant: no I/O here, and no domain type crosses the wire unless it is declared in `wire` or `view`.

mod codec;
mod start;
mod suite;
mod view;
mod wire;

pub use codec::{Codec, Frame, FrameError, MAX_FRAME};
pub use start::{ModelSource, Ready, Start, StartOptions};
pub use suite::*;
pub use view::*;
pub use wire::*;

/// The protocol's version; both sides must agree on it.
pub const PROTOCOL_VERSION: u32 = 1;
