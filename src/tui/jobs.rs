//! This program run once more, beside the screen: works whose output is read, and terminals on hosts.
//!
//! Invariant: everything is told through one bounded queue, in the order it happened; what belongs to
//! the screen ends with it.

use std::collections::HashMap;
use std::io::{Read, Write};
use std::process::Stdio;

use bytes::Bytes;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use portable_pty::{CommandBuilder, MasterPty, PtySize, native_pty_system};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::process::Command;
use tokio::sync::mpsc;

use super::msg::{Job, Msg};
use crate::proto::{ServerMessage, StreamEnd};

/// The longest line, and the longest answer, that is read.
const LINE_MAX: u64 = 64 << 20;
/// How much of standard error is kept.
const ERRORS_MAX: usize = 16 << 10;
/// Messages that may wait for the screen.
const QUEUE: usize = 256;
/// The most that is read from a terminal at once.
const PIECE: usize = 8 << 10;

/// The works and terminals beside the screen.
pub(super) struct Aside {
    tell: mpsc::Sender<Msg>,
    inbox: mpsc::Receiver<Msg>,
    jobs: HashMap<Job, Pid>,
    terminals: HashMap<u32, Terminal>,
}

struct Terminal {
    master: Box<dyn MasterPty + Send>,
    input: std::sync::mpsc::Sender<Bytes>,
    child: Box<dyn portable_pty::ChildKiller + Send + Sync>,
}

impl Drop for Terminal {
    fn drop(&mut self) {
        // One that has ended already is what is wanted.
        let _ = self.child.kill();
    }
}

impl Aside {
    pub fn new() -> Self {
        let (tell, inbox) = mpsc::channel(QUEUE);
        Self { tell, inbox, jobs: HashMap::new(), terminals: HashMap::new() }
    }

    /// Waits for the next thing that happens.
    pub async fn next(&mut self) -> Msg {
        let msg = match self.inbox.recv().await {
            Some(msg) => msg,
            // A sender is kept here, so the queue never ends.
            None => std::future::pending().await,
        };
        match &msg {
            Msg::JobEnded { job, .. } => {
                self.jobs.remove(job);
            }
            Msg::Server(ServerMessage::StreamClosed { stream, .. }) => {
                self.terminals.remove(stream);
            }
            _ => {}
        }
        msg
    }

    /// Starts a work.
    pub fn job(&mut self, job: Job, args: &[String]) {
        let tell = self.tell.clone();
        let spawned = std::env::current_exe().and_then(|program| {
            Command::new(program)
                .args(args)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .process_group(0)
                // A deployment that is under way is never killed from here: it would have to be taken back.
                .kill_on_drop(job != Job::Deploy)
                .spawn()
        });
        let mut child = match spawned {
            Ok(child) => child,
            Err(e) => {
                let errors = format!("this program cannot be run: {e}");
                tokio::spawn(async move { tell.send(Msg::JobEnded { job, status: None, errors }).await });
                return;
            }
        };
        if let Some(pid) = child.id() {
            self.jobs.insert(job, Pid::from_raw(pid.cast_signed()));
        }
        tokio::spawn(async move {
            let (out, err) = (child.stdout.take(), child.stderr.take());
            let lines = async {
                if let Some(out) = out {
                    read_out(job, out, &tell).await;
                }
            };
            let errors = async {
                match err {
                    Some(err) => last_of(err).await,
                    None => String::new(),
                }
            };
            let ((), errors) = tokio::join!(lines, errors);
            let status = child.wait().await.ok().and_then(|s| s.code());
            let _ = tell.send(Msg::JobEnded { job, status, errors }).await;
        });
    }

    /// Interrupts a work, as ctrl-c does.
    pub fn stop(&self, job: Job) {
        if let Some(pid) = self.jobs.get(&job) {
            // It may have ended in this moment.
            let _ = kill(*pid, Signal::SIGINT);
        }
    }

