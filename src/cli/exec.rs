//! `diorama exec`: a command as root in a clone.

use std::io::IsTerminal;

use tokio::signal::unix::{SignalKind, signal};

use clap_complete::engine::ArgValueCandidates;

use super::{Global, Outcome, candidates, common, out, terminal};
use crate::client::{Stream, StreamItem};
use crate::error::{Error, Kind};
use crate::proto::StreamEnd;

const EXAMPLES: &str = "\
Exit status: the command's own; and
  124  the time-out passed
  125  the command could not be run: no such session or agent, the connection broke
  126  the command cannot be executed
  127  the command was not found
  128+n  the command died from signal n
  3    there is no such session or node

Examples:
  diorama exec web -- systemctl status nginx
  diorama exec db -- sh -c 'echo \"select 1\" | psql -U postgres'
  diorama exec -t web -- bash                  an interactive root shell
  tar -C site -c . | diorama exec web -- tar -C /var/www -x
  diorama exec --timeout 5 web -- ping -c 1 db";

/// Run a command as root in a machine's clone.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// Give the command a terminal, of this terminal's size.
    #[arg(short, long)]
    tty: bool,
    /// Set a variable of the command's environment.
    #[arg(short, long, value_name = "KEY=VALUE")]
    env: Vec<String>,
    /// End the command after this many seconds.
    #[arg(long, value_name = "SECONDS")]
    timeout: Option<u64>,
    /// Do not read standard input.
    #[arg(short = 'n', long)]
    no_stdin: bool,
    /// The machine.
    #[arg(add = ArgValueCandidates::new(candidates::nodes))]
    node: String,
    /// The command and its arguments.
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_name = "CMD")]
    command: Vec<String>,
}

/// How a command that ran has ended.
pub(super) enum End {
    /// With this status.
    Status(u8),
    /// It was not to be waited for any longer.
    Timeout,
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    for e in &args.env {
        if !e.contains('=') {
            return Err(Error::usage(format!("{e:?} is no variable")).hint("write KEY=VALUE"));
        }
    }
    let client = common::connect(global).await.map_err(common::own_failure)?;
    let pty = args.tty.then(|| terminal::size().unwrap_or((24, 80)));
    let mut env = args.env;
    if args.tty
        && !env.iter().any(|e| e.starts_with("TERM="))
        && let Ok(term) = std::env::var("TERM")
    {
        env.push(format!("TERM={term}"));
    }
    let limit = async {
        match args.timeout {
            Some(s) => tokio::time::sleep(std::time::Duration::from_secs(s)).await,
            None => std::future::pending().await,
        }
    };
    tokio::pin!(limit);
    let opened = tokio::select! {
        opened = client.exec(&args.node, args.command, env, pty) => opened.map_err(common::own_failure)?,
        () = &mut limit => return timed_out(),
        _ = tokio::signal::ctrl_c() => return Err(Error::interrupted()),
    };
    let raw = (args.tty && std::io::stdin().is_terminal()).then(terminal::Raw::enter).transpose()?;
    let end = tokio::select! {
        end = pump(opened, args.no_stdin, args.tty) => end,
        () = limit => Ok(End::Timeout),
    };
    drop(raw);
    match end? {
        End::Status(status) => Ok(status),
        End::Timeout => timed_out(),
    }
}

fn timed_out() -> Outcome {
    Err(Error::new("the command did not end in time").kind(Kind::Status(124)))
}

/// Carries bytes both ways until the command ends.
async fn pump(mut stream: Stream, no_stdin: bool, tty: bool) -> Result<End, Error> {
    let (input, control) = (stream.input(), stream.control());
    let mut resized = signal(SignalKind::window_change())?;
    let mut interrupted = signal(SignalKind::interrupt())?;
    let mut terminated = signal(SignalKind::terminate())?;
    let sender = tokio::spawn(async move {
        if !no_stdin {
            let mut stdin = terminal::stdin();
            while let Some(bytes) = stdin.recv().await {
                if input.send(&bytes).await.is_err() {
                    return;
                }
            }
        }
        // A terminal has no end of input but the one that is typed.
        if !tty {
            let _ = input.end().await;
        }
    });
    let end = loop {
        tokio::select! {
            item = stream.next() => match item {
                Some(StreamItem::Data { channel, bytes }) => {
                    if !terminal::write(channel == 2, &bytes) {
                        // As if the command itself had written into a closed pipe.
                        control.signal(13);
                        break End::Status(141);
                    }
                }
                Some(StreamItem::End(end)) => break status(end)?,
                None => return Err(broken("the connection broke")),
            },
            Some(()) = resized.recv(), if tty => {
                if let Some((rows, cols)) = terminal::size() {
                    control.resize(rows, cols);
                }
            }
            // In raw mode the key reaches the command as a byte, and this is somebody's kill.
            Some(()) = interrupted.recv() => control.signal(2),
            Some(()) = terminated.recv() => control.signal(15),
        }
    };
    sender.abort();
    Ok(end)
}

fn status(end: StreamEnd) -> Result<End, Error> {
    match end {
        StreamEnd::Exited { code } => Ok(End::Status(code)),
        StreamEnd::Killed { signal } => Ok(End::Status(128_u8.saturating_add(signal))),
        StreamEnd::NotStarted { reason } => {
            out::err(&Error::new(&reason).print());
            Ok(End::Status(if reason.contains("No such file") { 127 } else { 126 }))
        }
        StreamEnd::Broken { reason } => Err(broken(&reason)),
        StreamEnd::Closed => Err(broken("the stream was closed")),
    }
}

fn broken(why: &str) -> Error {
    Error::new(why).kind(Kind::Status(125))
}
