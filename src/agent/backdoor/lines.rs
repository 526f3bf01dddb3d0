//! Commands through a plain bash on a console: one at a time, the others wait for their turn.
//!
//! ```text
//! host:  diorama MARK CMD…  d LENGTH, bytes  e (end of input)  c (more)  k -SIGNAL -- -GROUP  q (next)
//! guest: MARK s (begins)  p GROUP  a (input was taken)  w (more?)  e LINE (standard error)  x STATUS
//! ```
//!
//! Everything between the guest's marks is the command's standard output, as it is. A mark is fresh for
//! every command, so that no output can contain it by chance. The end is told when nobody has the
//! command's output open any more, as in NixOS's own driver.
//!
//! A console loses what its reader is too slow for: output comes in pieces, each of which is asked for.
//!
//! Invariant: no I/O; what is kept is bounded by the input's window and the longest line of marks.

use std::collections::VecDeque;

use super::super::channel::{ChannelError, CommandId, Event, STDIN_WINDOW};
use super::super::codec::{BadExec, Exec, ExitStatus, NONCE, Stream};

/// The shell function that runs a command. Its input comes through this very console, in pieces of a
/// told length; whoever takes one into the command is a process of its own, so that a command that
/// does not read keeps no signal from being heard. A line with the token, which is another host's
/// question, ends the command.
///
/// From a terminal, bash reads ahead what others are to read; from a pipe it does not. So all goes
/// through one first. It is `dd` that carries bytes, since a `cat` may leave that to the kernel, which
/// keeps a pipe locked while it waits for a terminal.
const FUNCTION: &str = r#"if [ -t 0 ]; then dd bs=4096 status=none | bash --norc; fi
exec 3>&1
diorama() {
local N=$1 w c r g= k x n; shift; exec {c}<> <(:); printf '%ss' "$N" >&3
exec {w}> >(cd ~ 2>/dev/null || cd /
s=$( { { { setsid -- "$@" <&0 2>&1 >&5 3>&- 5>&- 6>&- {c}>&- & p=$!; printf '%sp%d\n' "$N" "$p" >&3; wait "$p"; printf '%d' $? >&6; } | {
while IFS= read -r l; do while [ ${#l} -gt 1000 ]; do printf '%sE%s\n' "$N" "${l:0:1000}" >&3; l=${l:1000}; done; printf '%se%s\n' "$N" "$l" >&3; done
[ -z "$l" ] || printf '%sE%s\n' "$N" "$l" >&3; }; } 5>&1 | {
while n=$(dd bs=16384 count=1 status=none | tee /dev/fd/3 | wc -c); [ "$n" -gt 0 ]; do printf '%sw' "$N" >&3; read -r -u "$c" k; [ "$k" != q ] || break; done; }; } 6>&1 )
printf '%sx%s\n' "$N" "$s" >&3)
r=$!
while IFS=' ' read -r k x; do case $k in
d) dd bs="$x" count=1 iflag=fullblock status=none > >(dd bs=32768 status=none >&"$w"; printf '%sa' "$N" >&3) ;;
e) exec {w}>&- ;;
c) printf 'c\n' >&"$c" ;;
g) g=$x ;;
k) kill $x ;;
q) break ;;
'#'*) printf 'q\n' >&"$c"; kill -9 "$r"; [ -z "$g" ] || kill -9 -- "-$g"; break ;;
esac; done 2>/dev/null
exec {c}>&-
exec {w}>&-
} 2>/dev/null
"#;
/// Input goes to the guest in pieces of this size.
const PIECE: usize = 16 * 1024;
/// The longest line of a mark that is believed.
const LONGEST_LINE: usize = 64 * 1024;

/// A conversation with a bash.
#[derive(Debug)]
pub(super) struct Lines {
    seed: String,
    /// Bytes whose meaning is not known yet.
    buffer: Vec<u8>,
    /// The first runs, the others wait.
    commands: VecDeque<Command>,
    next: CommandId,
}

#[derive(Debug)]
struct Command {
    id: CommandId,
    exec: Exec,
    mark: Vec<u8>,
    began: bool,
    /// The process group, once it is told.
    group: Option<u32>,
    /// Signals that wait for that.
    signals: Vec<u8>,
    /// Bytes of output that there is room for.
    granted: i64,
    /// Whether the guest waits to be asked for more.
    waits: bool,
    input: VecDeque<u8>,
    /// Bytes of input that are on their way.
    in_flight: usize,
    input_ended: bool,
    end_sent: bool,
}

