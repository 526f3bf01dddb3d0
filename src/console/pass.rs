//! A guest's bytes made safe for a person's own terminal, when a console is attached to it as it is.
//!
//! What draws is passed on. What would reach beyond the screen (titles, clipboard) or make the
//! terminal answer is taken out: the session's daemon is the one that answers the guest.
//!
//! Invariant: only whole sequences leave, so nothing dangerous can be put together from pieces.

use super::filter::Filter;

const ESC: u8 = 0x1b;
const ENQ: u8 = 0x05;
/// Repeats are as long as a wide terminal's line at most.
const MAX_REPEAT: usize = 1000;

/// The state of one attached console.
#[derive(Debug, Default)]
pub struct PassThrough {
    filter: Filter,
    /// A lead byte that waits for the rest of its character.
    held: bool,
}

impl PassThrough {
    /// A fresh one.
    pub fn new() -> Self {
        Self::default()
    }

    /// What of a guest's bytes may reach the terminal.
    pub fn feed(&mut self, bytes: &[u8]) -> Vec<u8> {
        let mut whole = Vec::with_capacity(bytes.len());
        self.filter.run(bytes, MAX_REPEAT, &mut whole);
        let mut out = Vec::with_capacity(whole.len());
        let mut rest = &whole[..];
        while let Some((&b, tail)) = rest.split_first() {
            rest = tail;
            if std::mem::take(&mut self.held) {
                // U+0080 to U+009F are control characters that some terminals obey.
                if (0x80..=0x9f).contains(&b) {
                    continue;
                }
                out.push(0xc2);
            }
            match b {
                0xc2 => self.held = true,
                ENQ => {}
                ESC => {
                    let len = sequence(tail);
                    let (sequence, after) = tail.split_at(len);
                    if !asks(sequence) {
                        out.push(ESC);
                        out.extend_from_slice(sequence);
                    }
                    rest = after;
                }
                b => out.push(b),
            }
        }
        out
    }
}

/// The length of what follows an escape and belongs to it.
fn sequence(bytes: &[u8]) -> usize {
    match bytes.first() {
        Some(b'[') => match bytes.iter().skip(1).position(|b| (0x40..=0x7e).contains(b)) {
            Some(i) => i + 2,
            None => bytes.len(),
        },
        Some(0x20..=0x2f) => {
            bytes.iter().position(|b| (0x30..=0x7e).contains(b)).map_or(bytes.len(), |i| i + 1)
        }
        Some(_) => 1,
        None => 0,
    }
}

/// Whether a terminal would answer, or do more than draw.
fn asks(sequence: &[u8]) -> bool {
    match sequence {
        // Status and position, attributes, window operations, parameters, modes, version, keyboards.
        [b'[', .., b'n' | b'c' | b't' | b'x' | b'y' | b'u'] => true,
        [b'[', .., b'$', b'p' | b'w'] | [b'[', b'>', .., b'q' | b'm'] => true,
        // The end of a string whose beginning was taken out, too.
        [b'Z' | b'c' | b'\\'] => true,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drawing_passes_and_questions_do_not() {
        for (guest, terminal) in [
            (&b"plain \xc3\xa4 \xc2\xb0\r\n"[..], &b"plain \xc3\xa4 \xc2\xb0\r\n"[..]),
            (b"\x1b[1;31mred\x1b[m\x1b[2J\x1b(0", b"\x1b[1;31mred\x1b[m\x1b[2J\x1b(0"),
            (b"a\x1b[6nb\x1b[cc\x1b[>0qd\x1b[?2026$pe", b"abcde"),
            (b"a\x1b[8;1;1tb\x1bZc\x05d", b"abcd"),
            (b"a\x1b]52;c;aGk=\x07b\x1b]0;title\x1b\\c", b"abc"),
            (b"a\xc2\x9b6nb", b"a6nb"),
        ] {
            assert_eq!(PassThrough::new().feed(guest), terminal, "{guest:?}");
            let mut one = PassThrough::new();
            let pieces: Vec<u8> = guest.iter().flat_map(|b| one.feed(&[*b])).collect();
            assert_eq!(pieces, terminal, "byte by byte {guest:?}");
        }
    }
}
