//! Starting QEMU so that it outlives whoever started it, and knowing it again.
//!
//! ```text
//! daemon ── setsid sh ── qemu          pid: who they are     status: how qemu ended
//! ```
//!
//! A shell in a session of its own waits for QEMU and writes its exit status to a file, so the
//! status is there even when the daemon was killed meanwhile.
//!
//! Invariant: a process is recognised by its number *and* its start time *and* the kernel's boot,
//! never by its number alone; a signal is sent through a pidfd that was checked in this way.

use std::ffi::OsStr;
use std::fs;
use std::io::{BufRead, BufReader};
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use tokio::io::unix::AsyncFd;

use crate::paths::NodePaths;

/// Starts the program given as arguments in the background, writes down who runs, says so on
/// standard output, waits, and writes the status down. `$0` is the node's directory.
const WAITER: &str = r#"
d=$0
"$@" >>"$d/qemu.log" 2>&1 </dev/null &
{ echo "$! $$"; cat "/proc/$!/stat" /proc/$$/stat /proc/sys/kernel/random/boot_id; } >"$d/pid.new" 2>/dev/null
mv "$d/pid.new" "$d/pid"
echo started
exec >&-
wait "$!"
echo "$?" >"$d/status.new"
mv "$d/status.new" "$d/status"
"#;

/// A running (or just ended) QEMU.
#[derive(Debug)]
pub struct Process {
    /// QEMU's process number.
    pub pid: u32,
    /// Absent when it had ended before it could be looked at.
    qemu: Option<OwnedFd>,
    waiter: Option<OwnedFd>,
    status: PathBuf,
    log: PathBuf,
}

/// How QEMU ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(u8),
    /// By this signal; a shell would report 128 more.
    Signal(u8),
    /// Nobody was there to see: the process that waits for it had been killed.
    Unknown,
}

impl Exit {
    /// As a shell would report it.
    pub fn status(self) -> Option<u8> {
        match self {
            Self::Code(c) => Some(c),
            Self::Signal(s) => Some(128_u8.saturating_add(s)),
            Self::Unknown => None,
        }
    }

    fn from_shell(text: &str) -> Self {
        match text.trim().parse::<u8>() {
            Ok(n @ 129..=192) => Self::Signal(n - 128),
            Ok(n) => Self::Code(n),
            Err(_) => Self::Unknown,
        }
    }
}

impl std::fmt::Display for Exit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Code(c) => write!(f, "exit status {c}"),
            Self::Signal(s) => {
                let name = Signal::try_from(i32::from(*s)).map_or("an unknown signal", Signal::as_str);
                write!(f, "exit status {}, killed by {name}", 128 + u16::from(*s))
            }
            Self::Unknown => f.write_str("exit status unknown"),
        }
    }
}

/// Starts a program as a node's machine. The directory must be there and be private.
///
/// # Errors
/// When it cannot be started at all; a program that ends at once is a [`Process`] with a status.
pub fn spawn(paths: &NodePaths, program: &Path, args: &[impl AsRef<OsStr>]) -> Result<Process> {
    spawn_with(paths, program, args, &[])
}

/// [`spawn`] with further environment variables.
///
/// # Errors
/// As [`spawn`].
pub fn spawn_with(
    paths: &NodePaths,
    program: &Path,
    args: &[impl AsRef<OsStr>],
    env: &[(String, std::ffi::OsString)],
) -> Result<Process> {
    if let Some(running) = adopt(paths)? {
        bail!("{} runs already, as process {}", paths.name, running.pid);
    }
    for old in [paths.status(), paths.pid()] {
        remove_file(&old)?;
    }
    let mut child = Command::new("setsid")
        .args(["sh", "-c", WAITER])
        .arg(&paths.run)
        .arg(program)
        .args(args)
        .envs(env.iter().map(|(k, v)| (k, v)))
        .current_dir(&paths.run)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .context("cannot run setsid (package util-linux)")?;
    let mut line = String::new();
    if let Some(out) = child.stdout.take() {
        BufReader::new(out).read_line(&mut line).context("waiting for the machine's shell")?;
    }
    // The shell is our child for as long as we live; a thread without work collects it.
    std::thread::spawn(move || child.wait());
    if line.trim() != "started" {
        bail!("the machine's shell ended before it started {}", program.display());
    }
    let text = fs::read_to_string(paths.pid()).with_context(|| paths.pid().display().to_string())?;
    let record =
        Record::parse(&text).with_context(|| format!("{}: not understood", paths.pid().display()))?;
    // QEMU may have ended already; then only the waiter, or nobody, is left to be seen.
    match open(paths, &record)? {
        Some(process) => Ok(process),
        None => Process::ended(paths, &record),
    }
}

