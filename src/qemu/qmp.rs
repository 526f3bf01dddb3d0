//! A client of QEMU's monitor (QMP): one JSON object a line.
//!
//! One task owns the socket. Commands carry ids, so their answers find whoever asked; events go to
//! a channel. The connection can be made again at any time, which is how a new daemon takes over.
//!
//! Invariant: nothing QEMU says can make this grow without bound: lines and the queue of events
//! are bounded, and every command has a time-out.

use std::collections::HashMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::UnixStream;
use tokio::net::unix::OwnedReadHalf;
use tokio::sync::{Mutex, mpsc, oneshot};

use crate::model::{Endpoint, Proto};

/// The longest line accepted from QEMU.
const LINE_MAX: u64 = 4 << 20;
/// Events that may wait for the reader; more are dropped, oldest kept.
const EVENTS_MAX: usize = 256;
/// How long a command may take.
const TIMEOUT: Duration = Duration::from_secs(10);
/// How long a snapshot may take: it writes the guest's memory to disk.
const SNAPSHOT_TIMEOUT: Duration = Duration::from_secs(300);

/// Why the monitor did not do it.
#[derive(Debug, thiserror::Error)]
pub enum QmpError {
    /// The socket could not be reached, or failed.
    #[error("QEMU's monitor: {0}")]
    Io(#[from] std::io::Error),
    /// QEMU closed the connection: it ended, or another client has the monitor.
    #[error("QEMU's monitor was closed")]
    Closed,
    /// No answer came in time.
    #[error("QEMU's monitor gave no answer to {command} within {seconds} s")]
    Timeout {
        /// The command.
        command: String,
        /// How long was waited.
        seconds: u64,
    },
    /// Something that is no QMP came.
    #[error("QEMU's monitor said something unintelligible: {0}")]
    Garbled(String),
    /// QEMU refused.
    #[error("QEMU refused {command}: {what}")]
    Refused {
        /// The command.
        command: String,
        /// QEMU's own words.
        what: String,
    },
}

/// Something QEMU tells of itself.
#[derive(Debug, Clone, PartialEq)]
pub struct QmpEvent {
    /// Its name: `SHUTDOWN`, `STOP`, `RESUME`, `RESET`, `BLOCK_IO_ERROR` …
    pub name: String,
    /// Its details.
    pub data: Value,
}

/// Who waits for which answer; none when the connection is gone.
type Askers = Option<HashMap<u64, oneshot::Sender<Result<Value, String>>>>;
type Pending = Arc<std::sync::Mutex<Askers>>;

/// A connection to one machine's monitor; clones share it.
#[derive(Debug, Clone)]
pub struct Qmp {
    writer: Arc<Mutex<Writer>>,
    pending: Pending,
}

#[derive(Debug)]
struct Writer {
    half: tokio::net::unix::OwnedWriteHalf,
    next_id: u64,
}

impl Qmp {
    /// Connects, negotiates, and gives the stream of events, which ends when the connection does.
    ///
    /// # Errors
    /// When nobody answers there, or somebody who is not QEMU.
    pub async fn connect(path: &Path) -> Result<(Self, mpsc::Receiver<QmpEvent>), QmpError> {
        let greet = async {
            let stream = UnixStream::connect(path).await?;
            let (read, half) = stream.into_split();
            let mut reader = Lines { inner: BufReader::new(read) };
            let greeting = reader.next().await?.ok_or(QmpError::Closed)?;
            if greeting.get("QMP").is_none() {
                return Err(QmpError::Garbled(greeting.to_string().chars().take(200).collect()));
            }
            Ok((reader, half))
        };
        let (reader, half) = timed("the greeting", TIMEOUT, greet).await?;
        let pending: Pending = Arc::new(std::sync::Mutex::new(Some(HashMap::new())));
        let (events, receiver) = mpsc::channel(EVENTS_MAX);
        tokio::spawn(read_all(reader, pending.clone(), events));
        let qmp = Self { writer: Arc::new(Mutex::new(Writer { half, next_id: 1 })), pending };
        qmp.command("qmp_capabilities", Value::Null).await?;
        Ok((qmp, receiver))
    }

    /// Sends a command and waits for its answer.
    ///
    /// # Errors
    /// When QEMU refuses, is gone, or does not answer.
    pub async fn command(&self, name: &str, arguments: Value) -> Result<Value, QmpError> {
        self.command_within(name, arguments, TIMEOUT).await
    }

