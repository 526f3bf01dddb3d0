//! The host's side of the agent that gives a root shell in a clone.
//!
//! [`codec`] and [`channel`] are pure: frames, and the rules of one conversation. [`client`] is the
//! task that holds the connection to QEMU's socket and begins a new conversation whenever the old one
//! ends; [`command`] is what its callers hold. [`backdoor`] gets to the same through the root shell of
//! NixOS's tests.
//!
//! Invariant: the guest is hostile; it may end the conversation, never harm the host or stall another
//! command's streams.

pub mod backdoor;
pub mod channel;
pub mod client;
pub mod codec;
pub mod command;

pub use channel::ChannelError;
pub use client::{AgentClient, AgentState};
pub use codec::{ExitStatus, Size, Stream};
pub use command::{Control, ExecError, ExecHandle, ExecRequest, Output, OutputStream, StdinSink};
