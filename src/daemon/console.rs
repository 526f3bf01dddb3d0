//! A node's console as its readers see it: a bounded ring of what it printed, and a way in.
//!
//! The ring has a position that only grows; every reader keeps its own and takes what it can. One
//! that falls behind by more than the ring loses the oldest bytes and is told so.
//!
//! Invariant: writing into the ring never waits, whoever reads.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use tokio::sync::{Notify, mpsc, watch};

/// Bytes kept for readers.
const RING: usize = 1 << 20;
/// The most that a reader gets at once.
const PIECE: usize = 32 << 10;

/// A node's console.
#[derive(Debug)]
pub(super) struct Console {
    ring: Mutex<Ring>,
    grew: watch::Sender<u64>,
    input: Mutex<Option<mpsc::Sender<Bytes>>>,
    activity: Arc<Notify>,
}

#[derive(Debug, Default)]
struct Ring {
    bytes: VecDeque<u8>,
    /// Position behind the last byte.
    end: u64,
    /// Position up to which the driver has counted.
    counted: u64,
}

/// What a reader got.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Piece {
    /// Bytes that were lost before these.
    pub skipped: u64,
    /// The bytes.
    pub bytes: Bytes,
    /// The position behind them.
    pub next: u64,
}

impl Console {
    /// An empty console; `activity` is notified when it prints.
    pub fn new(activity: Arc<Notify>) -> Self {
        Self { ring: Mutex::default(), grew: watch::Sender::new(0), input: Mutex::default(), activity }
    }

    /// Starts with what was printed before this daemon lived.
    pub fn preload(&self, bytes: &[u8]) {
        self.push(bytes);
        let mut ring = self.lock();
        ring.counted = ring.end;
    }

    /// Takes in what the guest printed.
    pub fn push(&self, bytes: &[u8]) {
        let end = {
            let mut ring = self.lock();
            ring.end += bytes.len() as u64;
            let bytes = &bytes[bytes.len().saturating_sub(RING)..];
            let room = RING - bytes.len();
            let surplus = ring.bytes.len().saturating_sub(room);
            ring.bytes.drain(..surplus);
            ring.bytes.extend(bytes);
            ring.end
        };
        self.grew.send_replace(end);
        self.activity.notify_one();
    }

    /// The position from which at most `history` bytes lead to the present.
    pub fn position(&self, history: u64) -> u64 {
        let ring = self.lock();
        ring.end - history.min(ring.bytes.len() as u64)
    }

    /// What is there from a position on; nothing when there is nothing new.
    pub fn read(&self, from: u64) -> Option<Piece> {
        let ring = self.lock();
        let start = ring.end - ring.bytes.len() as u64;
        let at = from.max(start);
        if at >= ring.end {
            return None;
        }
        // The difference is at most the ring's length.
        let offset = usize::try_from(at - start).unwrap_or(RING);
        let bytes: Bytes = ring.bytes.iter().skip(offset).take(PIECE).copied().collect();
        let next = at + bytes.len() as u64;
        Some(Piece { skipped: at - from, bytes, next })
    }

    /// Wakes whenever the console prints.
    pub fn grew(&self) -> watch::Receiver<u64> {
        self.grew.subscribe()
    }

    /// Bytes printed since this was last asked.
    pub fn count(&self) -> u64 {
        let mut ring = self.lock();
        let new = ring.end - ring.counted;
        ring.counted = ring.end;
        new
    }

    /// The last bytes, at most `max` of them.
    pub fn tail(&self, max: usize) -> Vec<u8> {
        let ring = self.lock();
        ring.bytes.iter().skip(ring.bytes.len().saturating_sub(max)).copied().collect()
    }

    /// Connects the way in, or takes it away.
    pub fn set_input(&self, input: Option<mpsc::Sender<Bytes>>) {
        *self.input.lock().unwrap_or_else(PoisonError::into_inner) = input;
    }

    /// Types into the console, waiting for room; false when no machine runs.
    pub async fn input(&self, bytes: Bytes) -> bool {
        let input = self.input.lock().unwrap_or_else(PoisonError::into_inner).clone();
        match input {
            Some(input) => input.send(bytes).await.is_ok(),
            None => false,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Ring> {
        self.ring.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reader_that_falls_behind_is_told_and_memory_is_bounded() {
        let console = Console::new(Arc::default());
        console.push(b"hello");
        let first = console.read(0).unwrap();
        assert_eq!((first.skipped, &first.bytes[..], first.next), (0, &b"hello"[..], 5));
        assert_eq!(console.read(5), None);
        for _ in 0..40 {
            console.push(&vec![b'x'; RING / 16]);
        }
        assert!(console.lock().bytes.len() <= RING);
        let late = console.read(5).unwrap();
        assert_eq!(late.skipped, 40 * (RING as u64 / 16) - RING as u64);
        console.push(&vec![b'y'; 3 * RING]);
        assert_eq!(console.lock().bytes.len(), RING);
        assert_eq!(console.position(u64::MAX), console.lock().end - RING as u64);
        assert_eq!(console.tail(3), b"yyy");
    }
}
