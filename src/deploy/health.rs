//! Health checks: a command on the host, an open port, a web server's answer.
//!
//! A check is tried until it succeeds or its time is over, since services take a moment to start.
//!
//! Invariant: every check ends at its time-out, whatever the host does.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::{Instant, sleep, timeout};

use super::model::HealthCheck;
use super::ssh::Link;
use crate::error::printable;

/// Between two tries.
const PAUSE: Duration = Duration::from_millis(500);
/// How long a channel that is not refused is watched before its port counts as open.
const SETTLE: Duration = Duration::from_millis(1500);
/// How much of a web server's answer is read.
const BODY_MAX: u64 = 1 << 20;

/// Tries a check until its time is over.
pub(super) async fn check(link: &Link, check: &HealthCheck) -> Result<(), String> {
    let end = Instant::now() + Duration::from_secs(check.timeout().max(1));
    let mut why = "it did not answer in time".to_owned();
    loop {
        match tokio::time::timeout_at(end, once(link, check)).await {
            Ok(Ok(())) => return Ok(()),
            Ok(Err(e)) => why = e,
            Err(_) => return Err(format!("{}: {why}", check.describe())),
        }
        if Instant::now() + PAUSE >= end {
            return Err(format!("{}: {why}", check.describe()));
        }
        sleep(PAUSE).await;
    }
}

/// Tries a check once, within a short time: how it is before a deployment.
pub(super) async fn now(link: &Link, check: &HealthCheck) -> Result<(), String> {
    let limit = Duration::from_secs(check.timeout().clamp(1, 10));
    match timeout(limit, once(link, check)).await {
        Ok(done) => done.map_err(|why| format!("{}: {why}", check.describe())),
        Err(_) => Err(format!("{}: it did not answer in time", check.describe())),
    }
}

async fn once(link: &Link, check: &HealthCheck) -> Result<(), String> {
    match check {
        HealthCheck::Command { command, .. } => {
            let script = "PATH=$PATH:/run/current-system/sw/bin:/usr/sbin:/sbin:/usr/bin:/bin; export PATH\nexec sh -c \"$1\" </dev/null";
            let answer = link.run(script, &[command], &[]).await.map_err(|e| e.to_string())?;
            if answer.ok() {
                return Ok(());
            }
            let said = answer.err.lines().next_back().unwrap_or_default().to_owned();
            Err(match answer.status {
                Some(status) => format!("status {status} {said}").trim().to_owned(),
                None => "the connection was lost".into(),
            })
        }
        HealthCheck::Port { port, .. } => open(link, *port).await,
        HealthCheck::Http { port, path, status, body, .. } => {
            let answer = ask(link, *port, path.as_deref().unwrap_or("/")).await?;
            judge(&answer, status.unwrap_or(200), body.as_deref())
        }
    }
}

/// Whether a port of the host is open, seen from the host itself.
async fn open(link: &Link, port: u16) -> Result<(), String> {
    let mut channel = link.channel(port).map_err(|e| e.to_string())?;
    // Its input stays open: the end of it would close the channel.
    let held = channel.stdin.take();
    let ended = timeout(SETTLE, channel.wait()).await;
    drop(held);
    match ended {
        Err(_) => Ok(()),
        Ok(Ok(status)) if status.success() => Ok(()),
        Ok(_) => Err("the connection is refused".into()),
    }
}

async fn ask(link: &Link, port: u16, path: &str) -> Result<Vec<u8>, String> {
    let mut channel = link.channel(port).map_err(|e| e.to_string())?;
    let (Some(mut to), Some(from)) = (channel.stdin.take(), channel.stdout.take()) else {
        return Err("a pipe is missing".into());
    };
    let path: String = path.chars().filter(|c| !c.is_control() && *c != ' ').collect();
    let request = format!(
        "GET {path} HTTP/1.0\r\nHost: {}\r\nUser-Agent: diorama\r\nConnection: close\r\n\r\n",
        link.address
    );
    to.write_all(request.as_bytes()).await.map_err(|_| "the connection is refused".to_owned())?;
    let mut answer = Vec::new();
    from.take(BODY_MAX).read_to_end(&mut answer).await.map_err(|e| e.to_string())?;
    drop(to);
    if answer.is_empty() {
        return Err("the connection is refused or closed without an answer".into());
    }
    Ok(answer)
}

/// Whether a web server's answer is the wanted one.
fn judge(answer: &[u8], status: u16, body: Option<&str>) -> Result<(), String> {
    let text = String::from_utf8_lossy(answer);
    let first = text.lines().next().unwrap_or_default();
    let got =
        first.strip_prefix("HTTP/").and_then(|r| r.split(' ').nth(1)).and_then(|s| s.parse::<u16>().ok());
    match got {
        None => Err(format!("it does not speak HTTP: {}", printable(first))),
        Some(got) if got != status => Err(format!("status {got}, not {status}")),
        Some(_) => match body {
            Some(words) if !text.contains(words) => Err(format!("its answer does not contain {words:?}")),
            _ => Ok(()),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_are_judged() {
        let ok = b"HTTP/1.1 200 OK\r\n\r\n<h1>Trac</h1>";
        for (answer, status, body, want) in [
            (&ok[..], 200, None, ""),
            (&ok[..], 200, Some("Trac"), ""),
            (&ok[..], 200, Some("Shop"), "does not contain"),
            (&ok[..], 404, None, "status 200, not 404"),
            (b"HTTP/1.0 503 Busy\r\n", 200, None, "status 503, not 200"),
            (b"SSH-2.0-OpenSSH", 200, None, "does not speak HTTP"),
        ] {
            let got = judge(answer, status, body).err().unwrap_or_default();
            assert!(got.contains(want) && got.is_empty() == want.is_empty(), "{got} / {want}");
        }
    }
}