impl Lines {
    pub(super) fn new(token: &str, nonce: [u8; NONCE]) -> Self {
        let nonce: String = nonce.iter().map(|b| format!("{b:02x}")).collect();
        let seed = format!("{}{}", &token[..token.len().min(8)], &nonce[..NONCE]);
        Self { seed, buffer: Vec::new(), commands: VecDeque::new(), next: 1 }
    }

    /// Teaches the shell how to run commands.
    pub(super) fn begin(&self, out: &mut Vec<u8>) {
        out.extend(FUNCTION.as_bytes());
    }

    pub(super) fn running(&self) -> usize {
        self.commands.len()
    }

    pub(super) fn receive(
        &mut self,
        bytes: &[u8],
        events: &mut Vec<Event>,
        out: &mut Vec<u8>,
    ) -> Result<(), ChannelError> {
        self.buffer.extend_from_slice(bytes);
        loop {
            let Some(command) = self.commands.front_mut() else {
                // Of a shell that runs nothing, nothing is believed.
                self.buffer.clear();
                return Ok(());
            };
            let (seed, mark) = (self.seed.as_bytes(), command.mark.len());
            let Some(at) = find(&self.buffer, seed) else {
                let rest = (1..seed.len()).rev().find(|n| self.buffer.ends_with(&seed[..*n])).unwrap_or(0);
                let output = self.buffer.len() - rest;
                command.output(Stream::Stdout, self.buffer.drain(..output).collect(), events);
                return Ok(());
            };
            command.output(Stream::Stdout, self.buffer.drain(..at).collect(), events);
            let Some(&kind) = self.buffer.get(mark) else { return Ok(()) };
            // Whoever took input for a command that was ended may say so late.
            let is_late = !self.buffer.starts_with(&command.mark);
            let line = match kind {
                b's' | b'a' | b'w' => Vec::new(),
                _ => match self.buffer[mark + 1..].iter().position(|b| *b == b'\n') {
                    Some(end) => self.buffer[mark + 1..mark + 1 + end].to_vec(),
                    None if self.buffer.len() > LONGEST_LINE => return Err(ChannelError::StrayHello),
                    None => return Ok(()),
                },
            };
            let newline = usize::from(!matches!(kind, b's' | b'a' | b'w'));
            self.buffer.drain(..mark + 1 + line.len() + newline);
            if is_late {
                continue;
            }
            let number = || std::str::from_utf8(&line).ok().and_then(|text| text.trim().parse::<u32>().ok());
            match kind {
                b's' => command.began = true,
                b'p' => {
                    command.group = number();
                    if let Some(group) = command.group {
                        out.extend(format!("g {group}\n").as_bytes());
                    }
                    for signal in std::mem::take(&mut command.signals) {
                        command.kill(signal, out);
                    }
                }
                b'a' => {
                    // At most a piece.
                    let taken = std::mem::take(&mut command.in_flight) as u32;
                    events.push(Event::Taken(command.id, taken));
                    command.feed(out);
                }
                b'w' => {
                    command.waits = true;
                    command.ask(out);
                }
                b'e' => command.output(Stream::Stderr, [&line[..], b"\n"].concat(), events),
                b'E' => command.output(Stream::Stderr, line, events),
                b'x' => {
                    let code = number().and_then(|n| u8::try_from(n).ok()).unwrap_or(u8::MAX);
                    events.push(Event::Exited(command.id, ExitStatus::Exited(code)));
                    self.commands.pop_front();
                    out.extend(b"q\n");
                    self.start(out);
                }
                _ => return Err(ChannelError::StrayHello),
            }
        }
    }

    pub(super) fn exec(&mut self, exec: &Exec, out: &mut Vec<u8>) -> Result<CommandId, BadExec> {
        exec.payload()?;
        if exec.pty.is_some() {
            return Err(BadExec::NoTerminal);
        }
        let id = self.next;
        self.next = self.next.wrapping_add(1);
        self.commands.push_back(Command {
            id,
            exec: exec.clone(),
            mark: format!("{}{id:08x}", self.seed).into_bytes(),
            began: false,
            group: None,
            signals: Vec::new(),
            granted: i64::from(exec.window),
            waits: false,
            input: VecDeque::new(),
            in_flight: 0,
            input_ended: false,
            end_sent: false,
        });
        if self.commands.len() == 1 {
            self.start(out);
        }
        Ok(id)
    }

