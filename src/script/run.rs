//! A script's process: finding a Python, starting it, reading its events, ending it.
//!
//! Invariant: the process and whatever it started are gone when [`Run::wait`] has given the end, and
//! when a [`Run`] is dropped.

use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, killpg};
use nix::sys::termios::{SetArg, Termios, tcgetattr, tcsetattr};
use nix::unistd::{Pid, tcgetpgrp, tcsetpgrp};
use serde::Serialize;
use serde_json::Value;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::process::{Child, Command};
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::error::{Error, Result, ResultExt};

/// The oldest Python that the driver runs on.
const OLDEST: (u32, u32) = (3, 9);
/// The longest event that is taken in.
const EVENT_MAX: u64 = 8 << 20;
/// How long a script may take to report and end once it was told to.
const GRACE: Duration = Duration::from_secs(20);
/// How long the last events of a process that has ended may take.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// The longest line of what a script prints that is handed on whole.
const LINE_MAX: u64 = 64 << 10;
/// Events that may wait for the reader.
const QUEUE: usize = 1024;

/// A Python that can run scripts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Python {
    /// The program.
    pub program: PathBuf,
    /// Its version.
    pub version: (u32, u32),
}

/// Finds a Python: `DIORAMA_PYTHON`, else `python3` on the path.
///
/// # Errors
/// When there is none, or it is too old; with the way out.
pub async fn find_python() -> Result<Python> {
    let program: PathBuf = std::env::var_os("DIORAMA_PYTHON")
        .filter(|p| !p.is_empty())
        .unwrap_or_else(|| "python3".into())
        .into();
    let asked = Command::new(&program)
        .args(["-c", "import sys; print(*sys.version_info[:2]); import json, pdb, tarfile, unittest"])
        .stdin(Stdio::null())
        .output()
        .await;
    let output = asked
        .doing(format!("{} runs test scripts, and it cannot be started", program.display()))
        .hint("diorama setup installs python3; DIORAMA_PYTHON names another one")?;
    let said = String::from_utf8_lossy(&output.stdout);
    let version = parse_version(&said).ok_or_else(|| {
        Error::new(format!("{} does not say its version: {}", program.display(), said.trim()))
    })?;
    if !output.status.success() && version >= OLDEST {
        return Err(Error::new(format!("{} lacks a part of Python's standard library", program.display()))
            .hint("install the package python3: python3-minimal is not enough for test scripts"));
    }
    if version < OLDEST {
        return Err(Error::new(format!(
            "{} is Python {}.{}; test scripts need {}.{} or later",
            program.display(),
            version.0,
            version.1,
            OLDEST.0,
            OLDEST.1
        ))
        .hint("DIORAMA_PYTHON names another one"));
    }
    Ok(Python { program, version })
}

fn parse_version(text: &str) -> Option<(u32, u32)> {
    let (major, minor) = text.trim().split_once(' ')?;
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// What the driver is told.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Order {
    /// The daemon's socket.
    pub socket: PathBuf,
    /// Where artifacts go.
    pub out_dir: PathBuf,
    /// Where the session keeps the machines' files.
    pub session_state: PathBuf,
    /// Whether the session was there before and goes on afterwards.
    pub attached: bool,
    /// The script.
    pub script: String,
    /// The file that messages name; the script is there.
    pub script_file: PathBuf,
    /// Subtests to run, by parts of their names; all when empty.
    pub patterns: Vec<String>,
    /// Go on after a failed subtest.
    pub keep_going: bool,
    /// Seconds that a command may take, instead of the API's default.
    pub command_timeout: Option<u64>,
    /// Show nothing but failures.
    pub quiet: bool,
    /// Give a prompt at the terminal, and stop at breakpoints.
    pub interactive: bool,
    /// Where the prompt keeps what was typed.
    pub history_file: PathBuf,
    /// Leave the session running even when nobody is left to end it.
    pub keep: bool,
}

/// Takes a line that a script's process printed.
pub type Say = Arc<dyn Fn(&str) + Send + Sync>;

/// A script that runs.
#[derive(Debug)]
pub struct Run {
    child: Child,
    group: Pid,
    /// Open as long as we live: its end tells the script that it is alone.
    _order: tokio::net::unix::OwnedWriteHalf,
    events: mpsc::Receiver<Value>,
    /// What it prints, read by line.
    printing: JoinSet<()>,
    /// Given back once a script that speaks with a person has ended.
    _terminal: Option<Terminal>,
    ended: bool,
}

/// The person's terminal as it was before a script had it.
#[derive(Debug)]
struct Terminal {
    file: std::fs::File,
    foreground: Pid,
    settings: Termios,
}

impl Terminal {
    fn remember() -> Result<Self> {
        let open = std::fs::OpenOptions::new().read(true).write(true).open("/dev/tty");
        let file = open.doing("a prompt needs a terminal").hint("without --interactive none is needed")?;
        let foreground = tcgetpgrp(&file).map_err(std::io::Error::from).doing("/dev/tty")?;
        let settings = tcgetattr(&file).map_err(std::io::Error::from).doing("/dev/tty")?;
        Ok(Self { file, foreground, settings })
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // Whoever is in the background may take a terminal only while this signal is blocked.
        let mut signals = SigSet::empty();
        signals.add(Signal::SIGTTOU);
        let blocked = signals.thread_block();
        // A terminal that has gone needs nothing any more.
        let _ = tcsetpgrp(&self.file, self.foreground);
        let _ = tcsetattr(&self.file, SetArg::TCSADRAIN, &self.settings);
        if blocked.is_ok() {
            let _ = signals.thread_unblock();
        }
    }
}

/// What comes from a script next.
#[derive(Debug)]
pub enum Next {
    /// An event.
    Event(Value),
    /// It has ended; nothing more comes.
    End,
}

