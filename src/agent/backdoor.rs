//! The other way to a root shell: the back door of NixOS's tests, a shell on a virtual console.
//!
//! ```text
//! asking ─▶ it has perl: our agent takes the shell's place ─▶ the agent's protocol
//!    ▲   └▶ it has none: the shell itself, one command at a time ([`lines`])
//!    └─ a guest that starts anew, or another host at the same machine
//! ```
//!
//! The question is made so that a shell and an agent of an earlier host both know what to do with it:
//! whoever of them reads it answers. The agent is told by a token that is the same as long as the
//! machine's console is; a shell reads the token as a comment.
//!
//! Invariant: no I/O and no clock, as in [`super::channel`].

mod lines;

use lines::Lines;

use super::channel::{Channel, ChannelError, CommandId, Event};
use super::codec::{BadExec, Exec, NONCE, Size};

/// The agent of Debian guests, which runs wherever there is a perl.
const AGENT: &str = include_str!("../../assets/guest/agent.pl");
/// Bytes of output that one command may have on its way. A console, unlike the agent's port, loses
/// what its reader is too slow for, so this is less than what a socket holds.
pub const LARGEST_WINDOW: u32 = 48 * 1024;

/// A conversation over a console that a root shell listens on.
#[derive(Debug)]
pub struct Backdoor {
    token: String,
    nonce: [u8; NONCE],
    state: State,
    /// The end of what came before the answer.
    heard: Vec<u8>,
}

#[derive(Debug)]
enum State {
    Asking,
    Agent(Box<Channel>),
    Shell(Box<Lines>),
}

impl Backdoor {
    /// A conversation that has yet to begin; `nonce` is fresh, `token` is letters and digits.
    pub fn new(token: String, nonce: [u8; NONCE]) -> Self {
        Self { token, nonce, state: State::Asking, heard: Vec::new() }
    }

    /// Asks who listens; may be repeated as long as nobody has answered.
    pub fn sync(&self, out: &mut Vec<u8>) {
        match &self.state {
            State::Asking => {
                let [first, second] = self.halves();
                let token = &self.token;
                // The halves are apart, so that a terminal that still echoes does not seem to answer.
                let question = format!(
                    "\n#{token}\nstty raw -echo 2>/dev/null; if command -v perl >/dev/null 2>&1; then \
                     printf '%s' {first} {second}P; else printf '%s' {first} {second}S; fi\n"
                );
                out.extend(question.as_bytes());
            }
            State::Agent(channel) => channel.sync(out),
            State::Shell(_) => {}
        }
    }

    /// Whether commands can be started.
    pub fn is_ready(&self) -> bool {
        match &self.state {
            State::Asking => false,
            State::Agent(channel) => channel.is_ready(),
            State::Shell(_) => true,
        }
    }

    /// Takes bytes from the guest and appends what they mean to `events` and what they make necessary
    /// to `out`. After an error the conversation is over.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        events: &mut Vec<Event>,
        out: &mut Vec<u8>,
    ) -> Result<(), ChannelError> {
        match &mut self.state {
            State::Asking => {
                self.heard.extend_from_slice(bytes);
                self.answered(events, out);
                Ok(())
            }
            State::Agent(channel) => channel.receive(bytes, events),
            State::Shell(lines) => lines.receive(bytes, events, out),
        }
    }

    fn answered(&mut self, events: &mut Vec<Event>, out: &mut Vec<u8>) {
        let has = |what: &str| self.heard.windows(what.len()).any(|w| w == what.as_bytes());
        let answer = self.halves().concat();
        if has(&format!("{}!", self.token)) {
            let channel = Channel::new(self.nonce);
            channel.sync(out);
            self.state = State::Agent(Box::new(channel));
        } else if has(&format!("{answer}P")) {
            // Asking goes on until the agent says its token.
            self.heard.clear();
            let agent = trimmed(AGENT);
            let begin = format!(
                "exec perl -e 'my $n = pop; read(STDIN, my $s, $n) == $n or exit 1; \
                 unshift @ARGV, readlink \"/proc/self/fd/0\"; eval $s; die $@' {} {}\n",
                self.token,
                agent.len()
            );
            out.extend(begin.as_bytes());
            out.extend(agent.as_bytes());
        } else if has(&format!("{answer}S")) {
            let lines = Lines::new(&self.token, self.nonce);
            lines.begin(out);
            self.state = State::Shell(Box::new(lines));
            events.push(Event::Ready);
        } else {
            let keep = self.token.len().max(answer.len());
            let garbage = self.heard.len().saturating_sub(keep);
            self.heard.drain(..garbage);
        }
    }

    /// What the shell answers, in two parts.
    fn halves(&self) -> [String; 2] {
        let hex = |bytes: &[u8]| bytes.iter().map(|b| format!("{b:02x}")).collect();
        [hex(&self.nonce[..NONCE / 2]), hex(&self.nonce[NONCE / 2..])]
    }

    /// Starts a command, at once or when those before it have ended.
    pub fn exec(&mut self, exec: &Exec, out: &mut Vec<u8>) -> Result<CommandId, BadExec> {
        match &mut self.state {
            State::Asking => Err(BadExec::Empty),
            State::Agent(channel) => channel.exec(exec, out),
            State::Shell(lines) => lines.exec(exec, out),
        }
    }

    /// Number of commands that run or wait.
    pub fn running(&self) -> usize {
        match &self.state {
            State::Asking => 0,
            State::Agent(channel) => channel.running(),
            State::Shell(lines) => lines.running(),
        }
    }

    /// As [`Channel::input`].
    pub fn input(&mut self, id: CommandId, bytes: &[u8], out: &mut Vec<u8>) -> usize {
        match &mut self.state {
            State::Asking => bytes.len(),
            State::Agent(channel) => channel.input(id, bytes, out),
            State::Shell(lines) => lines.input(id, bytes, out),
        }
    }

    /// As [`Channel::end_input`].
    pub fn end_input(&mut self, id: CommandId, out: &mut Vec<u8>) {
        match &mut self.state {
            State::Asking => {}
            State::Agent(channel) => channel.end_input(id, out),
            State::Shell(lines) => lines.end_input(id, out),
        }
    }

    /// As [`Channel::grant`].
    pub fn grant(&mut self, id: CommandId, more: u32, out: &mut Vec<u8>) {
        match &mut self.state {
            State::Asking => {}
            State::Agent(channel) => channel.grant(id, more, out),
            State::Shell(lines) => lines.grant(id, more, out),
        }
    }

    /// As [`Channel::signal`]; a command that still waits for its turn ends by it.
    pub fn signal(&mut self, id: CommandId, signal: u8, events: &mut Vec<Event>, out: &mut Vec<u8>) {
        match &mut self.state {
            State::Asking => {}
            State::Agent(channel) => channel.signal(id, signal, out),
            State::Shell(lines) => lines.signal(id, signal, events, out),
        }
    }

    /// As [`Channel::resize`].
    pub fn resize(&self, id: CommandId, size: Size, out: &mut Vec<u8>) {
        if let State::Agent(channel) = &self.state {
            channel.resize(id, size, out);
        }
    }
}

/// A perl program without its indentation and comments: a console is slow.
fn trimmed(program: &str) -> String {
    let mut out = String::new();
    for line in program.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#')) {
        out.push_str(line);
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests;
