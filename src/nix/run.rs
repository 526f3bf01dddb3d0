//! Running Nix's programs: their log as events, and an end in good order when they are not wanted
//! any more.
//!
//! Invariant: no program outlives the wish for it. A cancelled run is asked to end and waited for,
//! so that Nix can end its builders; a run that is dropped is asked to end as well.

use std::fs::File;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio_util::sync::CancellationToken;

use super::NixError;
use super::environment::Store;
use super::log::{self, LogEvent};

/// The longest line of a log that is kept whole; a builder may write anything.
const LINE_MAX: u64 = 256 << 10;
/// The largest answer that is read from a program.
const ANSWER_MAX: u64 = 256 << 20;
/// How long Nix may take to end its builders.
const GRACE: Duration = Duration::from_secs(5);

/// One run of one of Nix's programs.
#[derive(Debug)]
pub(super) struct Run<'a> {
    pub program: &'static str,
    pub args: Vec<std::ffi::OsString>,
    pub store: &'a Store,
    /// Whether the bundled guest system is concerned.
    pub bundled: bool,
    pub cancel: &'a CancellationToken,
}

impl Run<'_> {
    /// Runs the program to its end. Each line of its log goes to `each` and, whole, to the log file.
    pub(super) async fn go(
        self,
        mut log_file: Option<&mut File>,
        each: &mut (dyn FnMut(LogEvent) + Send),
    ) -> Result<(ExitStatus, Vec<u8>), NixError> {
        let mut command = tokio::process::Command::new(self.program);
        command
            .args(&self.args)
            .envs(self.store.environment(self.bundled))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0);
        let mut child = command.spawn().map_err(|e| match e.kind() {
            std::io::ErrorKind::NotFound => NixError::Missing { program: self.program },
            _ => NixError::io(format!("cannot run {}", self.program), e),
        })?;
        let mut group = Group { pid: child.id().and_then(|p| i32::try_from(p).ok()).map(Pid::from_raw) };
        let doing = || format!("reading from {}", self.program);
        let stdout = child.stdout.take().map(|out| async move {
            let mut answer = Vec::new();
            out.take(ANSWER_MAX).read_to_end(&mut answer).await.map(|_| answer)
        });
        let answer = tokio::spawn(async move {
            match stdout {
                Some(read) => read.await,
                None => Ok(Vec::new()),
            }
        });
        let mut stderr = child.stderr.take().map(BufReader::new);
        let mut cancelled = false;
        while let Some(reader) = stderr.as_mut() {
            let line = tokio::select! {
                line = next_line(reader) => line.map_err(|e| NixError::io(doing(), e))?,
                () = self.cancel.cancelled() => { cancelled = true; break }
            };
            let Some(line) = line else { break };
            if let Some(file) = log_file.as_deref_mut() {
                // A log that cannot be written, on a full disk for instance, stops nothing.
                let _ = write_plain(file, &line);
            }
            each(log::parse(&line));
        }
        let status = if cancelled {
            end(&mut child, &group).await
        } else {
            tokio::select! {
                status = child.wait() => status,
                () = self.cancel.cancelled() => { cancelled = true; end(&mut child, &group).await }
            }
        };
        group.pid = None;
        if cancelled {
            return Err(NixError::Cancelled);
        }
        let status = status.map_err(|e| NixError::io(format!("waiting for {}", self.program), e))?;
        let answer = answer
            .await
            .map_err(|e| NixError::io(doing(), std::io::Error::other(e)))?
            .map_err(|e| NixError::io(doing(), e))?;
        Ok((status, answer))
    }
}

/// Asks the group to end, waits, and ends it by force when it takes too long.
async fn end(child: &mut tokio::process::Child, group: &Group) -> std::io::Result<ExitStatus> {
    group.send(Signal::SIGTERM);
    match tokio::time::timeout(GRACE, child.wait()).await {
        Ok(status) => status,
        Err(_) => {
            group.send(Signal::SIGKILL);
            child.wait().await
        }
    }
}

/// A process group that is asked to end when nobody waits for it any more.
struct Group {
    pid: Option<Pid>,
}

impl Group {
    fn send(&self, signal: Signal) {
        if let Some(pid) = self.pid {
            // It may have ended in this moment; that is what is wanted.
            let _ = killpg(pid, signal);
        }
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.send(Signal::SIGTERM);
    }
}

