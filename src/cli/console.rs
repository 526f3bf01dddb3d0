//! `diorama console`: a machine's serial line.

use std::io::IsTerminal;

use clap_complete::engine::ArgValueCandidates;

use super::{Global, Outcome, candidates, common, out, terminal};
use crate::client::StreamItem;
use crate::error::Error;
use crate::proto::StreamEnd;

/// Ctrl-], as in telnet and virsh.
const ESCAPE: u8 = 0x1d;

const EXAMPLES: &str = "\
Every key reaches the guest but one: Ctrl-] leaves, and twice in a row sends one Ctrl-].
A serial line knows no window size; in the guest, stty rows R cols C tells it.

Examples:
  diorama console web
  diorama console --history 0 web        without what was printed before
  diorama console web < commands.txt     type lines from a file and print what comes back";

/// Attach this terminal to a machine's serial console.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The machine.
    #[arg(add = ArgValueCandidates::new(candidates::nodes))]
    node: String,
    /// How many bytes printed before to show.
    #[arg(long, default_value_t = 4096, value_name = "BYTES")]
    history: u64,
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let client = common::connect(global).await?;
    let mut stream = client.console(&args.node, args.history).await?;
    let interactive = std::io::stdin().is_terminal();
    if interactive {
        out::err(&format!("console of {}; Ctrl-] leaves it\n", args.node));
    }
    let raw = interactive.then(terminal::Raw::enter).transpose()?;
    let to_guest = stream.input();
    let mut typing = true;
    let mut stdin = terminal::stdin();
    let mut keys = Keys::default();
    let mut safe = crate::console::PassThrough::new();
    let mut interrupts = common::interrupts()?;
    let outcome = loop {
        tokio::select! {
            item = stream.next() => match item {
                Some(StreamItem::Data { bytes, .. }) => {
                    if !terminal::write(false, &safe.feed(&bytes)) {
                        break Ok(0);
                    }
                }
                Some(StreamItem::End(StreamEnd::Broken { reason })) => break Err(Error::new(reason)),
                Some(StreamItem::End(_)) | None => break Err(Error::new(client.ended().await)),
            },
            typed = stdin.recv(), if typing => match typed {
                Some(bytes) if interactive => {
                    let (bytes, leave) = keys.filter(&bytes);
                    if to_guest.send(&bytes).await.is_err() || leave {
                        break Ok(0);
                    }
                }
                Some(bytes) => if to_guest.send(&bytes).await.is_err() {
                    break Ok(0);
                },
                None if interactive => break Ok(0),
                // The file has been typed; what the guest answers is still printed.
                None => typing = false,
            },
            _ = interrupts.recv() => break Ok(0),
        }
    };
    drop(raw);
    if interactive {
        out::err("\n");
    }
    outcome
}

/// Finds the escape key among what is typed.
#[derive(Debug, Default)]
struct Keys {
    escaped: bool,
}

impl Keys {
    /// The bytes for the guest, and whether the console is to be left.
    fn filter(&mut self, typed: &[u8]) -> (Vec<u8>, bool) {
        let mut out = Vec::with_capacity(typed.len());
        for (i, &b) in typed.iter().enumerate() {
            match (self.escaped, b) {
                (true, ESCAPE) => {
                    self.escaped = false;
                    out.push(ESCAPE);
                }
                (false, ESCAPE) if typed.get(i + 1) == Some(&ESCAPE) => self.escaped = true,
                (false, ESCAPE) => return (out, true),
                (_, b) => {
                    self.escaped = false;
                    out.push(b);
                }
            }
        }
        (out, false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_escape_leaves_and_two_are_one() {
        for (typed, want) in [
            (&b"ls\r"[..], (&b"ls\r"[..], false)),
            (b"a\x1db", (b"a", true)),
            (b"a\x1d\x1db", (b"a\x1db", false)),
            (b"\x03", (b"\x03", false)),
        ] {
            let (bytes, leave) = Keys::default().filter(typed);
            assert_eq!((&bytes[..], leave), want, "{typed:?}");
        }
    }
}
