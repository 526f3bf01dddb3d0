//! The way to a host: the system's OpenSSH, one master connection that everything else rides on.
//!
//! The master runs a command that reads our pipe, so that it ends with us, whatever ends us. What
//! rides on it may never open a connection of its own: when the master is gone, it fails.
//!
//! Invariant: a password reaches the host through standard input alone, and no log or process list.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

use super::model::Target;
use super::squeeze::Compress;
use crate::error::{Result, ResultExt, printable};
use crate::shell::quote;

/// The line that tells that a login has worked.
const READY: &str = "diorama-ready";
/// The longest answer that is read from a host.
const ANSWER_MAX: u64 = 64 << 20;

/// A password for sudo.
#[derive(Clone)]
pub struct Password(Arc<str>);

impl Password {
    /// Takes the password.
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }
}

impl fmt::Debug for Password {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Password(…)")
    }
}

/// How hosts are reached, for all hosts of a network.
#[derive(Debug)]
pub struct Settings {
    /// The network's pinned keys; the user's own are asked, too.
    pub known_hosts: PathBuf,
    /// A private directory for the masters' sockets.
    pub sockets: PathBuf,
    /// Whether a key that nobody has seen is pinned.
    pub trust_on_first_use: bool,
    /// Whether copies are compressed.
    pub compress: Compress,
    /// Seconds until an address counts as unreachable.
    pub timeout: u64,
    /// The password for sudo.
    pub password: Option<Password>,
    counter: AtomicU32,
}

impl Settings {
    /// The usual ones.
    pub fn new(known_hosts: PathBuf, sockets: PathBuf) -> Self {
        Self {
            known_hosts,
            sockets,
            trust_on_first_use: false,
            compress: Compress::Auto,
            timeout: 10,
            password: None,
            counter: AtomicU32::new(0),
        }
    }
}

/// Why there is no way to a host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConnectError {
    /// No address answers.
    #[error("{0}")]
    Unreachable(String),
    /// The host is not who it should be, or nobody has said who that is.
    #[error("{0}")]
    HostKey(String),
    /// The host does not let us in.
    #[error("{0}")]
    Refused(String),
}

/// What a command on a host has answered.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Its exit status; none when it was killed or the connection was lost.
    pub status: Option<i32>,
    /// Its standard output.
    pub out: Vec<u8>,
    /// Its standard error, made printable.
    pub err: String,
}

impl Answer {
    /// Whether it succeeded.
    pub fn ok(&self) -> bool {
        self.status == Some(0)
    }

    /// Its output as text.
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.out).into_owned()
    }
}

/// An open way to a host. Dropping it closes it.
#[derive(Debug)]
pub struct Link {
    /// The address that answered.
    pub address: String,
    socket: PathBuf,
    target: Target,
    settings: Arc<Settings>,
    /// Whether sudo asks for the password.
    asks: bool,
    /// Ends with this link.
    _master: Child,
}

impl Link {
    /// Connects afresh, to the first address that answers.
    ///
    /// # Errors
    /// When none does, or the host is not who it should be.
    pub async fn open(target: &Target, settings: &Arc<Settings>) -> Result<Self, ConnectError> {
        let mut last = ConnectError::Unreachable("it has no address".into());
        for address in target.hosts() {
            match Self::open_at(target, settings, address).await {
                Ok(link) => return Ok(link),
                // Another address of the same host must not hide that this one lies.
                Err(e @ ConnectError::HostKey(_)) => return Err(e),
                Err(e) => last = e,
            }
        }
        Err(last)
    }