/// Finds the machine that an earlier process started, if it still runs.
///
/// # Errors
/// When the files about it cannot be read.
pub fn adopt(paths: &NodePaths) -> Result<Option<Process>> {
    let file = paths.pid();
    let text = match fs::read_to_string(&file) {
        Ok(text) => text,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(None),
        Err(e) => return Err(e).with_context(|| file.display().to_string()),
    };
    match Record::parse(&text) {
        Some(record) => open(paths, &record),
        None => Ok(None),
    }
}

/// How the node's last machine ended, when that is known.
pub fn last_exit(paths: &NodePaths) -> Option<Exit> {
    fs::read_to_string(paths.status()).ok().map(|s| Exit::from_shell(&s))
}

fn open(paths: &NodePaths, record: &Record) -> Result<Option<Process>> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    if record.boot != boot.trim() {
        return Ok(None);
    }
    let Some(qemu) = record.qemu.open()? else { return Ok(None) };
    let waiter = record.waiter.open()?;
    Ok(Some(Process {
        pid: record.qemu.pid,
        qemu: Some(qemu),
        waiter,
        status: paths.status(),
        log: paths.qemu_log(),
    }))
}

impl Process {
    /// Stands for a machine that ended before it could be looked at.
    fn ended(paths: &NodePaths, record: &Record) -> Result<Self> {
        Ok(Self {
            pid: record.qemu.pid,
            qemu: None,
            // It may have the status still to write.
            waiter: record.waiter.open()?,
            status: paths.status(),
            log: paths.qemu_log(),
        })
    }

    /// Waits for QEMU to end.
    ///
    /// # Errors
    /// When the process cannot be watched.
    pub async fn wait(&self) -> Result<Exit> {
        if let Some(qemu) = &self.qemu {
            readable(qemu).await?;
        }
        // The waiter writes the status after QEMU ended, and ends itself after that.
        if let Some(waiter) = &self.waiter {
            readable(waiter).await?;
        }
        Ok(fs::read_to_string(&self.status).map_or(Exit::Unknown, |s| Exit::from_shell(&s)))
    }

    /// Ends QEMU at once, as if the power were cut.
    ///
    /// # Errors
    /// When the signal cannot be sent; a process that has ended is no error.
    pub fn kill(&self) -> Result<()> {
        self.signal(Signal::SIGKILL)
    }

    /// Sends a signal to QEMU.
    ///
    /// # Errors
    /// As [`Process::kill`].
    pub fn signal(&self, signal: Signal) -> Result<()> {
        let Some(qemu) = &self.qemu else { return Ok(()) };
        match pidfd_send_signal(qemu, signal) {
            Ok(()) | Err(nix::errno::Errno::ESRCH) => Ok(()),
            Err(e) => Err(e).with_context(|| format!("cannot send {signal} to process {}", self.pid)),
        }
    }

    /// The last lines that QEMU wrote for people, at most `max` of them.
    pub fn last_words(&self, max: usize) -> Vec<String> {
        let text = fs::read(&self.log).unwrap_or_default();
        let text = String::from_utf8_lossy(&text[text.len().saturating_sub(16 << 10)..]).into_owned();
        let lines: Vec<_> = text.lines().map(crate::error::printable).collect();
        lines[lines.len().saturating_sub(max)..].to_vec()
    }
}

async fn readable(fd: &OwnedFd) -> Result<()> {
    let dup = fd.as_fd().try_clone_to_owned().context("cannot watch a process")?;
    // SAFETY: the descriptor is our own copy; it is moved into the value and closed with it.
    let fd = unsafe { AsyncFd::register_with_interest(dup, tokio::io::Interest::READABLE) };
    let fd = fd.context("cannot watch a process")?;
    fd.readable().await.context("cannot watch a process")?.retain_ready();
    Ok(())
}