    /// Starts a terminal; its output and its end come under the stream's number.
    pub fn terminal(&mut self, stream: u32, args: &[String], rows: u16, cols: u16) {
        match self.open(stream, args, rows, cols) {
            Ok(terminal) => {
                self.terminals.insert(stream, terminal);
            }
            Err(e) => {
                let tell = self.tell.clone();
                let end = StreamEnd::NotStarted { reason: format!("{e:#}") };
                tokio::spawn(async move {
                    tell.send(Msg::Server(ServerMessage::StreamClosed { stream, end })).await
                });
            }
        }
    }

    fn open(&self, stream: u32, args: &[String], rows: u16, cols: u16) -> anyhow::Result<Terminal> {
        let pair = native_pty_system().openpty(PtySize { rows, cols, pixel_width: 0, pixel_height: 0 })?;
        let mut command = CommandBuilder::new(std::env::current_exe()?);
        command.args(args);
        command.env("TERM", "xterm-256color");
        let mut child = pair.slave.spawn_command(command)?;
        drop(pair.slave);
        let (mut reader, mut writer) = (pair.master.try_clone_reader()?, pair.master.take_writer()?);
        let killer = child.clone_killer();
        let tell = self.tell.clone();
        std::thread::spawn(move || {
            let mut piece = vec![0; PIECE];
            while let Ok(n @ 1..) = reader.read(&mut piece) {
                let bytes = Bytes::copy_from_slice(&piece[..n]);
                if tell.blocking_send(Msg::Data { stream, bytes }).is_err() {
                    return;
                }
            }
            let code = child.wait().map_or(255, |s| u8::try_from(s.exit_code()).unwrap_or(255));
            let end = StreamEnd::Exited { code };
            let _ = tell.blocking_send(Msg::Server(ServerMessage::StreamClosed { stream, end }));
        });
        let (input, typed) = std::sync::mpsc::channel::<Bytes>();
        let tell = self.tell.clone();
        std::thread::spawn(move || {
            while let Ok(bytes) = typed.recv() {
                if writer.write_all(&bytes).and_then(|()| writer.flush()).is_err() {
                    return;
                }
                let taken = u32::try_from(bytes.len()).unwrap_or(u32::MAX);
                let taken = ServerMessage::Taken { stream, bytes: taken };
                if tell.blocking_send(Msg::Server(taken)).is_err() {
                    return;
                }
            }
        });
        Ok(Terminal { master: pair.master, input, child: killer })
    }

    /// Types into a terminal. What waits is bounded by the tile's window.
    pub fn input(&self, stream: u32, bytes: Bytes) {
        if let Some(terminal) = self.terminals.get(&stream) {
            let _ = terminal.input.send(bytes);
        }
    }

    /// Gives a terminal another size.
    pub fn resize(&self, stream: u32, rows: u16, cols: u16) {
        if let Some(terminal) = self.terminals.get(&stream) {
            let size = PtySize { rows, cols, pixel_width: 0, pixel_height: 0 };
            let _ = terminal.master.resize(size);
        }
    }

    /// Ends a terminal.
    pub fn close(&mut self, stream: u32) {
        self.terminals.remove(&stream);
    }
}

/// Tells a deployment's output line by line, and any other's as a whole.
async fn read_out(job: Job, out: impl AsyncRead + Unpin, tell: &mpsc::Sender<Msg>) {
    let mut reader = BufReader::new(out);
    loop {
        let mut text = Vec::new();
        let mut limited = (&mut reader).take(LINE_MAX);
        let read = match job {
            Job::Deploy => limited.read_until(b'\n', &mut text).await,
            Job::Plan | Job::Status => limited.read_to_end(&mut text).await,
        };
        if !matches!(read, Ok(1..)) {
            return;
        }
        let text = String::from_utf8_lossy(&text).trim_end().to_owned();
        if tell.send(Msg::JobLine { job, text }).await.is_err() {
            return;
        }
    }
}

/// Reads to the end and keeps the last of it.
async fn last_of(mut err: impl AsyncRead + Unpin) -> String {
    let mut kept = Vec::new();
    let mut piece = [0; 4096];
    while let Ok(n @ 1..) = err.read(&mut piece).await {
        kept.extend_from_slice(&piece[..n]);
        let over = kept.len().saturating_sub(ERRORS_MAX);
        kept.drain(..over);
    }
    String::from_utf8_lossy(&kept).into_owned()
}
