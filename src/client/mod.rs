//! The client's side of the session protocol: how every command and the screen reach a session.
//!
//! `connection` speaks the protocol; `sessions` finds the sessions of this user, starts daemons,
//! and has a daemon that died replaced before anybody talks to it; `display` takes pictures.
//!
//! Invariant: a client owns nothing that runs; dropping it loses nothing.

mod connection;
mod display;
mod sessions;
mod stream;

pub use connection::Client;
pub use display::PictureFormat;
pub use sessions::{Found, Launched, connect, find, gone, launch, list};
pub use stream::{Stream, StreamControl, StreamInput, StreamItem};