/// A process that cannot be taken for another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Identity {
    pid: u32,
    /// Clock ticks after the kernel's boot.
    started: u64,
}

impl Identity {
    /// Reads a line of `/proc/PID/stat`.
    fn parse(stat: &str) -> Option<Self> {
        // The second field is the program's name in parentheses and may hold anything.
        let pid = stat.split(' ').next()?.parse().ok()?;
        let rest = &stat[stat.rfind(')')? + 1..];
        // After the name comes field 3; the start time is field 22.
        let started = rest.split_whitespace().nth(19)?.parse().ok()?;
        Some(Self { pid, started })
    }

    /// Opens the process if it is still this one.
    fn open(&self) -> Result<Option<OwnedFd>> {
        let Some(fd) = open_process(self.pid)? else { return Ok(None) };
        // The descriptor pins the process, so what /proc says now is about the pinned one, or, when
        // that has ended and its number is used again, differs in its start time.
        let Ok(stat) = fs::read_to_string(format!("/proc/{}/stat", self.pid)) else { return Ok(None) };
        let ended = stat[stat.rfind(')').unwrap_or(0)..].starts_with(") Z");
        Ok((!ended && Self::parse(&stat).as_ref() == Some(self)).then_some(fd))
    }
}

/// What the waiter writes down.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Record {
    qemu: Identity,
    waiter: Identity,
    boot: String,
}

impl Record {
    fn parse(text: &str) -> Option<Self> {
        let mut lines = text.lines();
        let mut numbers = lines.next()?.split(' ').map(str::parse::<u32>);
        let (qemu, waiter) = (numbers.next()?.ok()?, numbers.next()?.ok()?);
        let mut rest: Vec<&str> = lines.collect();
        let boot = rest.pop()?.trim().to_owned();
        let find = |pid| rest.iter().filter_map(|l| Identity::parse(l)).find(|i| i.pid == pid);
        // A QEMU that ended before it was looked at has no line; its start time then matches nobody.
        let gone = Identity { pid: qemu, started: u64::MAX };
        Some(Self { qemu: find(qemu).unwrap_or(gone), waiter: find(waiter)?, boot })
    }
}

fn remove_file(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => {
            Err(e).with_context(|| format!("cannot remove {}", path.display()))
        }
        _ => Ok(()),
    }
}

fn pidfd_open(pid: u32) -> nix::Result<OwnedFd> {
    // SAFETY: the call takes two integers and touches no memory of ours.
    let fd = unsafe { nix::libc::syscall(nix::libc::SYS_pidfd_open, pid, 0) };
    let fd = nix::errno::Errno::result(fd)?;
    let fd = i32::try_from(fd).map_err(|_| nix::errno::Errno::EBADF)?;
    // SAFETY: the kernel has just given this descriptor to us, and nobody else owns it.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Lets go of this process's standard input and output, which its starter waits for.
pub fn let_go_of_stdio() {
    let Ok(null) = fs::OpenOptions::new().read(true).write(true).open("/dev/null") else { return };
    let _ = nix::unistd::dup2_stdin(&null);
    let _ = nix::unistd::dup2_stdout(&null);
}

/// A descriptor that becomes readable when a process ends; none when it has ended.
///
/// # Errors
/// When the kernel refuses.
pub fn open_process(pid: u32) -> Result<Option<OwnedFd>> {
    match pidfd_open(pid) {
        Ok(fd) => Ok(Some(fd)),
        Err(nix::errno::Errno::ESRCH | nix::errno::Errno::EINVAL) => Ok(None),
        Err(e) => Err(e).context("pidfd_open"),
    }
}

fn pidfd_send_signal(fd: &OwnedFd, signal: Signal) -> nix::Result<()> {
    let none = std::ptr::null::<nix::libc::siginfo_t>();
    // SAFETY: the descriptor is open, and a null pointer stands for no further information.
    let result = unsafe {
        nix::libc::syscall(nix::libc::SYS_pidfd_send_signal, fd.as_raw_fd(), signal as i32, none, 0)
    };
    nix::errno::Errno::result(result).map(drop)
}

#[cfg(test)]
#[path = "process_tests.rs"]
mod tests;