    async fn open_at(target: &Target, settings: &Arc<Settings>, address: &str) -> Result<Self, ConnectError> {
        let number = settings.counter.fetch_add(1, Ordering::Relaxed);
        let socket = settings.sockets.join(number.to_string());
        let broken = |e: std::io::Error| ConnectError::Unreachable(format!("cannot run ssh: {e}"));
        let mut command = Command::new("ssh");
        command.arg("-M").arg("-S").arg(&socket).args(options(target, settings));
        command.arg("--").arg(address).arg(format!("echo {READY}; exec cat >/dev/null"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        // Ctrl-c is ours to handle: the connection is what a host is told through.
        let mut master = command.kill_on_drop(true).process_group(0).spawn().map_err(broken)?;
        let stdout = master.stdout.take();
        let mut stderr = master.stderr.take();
        let ready = async {
            let Some(stdout) = stdout else { return false };
            let mut lines = BufReader::new(stdout.take(1 << 16)).lines();
            while let Ok(Some(line)) = lines.next_line().await {
                if line.trim() == READY {
                    return true;
                }
            }
            false
        };
        // ConnectTimeout does not cover a host that accepts and then says nothing.
        let limit = Duration::from_secs(settings.timeout.saturating_mul(3));
        let said = match tokio::time::timeout(limit, ready).await {
            Ok(true) => {
                drain(stderr);
                let target = target.clone();
                let settings = Arc::clone(settings);
                let mut link =
                    Self { address: address.into(), socket, target, settings, asks: false, _master: master };
                link.asks = link.sudo_asks().await;
                return Ok(link);
            }
            Ok(false) => {
                let mut text = Vec::new();
                if let Some(stderr) = stderr.as_mut() {
                    let _ = stderr.take(1 << 16).read_to_end(&mut text).await;
                }
                printable(String::from_utf8_lossy(&text).trim())
            }
            Err(_) => format!("{address} accepts connections and does not answer"),
        };
        Err(classify(address, &said, &forget(address, target, settings, &said)))
    }

    /// Whether root's rights need the password.
    async fn sudo_asks(&self) -> bool {
        if self.settings.password.is_none() || self.plain_root() {
            return false;
        }
        let Some((first, rest)) = self.target.sudo.split_first() else { return false };
        let words: Vec<&str> = [first.as_str(), "-n"]
            .into_iter()
            .chain(rest.iter().map(String::as_str))
            .chain(["true"])
            .collect();
        let words: Vec<String> = words.into_iter().map(quote).collect();
        !self.ride(&words.join(" ")).output().await.is_ok_and(|o| o.status.success())
    }

    fn plain_root(&self) -> bool {
        self.target.target_user == "root" || self.target.sudo.is_empty()
    }

    /// The command line on the host that runs a script as root.
    fn as_root(&self, script: &str, args: &[&str]) -> String {
        let mut words: Vec<String> = Vec::new();
        if !self.plain_root() {
            for (n, word) in self.target.sudo.iter().enumerate() {
                words.push(quote(word));
                if n == 0 && self.asks {
                    // `-k`: sudo reads the password in any case, so it is never taken for data.
                    words.extend(["-k", "-S", "-p", "''"].map(String::from));
                }
            }
        }
        words.extend(["sh", "-c"].map(String::from));
        words.push(quote(script));
        words.push("diorama".into());
        words.extend(args.iter().map(|a| quote(a)));
        words.join(" ")
    }

    /// A command over the master, not started yet.
    fn ride(&self, command: &str) -> Command {
        let mut ssh = self.over_master();
        ssh.arg("--").arg("diorama-host").arg(command);
        ssh
    }

    fn over_master(&self) -> Command {
        let mut ssh = Command::new("ssh");
        ssh.args(["-F", "none", "-o", "ControlMaster=no", "-o", "ProxyCommand=false", "-o", "BatchMode=yes"]);
        ssh.args(["-o", "LogLevel=ERROR"]).arg("-S").arg(&self.socket);
        ssh.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        ssh.kill_on_drop(true).process_group(0);
        ssh
    }

    /// Starts a script as root; the caller has its pipes. The password has been written already.
    ///
    /// # Errors
    /// When ssh cannot be run.
    pub async fn start(&self, script: &str, args: &[&str]) -> Result<Child> {
        let mut child = self.ride(&self.as_root(script, args)).spawn().doing("cannot run ssh")?;
        if self.asks
            && let (Some(password), Some(stdin)) = (&self.settings.password, child.stdin.as_mut())
        {
            // When it cannot be written, the command has ended and its status tells.
            let _ = stdin.write_all(format!("{}\n", password.0).as_bytes()).await;
        }
        Ok(child)
    }

    /// Runs a script as root to its end.
    ///
    /// # Errors
    /// When ssh cannot be run.
    pub async fn run(&self, script: &str, args: &[&str], input: &[u8]) -> Result<Answer> {
        let mut child = self.start(script, args).await?;
        let stdin = child.stdin.take();
        let feed = async move {
            if let Some(mut stdin) = stdin {
                // A command that does not read its input may end before it has it all.
                let _ = stdin.write_all(input).await;
            }
        };
        let stdout = child.stdout.take();
        let stderr = child.stderr.take();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let read_out = async {
            if let Some(s) = stdout {
                let _ = s.take(ANSWER_MAX).read_to_end(&mut out).await;
            }
        };
        let read_err = async {
            if let Some(s) = stderr {
                let _ = s.take(1 << 20).read_to_end(&mut err).await;
            }
        };
        tokio::join!(feed, read_out, read_err);
        let status = child.wait().await.doing("waiting for ssh")?.code();
        Ok(Answer { status, out, err: printable(String::from_utf8_lossy(&err).trim()) })
    }

    /// Whether copies to this host are compressed.
    pub(super) fn compress(&self) -> Compress {
        self.settings.compress
    }

    /// Starts a channel to a port of the host, on the host's side of its firewall.
    ///
    /// # Errors
    /// When ssh cannot be run.
    pub fn channel(&self, port: u16) -> Result<Child> {
        let mut ssh = self.over_master();
        ssh.arg("-W").arg(format!("127.0.0.1:{port}")).arg("--").arg("diorama-host");
        ssh.spawn().doing("cannot run ssh")
    }
}

/// Finds the address under which a host answers, and that it is who it should be.
///
/// # Errors
/// When no address answers, or the host is not who it should be.
pub async fn reach(target: &Target, settings: &Arc<Settings>) -> Result<String, ConnectError> {
    Ok(Link::open(target, settings).await?.address.clone())
}

/// An `ssh` for a person, over a connection of its own. A command may be added to it.
pub fn terminal(target: &Target, settings: &Settings, address: &str, tty: bool) -> std::process::Command {
    let mut ssh = std::process::Command::new("ssh");
    // The first value of an option counts.
    ssh.arg(if tty { "-t" } else { "-T" }).args(["-o", "BatchMode=no", "-o", "ControlPath=none"]);
    ssh.args(options(target, settings).iter().skip_while(|o| *o == "-T"));
    ssh.arg("--").arg(address);
    ssh
}

impl Drop for Link {
    fn drop(&mut self) {
        // The master removes it when it ends in good order; it may be killed instead.
        let _ = std::fs::remove_file(&self.socket);
    }
}

fn drain(stderr: Option<tokio::process::ChildStderr>) {
    if let Some(mut stderr) = stderr {
        tokio::spawn(async move {
            let mut sink = tokio::io::sink();
            let _ = tokio::io::copy(&mut stderr, &mut sink).await;
        });
    }
}

/// The options of a master connection.
fn options(target: &Target, settings: &Settings) -> Vec<String> {
    let strict = if settings.trust_on_first_use { "accept-new" } else { "yes" };
    let mut out = vec!["-T".into()];
    let mut say = |option: String| out.extend(["-o".into(), option]);
    say("BatchMode=yes".into());
    say("ControlPersist=no".into());
    say(format!(
        "UserKnownHostsFile={} ~/.ssh/known_hosts ~/.ssh/known_hosts2",
        known(&settings.known_hosts)
    ));
    say(format!("StrictHostKeyChecking={strict}"));
    say("HashKnownHosts=no".into());
    say("UpdateHostKeys=no".into());
    say("CheckHostIP=no".into());
    say(format!("ConnectTimeout={}", settings.timeout));
    say("ServerAliveInterval=5".into());
    say("ServerAliveCountMax=3".into());
    say("LogLevel=ERROR".into());
    // What is worth packing is packed before it gets here.
    say("Compression=no".into());
    if let Some(port) = target.target_port {
        say(format!("Port={port}"));
    }
    say(format!("User={}", target.target_user));
    // The model's own come last: ssh takes the first value of an option, so none of them can
    // weaken what stands above.
    out.extend(target.ssh_options.iter().cloned());
    out
}

/// A file's name in ssh's own quoting.
fn known(path: &Path) -> String {
    format!("\"{}\"", path.display())
}

/// The command that forgets a host's old key, in the file that ssh has named.
fn forget(address: &str, target: &Target, settings: &Settings, said: &str) -> String {
    let name = match target.target_port {
        Some(port) if port != 22 => format!("[{address}]:{port}"),
        _ => address.to_owned(),
    };
    let named = said.lines().filter(|l| l.starts_with("Offending ")).find_map(|l| {
        let (file, line) = l.split_once(" key in ")?.1.trim().rsplit_once(':')?;
        line.parse::<u32>().is_ok().then(|| file.to_owned())
    });
    let file = named.unwrap_or_else(|| settings.known_hosts.display().to_string());
    format!("ssh-keygen -R {} -f {}", quote(&name), quote(&file))
}

/// What ssh's words mean; `forget` is how the host's old key is forgotten.
fn classify(address: &str, said: &str, forget: &str) -> ConnectError {
    let has = |words: &str| said.contains(words);
    let last = said.lines().rfind(|l| !l.trim().is_empty()).unwrap_or("the connection was closed").trim();
    if has("REMOTE HOST IDENTIFICATION HAS CHANGED") || has("Offending") {
        ConnectError::HostKey(format!(
            "{address} shows another host key than the one that is pinned; only if it was installed anew, \
             forget the old one: {forget}"
        ))
    } else if has("Host key verification failed") || has("host key is known") {
        ConnectError::HostKey(format!("the host key of {address} is not known"))
    } else if has("Permission denied") || has("Too many authentication failures") {
        ConnectError::Refused(format!("{address} does not let us in: {last}"))
    } else if last.contains(address) {
        ConnectError::Unreachable(last.to_owned())
    } else {
        ConnectError::Unreachable(format!("{address}: {last}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_of_ssh_are_understood() {
        let kind = |said: &str| match classify("web", said, "ssh-keygen -R web") {
            ConnectError::Unreachable(_) => "unreachable",
            ConnectError::HostKey(_) => "key",
            ConnectError::Refused(_) => "refused",
        };
        for (said, want) in [
            ("ssh: connect to host web port 22: Connection refused", "unreachable"),
            ("", "unreachable"),
            (
                "@@@\n@ WARNING: REMOTE HOST IDENTIFICATION HAS CHANGED! @\nHost key verification failed.",
                "key",
            ),
            (
                "No ED25519 host key is known for [web]:22 and you have requested strict checking.\nHost key verification failed.",
                "key",
            ),
            ("root@web: Permission denied (publickey).", "refused"),
        ] {
            assert_eq!(kind(said), want, "{said}");
        }
    }

    #[test]
    fn the_model_cannot_weaken_the_connection_and_a_password_is_never_shown() {
        let d = super::super::model::tests::network(&[("web", &[])]);
        let mut target = d.nodes["web"].clone();
        target.ssh_options = vec!["-o".into(), "StrictHostKeyChecking=no".into()];
        target.target_port = Some(2201);
        let mut settings = Settings::new("/s/known hosts".into(), "/r".into());
        settings.password = Some(Password::new("secret"));
        let line = options(&target, &settings).join(" ");
        let at = |words: &str| line.find(words).unwrap_or_else(|| panic!("{words} in {line}"));
        assert!(at("StrictHostKeyChecking=yes") < at("StrictHostKeyChecking=no"));
        assert!(line.contains("\"/s/known hosts\"") && line.contains("Port=2201"), "{line}");
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
