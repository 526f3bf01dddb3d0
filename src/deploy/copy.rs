//! Copying what a host lacks: in chunks that are each complete in themselves, so that an interrupted
//! copy goes on where it stopped.
//!
//! ```text
//! missing paths, in order ─▶ chunks ─▶ nix-store --export | [zstd] | ssh | [zstd -d] | nix-store --import
//! ```
//!
//! Invariant: every path is rooted on the host before the first byte is sent.

use std::collections::BTreeSet;
use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::process::Command;
use tokio::sync::Notify;
use tokio::time::{sleep, timeout};

use super::plan::megabytes;
use super::squeeze::{self, Method};
use super::ssh::Link;
use crate::error::{Error, Result, ResultExt, printable};
use crate::nix::Store;

/// Bytes of archives in a chunk, unless one path has more.
const CHUNK: u64 = 16 << 20;
/// Paths in a chunk.
const CHUNK_PATHS: usize = 500;
/// How long a host may take nothing, or be busy with what it took.
const STALL: Duration = Duration::from_secs(300);
/// How long a host may take to say how much room it has.
const ASKING: Duration = Duration::from_secs(30);
/// Bytes that are left free on the host.
pub const RESERVE: u64 = 64 << 20;

const IMPORT: &str = "PATH=$PATH:/run/current-system/sw/bin:/nix/var/nix/profiles/default/bin
case $1 in
  plain) exec nix-store --import >/dev/null ;;
  *) \"$1\" -dc | nix-store --import >/dev/null ;;
esac";

const ROOT: &str = "umask 077
dir=/nix/var/nix/gcroots/diorama/$1
mkdir -p \"$dir\" && cd \"$dir\" && xargs -n 200 sh -c 'ln -sfn \"$@\" .' ln";

/// How far a copy is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Progress {
    /// Bytes that were sent.
    pub done: u64,
    /// Bytes in all.
    pub total: u64,
}

/// Roots a closure on a host under an attempt's name, whether its paths are there yet or not.
pub(super) async fn root(link: &Link, token: &str, paths: &[(String, u64)]) -> Result<()> {
    let mut input = String::new();
    for (path, _) in paths {
        input.push_str(path);
        input.push('\n');
    }
    let answer = link.run(ROOT, &[token], input.as_bytes()).await?;
    if answer.ok() {
        return Ok(());
    }
    Err(Error::new(format!("{}: the paths cannot be protected: {}", link.address, answer.err)))
}

/// Lets go of what [`root`] holds.
pub(super) async fn unroot(link: &Link, token: &str) -> Result<()> {
    let script = "rm -rf \"/nix/var/nix/gcroots/diorama/$1\"";
    link.run(script, &[token], &[]).await.map(drop)
}

/// Sends paths; `each` hears of every piece.
pub(super) async fn send(
    store: &Store,
    link: &Link,
    paths: &[(String, u64)],
    missing: &BTreeSet<String>,
    each: &mut (dyn FnMut(Progress) + Send),
) -> Result<u64> {
    let wanted: Vec<&(String, u64)> = paths.iter().filter(|(p, _)| missing.contains(p)).collect();
    let mut progress = Progress { done: 0, total: wanted.iter().map(|(_, size)| size).sum() };
    each(progress);
    if wanted.is_empty() {
        return Ok(0);
    }
    let method = squeeze::method(link, progress.total).await?;
    let mut sent = 0;
    for chunk in chunks(&wanted) {
        let names: Vec<&str> = chunk.iter().map(|(p, _)| p.as_str()).collect();
        let before = progress.done;
        let mut heard = |bytes: u64| {
            progress.done = (before + bytes).min(progress.total);
            each(progress);
        };
        sent += send_chunk(store, link, &names, method, &mut heard).await?;
        progress.done = before + chunk.iter().map(|(_, size)| size).sum::<u64>();
        each(progress);
    }
    Ok(sent)
}

/// Pieces of about [`CHUNK`] bytes, in the given order.
fn chunks<'a>(paths: &[&'a (String, u64)]) -> Vec<Vec<&'a (String, u64)>> {
    let mut out: Vec<Vec<&(String, u64)>> = Vec::new();
    let mut bytes = 0;
    for path in paths {
        match out.last_mut() {
            Some(last) if bytes + path.1 <= CHUNK && last.len() < CHUNK_PATHS => last.push(path),
            _ => {
                out.push(vec![path]);
                bytes = 0;
            }
        }
        bytes += path.1;
    }
    out
}

