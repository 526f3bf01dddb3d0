//! What waits to be written to one port.
//!
//! Frames lie in one buffer, each after its length, so that a stream port writes all of them with
//! one call and a datagram port still finds each.
//!
//! Invariant: a frame is taken whole or not at all, also by [`TxQueue::push`] when the queue is full.

use std::collections::VecDeque;

use super::framing::PREFIX;

/// Bytes that may wait for one port.
pub const MOST_BYTES: usize = 1024 * 1024;
/// Frames that may wait for one port.
pub const MOST_FRAMES: usize = 4096;
/// A buffer that grew beyond this is given back when it runs empty.
const KEEP: usize = 256 * 1024;

/// A bounded queue of frames.
#[derive(Debug)]
pub struct TxQueue {
    buffer: Vec<u8>,
    /// Everything before this was written.
    head: usize,
    /// Lengths of the frames that wait, the first of which may be partly written.
    lengths: VecDeque<u32>,
    /// Bytes of the first frame and its prefix that were written.
    partial: usize,
    most_bytes: usize,
    most_frames: usize,
}

impl Default for TxQueue {
    fn default() -> Self {
        Self::with_limits(MOST_BYTES, MOST_FRAMES)
    }
}

impl TxQueue {
    /// A queue with its own bounds.
    pub fn with_limits(most_bytes: usize, most_frames: usize) -> Self {
        let (buffer, lengths) = (Vec::new(), VecDeque::new());
        Self { buffer, head: 0, lengths, partial: 0, most_bytes, most_frames }
    }

    /// Puts a frame at the end; false when there is no room for it.
    pub fn push(&mut self, frame: &[u8]) -> bool {
        let waiting = self.buffer.len() - self.head;
        if waiting + PREFIX + frame.len() > self.most_bytes || self.lengths.len() >= self.most_frames {
            return false;
        }
        let Ok(length) = u32::try_from(frame.len()) else { return false };
        if self.head > 0 && self.buffer.len() + PREFIX + frame.len() > self.buffer.capacity() {
            self.buffer.drain(..self.head);
            self.head = 0;
        }
        self.buffer.extend_from_slice(&length.to_be_bytes());
        self.buffer.extend_from_slice(frame);
        self.lengths.push_back(length);
        true
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.lengths.is_empty()
    }

    /// Number of frames that wait.
    pub fn len(&self) -> usize {
        self.lengths.len()
    }

    /// Everything that waits, framed for a stream.
    pub fn stream(&self) -> &[u8] {
        &self.buffer[self.head..]
    }

    /// Notes that the first `count` bytes of [`TxQueue::stream`] were written.
    pub fn written(&mut self, count: usize) {
        self.head = (self.head + count).min(self.buffer.len());
        self.partial += count;
        while let Some(&length) = self.lengths.front() {
            let whole = PREFIX + length as usize;
            if self.partial < whole {
                break;
            }
            self.partial -= whole;
            self.lengths.pop_front();
        }
        self.tidy();
    }

    /// The first frame, for a datagram port.
    pub fn first(&self) -> Option<&[u8]> {
        let length = *self.lengths.front()? as usize;
        self.buffer.get(self.head + PREFIX..self.head + PREFIX + length)
    }

    /// Drops the first frame, which was sent as a datagram.
    pub fn pop(&mut self) {
        if let Some(length) = self.lengths.pop_front() {
            self.head += PREFIX + length as usize;
        }
        self.tidy();
    }

    /// Drops everything, a partly written frame too: the port is gone.
    pub fn purge(&mut self) {
        self.buffer = Vec::new();
        self.lengths = VecDeque::new();
        (self.head, self.partial) = (0, 0);
    }

    fn tidy(&mut self) {
        if self.lengths.is_empty() {
            (self.head, self.partial) = (0, 0);
            self.buffer.clear();
            if self.buffer.capacity() > KEEP {
                self.buffer.shrink_to(KEEP);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_full_queue_takes_no_part_of_a_frame() {
        let mut queue = TxQueue::with_limits(100, 10);
        assert!(queue.push(&[1; 60]));
        assert!(!queue.push(&[2; 60]));
        assert!(queue.push(&[3; 32]));
        assert_eq!(queue.stream().len(), 100);
        queue.written(70);
        assert_eq!(queue.len(), 1, "the second frame is partly written and still counts");
        queue.written(30);
        assert!(queue.is_empty() && queue.stream().is_empty());
        let mut queue = TxQueue::with_limits(1000, 2);
        assert!(queue.push(&[]) && queue.push(&[]) && !queue.push(&[]));
    }

    proptest! {
        /// Whatever is written in between, the bytes come out in order and complete.
        #[test]
        fn bytes_come_out_in_order(steps in proptest::collection::vec((any::<bool>(), 0usize..400), 0..200)) {
            let mut queue = TxQueue::with_limits(2000, 12);
            let (mut expected, mut got, mut next) = (Vec::<u8>::new(), Vec::<u8>::new(), 0u8);
            for (push, size) in steps {
                if push {
                    if queue.push(&vec![next; size]) {
                        expected.extend((size as u32).to_be_bytes());
                        expected.extend(vec![next; size]);
                    }
                    next = next.wrapping_add(1);
                } else {
                    let count = size.min(queue.stream().len());
                    got.extend(&queue.stream()[..count]);
                    queue.written(count);
                }
                prop_assert!(queue.stream().len() <= 2000 && queue.len() <= 12);
            }
            got.extend(queue.stream());
            prop_assert_eq!(got, expected);
        }
    }

    #[test]
    fn datagrams_come_out_one_by_one() {
        let mut queue = TxQueue::default();
        assert_eq!(queue.first(), None);
        assert!(queue.push(b"one") && queue.push(b"two"));
        assert_eq!(queue.first(), Some(&b"one"[..]));
        queue.pop();
        assert_eq!(queue.first(), Some(&b"two"[..]));
        queue.purge();
        assert_eq!(queue.first(), None);
        assert!(queue.push(b"three"));
        assert_eq!(queue.first(), Some(&b"three"[..]));
    }
}
