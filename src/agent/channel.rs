//! One conversation with a guest agent: which commands run, and what either side may still send.
//!
//! ```text
//! open ─ SYNC ─▶ waiting for HELLO (bytes before it are skipped) ─▶ ready ─ bad frame ─▶ error
//! ```
//!
//! Invariant: no I/O and no clock. The guest is hostile: it can end the conversation, but it cannot
//! make the host keep more than the windows allow, nor speak for a command that does not run.

use std::collections::HashMap;

use super::codec::{
    BadExec, BadFrame, Exec, ExitStatus, FromGuest, NONCE, Size, Stream, ToGuest, VERSION, decode, encode,
};

/// Bytes of input that may be on their way to a command.
pub const STDIN_WINDOW: u32 = 256 * 1024;
/// Commands that may run at once.
pub const MOST_COMMANDS: usize = 256;
/// Bytes that are skipped in search of a HELLO, far more than earlier commands may have left.
pub const MOST_GARBAGE: usize = 64 * 1024 * 1024;
/// HELLO up to its version: length, type, id, nonce.
const HELLO: usize = 9 + NONCE;

/// A command's number in one conversation.
pub type CommandId = u32;

/// Why a conversation is over.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ChannelError {
    /// A frame makes no sense.
    #[error("the guest's agent sent nonsense: {0}")]
    Frame(#[from] BadFrame),
    /// Another protocol.
    #[error(
        "the guest's agent speaks version {0} of the protocol, this program version {VERSION}; rebuild the machine's system"
    )]
    Version(u8),
    /// More output than granted.
    #[error("the guest's agent sent {sent} bytes of output where {granted} were granted")]
    Window {
        /// Bytes in the frame.
        sent: usize,
        /// Bytes that were left.
        granted: u32,
    },
    /// Took input that was never sent.
    #[error("the guest's agent says it took input that was never sent")]
    Ack,
    /// Nothing but garbage.
    #[error("the guest's agent sent {MOST_GARBAGE} bytes without an answer in them")]
    NoHello,
    /// A HELLO that answers nothing.
    #[error("the guest's agent answered what was never asked")]
    StrayHello,
}

/// What the guest's bytes amount to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The agent answers; commands can be started.
    Ready,
    /// A command wrote something.
    Output(CommandId, Stream, Vec<u8>),
    /// A command took this many bytes of input.
    Taken(CommandId, u32),
    /// A command ended; its number means nothing any more.
    Exited(CommandId, ExitStatus),
    /// A command could not be started; its number means nothing any more.
    Failed(CommandId, String),
}

/// One conversation.
#[derive(Debug)]
pub struct Channel {
    nonce: [u8; NONCE],
    ready: bool,
    skipped: usize,
    /// Bytes that are not a whole frame yet.
    buffer: Vec<u8>,
    commands: HashMap<CommandId, Command>,
    next: CommandId,
}

#[derive(Debug)]
struct Command {
    /// Bytes of output the guest may still send.
    granted: u32,
    /// Bytes of input it has not taken.
    unacked: u32,
    input_ended: bool,
}

impl Channel {
    /// A conversation that has yet to begin; `nonce` is fresh.
    pub fn new(nonce: [u8; NONCE]) -> Self {
        Self { nonce, ready: false, skipped: 0, buffer: Vec::new(), commands: HashMap::new(), next: 1 }
    }

    /// Asks the agent to begin; may be repeated as long as it has not answered.
    pub fn sync(&self, out: &mut Vec<u8>) {
        send(ToGuest::Sync(&self.nonce), 0, out);
    }

    /// Whether the agent has answered.
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Takes bytes from the guest and appends what they mean to `events`. After an error the
    /// conversation is over.
    pub fn receive(&mut self, bytes: &[u8], events: &mut Vec<Event>) -> Result<(), ChannelError> {
        self.buffer.extend_from_slice(bytes);
        if !self.ready && !self.find_hello()? {
            return Ok(());
        }
        if !self.ready {
            self.ready = true;
            events.push(Event::Ready);
        }
        let mut start = 0;
        while let Some((id, frame, taken)) = decode(&self.buffer[start..])? {
            start += taken;
            self.hear(id, frame, events)?;
        }
        self.buffer.drain(..start);
        Ok(())
    }

    /// Starts a command.
    pub fn exec(&mut self, exec: &Exec, out: &mut Vec<u8>) -> Result<CommandId, BadExec> {
        while self.commands.contains_key(&self.next) || self.next == 0 {
            self.next = self.next.wrapping_add(1);
        }
        let id = self.next;
        encode(ToGuest::Exec(exec), id, out)?;
        self.next = self.next.wrapping_add(1);
        self.commands.insert(id, Command { granted: exec.window, unacked: 0, input_ended: false });
        Ok(id)
    }

