//! The frames of the guest agent's protocol, to bytes and back.
//!
//! `u32` big-endian length of what follows, `u8` type, `u32` big-endian command id, payload.
//!
//! Invariant: what the guest says is bounded before it is kept; any bytes end in a frame, in the wish
//! for more bytes or in an error.

/// The largest value of a frame's length field.
pub const LARGEST: usize = 65_536;
/// The bytes of a frame besides its payload: length, type and id.
pub const OVERHEAD: usize = LENGTH + BODY;
/// The largest payload.
pub const LARGEST_PAYLOAD: usize = LARGEST - BODY;
/// The protocol's version, which the guest tells in its HELLO.
pub const VERSION: u8 = 1;
/// Bytes of a nonce.
pub const NONCE: usize = 16;

/// Bytes that are kept of a text for people.
const MOST_TEXT: usize = 4096;
const LENGTH: usize = 4;
/// Type and id, which the length counts.
const BODY: usize = 5;

/// What the host says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ToGuest<'a> {
    /// Forget everything; answer with this nonce.
    Sync(&'a [u8; NONCE]),
    /// Start a command.
    Exec(&'a Exec),
    /// Input for a command; empty is its end.
    Stdin(&'a [u8]),
    /// A signal for a command's process group.
    Signal(u8),
    /// The terminal's new size.
    Resize(Size),
    /// The guest may send this many bytes of output more.
    Window(u32),
}

/// A command to start, as it goes over the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Exec {
    /// Program and arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment entries, names and values.
    pub env: Vec<(Vec<u8>, Vec<u8>)>,
    /// A terminal of this size, or none.
    pub pty: Option<Size>,
    /// Bytes of output that the guest may send before it is granted more.
    pub window: u32,
}

/// A terminal's size.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub cols: u16,
}

/// What the guest says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FromGuest {
    /// It is ready: the nonce and its protocol version.
    Hello([u8; NONCE], u8),
    /// Bytes a command wrote.
    Output(Stream, Vec<u8>),
    /// A command ended.
    Exit(ExitStatus),
    /// A command could not be started.
    Fail(String),
    /// A command took this many bytes of input.
    StdinAck(u32),
}

/// Where a command wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Its standard output; with a terminal, everything.
    Stdout,
    /// Its standard error.
    Stderr,
}

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ExitStatus {
    /// By itself, with this code.
    Exited(u8),
    /// By this signal.
    Killed(u8),
}

impl ExitStatus {
    /// The code as a shell tells it: 128 and the signal for one that was killed.
    pub fn code(self) -> u8 {
        match self {
            Self::Exited(code) => code,
            Self::Killed(signal) => signal.saturating_add(128),
        }
    }
}

/// Why the guest's bytes are no frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BadFrame {
    /// The length is out of bounds.
    #[error("a frame's length is {0}, which is not between {BODY} and {LARGEST}")]
    Length(usize),
    /// The type is none that a guest sends.
    #[error("a frame has type {0}, which a guest does not send")]
    Type(u8),
    /// The payload is not what the type asks for.
    #[error("a frame of type {kind} has {length} bytes, which do not make sense")]
    Payload {
        /// The frame's type.
        kind: u8,
        /// The payload's length.
        length: usize,
    },
}

/// Why a command cannot be put into a frame.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadExec {
    /// No program.
    #[error("a command without a program to run")]
    Empty,
    /// A NUL cannot be in an argument.
    #[error("a NUL byte in the command or its environment")]
    Nul,
    /// An environment entry's name is empty or has a `=` in it.
    #[error("the environment entry {0:?} has no name that a shell could use")]
    Name(String),
    /// The shell at the other end cannot make one.
    #[error(
        "this machine's root shell is NixOS's back door without a perl, and gives no terminals; run the command without -t, or log in on the console"
    )]
    NoTerminal,
    /// It does not fit.
    #[error(
        "the command and its environment take {0} bytes, more than the {LARGEST_PAYLOAD} that fit; pass the bulk on its standard input"
    )]
    TooLong(usize),
}

impl Exec {
    /// The frame's payload.
    pub fn payload(&self) -> Result<Vec<u8>, BadExec> {
        if self.argv.is_empty() || self.argv[0].is_empty() {
            return Err(BadExec::Empty);
        }
        let size = self.pty.unwrap_or(Size { rows: 0, cols: 0 });
        let mut payload = vec![u8::from(self.pty.is_some())];
        payload.extend(size.rows.to_be_bytes());
        payload.extend(size.cols.to_be_bytes());
        payload.extend(self.window.to_be_bytes());
        payload.extend(self.env.len().to_string().as_bytes());
        payload.push(0);
        for (name, value) in &self.env {
            if name.is_empty() || name.contains(&b'=') {
                return Err(BadExec::Name(String::from_utf8_lossy(name).into_owned()));
            }
            string(&mut payload, &[name, b"=", value])?;
        }
        for argument in &self.argv {
            string(&mut payload, &[argument])?;
        }
        if payload.len() > LARGEST_PAYLOAD { Err(BadExec::TooLong(payload.len())) } else { Ok(payload) }
    }
}

