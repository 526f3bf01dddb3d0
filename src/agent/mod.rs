//! The host's side of the agent that gives a root shell in a clone.
//!
//! [`codec`] and [`channel`] are pure: frames, and the rules of one conversation. [`client`] is the
//! task that holds the connection to QEMU's socket, begins a new conversation whenever the old one
//! ends, and gives each command its streams.
//!
//! Invariant: the guest is hostile; it may end the conversation, never harm the host or stall another
//! command's streams.

pub mod channel;
pub mod client;
pub mod codec;

pub use channel::ChannelError;
pub use client::{
    AgentClient, AgentState, Control, ExecError, ExecHandle, ExecRequest, Output, OutputStream, StdinSink,
};
pub use codec::{ExitStatus, Size, Stream};