    async fn command_within(&self, name: &str, arguments: Value, limit: Duration) -> Result<Value, QmpError> {
        let answer = async {
            let receiver = {
                let mut writer = self.writer.lock().await;
                let id = writer.next_id;
                writer.next_id += 1;
                let (sender, receiver) = oneshot::channel();
                match lock(&self.pending).as_mut() {
                    Some(pending) => pending.insert(id, sender),
                    None => return Err(QmpError::Closed),
                };
                let mut message = json!({ "execute": name, "id": id });
                if !arguments.is_null() {
                    message["arguments"] = arguments;
                }
                let mut line = message.to_string();
                line.push('\n');
                writer.half.write_all(line.as_bytes()).await?;
                receiver
            };
            match receiver.await {
                Ok(Ok(value)) => Ok(value),
                Ok(Err(what)) => Err(QmpError::Refused { command: name.to_owned(), what }),
                Err(_) => Err(QmpError::Closed),
            }
        };
        timed(name, limit, answer).await
    }

    /// Runs a command of the human monitor and gives its text.
    ///
    /// # Errors
    /// As [`Qmp::command`].
    pub async fn human(&self, line: &str) -> Result<String, QmpError> {
        self.human_within(line, TIMEOUT).await
    }

    async fn human_within(&self, line: &str, limit: Duration) -> Result<String, QmpError> {
        let arguments = json!({ "command-line": line });
        let answer = self.command_within("human-monitor-command", arguments, limit).await?;
        Ok(answer.as_str().unwrap_or_default().trim().to_owned())
    }

    /// A human command that says nothing when it worked.
    async fn silent(&self, line: &str, limit: Duration) -> Result<(), QmpError> {
        let said = self.human_within(line, limit).await?;
        if said.is_empty() {
            return Ok(());
        }
        let command = line.split(' ').next().unwrap_or(line).to_owned();
        Err(QmpError::Refused { command, what: said.trim_start_matches("Error: ").to_owned() })
    }

    /// Ends QEMU at once, as if the power were cut.
    ///
    /// # Errors
    /// As [`Qmp::command`]; QEMU may end before it answers, which is no error.
    pub async fn quit(&self) -> Result<(), QmpError> {
        match self.command("quit", Value::Null).await {
            Err(QmpError::Closed) | Ok(_) => Ok(()),
            Err(e) => Err(e),
        }
    }

    /// Presses the power button.
    ///
    /// # Errors
    /// As [`Qmp::command`].
    pub async fn system_powerdown(&self) -> Result<(), QmpError> {
        self.command("system_powerdown", Value::Null).await.map(drop)
    }

    /// Presses the reset button.
    ///
    /// # Errors
    /// As [`Qmp::command`].
    pub async fn system_reset(&self) -> Result<(), QmpError> {
        self.command("system_reset", Value::Null).await.map(drop)
    }

    /// Freezes the CPUs.
    ///
    /// # Errors
    /// As [`Qmp::command`].
    pub async fn stop(&self) -> Result<(), QmpError> {
        self.command("stop", Value::Null).await.map(drop)
    }

    /// Lets the CPUs run.
    ///
    /// # Errors
    /// As [`Qmp::command`].
    pub async fn cont(&self) -> Result<(), QmpError> {
        self.command("cont", Value::Null).await.map(drop)
    }

    /// What the machine is doing: `running`, `paused`, `io-error`, `shutdown` …
    ///
    /// # Errors
    /// As [`Qmp::command`].
    pub async fn query_status(&self) -> Result<String, QmpError> {
        let answer = self.command("query-status", Value::Null).await?;
        Ok(answer.get("status").and_then(Value::as_str).unwrap_or("unknown").to_owned())
    }

    /// Raises or drops the carrier of a network card, by QEMU's name for it (see [`super::nic_of`]).
    ///
    /// # Errors
    /// As [`Qmp::command`].
    pub async fn set_link(&self, nic: &str, up: bool) -> Result<(), QmpError> {
        self.command("set_link", json!({ "name": nic, "up": up })).await.map(drop)
    }

    /// Opens a forward on a user-mode interface; the host's address is 127.0.0.1 unless named.
    ///
    /// # Errors
    /// With QEMU's words when the port is taken: see [`forward_port_taken`].
    pub async fn hostfwd_add(
        &self,
        interface: &str,
        proto: Proto,
        host: &Endpoint,
        guest: &Endpoint,
    ) -> Result<(), QmpError> {
        let rule = hostfwd_add_rule(proto, host, guest);
        self.silent(&format!("hostfwd_add {interface} {rule}"), TIMEOUT).await
    }

