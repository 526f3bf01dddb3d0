//! Whether a copy is compressed on its way: a slow line is worth the work, a fast one is not.
//!
//! ```text
//! nix-store --export ─▶ zstd | gzip ─▶ ssh ─▶ zstd -d | gzip -d ─▶ nix-store --import
//! ```
//!
//! Invariant: what arrives is the same with and without; a host or a machine without the programs gets it plain.

use std::time::Duration;

use tokio::time::Instant;

use super::ssh::Link;
use crate::error::{Error, Result};

/// Bytes a second above which compressing takes longer than it saves, about 100 Mbit.
const FAST: u64 = 12 << 20;
/// Less than this is sent as it is: measuring would take longer.
const SMALL: u64 = 4 << 20;
/// What is sent to measure, until it takes a while.
const SAMPLES: [usize; 3] = [64 << 10, 256 << 10, 1 << 20];
/// When a sample has said enough.
const ENOUGH: Duration = Duration::from_millis(250);

/// What the person wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Compress {
    /// Measure the line, and compress when it is slow.
    #[default]
    Auto,
    /// Always.
    Yes,
    /// Never.
    No,
}

/// How a copy travels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Method {
    /// As it is.
    Plain,
    /// Through gzip, which every Debian has.
    Gzip,
    /// Through zstd, which is faster and packs better.
    Zstd,
}

impl Method {
    /// The program that packs, with its options, and unpacks when `-d` is added.
    pub(super) fn program(self) -> Option<(&'static str, &'static [&'static str])> {
        match self {
            Self::Plain => None,
            Self::Gzip => Some(("gzip", &["-1", "-c"])),
            Self::Zstd => Some(("zstd", &["-1", "-q", "-c"])),
        }
    }

    /// The word by which the host's side knows it.
    pub(super) fn word(self) -> &'static str {
        self.program().map_or("plain", |(name, _)| name)
    }
}

/// Finds how a number of bytes is to travel to a host.
///
/// # Errors
/// When the connection is lost.
pub(super) async fn method(link: &Link, bytes: u64) -> Result<Method> {
    let wanted = link.compress();
    if wanted == Compress::No || wanted == Compress::Auto && bytes < SMALL {
        return Ok(Method::Plain);
    }
    let script =
        "for program in zstd gzip; do command -v \"$program\" >/dev/null && echo \"$program\"; done; true";
    let there = link.run(script, &[], &[]).await?.text();
    let both = |method: Method| there.lines().any(|l| l == method.word()) && is_here(method.word());
    let Some(method) = [Method::Zstd, Method::Gzip].into_iter().find(|m| both(*m)) else {
        return Ok(Method::Plain);
    };
    let fast = wanted == Compress::Auto && is_fast(measure(link).await?);
    Ok(if fast { Method::Plain } else { method })
}

fn is_fast(rate: u64) -> bool {
    rate > FAST
}

fn is_here(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path).any(|dir| dir.join(program).is_file())
}

/// Bytes a second to a host.
async fn measure(link: &Link) -> Result<u64> {
    let send = async |bytes: &[u8]| {
        let began = Instant::now();
        let answer = link.run("cat >/dev/null", &[], bytes).await?;
        if answer.ok() {
            return Ok(began.elapsed());
        }
        Err(Error::new(format!("{}: the connection was lost", link.address)))
    };
    // What every command costs is no part of the line's speed.
    let nothing = send(&[]).await?;
    let mut rate = 0;
    for size in SAMPLES {
        let took = send(&noise(size)).await?.saturating_sub(nothing);
        rate = speed(size, took);
        if took >= ENOUGH {
            break;
        }
    }
    Ok(rate)
}

fn speed(bytes: usize, took: Duration) -> u64 {
    let micros = u64::try_from(took.as_micros()).unwrap_or(u64::MAX).max(1);
    (bytes as u64).saturating_mul(1_000_000) / micros
}

/// Bytes that nothing on the way can pack.
fn noise(size: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    (0..size)
        .map(|_| {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.to_le_bytes()[3]
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slow_lines_are_told_from_fast_ones() {
        for (bytes, millis, fast) in [
            (64 << 10, 500, false),
            (256 << 10, 250, false),
            (1 << 20, 100, false),
            (1 << 20, 20, true),
            (1 << 20, 0, true),
        ] {
            let rate = speed(bytes, Duration::from_millis(millis));
            assert_eq!(is_fast(rate), fast, "{bytes} in {millis} ms: {rate}");
        }
    }

    #[test]
    fn what_is_packed_here_is_unpacked_there() {
        let noise = noise(100_000);
        let distinct: std::collections::BTreeSet<u8> = noise.iter().copied().collect();
        assert_eq!(distinct.len(), 256);
        for method in [Method::Gzip, Method::Zstd] {
            let (name, options) = method.program().unwrap();
            if !is_here(name) {
                continue;
            }
            let line = format!("printf hello | {name} {} | {name} -dc", options.join(" "));
            let out = std::process::Command::new("sh").args(["-c", &line]).output().unwrap();
            assert_eq!(out.stdout, b"hello", "{line}");
        }
    }
}
