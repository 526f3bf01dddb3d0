//! One console or root shell as the interface keeps it.
//!
//! Invariant: bytes that wait to be drawn are bounded; when far behind, the oldest are dropped and
//! the screen says so.

use std::collections::VecDeque;

use bytes::{Bytes, BytesMut};

use crate::console::{DEFAULT_COLS, DEFAULT_ROWS, Screen};
use crate::proto::INPUT_WINDOW;

/// Waiting bytes beyond which a console is hopelessly behind.
const TOO_FAR_BEHIND: usize = 512 << 10;
/// What is kept of them.
const KEPT: usize = 256 << 10;
/// Input that may wait here.
const MAX_INPUT: usize = 4 << 20;
/// Consumed bytes after which the daemon is granted more.
const GRANT: usize = 64 << 10;
/// Milliseconds without output after which a console is called quiet.
pub const QUIET_MS: u64 = 60_000;

/// What a tile shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TileKind {
    /// The node's serial console.
    Serial,
    /// A root shell.
    Shell,
    /// A terminal on a real host.
    Host,
}

impl TileKind {
    /// Whether it is a terminal of its tile's size, which ends, rather than a machine's console.
    pub fn is_terminal(self) -> bool {
        self != Self::Serial
    }
}

/// Marks the streams that are terminals of this machine rather than the daemon's.
pub const LOCAL: u32 = 1 << 31;

/// How a tile's stream stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stream {
    /// None was asked for.
    None,
    /// Asked for under this request id.
    Asked(u64),
    /// Open.
    Open(u32),
    /// It ended or was refused; asked for again when the node's state changes.
    Ended,
}

/// A console or a root shell.
#[derive(Debug)]
pub struct Tile {
    /// The node.
    pub node: String,
    /// What it shows.
    pub kind: TileKind,
    /// The emulator.
    pub screen: Screen,
    /// Its stream.
    pub stream: Stream,
    /// Milliseconds of the last output.
    pub last_output: Option<u64>,
    /// Whether there was output since it last had the focus.
    pub unseen: bool,
    /// Text last searched for.
    pub pattern: String,
    queue: VecDeque<Bytes>,
    queued: usize,
    ungranted: usize,
    dropped: usize,
    scrollback: usize,
    /// Input that the daemon has no room for yet.
    input: BytesMut,
    /// Input sent that the daemon has not taken in.
    in_flight: usize,
}

impl Tile {
    /// What it is called.
    pub fn title(&self) -> String {
        match self.kind {
            TileKind::Serial => format!("{} ttyS0", self.node),
            TileKind::Shell => format!("{} root shell", self.node),
            TileKind::Host => format!("PRODUCTION {} ssh", self.node),
        }
    }

    /// Creates an empty tile.
    pub fn new(node: &str, kind: TileKind, scrollback: usize) -> Self {
        Self {
            node: node.to_owned(),
            kind,
            screen: Screen::new(DEFAULT_ROWS, DEFAULT_COLS, scrollback),
            stream: Stream::None,
            last_output: None,
            unseen: false,
            pattern: String::new(),
            queue: VecDeque::new(),
            queued: 0,
            ungranted: 0,
            dropped: 0,
            scrollback,
            input: BytesMut::new(),
            in_flight: 0,
        }
    }

    /// Empties the screen, before history is replayed.
    pub fn restart(&mut self) {
        let (rows, cols) = (self.screen.rows() as u16, self.screen.cols() as u16);
        self.screen = Screen::new(rows, cols, self.scrollback);
        self.queue.clear();
        self.input.clear();
        (self.queued, self.ungranted, self.dropped, self.in_flight) = (0, 0, 0, 0);
    }

    /// Takes output to be drawn later.
    pub fn push(&mut self, bytes: Bytes) {
        self.queued += bytes.len();
        self.queue.push_back(bytes);
        if self.queued > TOO_FAR_BEHIND {
            while self.queued > KEPT {
                let Some(old) = self.queue.pop_front() else { break };
                self.queued -= old.len();
                self.dropped += old.len();
                self.ungranted += old.len();
            }
        }
    }

    /// Whether output waits.
    pub fn behind(&self) -> bool {
        self.queued > 0 || self.dropped > 0
    }

    /// Draws at most `max` waiting bytes into the screen; returns how many.
    pub fn digest(&mut self, max: usize) -> usize {
        if self.dropped > 0 {
            self.screen.note_gap(std::mem::take(&mut self.dropped));
        }
        let mut done = 0;
        while done < max {
            let Some(front) = self.queue.front_mut() else { break };
            let slice = front.split_to(front.len().min(max - done));
            if front.is_empty() {
                self.queue.pop_front();
            }
            self.screen.feed(&slice);
            done += slice.len();
        }
        self.queued -= done;
        self.ungranted += done;
        // The daemon, which owns the guest, answers the terminal's questions.
        if self.kind == TileKind::Serial {
            self.screen.take_replies();
        }
        done
    }

    /// Takes input for the guest; false when too much of it waits already.
    pub fn push_input(&mut self, bytes: &[u8]) -> bool {
        let room = self.input.len() + bytes.len() <= MAX_INPUT;
        if room {
            self.input.extend_from_slice(bytes);
        }
        room
    }

    /// Takes the input that may be sent now.
    pub fn take_input(&mut self) -> Option<Bytes> {
        let room = (INPUT_WINDOW as usize).saturating_sub(self.in_flight);
        let bytes = self.input.split_to(self.input.len().min(room)).freeze();
        self.in_flight += bytes.len();
        (!bytes.is_empty()).then_some(bytes)
    }

    /// Notes that the daemon took in some input.
    pub fn taken(&mut self, bytes: u32) {
        self.in_flight = self.in_flight.saturating_sub(bytes as usize);
    }

    /// Takes the bytes to grant the stream, when they are worth a message.
    pub fn take_grant(&mut self) -> Option<(u32, u32)> {
        let Stream::Open(stream) = self.stream else { return None };
        (self.ungranted >= GRANT)
            .then(|| (stream, u32::try_from(std::mem::take(&mut self.ungranted)).unwrap_or(u32::MAX)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_keeps_to_the_window() {
        let mut t = Tile::new("a", TileKind::Serial, 10);
        assert!(t.push_input(&vec![b'x'; 300 << 10]));
        assert_eq!(t.take_input().unwrap().len(), 256 << 10);
        assert_eq!(t.take_input(), None);
        t.taken(1000);
        assert_eq!(t.take_input().unwrap().len(), 1000);
        assert!(!t.push_input(&vec![b'x'; MAX_INPUT]));
    }

    #[test]
    fn a_flood_is_bounded_and_said() {
        let mut t = Tile::new("a", TileKind::Serial, 100);
        t.stream = Stream::Open(3);
        let block = Bytes::from("x".repeat(78).as_bytes().to_vec()).to_vec();
        let block: Vec<u8> = block.into_iter().chain(*b"\r\n").cycle().take(64 << 10).collect();
        for _ in 0..64 {
            t.push(Bytes::from(block.clone()));
            assert!(t.queued <= TOO_FAR_BEHIND);
        }
        t.digest(4096);
        assert!(t.screen.lines().iter().any(|l| l.contains("skipped")));
        while t.behind() {
            assert!(t.digest(4096) <= 4096);
        }
        assert_eq!(t.take_grant(), Some((3, 4 << 20)), "every byte is granted again, drawn or not");
        assert_eq!(t.take_grant(), None);
    }
}