/// Reads a line without its end. What is longer than [`LINE_MAX`] comes in pieces.
async fn next_line(reader: &mut BufReader<impl AsyncRead + Unpin>) -> std::io::Result<Option<String>> {
    let mut line = Vec::new();
    let n = reader.take(LINE_MAX).read_until(b'\n', &mut line).await?;
    if n == 0 {
        return Ok(None);
    }
    if line.last() == Some(&b'\n') {
        line.pop();
    }
    Ok(Some(String::from_utf8_lossy(&line).into_owned()))
}

/// Writes what a person would want to read of a line.
fn write_plain(file: &mut File, line: &str) -> std::io::Result<()> {
    match log::parse(line) {
        LogEvent::Message(m) => writeln!(file, "{}", m.text),
        LogEvent::BuildLine { line, .. } => writeln!(file, "> {line}"),
        LogEvent::Build { drv, .. } => writeln!(file, "building {drv}"),
        LogEvent::Transfer { url, .. } => writeln!(file, "downloading {}", without_password(&url)),
        LogEvent::Copy { path, .. } => writeln!(file, "copying {path}"),
        LogEvent::Progress { .. } | LogEvent::Stop { .. } | LogEvent::Other => Ok(()),
    }
}

/// An address without the user and password it may have in it.
pub(super) fn without_password(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (host, path) = rest.split_once('/').map_or((rest, None), |(h, p)| (h, Some(p)));
    let host = host.rsplit_once('@').map_or(host, |(_, h)| h);
    match path {
        Some(path) => format!("{scheme}://{host}/{path}"),
        None => format!("{scheme}://{host}"),
    }
}

/// Opens a log file afresh, with its directory.
pub(super) fn open_log(path: &Path) -> Option<File> {
    let dir = path.parent()?;
    std::fs::create_dir_all(dir).ok()?;
    // Nix may quote what a model says.
    File::options().write(true).create(true).truncate(true).mode(0o600).open(path).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn run<'a>(
        program: &'static str,
        args: &[&str],
        store: &'a Store,
        cancel: &'a CancellationToken,
    ) -> Run<'a> {
        let args = args.iter().map(std::ffi::OsString::from).collect();
        Run { program, args, store, bundled: false, cancel }
    }

    #[tokio::test]
    async fn the_log_and_the_answer_are_apart() {
        let cancel = CancellationToken::new();
        let mut lines = Vec::new();
        let script = "echo answer; echo words >&2; printf end >&2; exit 3";
        let (status, answer) =
            run("sh", &["-c", script], &Store::Own, &cancel).go(None, &mut |e| lines.push(e)).await.unwrap();
        assert_eq!((status.code(), answer.as_slice()), (Some(3), &b"answer\n"[..]));
        assert_eq!(lines.len(), 2);
        assert!(matches!(
            run("no-such-nix-program", &[], &Store::Own, &cancel).go(None, &mut drop).await,
            Err(NixError::Missing { program: "no-such-nix-program" })
        ));
    }

    #[tokio::test]
    async fn a_cancelled_run_ends_with_everything_it_started() {
        let cancel = CancellationToken::new();
        let dir = tempfile::tempdir().unwrap();
        let fifo = dir.path().join("held");
        nix::unistd::mkfifo(&fifo, nix::sys::stat::Mode::S_IRWXU).unwrap();
        let script = format!("exec 3>{}; sleep 1000 & echo ready >&2; wait", fifo.display());
        // Its end is read when the last process that holds it for writing has ended.
        let held = tokio::task::spawn_blocking(move || std::fs::read(fifo));
        let result =
            run("sh", &["-c", &script], &Store::Own, &cancel).go(None, &mut |_| cancel.cancel()).await;
        assert!(matches!(result, Err(NixError::Cancelled)));
        assert_eq!(held.await.unwrap().unwrap(), b"");
    }

    #[test]
    fn passwords_stay_out_of_logs() {
        for (url, expected) in [
            ("http://user:secret@host/a@b", "http://host/a@b"),
            ("http://host", "http://host"),
            ("file:///x", "file:///x"),
            ("/nix/store/x", "/nix/store/x"),
        ] {
            assert_eq!(without_password(url), expected);
        }
    }
}
