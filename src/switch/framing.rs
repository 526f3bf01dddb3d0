//! QEMU's framing on a stream: each frame after its length, four bytes, big-endian.
//!
//! Invariant: the decoder's memory is fixed; frames longer than the segment carries are skipped
//! without being kept, and a length that no QEMU writes ends the stream.

/// Bytes of the length before each frame.
pub const PREFIX: usize = 4;
/// The longest frame QEMU passes on (its network buffer, 4 KiB over 64 KiB).
pub const LONGEST: usize = 69_632;
/// Bytes read from a stream at once.
pub const READ: usize = 128 * 1024;

/// The stream says something QEMU never would.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a frame of {0} bytes was announced, more than the {LONGEST} that QEMU sends: the framing is lost")]
pub struct LostFraming(pub usize);

/// A piece of the stream.
#[derive(Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// A frame within the limit.
    Frame(&'a [u8]),
    /// A frame beyond the limit, of this length, that was not kept.
    Skipped(usize),
}

/// Cuts a byte stream into frames.
#[derive(Debug)]
pub struct Deframer {
    buffer: Box<[u8]>,
    /// What is in the buffer and not yet taken: `start..end`.
    start: usize,
    end: usize,
    /// Bytes of a skipped frame that have yet to arrive.
    skip: usize,
}

impl Default for Deframer {
    fn default() -> Self {
        Self::new()
    }
}

impl Deframer {
    /// A decoder at the start of a stream.
    pub fn new() -> Self {
        Self { buffer: vec![0; READ].into_boxed_slice(), start: 0, end: 0, skip: 0 }
    }

    /// Room for bytes to come; never empty after [`Deframer::next`] returned `None`.
    pub fn room(&mut self) -> &mut [u8] {
        if self.start > 0 {
            self.buffer.copy_within(self.start..self.end, 0);
            self.end -= self.start;
            self.start = 0;
        }
        &mut self.buffer[self.end..]
    }

    /// Takes `count` bytes that were written at the start of [`Deframer::room`].
    pub fn filled(&mut self, count: usize) {
        self.end = (self.end + count).min(self.buffer.len());
    }

    /// The next frame of at most `limit` bytes, or `None` when more bytes are needed.
    pub fn next(&mut self, limit: usize) -> Result<Option<Piece<'_>>, LostFraming> {
        if self.skip > 0 {
            let here = self.skip.min(self.end - self.start);
            self.start += here;
            self.skip -= here;
        }
        let waiting = &self.buffer[self.start..self.end];
        let Some((prefix, rest)) = waiting.split_first_chunk::<PREFIX>() else { return Ok(None) };
        let length = u32::from_be_bytes(*prefix) as usize;
        if length > LONGEST {
            return Err(LostFraming(length));
        }
        if length > limit {
            self.start += PREFIX;
            self.skip = length;
            return Ok(Some(Piece::Skipped(length)));
        }
        if rest.len() < length {
            return Ok(None);
        }
        let from = self.start + PREFIX;
        self.start = from + length;
        Ok(Some(Piece::Frame(&self.buffer[from..from + length])))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Feeds `stream` in pieces of `chunk` bytes and lists what comes out.
    fn run(stream: &[u8], chunk: usize, limit: usize) -> Result<Vec<Result<Vec<u8>, usize>>, LostFraming> {
        let mut deframer = Deframer::new();
        let mut out = Vec::new();
        let mut rest = stream;
        loop {
            while let Some(piece) = deframer.next(limit)? {
                out.push(match piece {
                    Piece::Frame(frame) => Ok(frame.to_vec()),
                    Piece::Skipped(length) => Err(length),
                });
            }
            if rest.is_empty() {
                return Ok(out);
            }
            let room = deframer.room();
            let count = rest.len().min(chunk).min(room.len());
            room[..count].copy_from_slice(&rest[..count]);
            deframer.filled(count);
            rest = &rest[count..];
        }
    }

    proptest! {
        /// However a stream is cut, the frames come out whole, and long ones are skipped exactly.
        #[test]
        fn frames_come_out_whole(
            lengths in proptest::collection::vec(0usize..3000, 0..40),
            chunk in 1usize..5000,
        ) {
            let frames: Vec<Vec<u8>> =
                lengths.iter().enumerate().map(|(at, length)| vec![at as u8; *length]).collect();
            let mut stream = Vec::new();
            for frame in &frames {
                stream.extend((frame.len() as u32).to_be_bytes());
                stream.extend(frame);
            }
            let expected: Vec<_> =
                frames.into_iter().map(|frame| if frame.len() > 1518 { Err(frame.len()) } else { Ok(frame) }).collect();
            prop_assert_eq!(run(&stream, chunk, 1518).unwrap(), expected);
        }

        /// Arbitrary bytes do no harm.
        #[test]
        fn arbitrary_bytes(stream in proptest::collection::vec(any::<u8>(), 0..2000), chunk in 1usize..300) {
            let _ = run(&stream, chunk, 1518);
        }
    }

    #[test]
    fn the_longest_frame_fits_and_a_longer_one_ends_the_stream() {
        let mut stream = (LONGEST as u32).to_be_bytes().to_vec();
        stream.extend(vec![7; LONGEST]);
        assert_eq!(run(&stream, 4096, LONGEST).map(|frames| frames.len()), Ok(1));
        let stream = (LONGEST as u32 + 1).to_be_bytes();
        assert_eq!(run(&stream, 4096, 1518), Err(LostFraming(LONGEST + 1)));
    }
}
