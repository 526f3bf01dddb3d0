//! `diorama bridge`: what a machine with VDE plugs of its own is started with; not for people.
//!
//! It comes back as soon as the plugs can knock, and leaves a process behind that lives as long as the
//! machine. That process is a child of the shell that becomes QEMU, not of the daemon.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::Outcome;
use crate::error::{Error, Result, ResultExt};
use crate::lock::Lock;
use crate::qemu::process::{let_go_of_stdio, open_process};
use crate::switch::bridge::{Bridge, BridgePort};

/// Carry a machine's VDE plugs to the session's switch.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// The process that the bridge lives as long as.
    #[arg(long = "while", value_name = "PID")]
    lives: u32,
    /// Held by the bridge; the next one waits for it.
    #[arg(long, value_name = "FILE")]
    lock: PathBuf,
    /// Be the process that stays.
    #[arg(long)]
    serve: bool,
    /// A VDE control directory and the stream socket it leads to.
    #[arg(value_name = "DIR=SOCKET")]
    ports: Vec<String>,
}

/// What the process that stays says once plugs can knock.
const READY: &str = "ready";

pub(super) async fn run(args: &Args) -> Outcome {
    if !args.serve {
        return leave_behind(args).map(|()| 0);
    }
    let port = |word: &String| {
        let (vde, stream) =
            word.split_once('=').ok_or_else(|| Error::usage(format!("{word:?} is no DIR=SOCKET")))?;
        Ok(BridgePort { vde: vde.into(), stream: stream.into() })
    };
    let ports = args.ports.iter().map(port).collect::<Result<Vec<_>>>()?;
    let machine = open_process(args.lives)?.ok_or_else(|| Error::new("the machine has ended already"))?;
    let lock = Lock::wait(&args.lock).doing(args.lock.display())?;
    let bridge = Bridge::bind(&ports).doing("making the machine's plugs")?;
    // Whoever waits for this line may have been killed meanwhile; then the machine is gone, too.
    let _ = writeln!(std::io::stdout(), "{READY}");
    let_go_of_stdio();
    let done = tokio::task::spawn_blocking(move || bridge.run(&machine)).await;
    drop(lock);
    done.map_err(|e| Error::new(e.to_string()))?.doing("waiting for frames")?;
    Ok(0)
}

fn leave_behind(args: &Args) -> Result<()> {
    let program = std::env::current_exe().doing("finding this program's own file")?;
    let mut command = Command::new(&program);
    command.args(["bridge", "--serve", "--while", &args.lives.to_string(), "--lock"]).arg(&args.lock);
    command.arg("--").args(&args.ports).stdin(Stdio::null()).stdout(Stdio::piped());
    let mut child = command.spawn().doing(program.display())?;
    let mut said = String::new();
    if let Some(stdout) = child.stdout.take() {
        BufReader::new(stdout).read_line(&mut said).doing("waiting for the bridge")?;
    }
    if said.trim() == READY { Ok(()) } else { Err(Error::new("the machine's plugs could not be made")) }
}
