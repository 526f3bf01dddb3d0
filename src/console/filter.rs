//! The first line of defence: takes out of a guest's bytes what the emulator must not see.
//!
//! ```text
//! Ground ─ESC▶ Escape ─[▶ Sequence ─final▶ Ground        (passed on whole, repeats bounded)
//!                 └ ] P X ^ _ ▶ Text ─BEL, ESC, CAN▶ …   (swallowed: titles, clipboard, colours)
//! ```
//!
//! Invariant: an unfinished sequence holds at most [`MAX_SEQUENCE`] bytes, whatever follows.

/// Longest control sequence that is passed on.
const MAX_SEQUENCE: usize = 128;

const ESC: u8 = 0x1b;
const CAN: u8 = 0x18;
const SUB: u8 = 0x1a;
const BEL: u8 = 0x07;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum State {
    #[default]
    Ground,
    Escape,
    Sequence,
    /// A sequence that is too long: swallowed up to its final byte.
    Overlong,
    /// A string for the terminal (OSC, DCS, SOS, PM, APC).
    Text,
    /// An escape within a string: with a backslash it is the string's end.
    TextEnd,
}

/// Removes terminal strings and bounds what one sequence can cost.
#[derive(Debug, Default)]
pub(super) struct Filter {
    state: State,
    pending: Vec<u8>,
}

impl Filter {
    /// Appends to `out` what of `input` the emulator may see.
    pub(super) fn run(&mut self, input: &[u8], max_repeat: usize, out: &mut Vec<u8>) {
        let mut rest = input;
        while let Some(&byte) = rest.first() {
            if self.state == State::Ground {
                let plain = rest.iter().position(|b| *b == ESC).unwrap_or(rest.len());
                out.extend_from_slice(&rest[..plain]);
                rest = &rest[plain..];
                if !rest.is_empty() {
                    self.state = State::Escape;
                    rest = &rest[1..];
                }
                continue;
            }
            rest = &rest[1..];
            self.state = self.step(byte, max_repeat, out);
        }
    }

    /// Forgets a half-seen sequence, after bytes were lost.
    pub(super) fn reset(&mut self) {
        self.state = State::Ground;
        self.pending.clear();
    }

    fn step(&mut self, byte: u8, max_repeat: usize, out: &mut Vec<u8>) -> State {
        match (self.state, byte) {
            (State::Text, ESC) => State::TextEnd,
            (State::TextEnd, b'\\') => State::Ground,
            // Any other byte after the escape belongs to a new sequence.
            (State::TextEnd, byte) => {
                self.state = State::Escape;
                self.step(byte, max_repeat, out)
            }
            (_, ESC) => {
                self.pending.clear();
                State::Escape
            }
            (_, CAN | SUB) => {
                self.pending.clear();
                State::Ground
            }
            (State::Text, BEL) => State::Ground,
            (State::Text, _) => State::Text,
            // Control characters act at once, even inside a sequence.
            (state, 0..=0x1f) => {
                out.push(byte);
                state
            }
            (State::Escape, b'[') => State::Sequence,
            (State::Escape, b']' | b'P' | b'X' | b'^' | b'_') => State::Text,
            (State::Escape, 0x7f..) => State::Escape,
            (State::Escape, _) => {
                out.extend([ESC, byte]);
                State::Ground
            }
            (State::Sequence, 0x20..=0x3f) if self.pending.len() < MAX_SEQUENCE => {
                self.pending.push(byte);
                State::Sequence
            }
            (State::Sequence, 0x20..=0x3f) => {
                self.pending.clear();
                State::Overlong
            }
            (State::Sequence, 0x40..=0x7e) => {
                self.emit(byte, max_repeat, out);
                State::Ground
            }
            (State::Overlong, 0x40..=0x7e) => State::Ground,
            (state, _) => state,
        }
    }

    fn emit(&mut self, last: u8, max_repeat: usize, out: &mut Vec<u8>) {
        out.extend(b"\x1b[");
        if last == b'b' && self.pending.iter().all(|b| b.is_ascii_digit()) {
            // "Repeat the last character" turns eight bytes into 65,535 characters otherwise.
            let times = self.pending.iter().fold(0usize, |n, d| {
                n.saturating_mul(10).saturating_add(usize::from(d - b'0')).min(usize::from(u16::MAX))
            });
            out.extend(times.min(max_repeat).to_string().bytes());
        } else {
            out.extend_from_slice(&self.pending);
        }
        out.push(last);
        self.pending.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(input: &[u8], expected: &[u8]) {
        for cut in 0..=input.len() {
            let (mut f, mut out) = (Filter::default(), Vec::new());
            f.run(&input[..cut], 80, &mut out);
            f.run(&input[cut..], 80, &mut out);
            assert_eq!(
                String::from_utf8_lossy(&out),
                String::from_utf8_lossy(expected),
                "{input:?} cut at {cut}"
            );
        }
    }

    #[test]
    fn text_and_sequences_pass() {
        check(b"plain \r\n\xe2\x94\x80", b"plain \r\n\xe2\x94\x80");
        check(b"\x1b[1;31mred\x1b[m", b"\x1b[1;31mred\x1b[m");
        check(b"\x1b(0q\x1b(B\x1b7\x1b8\x1bM", b"\x1b(0q\x1b(B\x1b7\x1b8\x1bM");
        check(b"\x1b[?1049h", b"\x1b[?1049h");
    }

    #[test]
    fn strings_for_the_terminal_are_swallowed() {
        check(b"a\x1b]0;title\x07b", b"ab");
        check(b"a\x1b]52;c;aGk=\x1b\\b", b"ab");
        check(b"a\x1bP+q544e\x1b\\b", b"ab");
        check(b"a\x1b]0;t\x1b[1mb", b"a\x1b[1mb");
        check(b"a\x1b_apc\x18b", b"ab");
        check(b"a\x1b\n]0;t\x07b", b"a\nb");
    }

    #[test]
    fn repeats_are_bounded_and_overlong_sequences_dropped() {
        check(b"x\x1b[65535b", b"x\x1b[80b");
        check(b"x\x1b[99999999999999999999999b", b"x\x1b[80b");
        let mut long = b"\x1b[".to_vec();
        long.extend([b'1'; 500]);
        long.extend(b"mx");
        check(&long, b"x");
    }

    #[test]
    fn an_unterminated_string_holds_nothing() {
        let (mut f, mut out) = (Filter::default(), Vec::new());
        f.run(b"\x1b]0;", 80, &mut out);
        for _ in 0..1000 {
            f.run(&[b'a'; 4096], 80, &mut out);
        }
        assert!(out.is_empty() && f.pending.capacity() <= 2 * MAX_SEQUENCE);
    }
}