    /// Number of commands that run.
    pub fn running(&self) -> usize {
        self.commands.len()
    }

    /// Sends as much input as may be on its way and says how much that is. What is sent to a command
    /// that has ended is gone.
    pub fn input(&mut self, id: CommandId, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let Some(command) = self.commands.get_mut(&id).filter(|command| !command.input_ended) else {
            return bytes.len();
        };
        let room = STDIN_WINDOW.saturating_sub(command.unacked);
        let count = bytes.len().min(room as usize);
        if count > 0 {
            command.unacked += count as u32;
            send(ToGuest::Stdin(&bytes[..count]), id, out);
        }
        count
    }

    /// Ends a command's input.
    pub fn end_input(&mut self, id: CommandId, out: &mut Vec<u8>) {
        if let Some(command) = self.commands.get_mut(&id).filter(|command| !command.input_ended) {
            command.input_ended = true;
            send(ToGuest::Stdin(&[]), id, out);
        }
    }

    /// Lets the guest send `more` bytes of a command's output.
    pub fn grant(&mut self, id: CommandId, more: u32, out: &mut Vec<u8>) {
        if let Some(command) = self.commands.get_mut(&id) {
            command.granted = command.granted.saturating_add(more);
            send(ToGuest::Window(more), id, out);
        }
    }

    /// Sends a signal to a command's process group.
    pub fn signal(&self, id: CommandId, signal: u8, out: &mut Vec<u8>) {
        if self.commands.contains_key(&id) {
            send(ToGuest::Signal(signal), id, out);
        }
    }

    /// Tells a command its terminal's new size.
    pub fn resize(&self, id: CommandId, size: Size, out: &mut Vec<u8>) {
        if self.commands.contains_key(&id) {
            send(ToGuest::Resize(size), id, out);
        }
    }

    /// Looks for the HELLO with our nonce and drops everything up to its end.
    fn find_hello(&mut self) -> Result<bool, ChannelError> {
        let is_hello = |window: &[u8]| window[..5] == [0, 0, 0, 22, 2] && window[9..] == self.nonce;
        match self.buffer.windows(HELLO).position(is_hello) {
            Some(at) if self.buffer.len() > at + HELLO => {
                let version = self.buffer[at + HELLO];
                self.buffer.drain(..=at + HELLO);
                if version == VERSION { Ok(true) } else { Err(ChannelError::Version(version)) }
            }
            Some(_) => Ok(false),
            None => {
                let garbage = self.buffer.len().saturating_sub(HELLO - 1);
                self.buffer.drain(..garbage);
                self.skipped += garbage;
                if self.skipped > MOST_GARBAGE { Err(ChannelError::NoHello) } else { Ok(false) }
            }
        }
    }

    fn hear(&mut self, id: CommandId, frame: FromGuest, events: &mut Vec<Event>) -> Result<(), ChannelError> {
        if let FromGuest::Hello(nonce, _) = frame {
            // The answer to a repeated question.
            return if nonce == self.nonce { Ok(()) } else { Err(ChannelError::StrayHello) };
        }
        // Of a command that the host does not know, nothing is believed and nothing kept.
        let Some(command) = self.commands.get_mut(&id) else { return Ok(()) };
        match frame {
            FromGuest::Output(stream, bytes) => {
                let (sent, granted) = (bytes.len(), command.granted);
                let left = u32::try_from(sent).ok().and_then(|sent| granted.checked_sub(sent));
                command.granted = left.ok_or(ChannelError::Window { sent, granted })?;
                if !bytes.is_empty() {
                    events.push(Event::Output(id, stream, bytes));
                }
            }
            FromGuest::StdinAck(count) => {
                command.unacked = command.unacked.checked_sub(count).ok_or(ChannelError::Ack)?;
                events.push(Event::Taken(id, count));
            }
            FromGuest::Exit(status) => {
                self.commands.remove(&id);
                events.push(Event::Exited(id, status));
            }
            FromGuest::Fail(why) => {
                self.commands.remove(&id);
                events.push(Event::Failed(id, why));
            }
            FromGuest::Hello(..) => {}
        }
        Ok(())
    }
}

/// Puts a frame that is no EXEC, the only one that can be refused.
fn send(frame: ToGuest<'_>, id: CommandId, out: &mut Vec<u8>) {
    let encoded = encode(frame, id, out);
    debug_assert!(encoded.is_ok(), "only an EXEC can be too long");
}

#[cfg(test)]
#[path = "channel_tests.rs"]
mod tests;
