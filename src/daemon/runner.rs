//! The program that runs the session's test script: `diorama test --attach`, as a client like any other.
//!
//! Invariant: one that was started is told of when it ends, and ends with the daemon at the latest.

use std::process::Stdio;
use std::sync::Arc;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use tokio::io::AsyncReadExt;
use tokio::process::{Child, Command};
use tokio_util::sync::CancellationToken;

use super::driver::{Events, Msg};
use super::{Context, log};
use crate::error::{Result, ResultExt};
use crate::session::Event;

/// What is kept of what it says.
const SAID_MAX: usize = 16 << 10;

/// A program that runs a script.
pub(super) struct Runner(CancellationToken);

impl Runner {
    /// Has the script stop, as ctrl-c does.
    pub(super) fn stop(&self) {
        self.0.cancel();
    }
}

/// Starts it; its end comes as an event.
pub(super) fn start(context: &Arc<Context>, patterns: &[String], events: Events) -> Runner {
    let stop = CancellationToken::new();
    let (told, child) = (stop.clone(), spawn(context, patterns));
    tokio::spawn(async move {
        let why = match child {
            Ok(child) => watch(child, &told).await,
            Err(e) => Some(e.message),
        };
        if let Some(why) = &why {
            log::line(&format!("the test script's runner: {why}"));
        }
        let _ = events.send(Msg::Event(Event::TestRunnerEnded { why }));
    });
    Runner(stop)
}

fn spawn(context: &Context, patterns: &[String]) -> Result<Child> {
    let program = std::env::current_exe().doing("finding this program's own file")?;
    let mut command = Command::new(&program);
    command.args(["test", "--attach", "--quiet", "--session", &context.options.session]);
    for pattern in patterns {
        command.arg(format!("--only={pattern}"));
    }
    let paths = &context.paths;
    for (name, dir) in [
        ("DIORAMA_RUNTIME_DIR", &paths.runtime),
        ("DIORAMA_STATE_DIR", &paths.state),
        ("DIORAMA_CACHE_DIR", &paths.cache),
        ("DIORAMA_DATA_DIR", &paths.data),
    ] {
        command.env(name, dir);
    }
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped());
    command.current_dir("/").process_group(0).kill_on_drop(true).spawn().doing(program.display())
}

/// Waits for its end; the last of what it said when it failed.
async fn watch(mut child: Child, stop: &CancellationToken) -> Option<String> {
    let stderr = child.stderr.take();
    let read = async move {
        let mut said = Vec::new();
        let mut piece = [0; 4096];
        if let Some(mut stderr) = stderr {
            while let Ok(n @ 1..) = stderr.read(&mut piece).await {
                said.extend_from_slice(&piece[..n]);
                let surplus = said.len().saturating_sub(SAID_MAX);
                said.drain(..surplus);
            }
        }
        String::from_utf8_lossy(&said).trim().to_owned()
    };
    tokio::pin!(read);
    let said = tokio::select! {
        said = &mut read => said,
        () = stop.cancelled() => {
            if let Some(pid) = child.id().and_then(|p| i32::try_from(p).ok()) {
                // It may have ended this very moment.
                let _ = kill(Pid::from_raw(pid), Signal::SIGINT);
            }
            read.await
        }
    };
    match child.wait().await {
        Ok(status) if status.success() => None,
        Ok(status) if said.is_empty() => Some(status.to_string()),
        Ok(_) => Some(said),
        Err(e) => Some(e.to_string()),
    }
}
