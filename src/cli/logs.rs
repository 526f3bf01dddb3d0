//! `diorama logs`: what consoles printed, line by line.

use std::io::IsTerminal;

use clap_complete::engine::ArgValueCandidates;

use super::{Global, Outcome, candidates, common, out};
use crate::client::{Client, StreamItem};
use crate::error::{Error, Result};

const EXAMPLES: &str = "\
The complete log of a console is the file NODE.console.log in the session's state directory.

Examples:
  diorama logs                  every console's last lines
  diorama logs -f web db        follow two consoles
  diorama logs -n 1000 web | grep error
  diorama logs --session-log    what was done to the session, and what happened to it";

/// Print what consoles printed, every line with its machine's name.
#[derive(Debug, clap::Args)]
#[command(after_help = EXAMPLES)]
pub struct Args {
    /// The machines; all when none is named.
    #[arg(value_name = "NODE")]
    #[arg(add = ArgValueCandidates::new(candidates::nodes))]
    nodes: Vec<String>,
    /// Go on with what is printed from now on.
    #[arg(short, long)]
    follow: bool,
    /// Show at most this many lines from before.
    #[arg(short = 'n', long, default_value_t = 20, value_name = "LINES")]
    lines: usize,
    /// Print the session's own log instead.
    #[arg(long, conflicts_with_all = ["nodes", "follow"])]
    session_log: bool,
}

pub(super) async fn run(args: Args, global: &Global) -> Outcome {
    let client = common::connect(global).await?;
    let view = client.view().await?;
    if args.session_log {
        for entry in &view.log {
            let cli = entry.cli.as_ref().map_or(String::new(), |c| format!("  ({c})"));
            out::line(&crate::error::printable(&format!("{}{cli}", entry.text)));
        }
        return Ok(0);
    }
    for node in &args.nodes {
        common::check_node(&view, node)?;
    }
    let nodes: Vec<String> = match args.nodes.is_empty() {
        true => view.nodes.iter().map(|n| n.name.clone()).collect(),
        false => args.nodes,
    };
    let width = nodes.iter().map(String::len).max().unwrap_or(0);
    let mut tasks = tokio::task::JoinSet::new();
    for node in nodes {
        let console_bytes = view.nodes.iter().find(|n| n.name == node).map_or(0, |n| n.console_bytes);
        let printer = Printer::new(&node, width);
        tasks.spawn(follow(client.clone(), node, printer, console_bytes, args.lines, args.follow));
    }
    let mut interrupts = common::interrupts()?;
    loop {
        tokio::select! {
            ended = tasks.join_next() => match ended {
                Some(Ok(result)) => result?,
                Some(Err(e)) => return Err(Error::new(e.to_string())),
                None => return Ok(0),
            },
            _ = interrupts.recv() => return Ok(0),
        }
    }
}

async fn follow(
    client: Client,
    node: String,
    mut printer: Printer,
    console_bytes: u64,
    lines: usize,
    follow: bool,
) -> Result<()> {
    // A line of a console is hardly ever longer than this on the average.
    let history = (lines as u64).saturating_mul(400).clamp(4096, 1 << 20);
    let mut stream = client.console(&node, history).await?;
    let mut before = Vec::new();
    let mut missing = history.min(console_bytes);
    while missing > 0 {
        match stream.next().await {
            Some(StreamItem::Data { bytes, .. }) => {
                missing = missing.saturating_sub(bytes.len() as u64);
                before.extend(printer.lines(&bytes));
            }
            Some(StreamItem::End(_)) | None => break,
        }
    }
    for line in &before[before.len().saturating_sub(lines)..] {
        out::line(line);
    }
    while follow && let Some(StreamItem::Data { bytes, .. }) = stream.next().await {
        printer.lines(&bytes).iter().for_each(|l| out::line(l));
    }
    if !follow {
        printer.rest().iter().for_each(|l| out::line(l));
    }
    Ok(())
}

/// Turns a console's bytes into lines that are safe to print, `node | text`.
#[derive(Debug)]
pub(super) struct Printer {
    prefix: String,
    line: String,
    bytes: Vec<u8>,
    escape: bool,
    sequence: bool,
}

/// The longest line that is printed; the rest of a longer one goes on the next.
const LINE_MAX: usize = 4096;

impl Printer {
    /// One for a node, its name padded to a width.
    pub fn new(node: &str, width: usize) -> Self {
        let prefix = if std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none() {
            let color = 31 + node.bytes().fold(0_u32, |a, b| a.wrapping_mul(31).wrapping_add(b.into())) % 6;
            format!("\x1b[{color}m{node:width$} |\x1b[0m ")
        } else {
            format!("{node:width$} | ")
        };
        Self { prefix, line: String::new(), bytes: Vec::new(), escape: false, sequence: false }
    }

    /// The lines that these bytes complete, without control characters.
    pub fn lines(&mut self, bytes: &[u8]) -> Vec<String> {
        let mut out = Vec::new();
        for &b in bytes {
            match b {
                b'\n' => out.extend(self.take()),
                _ if self.sequence => self.sequence = !(0x40..=0x7e).contains(&b),
                _ if self.escape => {
                    self.escape = false;
                    self.sequence = b == b'[';
                }
                0x1b => self.escape = true,
                // What a carriage return would overwrite is kept: nothing a guest says is hidden.
                b'\r' => {}
                b => self.bytes.push(b),
            }
            if self.bytes.len() >= LINE_MAX {
                out.extend(self.take());
            }
        }
        out
    }

    /// What stands on an unfinished line.
    pub fn rest(&mut self) -> Option<String> {
        if self.bytes.is_empty() { None } else { self.take() }
    }

    fn take(&mut self) -> Option<String> {
        self.escape = false;
        self.sequence = false;
        let text = String::from_utf8_lossy(&self.bytes);
        self.line.clear();
        self.line.push_str(&self.prefix);
        self.line.extend(text.chars().filter(|c| !c.is_control() || *c == '\t'));
        self.bytes.clear();
        Some(self.line.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_guest_cannot_drive_the_terminal() {
        let mut p = Printer::new("web", 4);
        let lines = p.lines(b"\x1b[31mred\x1b[m\x1b]0;t\x07\r\nsecond \x9b2J\xc2\x9b1J\xff\n\x1b[never");
        assert_eq!(lines, ["web  | red0;t", "web  | second \u{fffd}2J1J\u{fffd}"]);
        assert_eq!(p.rest(), Some("web  | ever".into()));
        let flood = p.lines(&vec![b'x'; 10_000]);
        assert_eq!(flood.len(), 2);
    }
}