    /// Closes a forward.
    ///
    /// # Errors
    /// When there is none like it.
    pub async fn hostfwd_remove(
        &self,
        interface: &str,
        proto: Proto,
        host: &Endpoint,
    ) -> Result<(), QmpError> {
        let line = format!("hostfwd_remove {interface} {proto}:{}:{}", host_address(host), host.port);
        // This one answers in words when it worked, too.
        let said = self.human(&line).await?;
        if said.ends_with("removed") {
            return Ok(());
        }
        Err(QmpError::Refused { command: "hostfwd_remove".into(), what: said })
    }

    /// Writes what the display shows to a PNG file.
    ///
    /// # Errors
    /// As [`Qmp::command`]; also when the file cannot be written.
    pub async fn screendump(&self, file: &Path) -> Result<(), QmpError> {
        let arguments = json!({ "filename": file.to_string_lossy(), "format": "png" });
        self.command("screendump", arguments).await.map(drop)
    }

    /// Saves the whole machine, memory and disk, in its state disk under a name.
    ///
    /// # Errors
    /// With QEMU's words, for example when there is no state disk.
    pub async fn savevm(&self, name: &str) -> Result<(), QmpError> {
        self.silent(&format!("savevm {name}"), SNAPSHOT_TIMEOUT).await
    }

    /// Brings a saved machine back.
    ///
    /// # Errors
    /// With QEMU's words, for example when there is no such snapshot.
    pub async fn loadvm(&self, name: &str) -> Result<(), QmpError> {
        self.silent(&format!("loadvm {name}"), SNAPSHOT_TIMEOUT).await
    }
}

/// Whether a refused forward means that the host port is taken (or not allowed), rather than that
/// something is wrong with the rule.
pub fn forward_port_taken(error: &QmpError) -> bool {
    matches!(error, QmpError::Refused { what, .. } if what.contains("Could not set up host forwarding"))
}

fn host_address(host: &Endpoint) -> &str {
    if host.address.is_empty() { "127.0.0.1" } else { &host.address }
}

fn hostfwd_add_rule(proto: Proto, host: &Endpoint, guest: &Endpoint) -> String {
    format!("{proto}:{}:{}-{}:{}", host_address(host), host.port, guest.address, guest.port)
}

async fn timed<T>(
    command: &str,
    limit: Duration,
    work: impl Future<Output = Result<T, QmpError>>,
) -> Result<T, QmpError> {
    match tokio::time::timeout(limit, work).await {
        Ok(result) => result,
        Err(_) => Err(QmpError::Timeout { command: command.to_owned(), seconds: limit.as_secs() }),
    }
}

fn lock(pending: &Pending) -> std::sync::MutexGuard<'_, Askers> {
    pending.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

async fn read_all(mut reader: Lines, pending: Pending, events: mpsc::Sender<QmpEvent>) {
    while let Ok(Some(mut message)) = reader.next().await {
        if let Some(name) = message.get("event").and_then(Value::as_str) {
            let event = QmpEvent {
                name: name.to_owned(),
                data: message.get_mut("data").map(Value::take).unwrap_or_default(),
            };
            // A reader that does not read loses events rather than stalling the answers.
            let _ = events.try_send(event);
            continue;
        }
        let Some(id) = message.get("id").and_then(Value::as_u64) else { continue };
        let Some(asker) = lock(&pending).as_mut().and_then(|p| p.remove(&id)) else { continue };
        let answer = match message.get_mut("return") {
            Some(value) => Ok(value.take()),
            None => Err(message["error"]["desc"].as_str().unwrap_or("no reason given").to_owned()),
        };
        let _ = asker.send(answer);
    }
    // Whoever still waits learns that the connection is gone.
    *lock(&pending) = None;
}

struct Lines {
    inner: BufReader<OwnedReadHalf>,
}

impl Lines {
    async fn next(&mut self) -> Result<Option<Value>, QmpError> {
        let mut line = Vec::new();
        let n = (&mut self.inner).take(LINE_MAX).read_until(b'\n', &mut line).await?;
        if n == 0 {
            return Ok(None);
        }
        if line.last() != Some(&b'\n') {
            return Err(QmpError::Garbled(format!("a line of {n} bytes without an end")));
        }
        serde_json::from_slice(&line).map(Some).map_err(|e| QmpError::Garbled(e.to_string()))
    }
}

#[cfg(test)]
#[path = "qmp_tests.rs"]
mod tests;
