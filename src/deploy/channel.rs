//! The conversation with one attempt's supervisor: orders in, events out, and a beat that tells it
//! that somebody is there.
//!
//! Invariant: the beat never waits for whoever reads the events; what they do not read is dropped,
//! but for the supervisor's own lines.

use std::time::Duration;

use futures::StreamExt;
use tokio::io::AsyncWriteExt;
use tokio::sync::mpsc;
use tokio_util::codec::{AnyDelimiterCodec, AnyDelimiterCodecError, FramedRead};

use super::ssh::Link;
use crate::error::{Error, Result, printable};

const SCRIPT: &str = include_str!("sh/channel.sh");
/// The longest line that is taken from a host.
const LINE_MAX: usize = 16 << 10;
/// Lines that may wait for their reader.
const QUEUE: usize = 4096;

/// What a supervisor, or the activation that it runs, has said.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Said {
    /// A line of the supervisor's: a word, and the rest.
    Event(String, String),
    /// A line of what it runs.
    Line(String),
}

/// An open conversation. Dropping it ends it.
#[derive(Debug)]
pub(super) struct Channel {
    said: mpsc::Receiver<Said>,
    orders: mpsc::Sender<String>,
}

impl Channel {
    /// Opens the conversation with an attempt, leaving out the lines that were seen.
    pub(super) async fn open(link: &Link, token: &str, seen: usize, beat: Duration) -> Result<Self> {
        let mut child = link.start(SCRIPT, &[token, &seen.to_string()]).await?;
        let (Some(mut to), Some(from)) = (child.stdin.take(), child.stdout.take()) else {
            return Err(Error::new("a pipe of ssh is missing"));
        };
        let (tell, said) = mpsc::channel(QUEUE);
        let (orders, mut given) = mpsc::channel::<String>(16);
        let prefix = format!("@{token} ");
        tokio::spawn(async move {
            let _child = child;
            // Bytes, for a host's services print what they like.
            let ends = || b"\n".to_vec();
            let codec = AnyDelimiterCodec::new_with_max_length(ends(), ends(), LINE_MAX);
            let mut lines = FramedRead::new(from, codec);
            let mut beat = tokio::time::interval(beat);
            loop {
                let order = tokio::select! {
                    line = lines.next() => {
                        let said = match line {
                            Some(Ok(line)) => parse(&prefix, &String::from_utf8_lossy(&line)),
                            Some(Err(AnyDelimiterCodecError::MaxChunkLengthExceeded)) => {
                                Said::Line("(a line that is too long)".into())
                            }
                            Some(Err(_)) | None => break,
                        };
                        match said {
                            event @ Said::Event(..) => {
                                if tell.send(event).await.is_err() {
                                    break;
                                }
                            }
                            // Dropped lines make the count too small, so that a reconnection hears some
                            // events twice, which does no harm.
                            line @ Said::Line(_) if tell.capacity() > QUEUE / 4 => {
                                if tell.try_send(line).is_err() {
                                    break;
                                }
                            }
                            Said::Line(_) => {}
                        }
                        continue;
                    }
                    order = given.recv() => match order {
                        Some(order) => order,
                        None => break,
                    },
                    _ = beat.tick() => "beat".to_owned(),
                };
                if to.write_all(format!("{order}\n").as_bytes()).await.is_err() {
                    break;
                }
            }
        });
        Ok(Self { said, orders })
    }

    /// What is said next; none when the conversation is over.
    pub(super) async fn next(&mut self) -> Option<Said> {
        self.said.recv().await
    }

    /// Gives an order. Whether it arrives is told by what is said.
    pub(super) async fn order(&self, order: &str) {
        // When the conversation is over, `next` says so.
        let _ = self.orders.send(order.to_owned()).await;
    }
}

fn parse(prefix: &str, line: &str) -> Said {
    match line.strip_prefix(prefix) {
        Some(rest) => {
            let (word, rest) = rest.split_once(' ').unwrap_or((rest, ""));
            Said::Event(word.to_owned(), printable(rest))
        }
        None => Said::Line(printable(line)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_attempts_own_lines_are_events() {
        let event = |w: &str, r: &str| Said::Event(w.into(), r.into());
        for (line, want) in [
            ("@abc locked /nix/store/x", event("locked", "/nix/store/x")),
            ("@abc acked", event("acked", "")),
            ("@abd acked", Said::Line("@abd acked".into())),
            ("starting \x1b[1mweb", Said::Line("starting \u{fffd}[1mweb".into())),
        ] {
            assert_eq!(parse("@abc ", line), want);
        }
    }
}