    /// Starts the first command, whose turn it is.
    fn start(&mut self, out: &mut Vec<u8>) {
        let Some(command) = self.commands.front_mut() else { return };
        out.extend(b"diorama ");
        out.extend(&command.mark);
        if !command.exec.env.is_empty() {
            out.extend(b" env");
        }
        let entries = command.exec.env.iter().map(|(name, value)| [&name[..], b"=", value].concat());
        for word in entries.chain(command.exec.argv.iter().cloned()) {
            out.push(b' ');
            quote(&word, out);
        }
        out.push(b'\n');
        command.feed(out);
    }

    pub(super) fn input(&mut self, id: CommandId, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        let mut rest = self.commands.iter_mut().enumerate();
        let Some((place, command)) = rest.find(|(_, c)| c.id == id && !c.input_ended) else {
            return bytes.len();
        };
        let room = (STDIN_WINDOW as usize).saturating_sub(command.input.len() + command.in_flight);
        let count = bytes.len().min(room);
        command.input.extend(&bytes[..count]);
        if place == 0 {
            command.feed(out);
        }
        count
    }

    pub(super) fn end_input(&mut self, id: CommandId, out: &mut Vec<u8>) {
        let mut rest = self.commands.iter_mut().enumerate();
        let Some((place, command)) = rest.find(|(_, c)| c.id == id) else { return };
        command.input_ended = true;
        if place == 0 {
            command.feed(out);
        }
    }

    pub(super) fn grant(&mut self, id: CommandId, more: u32, out: &mut Vec<u8>) {
        let Some(command) = self.commands.front_mut().filter(|c| c.id == id) else { return };
        command.granted += i64::from(more);
        command.ask(out);
    }

    pub(super) fn signal(&mut self, id: CommandId, signal: u8, events: &mut Vec<Event>, out: &mut Vec<u8>) {
        let Some(place) = self.commands.iter().position(|c| c.id == id) else { return };
        if place > 0 {
            self.commands.remove(place);
            events.push(Event::Exited(id, ExitStatus::Killed(signal)));
            return;
        }
        let Some(command) = self.commands.front_mut() else { return };
        if command.group.is_none() {
            command.signals.push(signal);
            return;
        }
        command.kill(signal, out);
    }
}

impl Command {
    fn output(&mut self, stream: Stream, bytes: Vec<u8>, events: &mut Vec<Event>) {
        // What comes before the beginning is left from before.
        if !self.began || bytes.is_empty() {
            return;
        }
        self.granted -= i64::try_from(bytes.len()).unwrap_or(i64::MAX);
        events.push(Event::Output(self.id, stream, bytes));
    }

    /// Asks for more output when there is room.
    fn ask(&mut self, out: &mut Vec<u8>) {
        if self.granted > 0 && std::mem::take(&mut self.waits) {
            out.extend(b"c\n");
        }
    }

    /// Sends the next piece of input when the one before was taken, and the end after the last.
    fn feed(&mut self, out: &mut Vec<u8>) {
        if self.in_flight > 0 {
            return;
        }
        let count = self.input.len().min(PIECE);
        if count > 0 {
            out.extend(format!("d {count}\n").as_bytes());
            out.extend(self.input.drain(..count));
            self.in_flight = count;
        } else if self.input_ended && !self.end_sent {
            self.end_sent = true;
            out.extend(b"e\n");
        }
    }

    fn kill(&self, signal: u8, out: &mut Vec<u8>) {
        if let Some(group) = self.group {
            out.extend(format!("k -{signal} -- -{group}\n").as_bytes());
        }
    }
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    let first = *what.first()?;
    let mut from = 0;
    while let Some(at) = bytes[from..].iter().position(|b| *b == first) {
        if bytes[from + at..].starts_with(what) {
            return Some(from + at);
        }
        from += at + 1;
    }
    None
}

/// A word as bash reads it.
fn quote(word: &[u8], out: &mut Vec<u8>) {
    out.push(b'\'');
    for &byte in word {
        match byte {
            b'\'' => out.extend(br"'\''"),
            other => out.push(other),
        }
    }
    out.push(b'\'');
}