async fn send_chunk(
    store: &Store,
    link: &Link,
    names: &[&str],
    method: Method,
    heard: &mut (dyn FnMut(u64) + Send),
) -> Result<u64> {
    let mut export = Command::new("nix-store");
    export.arg("--export").args(names).envs(store.environment(true));
    export.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut export = export.spawn().doing("cannot run nix-store")?;
    let mut packer = packer(method)?;
    let mut import = link.start(IMPORT, &[method.word()]).await?;
    let missing = || Error::new("a pipe of the copy is missing");
    let from = export.stdout.take().ok_or_else(missing)?;
    let to = import.stdin.take().ok_or_else(missing)?;
    let (mut export_err, mut import_err) = (export.stderr.take(), import.stderr.take());
    let moved = Notify::new();
    let pumps = async {
        match packer.as_mut().map(|p| (p.stdin.take(), p.stdout.take())) {
            None => {
                let mut each = |bytes| {
                    moved.notify_one();
                    heard(bytes);
                };
                pump(from, to, &mut each).await
            }
            // What is heard of is what was packed; what counts for a stall is what has left.
            Some((Some(pack), Some(packed))) => {
                let mut left = |_| moved.notify_one();
                tokio::join!(pump(from, pack, heard), pump(packed, to, &mut left)).1
            }
            Some(_) => 0,
        }
    };
    let mut transfer = std::pin::pin!(async {
        let said = tokio::join!(pumps, words(&mut export_err), words(&mut import_err));
        (said, import.wait().await)
    });
    let ((bytes, export_said, import_said), imported) = loop {
        tokio::select! {
            done = &mut transfer => break done,
            () = moved.notified() => {}
            () = sleep(STALL) => {
                let seconds = STALL.as_secs();
                return Err(Error::new(format!("{}: it has taken nothing for {seconds} seconds", link.address)));
            }
        }
    };
    let imported = imported.doing("waiting for ssh")?;
    let exported = export.wait().await.doing("waiting for nix-store")?;
    if !imported.success() {
        let lost = imported.code() == Some(255);
        // A full disk is many errors of many programs: the host is asked.
        let free = if lost { None } else { free(link).await };
        let what = match free {
            Some(free) if free < RESERVE => format!("its disk is full, {} are free", megabytes(free)),
            _ if lost => "the connection was lost".to_owned(),
            _ => "its store refuses the copy".to_owned(),
        };
        return Err(Error::new(format!("{}: {what}: {}", link.address, last_line(&import_said))));
    }
    if !exported.success() {
        return Err(Error::new(format!("nix-store --export: {}", last_line(&export_said))));
    }
    Ok(bytes)
}

/// Free bytes for the host's store, if it says so.
async fn free(link: &Link) -> Option<u64> {
    let script = "df -Pk /nix/store | { read -r _; read -r _ _ _ free _; echo \"$free\"; }";
    let answer = timeout(ASKING, link.run(script, &[], &[])).await.ok()?.ok()?;
    answer.text().trim().parse::<u64>().ok().map(|kb| kb.saturating_mul(1024))
}

/// The program that packs what is sent, when it is to be packed.
fn packer(method: Method) -> Result<Option<tokio::process::Child>> {
    let Some((name, options)) = method.program() else { return Ok(None) };
    let mut packer = Command::new(name);
    packer.args(options).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
    packer.kill_on_drop(true).spawn().doing(format!("cannot run {name}")).map(Some)
}

/// Carries bytes until either side ends; gives their number.
async fn pump(
    mut from: impl tokio::io::AsyncRead + Unpin,
    mut to: impl tokio::io::AsyncWrite + Unpin,
    heard: &mut (dyn FnMut(u64) + Send),
) -> u64 {
    let mut buffer = vec![0; 128 << 10];
    let mut bytes = 0_u64;
    loop {
        let n = match from.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(n) => n,
        };
        // The other's own words tell why it stopped reading.
        if to.write_all(&buffer[..n]).await.is_err() {
            break;
        }
        bytes += n as u64;
        heard(bytes);
    }
    bytes
}

async fn words(stream: &mut Option<impl tokio::io::AsyncRead + Unpin>) -> String {
    let mut text = Vec::new();
    if let Some(stream) = stream.as_mut() {
        // What cannot be read any more was not said.
        let _ = stream.take(64 << 10).read_to_end(&mut text).await;
    }
    printable(String::from_utf8_lossy(&text).trim())
}

fn last_line(text: &str) -> &str {
    let errors = text.lines().rfind(|l| l.contains("error"));
    errors.or_else(|| text.lines().next_back()).unwrap_or("no reason was given").trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks_keep_the_order_and_stay_small() {
        let paths: Vec<(String, u64)> = [1, CHUNK / 2, CHUNK / 2, 3 * CHUNK, 5, 6]
            .iter()
            .enumerate()
            .map(|(n, s)| (n.to_string(), *s))
            .collect();
        let refs: Vec<_> = paths.iter().collect();
        let got: Vec<Vec<&str>> =
            chunks(&refs).iter().map(|c| c.iter().map(|(p, _)| p.as_str()).collect()).collect();
        assert_eq!(got, [vec!["0", "1"], vec!["2"], vec!["3"], vec!["4", "5"]]);
    }
}