fn string(payload: &mut Vec<u8>, parts: &[&[u8]]) -> Result<(), BadExec> {
    for part in parts {
        if part.contains(&0) {
            return Err(BadExec::Nul);
        }
        payload.extend_from_slice(part);
    }
    payload.push(0);
    Ok(())
}

/// Appends a frame for the command `id` to `out`. Input is split over as many frames as it needs.
pub fn encode(frame: ToGuest<'_>, id: u32, out: &mut Vec<u8>) -> Result<(), BadExec> {
    match frame {
        ToGuest::Sync(nonce) => put(1, id, nonce, out),
        ToGuest::Exec(exec) => put(3, id, &exec.payload()?, out),
        ToGuest::Stdin([]) => put(4, id, &[], out),
        ToGuest::Stdin(bytes) => bytes.chunks(LARGEST_PAYLOAD).for_each(|chunk| put(4, id, chunk, out)),
        ToGuest::Signal(signal) => put(5, id, &[signal], out),
        ToGuest::Resize(Size { rows, cols }) => {
            put(6, id, &[rows.to_be_bytes(), cols.to_be_bytes()].concat(), out);
        }
        ToGuest::Window(more) => put(7, id, &more.to_be_bytes(), out),
    }
    Ok(())
}

fn put(kind: u8, id: u32, payload: &[u8], out: &mut Vec<u8>) {
    // A payload is at most 64 KiB by construction.
    out.extend(((BODY + payload.len()) as u32).to_be_bytes());
    out.push(kind);
    out.extend(id.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Reads one frame at the start of `bytes`: the command's id, what was said, and the bytes it took.
/// `None` when the frame has not arrived whole.
pub fn decode(bytes: &[u8]) -> Result<Option<(u32, FromGuest, usize)>, BadFrame> {
    let Some((length, rest)) = bytes.split_first_chunk::<LENGTH>() else { return Ok(None) };
    let length = u32::from_be_bytes(*length) as usize;
    if !(BODY..=LARGEST).contains(&length) {
        return Err(BadFrame::Length(length));
    }
    // The type is checked before the rest has come: garbage shall not be waited for.
    if let Some(&kind) = rest.first()
        && !matches!(kind, 2 | 8..=12)
    {
        return Err(BadFrame::Type(kind));
    }
    let Some((body, _)) = rest.split_at_checked(length) else { return Ok(None) };
    let (kind, id) = (body[0], u32::from_be_bytes([body[1], body[2], body[3], body[4]]));
    let payload = &body[BODY..];
    let frame = match (kind, payload) {
        (2, [nonce @ .., version]) if nonce.len() == NONCE => {
            let mut copy = [0; NONCE];
            copy.copy_from_slice(nonce);
            FromGuest::Hello(copy, *version)
        }
        (8, bytes) => FromGuest::Output(Stream::Stdout, bytes.to_vec()),
        (9, bytes) => FromGuest::Output(Stream::Stderr, bytes.to_vec()),
        (10, [0, code]) => FromGuest::Exit(ExitStatus::Exited(*code)),
        (10, [1, signal]) => FromGuest::Exit(ExitStatus::Killed(*signal)),
        (11, text) => FromGuest::Fail(harmless(&text[..text.len().min(MOST_TEXT)])),
        (12, &[a, b, c, d]) => FromGuest::StdinAck(u32::from_be_bytes([a, b, c, d])),
        _ => return Err(BadFrame::Payload { kind, length: payload.len() }),
    };
    Ok(Some((id, frame, LENGTH + length)))
}

/// A guest's words for people, without anything that a terminal obeys.
fn harmless(text: &[u8]) -> String {
    String::from_utf8_lossy(text).trim().chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn exec(argv: &[&str], env: &[(&str, &str)]) -> Exec {
        let env =
            env.iter().map(|(name, value)| (name.as_bytes().to_vec(), value.as_bytes().to_vec())).collect();
        Exec {
            argv: argv.iter().map(|arg| arg.as_bytes().to_vec()).collect(),
            env,
            pty: None,
            window: 65_536,
        }
    }

    #[test]
    fn frames_to_the_guest_are_as_documented() {
        let check = |frame, expected: &[u8]| {
            let mut out = Vec::new();
            assert_eq!(encode(frame, 0x0102_0304, &mut out), Ok(()));
            assert_eq!(out, expected);
        };
        check(ToGuest::Signal(15), b"\0\0\0\x06\x05\x01\x02\x03\x04\x0f");
        check(ToGuest::Resize(Size { rows: 24, cols: 80 }), b"\0\0\0\x09\x06\x01\x02\x03\x04\0\x18\0\x50");
        check(ToGuest::Window(65_536), b"\0\0\0\x09\x07\x01\x02\x03\x04\0\x01\0\0");
        check(ToGuest::Stdin(b"hi"), b"\0\0\0\x07\x04\x01\x02\x03\x04hi");
        check(ToGuest::Stdin(b""), b"\0\0\0\x05\x04\x01\x02\x03\x04");
        check(ToGuest::Sync(b"0123456789abcdef"), b"\0\0\0\x15\x01\x01\x02\x03\x040123456789abcdef");
        let plain = exec(&["ls", "-l"], &[("A", "b=c")]);
        check(
            ToGuest::Exec(&plain),
            b"\0\0\0\x1c\x03\x01\x02\x03\x04\0\0\0\0\0\0\x01\0\x001\0A=b=c\0ls\0-l\0",
        );
        let pty = Exec { pty: Some(Size { rows: 2, cols: 3 }), ..exec(&["sh"], &[]) };
        check(ToGuest::Exec(&pty), b"\0\0\0\x13\x03\x01\x02\x03\x04\x01\0\x02\0\x03\0\x01\0\x000\0sh\0");
    }

    #[test]
    fn frames_from_the_guest_are_as_documented() {
        let check = |bytes: &[u8], expected| assert_eq!(decode(bytes), expected);
        let hello = b"\0\0\0\x16\x02\0\0\0\x000123456789abcdef\x01";
        check(hello, Ok(Some((0, FromGuest::Hello(*b"0123456789abcdef", 1), 26))));
        check(
            b"\0\0\0\x06\x08\0\0\0\x07x",
            Ok(Some((7, FromGuest::Output(Stream::Stdout, b"x".to_vec()), 10))),
        );
        check(
            b"\0\0\0\x06\x09\0\0\0\x07x",
            Ok(Some((7, FromGuest::Output(Stream::Stderr, b"x".to_vec()), 10))),
        );
        check(b"\0\0\0\x07\x0a\0\0\0\x07\0\x03", Ok(Some((7, FromGuest::Exit(ExitStatus::Exited(3)), 11))));
        check(b"\0\0\0\x07\x0a\0\0\0\x07\x01\x09", Ok(Some((7, FromGuest::Exit(ExitStatus::Killed(9)), 11))));
        check(b"\0\0\0\x07\x0b\0\0\0\x07no", Ok(Some((7, FromGuest::Fail("no".to_owned()), 11))));
        let evil = b"\0\0\0\x0c\x0b\0\0\0\x07no\x1b[2J\n";
        check(evil, Ok(Some((7, FromGuest::Fail("no [2J".to_owned()), 16))));
        check(b"\0\0\0\x09\x0c\0\0\0\x07\0\0\x01\0", Ok(Some((7, FromGuest::StdinAck(256), 13))));
        check(b"\0\0\0\x09\x0c\0\0\0\x07\0\0\x01", Ok(None));
        check(b"\0\0\0", Ok(None));
        check(b"\0\0\0\x04", Err(BadFrame::Length(4)));
        check(b"\0\x01\0\x01", Err(BadFrame::Length(65_537)));
        check(b"\0\x01\0\0\x03", Err(BadFrame::Type(3)));
        check(b"\0\0\0\x07\x0a\0\0\0\x07\x02\x03", Err(BadFrame::Payload { kind: 10, length: 2 }));
        check(b"\0\0\0\x05\x0c\0\0\0\x07", Err(BadFrame::Payload { kind: 12, length: 0 }));
    }

    #[test]
    fn commands_that_fit_no_frame_are_refused() {
        assert_eq!(exec(&[], &[]).payload(), Err(BadExec::Empty));
        assert_eq!(exec(&[""], &[]).payload(), Err(BadExec::Empty));
        assert_eq!(exec(&["a\0b"], &[]).payload(), Err(BadExec::Nul));
        assert_eq!(exec(&["a"], &[("A=B", "c")]).payload(), Err(BadExec::Name("A=B".to_owned())));
        let long = "x".repeat(LARGEST_PAYLOAD);
        assert!(matches!(exec(&[&long], &[]).payload(), Err(BadExec::TooLong(_))));
    }

    #[test]
    fn long_input_is_split() {
        let mut out = Vec::new();
        let input = vec![7; 3 * LARGEST_PAYLOAD + 1];
        assert_eq!(encode(ToGuest::Stdin(&input), 1, &mut out), Ok(()));
        assert_eq!(out.len(), input.len() + 4 * OVERHEAD);
    }

    proptest! {
        /// Arbitrary bytes are no trouble, and a frame takes no more than there is.
        #[test]
        fn arbitrary_bytes(bytes in proptest::collection::vec(any::<u8>(), 0..300), length in 0u32..40, kind in 0u8..16) {
            for start in [vec![], length.to_be_bytes().to_vec(), [&length.to_be_bytes()[..], &[kind]].concat()] {
                let bytes = [start, bytes.clone()].concat();
                if let Ok(Some((_, _, taken))) = decode(&bytes) {
                    prop_assert!(taken <= bytes.len());
                }
            }
        }
    }
}