/// How a script's process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ended {
    /// Its exit status, when it was not killed.
    pub code: Option<i32>,
    /// Whether it had to be killed.
    pub killed: bool,
}

impl Run {
    /// Starts a script with the driver package below `package_dir`. What it prints goes to `say`
    /// line by line, otherwise to where ours goes.
    ///
    /// # Errors
    /// When the process cannot be started.
    pub async fn start(python: &Python, package_dir: &Path, order: &Order, say: Option<Say>) -> Result<Self> {
        let terminal = order.interactive.then(Terminal::remember).transpose()?;
        let (ours, theirs) = StdStream::pair().doing("a socket for the script")?;
        let mut command = Command::new(&python.program);
        // No bytecode: the package lies in a read-only directory.
        command.args(["-B", "-u", "-m", "diorama"]).env("PYTHONPATH", python_path(package_dir));
        command.stdin(Stdio::from(OwnedFd::from(theirs))).process_group(0).kill_on_drop(true);
        if say.is_some() {
            command.stdout(Stdio::piped()).stderr(Stdio::piped());
        }
        let mut child = command.spawn().doing(python.program.display())?;
        drop(command);
        let pid = child.id().and_then(|p| i32::try_from(p).ok());
        let group = Pid::from_raw(pid.ok_or_else(|| Error::new("the script ended before it began"))?);
        ours.set_nonblocking(true)?;
        let (read, mut write) = UnixStream::from_std(ours)?.into_split();
        let mut line = serde_json::to_vec(order)?;
        line.push(b'\n');
        // A process that ended at once is told by its status.
        let _ = write.write_all(&line).await;
        let (sender, events) = mpsc::channel(QUEUE);
        tokio::spawn(async move {
            let mut reader = BufReader::new(read);
            let mut line = Vec::new();
            loop {
                line.clear();
                match (&mut reader).take(EVENT_MAX).read_until(b'\n', &mut line).await {
                    Ok(1..) => {}
                    _ => return,
                }
                if let Ok(event) = serde_json::from_slice::<Value>(&line)
                    && sender.send(event).await.is_err()
                {
                    return;
                }
            }
        });
        let mut printing = JoinSet::new();
        if let Some(say) = say {
            if let Some(stdout) = child.stdout.take() {
                printing.spawn(by_line(stdout, say.clone()));
            }
            if let Some(stderr) = child.stderr.take() {
                printing.spawn(by_line(stderr, say));
            }
        }
        Ok(Self { child, group, _order: write, events, printing, _terminal: terminal, ended: false })
    }

    /// The next event, or the end.
    pub async fn next(&mut self) -> Next {
        let last = tokio::select! {
            biased;
            event = self.events.recv() => event,
            _ = self.child.wait() => {
                // What it said last may still be under way; something it left may hold the socket.
                tokio::time::timeout(LAST_WORDS, self.events.recv()).await.unwrap_or(None)
            }
        };
        last.map_or(Next::End, Next::Event)
    }

    /// Tells the script that its time is up: it reports where it was, and ends.
    pub fn time_is_up(&self) {
        self.signal(Signal::SIGTERM);
    }

    /// Hands on a person's ctrl-c.
    pub fn interrupt(&self) {
        self.signal(Signal::SIGINT);
    }

    fn signal(&self, signal: Signal) {
        if !self.ended {
            // The driver's process alone: what it started is ended by it, or with the group.
            let _ = nix::sys::signal::kill(self.group, signal);
        }
    }

    /// Waits for the end and kills what is left; one that was told to end and did not
    /// (`patience_is_out`) is killed at once.
    ///
    /// # Errors
    /// When the process cannot be waited for.
    pub async fn wait(&mut self, patience_is_out: bool) -> Result<Ended> {
        let limit = if patience_is_out { LAST_WORDS } else { GRACE };
        let (status, killed) = match tokio::time::timeout(limit, self.child.wait()).await {
            Ok(status) => (status?, false),
            Err(_) => {
                let _ = killpg(self.group, Signal::SIGKILL);
                (self.child.wait().await?, true)
            }
        };
        // What the script started and left.
        let _ = killpg(self.group, Signal::SIGKILL);
        self.ended = true;
        // Nobody holds the other ends of its pipes any more, so this ends at once.
        let all = async { while self.printing.join_next().await.is_some() {} };
        let _ = tokio::time::timeout(LAST_WORDS, all).await;
        Ok(Ended { code: ExitStatus::code(&status), killed })
    }

    /// How long a script that was told to end may take.
    pub fn grace() -> Duration {
        GRACE
    }
}

impl Drop for Run {
    fn drop(&mut self) {
        if !self.ended {
            let _ = killpg(self.group, Signal::SIGKILL);
        }
    }
}

/// Hands on what is printed, line by line.
async fn by_line(from: impl AsyncRead + Unpin, say: Say) {
    let mut reader = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        match (&mut reader).take(LINE_MAX).read_until(b'\n', &mut line).await {
            Ok(1..) => say(String::from_utf8_lossy(&line).trim_end_matches(['\n', '\r'])),
            _ => return,
        }
    }
}

fn python_path(package_dir: &Path) -> std::ffi::OsString {
    let mut out = package_dir.as_os_str().to_owned();
    if let Some(more) = std::env::var_os("PYTHONPATH").filter(|p| !p.is_empty()) {
        out.push(":");
        out.push(more);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_read() {
        for (text, want) in
            [("3 11\n", Some((3, 11))), ("3 9", Some((3, 9))), ("", None), ("3.11", None), ("3 x", None)]
        {
            assert_eq!(parse_version(text), want, "{text:?}");
        }
    }
}
