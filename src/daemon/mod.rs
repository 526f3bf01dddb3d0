//! The session daemon: owns everything that runs, and outlives every client.
//!
//! ```text
//!                  ┌────────────── driver ──────────────┐
//! clients ─▶ server│ State ◀─ step(event) ─▶ effects    │─▶ machines (QEMU, QMP, serial, agent)
//!          ◀─ view │ one task, one channel of messages  │─▶ network (switch)
//!                  └────────────────────────────────────┘─▶ prepare (evaluate, build)
//! ```
//!
//! Invariant: only the driver's task touches the session's state. No client, console or machine can
//! make it wait: everything towards them is a queue that is bounded and dropped from, or a task.

mod adopt;
mod checks;
mod connection;
mod console;
mod driver;
mod exec;
mod forward;
mod keys;
mod load;
mod log;
mod machine;
mod machinery;
mod network;
mod outbox;
mod prepare;
mod runner;
mod saving;
mod server;

use std::io::{Read, Write};

use crate::error::{Error, Result, ResultExt};
use crate::lock::{Lock, SessionFiles};
use crate::paths::Paths;
use crate::proto::{Ready, Start, StartOptions};

/// What the daemon's parts share.
#[derive(Debug)]
pub(crate) struct Context {
    /// How the session was started.
    pub options: StartOptions,
    /// The directories.
    pub paths: Paths,
    /// The daemon's own files.
    pub files: SessionFiles,
    /// QEMU and the accelerator, once found.
    machinery: tokio::sync::OnceCell<std::sync::Arc<machinery::Machinery>>,
}

impl Context {
    fn new(options: StartOptions, paths: Paths, files: SessionFiles) -> Self {
        Self { options, paths, files, machinery: tokio::sync::OnceCell::new() }
    }
}

/// Unix time in milliseconds.
pub(crate) fn now() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Runs a daemon: reads from standard input what it is for, says on standard output how it is, and
/// serves until the session ends.
///
/// # Errors
/// When it cannot start; the starter has been told.
pub async fn run() -> Result<()> {
    let started = start().await;
    let (ready, serving) = match started {
        Ok(Started::Serve(serving)) => (Ready::Ready, Some(serving)),
        Ok(Started::Busy) => (Ready::Busy, None),
        Ok(Started::Gone) => (Ready::Gone, None),
        Err(e) => (Ready::Failed { message: e.message, hints: e.hints }, None),
    };
    let text = serde_json::to_string(&ready)?;
    // The starter may have been interrupted; the session lives on without it.
    let _ = writeln!(std::io::stdout(), "{text}");
    // The starter knows by the end of its pipe that nothing more comes.
    crate::qemu::process::let_go_of_stdio();
    match serving {
        Some(serving) => serving.run().await,
        None => Ok(()),
    }
}

enum Started {
    Serve(Box<driver::Driver>),
    Busy,
    Gone,
}

async fn start() -> Result<Started> {
    let mut text = String::new();
    std::io::stdin().read_to_string(&mut text).doing("reading what to do")?;
    let start: Start = serde_json::from_str(&text).doing("reading what to do")?;
    let (files, options) = match start {
        Start::New { options } => {
            let paths = Paths::from_env(options.state_dir.as_deref()).map_err(anyhow::Error::from)?;
            let dir = paths.make_session(&options.session).map_err(anyhow::Error::from)?;
            (SessionFiles::new(dir), Some((options, paths)))
        }
        Start::TakeOver { dir } => (SessionFiles::new(dir), None),
    };
    crate::paths::make_private(&files.private()).map_err(anyhow::Error::from)?;
    let Some(lock) = Lock::take(&files.lock()).doing(files.lock().display())? else {
        return Ok(Started::Busy);
    };
    let driver = match options {
        Some((options, paths)) => {
            let context = Context::new(*options, paths, files);
            driver::Driver::new_session(context, lock)?
        }
        None => match adopt::take_over(files, lock).await? {
            Some(driver) => driver,
            None => return Ok(Started::Gone),
        },
    };
    Ok(Started::Serve(Box::new(driver)))
}

impl From<crate::paths::PathError> for Error {
    fn from(e: crate::paths::PathError) -> Self {
        Self::new(e.to_string())
    }
}
